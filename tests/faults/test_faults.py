"""The short, deterministic part of the fault campaign, and tests of its checks.

Processes die at chosen moments of a small sweep with ASHA.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing import event_accumulator

from cae.run.events import EpochFinished, Event, SessionEnded, TrialEnded
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.engine import recorder, session
from cae.sweep.engine.limits import LimitMonitor
from cae.sweep.places.base import Resources
from cae.trial import checkpoint
from tests.conftest import SWEEP
from tests.faults.checks import Witness, losses
from tests.faults.driver import Driver, journal_epochs, kill_process, wait_until
from tests.faults.scenarios import RESUME, check_exit
from tests.places import FixedPlace
from tests.sweep.engine.failing_trials import failing_sweep

WriteSweep = Callable[..., Path]
RunSweep = Callable[..., RunDir]
pytestmark = pytest.mark.timeout(600)  # new workers take long to start on a busy machine
ONE_SLOT = Resources(cpus=1, gpus=0, cpus_per_trial=1, gpus_per_trial=0, device="cpu")
SPACE = "{'optimizer.lr': tune.grid_search([1e-2, 9e-3, 8e-3, 1e-5, 2e-5, 3e-5])}"
SCHEDULER = "scheduler=ASHA(grace_epochs=1, reduction_factor=2, min_trials=2)"


def run_to_the_end(sweep: Path, run: RunDir) -> str:
    selection = session.Selection(sweep, run.path, "full", {}, None, None)
    return session.execute(session.prepare(selection), FixedPlace(ONE_SLOT), command="a test")


def is_second_epoch(event: Event) -> bool:
    return isinstance(event, EpochFinished) and event.epoch == 2


def is_end(event: Event, state: TrialState) -> bool:
    return isinstance(event, TrialEnded) and event.state == state


MOMENTS: dict[str, Callable[[Event], bool]] = {
    "a checkpoint is written, and its epoch is not in the journal": is_second_epoch,
    "a stop is decided, and not in the journal": lambda event: is_end(event, TrialState.STOPPED),
    "a trial has ended, and its end is not in the journal": lambda event: is_end(
        event, TrialState.FINISHED
    ),
}
"""Moments before an event is written."""


@dataclass(frozen=True)
class Undisturbed:
    """A sweep that ran without faults."""

    sweep: Path
    run: RunDir
    snapshots: Path
    """A folder with the run's folder as it was at each of MOMENTS."""

    def trial_in(self, state: TrialState) -> int:
        """The first trial in a state."""
        records = self.run.records()
        return next(number for number, record in records.items() if record.state == state)


