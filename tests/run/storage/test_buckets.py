"""Runs in a bucket, on a real S3 server in this process: what is carried there and back, whatever happens meanwhile."""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.cli.tables import status
from cae.errors import RunError
from cae.run.events import EpochFinished, TrialPlanned
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.storage import Bucket, BucketRun, Home, StorageError, find, run_at
from cae.run.storage import bucket_run as run_module
from cae.run.storage.store import below
from tests.undisturbed import undisturbed

Write = Callable[..., Path]
Run = Callable[..., RunDir]


class Server:
    """An S3 server that can be down for a while; what it holds stays."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer  # no types of its own

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        make: Any = ThreadedMotoServer
        self.make = functools.partial(make, ip_address="127.0.0.1", verbose=False)
        self.server = self.make(port=0)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        urllib.request.urlopen(
            urllib.request.Request(f"{self.endpoint}/bucket", method="PUT")
        ).read()

    def down(self) -> None:
        self.server.stop()

    def up(self) -> None:
        self.server = self.make(port=self.port)
        self.server.start()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    os.environ |= {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
    one = Server()
    yield one
    one.down()


@pytest.fixture
def url(server: Server, request: pytest.FixtureRequest) -> str:
    return (
        f"s3://bucket/{request.node.name[:40]}?endpoint_override={server.endpoint}&region=us-east-1"
    )


def epochs(run: RunDir) -> list[tuple[int, int]]:
    return [
        (event.trial, event.epoch) for event in run.events() if isinstance(event, EpochFinished)
    ]


def another_host(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunDir:
    """The run as somebody sees it who has no copy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another host"))
    return run_at(url)


