"""Real sweeps in a real Ray: what the journal contains afterwards."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cae.cli.tables import request_kill, request_stop, trial_log
from cae.run.events import EpochFinished, SessionEnded
from cae.run.paths import RunDir
from cae.run.ranking import ranking
from cae.run.status import run_status
from cae.run.trial_state import TrialState
from cae.sweep.engine import runner
from cae.sweep.engine.out_of_memory import is_gpu_out_of_memory, mentions_gpu_out_of_memory
from cae.sweep.engine.recorder import Recorder, last_exception
from cae.sweep.export import export
from cae.sweep.places.base import Resources
from tests.sweep.engine.failing_trials import failing_sweep
from tests.undisturbed import undisturbed_losses

Write = Callable[..., Path]
Run = Callable[..., RunDir]


def losses(run: RunDir, number: int) -> list[float]:
    return [row["val_loss"] for _, row in sorted(run.records()[number].epochs.items())]


def epochs(run: RunDir) -> list[tuple[int, int]]:
    return [
        (event.trial, event.epoch) for event in run.events() if isinstance(event, EpochFinished)
    ]


@pytest.mark.slow
def test_repeating_or_extending_a_sweep_trains_no_trial_twice(
    sweep_file: Write, run_sweep: Run
) -> None:
    path = sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 3e-3])}", epochs=3)
    run = run_sweep(path)
    assert [record.state for record in run.records().values()] == ["finished"] * 2
    assert sorted(epochs(run)) == [(trial, epoch) for trial in (1, 2) for epoch in (1, 2, 3)]
    for record in run.records().values():
        assert {"train_loss", "val_loss", "val_psnr", "lr", "seconds", "images_per_second"} <= set(
            record.epochs[1]
        )
        assert {"test_loss", "test_psnr", "test_ssim"} <= set(record.final_metrics)
        assert record.starts[-1].host
        assert record.starts[-1].device == "cpu"
        assert {path.name for path in run.trial(record.number).iterdir()} == {
            "best.safetensors",
            "last.safetensors",
            "samples.npz",
            "galleries.npz",
            "log.txt",
        }
    assert json.loads(run.sweep_json.read_text())["axes"] == {
        "optimizer.lr": {"values": [0.001, 0.003], "scale": "linear"}
    }

    before = run.journal.read_bytes()
    description = json.loads(run.sweep_json.read_text())
    description |= {"git_commit": "of the training", "claims": [{"kind": "Old"}]}
    run.sweep_json.write_text(json.dumps(description))
    run_sweep(path)
    assert run.journal.read_bytes() == before
    assert run.read_sweep().git_commit == "of the training"
    assert run.read_sweep().claims == []

    run_sweep(sweep_file("{'optimizer.lr': tune.grid_search([1e-2, 3e-3, 1e-3])}", epochs=3))
    assert sorted(epochs(run)[6:]) == [(3, 1), (3, 2), (3, 3)]

    run_sweep(sweep_file("{'optimizer.lr': tune.grid_search([1e-3])}", epochs=3))
    assert {number: record.is_requested for number, record in run.records().items()} == {
        1: True,
        2: False,
        3: False,
    }
    best = run_status(run).progress.best
    assert best is not None
    assert best.trial == 3  # it is not requested any more, and keeps its value

    run_sweep(
        sweep_file("{'optimizer.lr': tune.grid_search([1e-3])}", epochs=5)
    )  # the same trial, extended
    assert epochs(run)[9:] == [(1, 4), (1, 5)]
    assert losses(run, 1) == undisturbed_losses(run, 1)


def test_failed_and_diverged_trials_have_reasons_and_can_be_retried(
    sweep_file: Write, run_sweep: Run
) -> None:
    path = failing_sweep(sweep_file, ["none", "raise", "nan"], epochs=4)
    run = run_sweep(path)
    records = run.records()
    assert [record.state for record in records.values()] == ["finished", "failed", "diverged"]
    assert records[2].reason == "RuntimeError: the layer is tired"
    assert "in forward" in records[2].error
    assert sorted(records[2].epochs) == [1]
    assert "the layer is tired" in trial_log(run, 2)
    assert sorted(records[3].epochs) == [1, 2]
    assert math.isnan(records[3].epochs[2]["train_loss"])
    assert "epoch 2" in records[3].reason
    status = run_status(run)
    assert status.failures == {2: "RuntimeError: the layer is tired"}
    assert status.progress.best is not None
    assert status.progress.best.trial == 1

    (path.parent / "flag-fixed").touch()  # an edit of the network would give other trials
    run_sweep(path, retry=(TrialState.FAILED, TrialState.DIVERGED), settings={"epochs": 5})
    assert [(record.state, record.last_epoch) for record in run.records().values()] == [
        ("finished", 5)
    ] * 3
    first_attempts = [
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (2, 1),
        (3, 1),
        (3, 2),
    ]  # the diverged trial restarts, the others resume
    assert sorted(epochs(run)) == sorted(
        [
            *first_attempts,
            (1, 5),
            *((2, epoch) for epoch in range(2, 6)),
            *((3, epoch) for epoch in range(1, 6)),
        ]
    )
    assert all(map(math.isfinite, losses(run, 3)))

    ranked = ranking(run.records().values(), run.read_sweep(), "val_loss", None)
    exported = export(run, ranked[0], Path("model"), [])  # a network that the sweep file defines
    journal_row = ranked[0].record.epochs[exported.epoch]
    assert exported.reevaluated["val_loss"] == journal_row["val_loss"]


@pytest.mark.slow
def test_a_trial_fails_after_its_worker_died_too_often(
    sweep_file: Write, run_sweep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cae.sweep.engine.recorder.MAX_RESTARTS", 1)
    run = run_sweep(failing_sweep(sweep_file, ["exit", "none"]))
    records = run.records()
    assert [record.state for record in records.values()] == ["failed", "finished"]
    assert len(records[1].starts) == 2
    assert "died" in records[1].error


def test_asha_stops_worse_trials_with_a_reason(
    sweep_file: Write, run_sweep: Run, two_slots: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune_checkpoints: list[object] = []
    monkeypatch.setattr(Recorder, "on_checkpoint", lambda _, **info: tune_checkpoints.append(info))
    space = "{'optimizer.lr': tune.grid_search([1e-2, 9e-3, 8e-3, 1e-5, 2e-5, 3e-5, 4e-5])}"
    run = run_sweep(
        sweep_file(
            space, epochs=4, more="scheduler=ASHA(grace_epochs=1, reduction_factor=2, min_trials=2)"
        ),
        resources=two_slots,
    )
    records = run.records()
    assert set(Counter(record.state for record in records.values())) == {"finished", "stopped"}
    for record in records.values():
        if record.state == TrialState.STOPPED:
            end = record.end
            assert end is not None
            assert end.rung is not None
            assert end.cutoff is not None
            assert record.last_epoch == end.rung < 4
            assert end.value == record.epochs[end.rung]["val_loss"] > end.cutoff
            assert f"epoch {end.rung}: val_loss" in end.reason
    assert tune_checkpoints == [], "with each one Tune keeps a result in memory"


def when(condition: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
    """Act in a thread as soon as a condition holds."""

    def watch() -> None:
        end = time.monotonic() + 60
        while not condition() and time.monotonic() < end:
            time.sleep(0.05)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.slow
def test_killed_trials_stay_in_the_tables(
    sweep_file: Write, run_sweep: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    run = RunDir("run")
    thread = when(
        lambda: any(trial == 1 for trial, _ in epochs(run)),
        lambda: (request_kill(run, 1), request_kill(run, 12)),
    )
    run_sweep(
        failing_sweep(sweep_file, ["slow", *(f"none{number}" for number in range(11))], epochs=20)
    )
    thread.join()
    records = run.records()
    assert [record.state for record in records.values()] == ["killed", *["finished"] * 10, "killed"]
    assert 1 <= records[1].last_epoch < 20
    assert records[12].starts == []  # it was not started yet
    assert "Last result" not in capfd.readouterr().out  # Tune prints nothing into the live table
    assert not list(run.control.glob("*"))


def test_a_stopped_sweep_resumes_with_the_numbers_of_an_undisturbed_one(
    sweep_file: Write, run_sweep: Run
) -> None:
    run = RunDir("run")
    path = sweep_file("{'dataset.train_images': 800}", epochs=40)
    thread = when(lambda: len(epochs(run)) >= 2, lambda: request_stop(run))
    run_sweep(path)
    thread.join()
    assert run.records()[1].state == "interrupted"
    assert 2 <= len(epochs(run)) < 40
    run_sweep(path)
    assert run.records()[1].state == "finished"
    assert epochs(run) == [(1, epoch) for epoch in range(1, 41)]
    assert losses(run, 1) == undisturbed_losses(run, 1)


def test_the_numbers_of_a_trial_depend_on_its_seed_and_not_on_the_worker(
    sweep_file: Write, run_sweep: Run, two_slots: Resources
) -> None:
    path = sweep_file(
        "{'task': 'denoise', 'optimizer.lr': tune.grid_search([1e-3, 1e-2])}", more="seeds=2"
    )
    run = run_sweep(path, resources=two_slots)
    assert all(losses(run, number) == undisturbed_losses(run, number) for number in run.records())
    assert len({tuple(losses(run, number)) for number in run.records()}) == 4


@pytest.mark.parametrize("share", [1, 0.5])
def test_trials_are_spread_over_gpus(share: float, sweep_file: Write, run_sweep: Run) -> None:
    """Ray counts two logical GPUs; the trials wait until both run."""
    path = failing_sweep(sweep_file, ["pair", "pair2"], epochs=1)
    resources = Resources(
        cpus=2, gpus=2, cpus_per_trial=1, gpus_per_trial=share, simulates_gpus=True
    )
    run = run_sweep(path, resources=resources)
    starts = [record.starts[-1] for record in run.records().values()]
    assert {record.state for record in run.records().values()} == {"finished"}
    assert {start.gpu_ids for start in starts} <= {"0", "1"}
    if share == 1:
        assert sorted(start.gpu_ids for start in starts) == ["0", "1"]
    assert {start.device for start in starts} == {"cpu (simulated GPU)"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_trial_with_a_gpu_never_falls_back_to_the_cpu(sweep_file: Write, run_sweep: Run) -> None:
    run = run_sweep(
        sweep_file("{}", epochs=1),
        resources=Resources(cpus=2, gpus=2, cpus_per_trial=1, gpus_per_trial=1),
    )
    assert [record.state for record in run.records().values()] == ["interrupted"]
    assert epochs(run) == []
    reasons = [event.reason for event in run.events() if isinstance(event, SessionEnded)]
    assert "cannot use its GPU" in reasons[-1]


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_every_form_of_a_full_gpu_is_recognized(message: str) -> None:
    assert is_gpu_out_of_memory(RuntimeError(message))
    assert mentions_gpu_out_of_memory(f"Traceback ...\nRuntimeError: {message}\n")
    assert not is_gpu_out_of_memory(RuntimeError("CUDA error: no kernel image is available"))


def test_the_cause_of_a_dead_worker_is_its_last_exception() -> None:
    error = """Traceback (most recent call last):
  File "x.py", line 1, in f
