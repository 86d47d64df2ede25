"""A sweep of large networks, whose checkpoints are postponed: stopped, and with a killed worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cae.errors import UserError
from cae.run.events import EpochFinished, Event, TrialRetried
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.engine import recorder, runner, session
from cae.sweep.engine.judging import create_judge
from cae.sweep.engine.recorder import Recorder
from cae.sweep.engine.retention import stop_seconds
from cae.sweep.engine.tune_scheduler import TuneScheduler
from cae.sweep.trial_weights import load_weights
from cae.trial import checkpoint
from cae.trial.checkpoint import LAST

Run = Callable[..., RunDir]

SWEEP = '''
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cae import Adam, DenseAutoencoder, Digits, Reconstruct, Sweep, Trial

FOLDER = Path(__file__).parent


class LargeNetwork(DenseAutoencoder):
    """Kills its process in a step that a file names."""

    name = "large_network"

    def build(self, input_shape, output_shape):
        network = super().build(input_shape, output_shape)
        steps = []

        def count(*arguments):
            steps.append(network.training)
            file = FOLDER / "kill"
            if file.exists() and sum(steps) == int(file.read_text()):
                if not (FOLDER / "always").exists():
                    file.unlink()
                os.kill(os.getpid(), 9)

        network.register_forward_pre_hook(count)
        return network


sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=32, val_images=16, test_images=16),
        task=Reconstruct(),
        arch=LargeNetwork(hidden_units=(4096, 128)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=EPOCHS,
    ),
)
'''
"""One step per epoch, so that the file `kill` holds the number of an epoch."""


@pytest.fixture
def write_sweep(tmp_path: Path) -> Callable[[int], Path]:
    def write(epochs: int) -> Path:
        path = tmp_path / "large.py"
        path.write_text(SWEEP.replace("EPOCHS", str(epochs)))
        return path

    return write


def losses_by_epoch(run: RunDir) -> dict[int, set[float]]:
    """All values that the journal has of each epoch."""
    losses: dict[int, set[float]] = {}
    for event in run.events():
        if isinstance(event, EpochFinished):
            losses.setdefault(event.epoch, set()).add(event.metrics["val_loss"])
    return losses


@pytest.mark.slow
def test_a_stopped_sweep_loses_no_postponed_epoch_and_a_killed_worker_changes_no_number(
    write_sweep: Callable[[int], Path],
    run_sweep: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = Recorder.write

    def stop_after_two_epochs(recorder: Recorder, event: Event) -> None:
        write(recorder, event)
        if isinstance(event, EpochFinished) and event.epoch == 2:
            recorder.stop_reason = "planted"

    path = write_sweep(7)
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "write", stop_after_two_epochs)
        run = run_sweep(path)
    assert run.records()[1].state == TrialState.INTERRUPTED
    saved = checkpoint.load(run.trial(1) / LAST).epoch
    assert 2 <= saved <= 3  # Tune starts an epoch before it stops
    (tmp_path / "kill").write_text("3")  # the third epoch of the worker
    run_sweep(path)
    record = run.records()[1]
    assert record.state == TrialState.FINISHED
    [retry] = [event for event in run.events() if isinstance(event, TrialRetried)]
    assert retry.epoch == saved
    assert "those of large networks are written every 10 s" in retry.reason
    losses = losses_by_epoch(run)
    assert sorted(losses) == [1, 2, 3, 4, 5, 6, 7]
    assert all(len(values) == 1 for values in losses.values())
    end = record.end
    assert end is not None
    assert end.gpu_busy is None
    assert end.peak_gpu_bytes is None
    assert end.peak_host_bytes is None or end.peak_host_bytes > 50e6


def test_a_worker_that_is_always_killed_at_the_same_epoch_fails_the_trial(
    write_sweep: Callable[[int], Path],
    run_sweep: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "MAX_RESTARTS", 1)
    path = write_sweep(3)
    (tmp_path / "kill").write_text("2")
    (tmp_path / "always").touch()
    record = run_sweep(path).records()[1]
    assert record.state == TrialState.FAILED
    assert "its worker died 2 times in a row" in record.reason


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", frozenset()),
        ("scheduler=ASHA(grace_epochs=1, reduction_factor=3)", frozenset({1, 3, 9})),
        ("scheduler=Screen(epochs=2)", frozenset({2})),
        ("patience=2", None),
    ],
)
def test_workers_receive_the_epochs_at_which_a_trial_may_stop_or_pause(
    sweep_file: Callable[..., Path], more: str, expected: frozenset[int] | None
) -> None:
    path = sweep_file(epochs=20, more=more)
    path.write_text(path.read_text().replace("import ASHA,", "import ASHA, Screen,"))
    selection = session.Selection(path, Path("run"), "full", {}, None, None)
    prepared = session.prepare(selection)
    planner: Any = SimpleNamespace(
        run=prepared.run,
        plan=prepared.plan,
        records={1: SimpleNamespace(last_epoch=0)},
        scheduler=TuneScheduler(create_judge(prepared.plan, {1: "group"}), "val_loss"),
    )
    assert runner._trial_inputs(planner, 1).judged_epochs == expected


def test_only_workers_with_large_networks_get_longer_to_end(
    sweep_file: Callable[..., Path], write_sweep: Callable[[int], Path]
) -> None:
    def seconds(path: Path) -> float:
        selection = session.Selection(path, Path("run"), "full", {}, None, None)
        return stop_seconds(session.prepare(selection).plan)

    assert seconds(sweep_file()) == 0
    assert seconds(write_sweep(3)) == pytest.approx(20 + 4 * 4 * 1_581_248 / 100e6, rel=0.1)


def test_weights_that_are_not_written_yet_are_not_called_lost(tmp_path: Path) -> None:
    record = Record(
        number=1, hash="1", config={"epochs": 9}, axes={}, sizes={}, state=TrialState.RUNNING
    )
    with pytest.raises(UserError, match="the trial has not ended; large networks"):
        load_weights(RunDir(tmp_path), record)
    ended = replace(record, state=TrialState.FINISHED)
    with pytest.raises(UserError, match="--retry lost-weights"):
        load_weights(RunDir(tmp_path), ended)