def test_a_run_in_a_bucket_is_whole_for_whoever_reads_it(
    sweep_file: Write, run_sweep: Run, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 3e-3, 1e-2])}", epochs=3)
    run_sweep(path, out=url)
    run = another_host(url, monkeypatch, tmp_path)
    assert sorted(epochs(run)) == [(trial, epoch) for trial in (1, 2, 3) for epoch in (1, 2, 3)]
    for number, record in run.records().items():
        assert record.state == "finished"
        assert [record.epochs[epoch]["val_loss"] for epoch in (1, 2, 3)] == undisturbed(run, number)
    kept = Bucket(url).list("trials/0001")
    assert {Path(name).name for name in kept} == {
        "best.safetensors",
        "last.safetensors",
        "samples.npz",
        "galleries.npz",
        "log.txt",
        "owner",
    }
    for words in (
        ["status", url],
        ["best", url, "-o", "model"],
        ["logs", url, "1"],
        ["report", url],
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    assert json.loads(Path("model/model.json").read_text())["trial"] == 3
    assert Bucket(url).read("report.html").startswith(b"<!doctype html>")
    assert "img" in Bucket(url).read("report.html").decode(), (
        "the samples were fetched for the page"
    )


def test_a_sweep_stopped_in_a_bucket_goes_on_from_another_host(
    sweep_file: Write, run_sweep: Run, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_module, "BEAT_S", 0.2)  # it looks for requests as often
    path = sweep_file("{'dataset.train_images': 800}", epochs=60)

    def stop() -> None:
        bucket, end = Bucket(url), time.monotonic() + 60
        while (
            "trials/0001/last.safetensors" not in bucket.list("trials") and time.monotonic() < end
        ):
            time.sleep(0.1)
        bucket.write("control/stop", b"")

    thread = threading.Thread(target=stop)
    thread.start()
    run_sweep(path, out=url)
    thread.join()
    run = another_host(url, monkeypatch, tmp_path)
    assert run.records()[1].state == "interrupted"
    assert not Bucket(url).list("control")
    assert not run.in_use()
    run_sweep(path, out=url)
    run = run_at(url)
    assert epochs(run) == [(1, epoch) for epoch in range(1, 61)]
    assert [row["val_loss"] for _, row in sorted(run.records()[1].epochs.items())] == undisturbed(
        run, 1
    )
    log = Bucket(url).read("trials/0001/log.txt").decode()
    assert [log.count(f"epoch {epoch}: ") for epoch in range(1, 61)] == [1] * 60, (
        "none was trained twice"
    )


def test_a_server_that_is_down_for_a_while_is_waited_for(
    sweep_file: Write, run_sweep: Run, url: str, server: Server
) -> None:
    path = sweep_file(
        "{'optimizer.lr': tune.grid_search([1e-3, 1e-2]), 'dataset.train_images': 800}", epochs=15
    )

    def fail() -> None:
        bucket, end = Bucket(url), time.monotonic() + 60
        while (
            "trials/0002/last.safetensors" not in bucket.list("trials") and time.monotonic() < end
        ):
            time.sleep(0.1)
        server.down()
        time.sleep(8)
        server.up()

    thread = threading.Thread(target=fail)
    thread.start()
    run_sweep(path, out=url)
    thread.join()
    run = run_at(url)
    assert sorted(epochs(run)) == [(trial, epoch) for trial in (1, 2) for epoch in range(1, 16)]
    assert {record.state for record in run.records().values()} == {"finished"}


def made(url: str) -> BucketRun:
    run = run_at(url)
    assert isinstance(run, BucketRun)
    run.sweep_json.write_text(
        json.dumps({"sweep": "small", "title": "t", "metric": "val_loss", "mode": "min"})
    )
    run.publish(run.sweep_json)
    return run


def write(run: RunDir, count: int) -> None:
    journal = Journal(run.journal)
    for number in range(1, count + 1):
        journal.append(
            TrialPlanned(trial=number, hash=f"{number:x}", config={"epochs": 2}, axes={}, sizes={})
        )
    journal.close()


def test_a_journal_in_pieces_is_the_journal(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_module, "PIECE_BYTES", 300)
    monkeypatch.setattr(run_module, "POLL_S", 0.01)
    run = made(url)
    for _ in range(2):
        with run.lock():
            for _ in range(20):
                write(run, 1)
                time.sleep(0.01)
            with run.journal.open("ab") as torn:
                torn.write(b'{"event":"tr')
    whole = run.journal.read_bytes()
    assert len(run.bucket.list("journal")) > 3
    found = another_host(url, monkeypatch, tmp_path)
    assert list(found.events()) == list(run.events())
    assert len(list(found.events())) == 40
    assert whole.startswith(found.journal.read_bytes()[:1000])


def test_who_reads_a_run_on_the_same_machine_leaves_the_running_ones_journal_alone(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "POLL_S", 0.01)
    run = made(url)
    with run.lock():
        journal = Journal(run.journal)
        for number in range(1, 20):
            journal.append(
                TrialPlanned(
                    trial=number, hash=f"{number:x}", config={"epochs": 2}, axes={}, sizes={}
                )
            )
            time.sleep(0.02)
            assert len(run_at(url).records()) <= number
        journal.close()
    assert len(run.records()) == len(run_at(url).records()) == 19


def test_a_run_is_held_by_one_process_until_it_dies(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "BEAT_S", 0.2)
    monkeypatch.setattr(run_module, "LEASE_S", 3.0)
    first, second = made(url), BucketRun(url)
    second.copies = second.copies.with_name("of another host")
    with first.lock():
        assert status(second)["running"]
        with pytest.raises(RunError, match="is in use by"), second.lock():
            pass
    with second.lock():
        pass
    second.bucket.write("lock/elsewhere-1", b"another-machine 1")  # its process has died
    begun = time.monotonic()
    with second.lock():
        assert time.monotonic() - begun > 1
        assert list(second.bucket.list("lock")) == [f"lock/{second.owner}"]


def test_a_holder_that_died_on_this_machine_is_not_waited_for(url: str) -> None:
    code = "import os, sys; from cae.run.storage import run_at\nrun = run_at(sys.argv[1])\nwith run.lock(): os._exit(1)"
    subprocess.run([sys.executable, "-c", code, url], check=False)
    run = made(url)
    assert run.bucket.list("lock")
    begun = time.monotonic()
    with run.lock():
        assert time.monotonic() - begun < 5


def test_a_process_that_was_cut_off_writes_no_more_once_another_has_taken_over(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "BEAT_S", 0.1)
    run = made(url)
    with run.lock():
        run.bucket.write("lock/elsewhere-2", b"another-machine 2")
        monkeypatch.setattr(run_module, "LEASE_S", 0.0)
        write(run, 3)
        end = time.monotonic() + 10
        while not run.abort_reason and time.monotonic() < end:
            time.sleep(0.05)
        assert "was taken over by elsewhere-2" in run.abort_reason


def test_what_is_renamed_here_is_copied_there_and_a_worker_that_was_replaced_writes_no_more(
    url: str,
) -> None:
    place = below(url, "trials/0001")
    home = Home(place, "last")
    (home.path / "last").write_bytes(b"epoch 1")
    (home.path / "log.txt").write_text("one")
    home.push()
    (home.path / "last").rename(home.path / "previous")
    (home.path / "last").write_bytes(b"epoch 2")
    home.push()
    bucket = Bucket(place)
    assert {name: bucket.read(name) for name in ("last", "previous", "log.txt")} == {
        "last": b"epoch 2",
        "previous": b"epoch 1",
        "log.txt": b"one",
    }

    other = Home(place, "last")
    other.pull("last", "previous")
    assert {path.name for path in other.path.iterdir()} == {"last", "previous"}
    (home.path / "last").write_bytes(b"epoch 3, too late")
    with pytest.raises(StorageError, match="taken up by another worker"):
        home.push()
    assert bucket.read("last") == b"epoch 2"
    for one in (home, other):
        one.leave()
        assert not one.path.exists()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("s3://key:secret@bucket/run", "credentials do not belong into an address"),
        ("s3:///run", "at s3://BUCKET/PATH"),
        ("http://bucket/run", "at s3://BUCKET/PATH"),
        ("s3://bucket/run?secret_key=x", "secret_key is no option of an address"),
        ("s3://bucket/../other", "without . and .."),
    ],
)
def test_an_address_that_is_none_is_told_and_no_secret_repeated(place: str, told: str) -> None:
    with pytest.raises(StorageError) as caught:
        run_at(place)
    assert told in str(caught.value)
    assert "key:secret" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_told_at_once(server: Server, sweep_file: Write) -> None:
    nowhere = f"s3://nowhere/run?endpoint_override={server.endpoint}&region=us-east-1"
    with pytest.raises(RunError, match="is not a run"):
        find(nowhere, Path("runs"))
    begun = time.monotonic()
    told = CliRunner().invoke(app, ["run", str(sweep_file()), "--out", nowhere])
    assert told.exit_code == 2
    assert "NO_SUCH_BUCKET" in told.stderr
    assert time.monotonic() - begun < 30


def test_a_server_that_does_not_answer_is_told_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "FIRST_PATIENCE_S", 0.5)
    with pytest.raises(StorageError, match="cannot be used from"):
        run_at("s3://bucket/run?endpoint_override=http://127.0.0.1:9&region=us-east-1")


def test_no_secret_of_the_environment_comes_into_a_run(
    sweep_file: Write, run_sweep: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-very-secret-token")
    run = run_sweep(sweep_file(epochs=1), out=url)
    written = b"".join(path.read_bytes() for path in run.path.rglob("*") if path.is_file())
    written += b"".join(Bucket(url).read(name) for name in Bucket(url).list(""))
    assert b"a-very-secret-token" not in written
    shutil.rmtree(run.path)


def test_the_carrier_of_a_run_ends_with_its_lock(url: str) -> None:
    run = made(url)
    with run.lock():
        assert any(thread.name == "carrier" for thread in threading.enumerate())
    assert not any(thread.name == "carrier" for thread in threading.enumerate())
    assert not run.bucket.list("lock")