KeyError: 'x'

During handling of the above exception, another exception occurred:
torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device
CUDA kernel errors might be asynchronously reported at some other API call.
"""
    cause = last_exception(error)
    assert cause == (
        "AcceleratorError: CUDA error: no kernel image is available for execution on the device"
    )
    assert last_exception("Worker exit type: SYSTEM_ERROR") == ""


@pytest.mark.slow
def test_a_trial_that_needs_more_than_its_share_is_retried_with_the_whole_gpu(
    sweep_file: Write, run_sweep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    inputs_of = runner._sweep_inputs

    def record(*args: Any) -> Any:
        inputs = inputs_of(*args)
        shares.append(inputs.gpu_memory_share)
        return inputs

    monkeypatch.setattr(runner, "_sweep_inputs", record)
    run = run_sweep(
        failing_sweep(sweep_file, ["crowded", "none"], epochs=1),
        resources=Resources(2, 1, cpus_per_trial=1, gpus_per_trial=0.5, simulates_gpus=True),
    )
    assert [record.state for record in run.records().values()] == ["finished"] * 2
    assert shares == [0.5, 1.0]


def test_audit_trials_finish_and_their_stops_are_recorded(
    run_sweep: Run, sweep_file: Write
) -> None:
    path = sweep_file(
        "{'optimizer.lr': tune.grid_search([1e-2, 3e-3, 1e-3, 1e-4, 1e-5])}",
        epochs=3,
        more="scheduler=ASHA(grace_epochs=1, reduction_factor=2, min_trials=1, audit=1.0)",
    )
    records = run_sweep(path).records().values()
    assert {record.state for record in records} == {"finished"}
    assert all(record.is_audit for record in records)
    stops = [record.audit_stop for record in records if record.audit_stop]
    assert stops
    for stop in stops:
        assert stop.value is not None
        assert stop.cutoff is not None
        assert stop.value > stop.cutoff
        assert "above the cutoff" in stop.reason