@pytest.fixture(scope="module")
def undisturbed(one_ray: Any, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    assert one_ray, "the sweep uses the Ray of this process"
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep = folder / "small.py"
    run = RunDir(folder / "run")
    sweep.write_text(SWEEP.format(space=SPACE, epochs=6, more=SCHEDULER))
    write = recorder.Recorder.write
    counts: Counter[str] = Counter()

    def copy_run_and_write(self: recorder.Recorder, event: Event) -> None:
        for name, is_moment in MOMENTS.items():
            if is_moment(event):
                counts[name] += 1
            # At the second time there are rungs to restore, and trials remain.
            if counts[name] == 2 and not (folder / name).exists():
                shutil.copytree(run.path, folder / name)
        write(self, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder.Recorder, "write", copy_run_and_write)
        assert run_to_the_end(sweep, run) == session.COMPLETE
    states = {record.state for record in run.records().values()}
    assert states == {TrialState.FINISHED, TrialState.STOPPED}
    return Undisturbed(sweep, run, folder)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_driver_that_dies_at_the_worst_moment_loses_nothing(
    undisturbed: Undisturbed, moment: str
) -> None:
    run = RunDir(undisturbed.snapshots / moment)
    witness = Witness()
    with run.journal.open("ab") as journal:
        journal.write(b'{"event":"epoch","trial":1,"ep')
    witness.look(run, list(run.records()))
    assert run.records() != undisturbed.run.records()
    assert run_to_the_end(undisturbed.sweep, run) == session.COMPLETE
    assert losses(run, undisturbed.run, same_stops=True) + witness.losses(run) == []


@pytest.mark.slow
def test_deaths_of_workers_cost_no_epoch_and_change_no_stop(
    undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two deaths with an epoch between them, where two in a row would end the trial, and one after
    the last epoch was reported, so that the next trial is assigned to a dead worker."""
    run = RunDir(tmp_path / "run")
    witness = Witness()
    killed_after: list[int] = []
    monkeypatch.setattr(recorder, "MAX_RESTARTS", 1)
    heartbeat = LimitMonitor.heartbeat

    def kill_worker(monitor: LimitMonitor, number: int) -> None:
        heartbeat(monitor, number)
        record = run.records()[number]
        if number != 1 or record.state != TrialState.RUNNING:
            return
        worker = record.starts[-1].worker
        if worker is not None and record.last_epoch in (1, 3, 5):
            kill_process(worker)
            witness.look(run, [number])
            killed_after.append(record.last_epoch)

    monkeypatch.setattr(LimitMonitor, "heartbeat", kill_worker)
    assert run_to_the_end(undisturbed.sweep, run) == session.COMPLETE
    assert killed_after == [1, 3, 5]
    assert losses(run, undisturbed.run, same_stops=True) + witness.losses(run) == []


def test_sigterm_ends_a_sweep_in_an_orderly_way(
    sweep_file: WriteSweep, run_sweep: RunSweep
) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach only the main thread")
    run = RunDir("run")

    def terminate() -> None:
        wait_until(lambda: len(journal_epochs(run)) >= 2, "two epochs")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    thread.start()
    run_sweep(failing_sweep(sweep_file, ["slow"], epochs=1000))
    thread.join()
    reasons = [event.reason for event in run.events() if isinstance(event, SessionEnded)]
    assert reasons == ["interrupted by SIGTERM"]
    assert run.records()[1].state == TrialState.INTERRUPTED


@pytest.mark.slow
def test_the_end_of_a_process_of_ray_ends_the_sweep_with_a_message(
    sweep_file: WriteSweep, tmp_path: Path
) -> None:
    """After SIGTERM the process of gcs_server remains for a minute, and no other one notices.

    The tracker has the epochs, and the user is notified.
    """
    run = RunDir(tmp_path / "run")
    status = tmp_path / "status.json"
    notify = f'cat > {status}; echo "$CAE_SWEEP_EXIT_CODE $CAE_SWEEP_REASON" > {tmp_path}/reason'
    options = ["--track", "tensorboard", "--notify", notify]
    with Driver(failing_sweep(sweep_file, ["slow"], epochs=1000), run, *options) as driver:
        wait_until(lambda: len(journal_epochs(run)) >= 2, "two epochs")
        os.kill(driver.ray_process("gcs_server"), signal.SIGTERM)
        message = f"Ray's gcs_server on this machine ended; what is finished is saved, {RESUME}"
        assert check_exit(driver, 3, message) == []
    assert run.records()[1].state == TrialState.INTERRUPTED
    assert json.loads(run.journal.read_text().splitlines()[-1])["event"] == SessionEnded.kind
    assert json.loads(status.read_text())["states"] == {"interrupted": 1}
    assert (tmp_path / "reason").read_text().startswith("3 aborted: ")
    scalars = event_accumulator.EventAccumulator(str(run.path / "tensorboard" / "trial-0001"))
    logged = {scalar.step for scalar in scalars.Reload().Scalars("val_loss")}
    assert logged == {epoch for _, epoch in journal_epochs(run)}


# Tests of the checks


@pytest.fixture
def copied_run(undisturbed: Undisturbed, tmp_path: Path) -> RunDir:
    """A copy of the undisturbed run, for tests that damage it."""
    return RunDir(shutil.copytree(undisturbed.run.path, tmp_path / "copy"))


def replace_in_journal(run: RunDir, old: str, new: str) -> None:
    text = run.journal.read_text()
    assert old in text
    run.journal.write_text(text.replace(old, new))


def first_epoch_line(run: RunDir) -> str:
    lines = run.journal.read_text().splitlines()
    return next(line for line in lines if '"event":"epoch"' in line)


def append_to_log(run: RunDir, number: int, text: str) -> None:
    with (run.trial(number) / "log.txt").open("a") as log:
        log.write(f"2026-01-01 00:00:00 {text}: val_loss=0.5\n")


def test_the_checks_accept_an_undamaged_run(undisturbed: Undisturbed, copied_run: RunDir) -> None:
    assert losses(copied_run, undisturbed.run, same_stops=True) == []


def test_the_checks_find_a_repeated_epoch(undisturbed: Undisturbed, copied_run: RunDir) -> None:
    line = first_epoch_line(copied_run)
    replace_in_journal(copied_run, line, f"{line}\n{line}")
    trial = json.loads(line)["trial"]
    assert losses(copied_run, undisturbed.run, same_stops=True) == [
        f"trial {trial}: epoch 1 is in the journal 2 times"
    ]


def test_the_checks_find_another_number(undisturbed: Undisturbed, copied_run: RunDir) -> None:
    line = first_epoch_line(copied_run)
    loss = json.dumps(json.loads(line)["metrics"]["val_loss"])
    replace_in_journal(copied_run, line, line.replace(loss, "0.5"))
    lost = losses(copied_run, undisturbed.run, same_stops=True)
    assert lost == [f"trial {json.loads(line)['trial']}: epoch 1 has other numbers"]


def test_the_checks_find_a_missing_end(undisturbed: Undisturbed, copied_run: RunDir) -> None:
    replace_in_journal(copied_run, '"state":"finished"', '"state":"unknown"')
    number = undisturbed.trial_in(TrialState.FINISHED)
    lost = losses(copied_run, undisturbed.run, same_stops=True)
    assert f"trial {number} is interrupted" in lost


def test_the_checks_find_another_cutoff(undisturbed: Undisturbed, copied_run: RunDir) -> None:
    replace_in_journal(copied_run, '"cutoff":0.', '"cutoff":1.')
    lost = losses(copied_run, undisturbed.run, same_stops=True)
    assert any("cutoff is 1." in loss for loss in lost)


def test_the_checks_find_missing_weights(undisturbed: Undisturbed, copied_run: RunDir) -> None:
    number = undisturbed.trial_in(TrialState.FINISHED)
    (copied_run.trial(number) / checkpoint.BEST).unlink()
    assert losses(copied_run, undisturbed.run, same_stops=True) == [
        f"trial {number}: only one of the two runs has its best weights"
    ]


def test_the_checks_find_an_epoch_that_was_trained_again(
    undisturbed: Undisturbed, copied_run: RunDir
) -> None:
    number = undisturbed.trial_in(TrialState.FINISHED)
    witness = Witness()
    witness.look(copied_run, [number])
    append_to_log(copied_run, number, "epoch 1, from the checkpoint")
    assert losses(copied_run, undisturbed.run, same_stops=True) == []
    assert witness.losses(copied_run) == []
    append_to_log(copied_run, number, "epoch 1")
    assert losses(copied_run, undisturbed.run, same_stops=True) == [
        f"trial {number}: epoch 1 was trained 2 times"
    ]
    assert witness.losses(copied_run) == [f"trial {number}: epoch 1 was finished and trained again"]
    assert witness.losses(undisturbed.run) == []
