"""Real sweeps whose run is in a bucket, on an S3 server in this process."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.run.events import EpochFinished
from cae.run.paths import RunDir
from cae.run.storage import Bucket, bucket_run, run_at
from cae.run.trial_state import TrialState
from tests.run.storage.s3_server import S3Server
from tests.undisturbed import assert_each_epoch_was_trained_once, undisturbed_losses

WriteSweep = Callable[..., Path]
RunSweep = Callable[..., RunDir]


def epochs(run: RunDir) -> list[tuple[int, int]]:
    return [
        (event.trial, event.epoch) for event in run.events() if isinstance(event, EpochFinished)
    ]


def losses(run: RunDir, number: int) -> list[float]:
    rows = run.records()[number].epochs
    return [rows[epoch]["val_loss"] for epoch in sorted(rows)]


def run_on_another_host(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunDir:
    """The run as a host without a local copy sees it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another host"))
    return run_at(url)


def wait_for_checkpoint(url: str, number: int) -> Bucket:
    """Wait until a trial has uploaded a checkpoint."""
    bucket = Bucket(url)
    deadline = time.monotonic() + 60
    name = f"trials/{number:04d}/last.safetensors"
    while name not in bucket.list("trials") and time.monotonic() < deadline:
        time.sleep(0.1)
    return bucket


@pytest.mark.slow
def test_a_run_in_a_bucket_is_complete_for_readers_on_other_hosts(
    sweep_file: WriteSweep,
    run_sweep: RunSweep,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    path = sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 3e-3, 1e-2])}", epochs=3)
    run_sweep(path, out=url)
    run = run_on_another_host(url, monkeypatch, tmp_path)
    assert sorted(epochs(run)) == [(trial, epoch) for trial in (1, 2, 3) for epoch in (1, 2, 3)]
    for number, record in run.records().items():
        assert record.state == TrialState.FINISHED
        assert losses(run, number) == undisturbed_losses(run, number)
    names = {Path(name).name for name in Bucket(url).list("trials/0001")}
    assert names == {
        "best.safetensors",
        "last.safetensors",
        "samples.npz",
        "galleries.npz",
        "log.txt",
        "owner",
    }
    for arguments in (
        ["status", url],
        ["best", url, "-o", "model"],
        ["logs", url, "1"],
        ["report", url],
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    assert json.loads(Path("model/model.json").read_text())["trial"] == 3
    page = Bucket(url).read("report.html").decode()
    assert page.startswith("<!doctype html>")
    assert "img" in page, "the samples were not fetched for the page"


@pytest.mark.slow
def test_a_stopped_sweep_is_resumed_without_training_an_epoch_twice(
    sweep_file: WriteSweep,
    run_sweep: RunSweep,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(bucket_run, "HEARTBEAT_SECONDS", 0.2)  # requests are read as often
    path = sweep_file("{'dataset.train_images': 800}", epochs=30)

    def request_stop() -> None:
        wait_for_checkpoint(url, 1).write("control/stop", b"")

    thread = threading.Thread(target=request_stop)
    thread.start()
    run_sweep(path, out=url)
    thread.join()
    run = run_on_another_host(url, monkeypatch, tmp_path)
    assert run.records()[1].state == TrialState.INTERRUPTED
    assert not Bucket(url).list("control")
    assert not run.in_use()
    run_sweep(path, out=url)
    run = run_at(url)
    assert epochs(run) == [(1, epoch) for epoch in range(1, 31)]
    assert losses(run, 1) == undisturbed_losses(run, 1)
    log = Bucket(url).read("trials/0001/log.txt").decode()
    assert_each_epoch_was_trained_once(log, epochs=30)


@pytest.mark.slow
def test_a_sweep_waits_for_a_server_that_is_down_for_a_while(
    sweep_file: WriteSweep, run_sweep: RunSweep, url: str, server: S3Server
) -> None:
    space = "{'optimizer.lr': tune.grid_search([1e-3, 1e-2]), 'dataset.train_images': 800}"
    path = sweep_file(space, epochs=8)

    def interrupt_server() -> None:
        wait_for_checkpoint(url, 2)
        server.stop()
        time.sleep(4)
        server.start()

    thread = threading.Thread(target=interrupt_server)
    thread.start()
    run_sweep(path, out=url)
    thread.join()
    run = run_at(url)
    assert sorted(epochs(run)) == [(trial, epoch) for trial in (1, 2) for epoch in range(1, 9)]
    assert {record.state for record in run.records().values()} == {TrialState.FINISHED}


def test_a_missing_bucket_ends_the_command_with_code_2(
    server: S3Server, sweep_file: WriteSweep
) -> None:
    nowhere = f"s3://nowhere/run?endpoint_override={server.endpoint}&region=us-east-1"
    started = time.monotonic()
    result = CliRunner().invoke(app, ["run", str(sweep_file()), "--out", nowhere])
    assert result.exit_code == 2
    assert "NO_SUCH_BUCKET" in result.stderr
    assert time.monotonic() - started < 30


def test_no_secret_of_the_environment_is_written_to_a_run(
    sweep_file: WriteSweep, run_sweep: RunSweep, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-very-secret-token")
    run = run_sweep(sweep_file(epochs=1), out=url)
    files = [path.read_bytes() for path in run.path.rglob("*") if path.is_file()]
    bucket = Bucket(url)
    objects = [bucket.read(name) for name in bucket.list("")]
    assert b"a-very-secret-token" not in b"".join(files + objects)
    shutil.rmtree(run.path)
