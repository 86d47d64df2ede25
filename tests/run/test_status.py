"""The progress of a run: counts, the best trial, and the estimate of the time left."""

from __future__ import annotations

from pathlib import Path

import pytest

from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.status import (
    BestTrial,
    GroupBest,
    best_text,
    line,
    progress,
    run_status,
    work,
)
from cae.run.sweep_json import SweepDescription
from cae.run.trial_state import TrialState
from tests.run.events import ended, epoch, planned, record, session, started, write

FINISHED = TrialState.FINISHED
PENDING = TrialState.PENDING
RUNNING = TrialState.RUNNING
STOPPED = TrialState.STOPPED


def trial(number: int, state: TrialState, done: int, *, megaflops: float = 1.0) -> Record:
    """A trial of 10 epochs of 2 s, of which some are done; trial 1 and the last epoch are best."""
    losses = tuple(1 / (epoch + number) for epoch in range(1, done + 1))
    return record(number, state, losses, megaflops=megaflops)


def seconds_left(*records: Record, slots: int = 2) -> float | None:
    return progress(records, "val_loss", "min", slots).seconds_left


def test_the_time_left_is_that_of_the_remaining_epochs_divided_by_the_slots() -> None:
    finished = [trial(number, FINISHED, 10) for number in (1, 2)]
    pending = [trial(number, PENDING, 0) for number in (3, 4, 5, 6)]
    assert seconds_left(*finished, *pending) == 40


def test_one_trial_does_not_run_in_two_slots() -> None:
    assert seconds_left(trial(1, FINISHED, 10), trial(2, RUNNING, 4)) == pytest.approx(12)


def test_a_network_with_twice_the_work_takes_twice_the_time() -> None:
    pending = trial(2, PENDING, 0, megaflops=2.0)
    assert seconds_left(trial(1, FINISHED, 10), pending) == pytest.approx(40)


def test_pending_trials_are_expected_to_be_stopped_as_early_as_ended_ones() -> None:
    stopped = [trial(number, STOPPED, 1) for number in (1, 2, 3)]
    assert seconds_left(*stopped, trial(4, PENDING, 0), slots=1) == pytest.approx(2)


def test_a_running_trial_is_expected_to_run_to_its_last_epoch() -> None:
    stopped = [trial(number, STOPPED, 1) for number in (1, 2, 3)]
    assert seconds_left(*stopped, trial(4, RUNNING, 5), slots=1) == pytest.approx(10)


def test_without_a_measurement_or_a_remaining_trial_there_is_no_estimate() -> None:
    assert seconds_left(trial(1, PENDING, 0)) is None
    assert seconds_left(trial(1, FINISHED, 10)) is None


def test_states_are_counted_in_the_order_of_the_enum() -> None:
    records = [trial(1, RUNNING, 2), trial(2, TrialState.FAILED, 0), trial(3, FINISHED, 10)]
    records.append(trial(4, TrialState.WITHDRAWN, 0))
    now = progress(records, "val_loss", "min", 2)
    assert list(now.counts.items()) == [
        (FINISHED, 1),
        (TrialState.FAILED, 1),
        (RUNNING, 1),
        (TrialState.WITHDRAWN, 1),
    ]
    assert (now.requested, now.ended) == (3, 2)


def test_the_best_trial_is_that_of_the_best_epoch() -> None:
    records = [trial(1, FINISHED, 10), trial(2, TrialState.FAILED, 0), trial(3, RUNNING, 2)]
    assert progress(records, "val_loss", "min", 2).best == BestTrial(1, 10, 1 / 11)
    assert progress(records, "val_loss", "max", 2).best == BestTrial(1, 1, 1 / 2)
    assert progress([], "val_loss", "min", 2).best is None


def test_trials_of_earlier_sweeps_are_counted_apart_and_can_be_the_best() -> None:
    records = [trial(1, FINISHED, 10), trial(2, RUNNING, 2), trial(3, TrialState.WITHDRAWN, 3)]
    for record_ in (records[0], records[2]):
        record_.is_requested = False
    now = progress(records, "val_loss", "min", 2)
    assert now.counts == {RUNNING: 1}
    assert now.earlier_counts == {FINISHED: 1, TrialState.WITHDRAWN: 1}
    assert (now.requested, now.earlier) == (1, 2)
    assert now.best == BestTrial(1, 10, 1 / 11)
    assert now.best_is_earlier


def test_of_equal_trials_the_first_is_the_best() -> None:
    records = [record(number, losses=(0.5,)) for number in (3, 2, 4)]
    assert progress(records, "val_loss", "max", 1).best == BestTrial(2, 1, 0.5)


def test_a_validation_image_counts_a_third() -> None:
    sizes = {"megaflops": 2.0, "train_images": 100, "val_images": 30}
    assert work(Record(1, "h", {}, {}, sizes)) == pytest.approx(220)
    assert work(Record(1, "h", {}, {}, {})) == 1


def test_seconds_follow_a_line_through_the_measurements() -> None:
    seconds_of = line([(1.0, 3.0), (2.0, 5.0), (3.0, 7.0)])
    assert seconds_of(10.0) == pytest.approx(21)
    assert seconds_of(-100.0) == 1.5, "half of the smallest measurement"
    assert line([(2.0, 3.0), (2.0, 5.0)])(4.0) == 8.0, "proportional to the work"
    assert line([(0.0, 3.0)])(4.0) == 3.0


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """Trial 1 finished, trial 2 failed, trial 3 failed and is not requested any more."""
    run = RunDir(tmp_path)
    sweep = SweepDescription(title="A sweep", metric="val_loss", slots=2)
    run.sweep_json.write_text(sweep.to_json())
    write(run, session(1, 2, 3), planned(1), planned(2), planned(3), started(1))
    write(run, epoch(1, 0.5), epoch(2, 0.25), ended(FINISHED, 1))
    write(run, ended(TrialState.FAILED, 2), ended(TrialState.OUT_OF_MEMORY, 3), session(1, 2))
    return run


def test_the_status_of_a_run_as_json(run: RunDir) -> None:
    status = run_status(run)
    assert status.has_failures
    assert status.to_json() == {
        "run": str(run.path),
        "title": "A sweep",
        "running": False,
        "trials": 2,
        "ended": 2,
        "states": {"finished": 1, "failed": 1},
        "earlier_trials": 1,
        "earlier_states": {"oom": 1},
        "metric": "val_loss",
        "mode": "min",
        "best": {"trial": 1, "epoch": 2, "value": 0.25},
        "best_is_earlier": False,
        "seconds_left": None,
        "failures": {2: "the reason", 3: "the reason"},
        "restarts": {},
        "undefined_trials": [],
    }


def test_the_status_of_a_run_without_epochs(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.sweep_json.write_text(SweepDescription().to_json())
    with run.lock():
        status = run_status(run)
    assert status.is_running
    assert not status.has_failures
    assert status.to_json()["best"] is None


def test_the_best_of_each_comparability_group() -> None:
    records = []
    for number, (noise, loss) in enumerate([(0.3, 0.2), (0.3, 0.1), (0.9, 0.4)], start=1):
        trial = record(number, losses=(loss,))
        trial.config |= {"task": "denoise", "task.noise_factor": noise}
        records.append(trial)
    judge = record(4, losses=(0.01,))
    judge.config |= {"task": "classify"}
    judge.is_dependency = True
    several = progress([*records, judge], "val_loss", "min", 1)
    assert several.best is None
    assert several.groups == 2
    assert several.bests == [
        GroupBest("task.noise_factor = 0.3", BestTrial(2, 1, 0.1)),
        GroupBest("task.noise_factor = 0.9", BestTrial(3, 1, 0.4)),
    ]
    assert best_text(several, "val_loss") == (
        "best val_loss of each of 2 groups: 0.1 at task.noise_factor = 0.3 (trial 2); "
        "0.4 at task.noise_factor = 0.9 (trial 3)"
    )
    one = progress([*records[:2], judge], "val_loss", "min", 1)
    assert one.best == BestTrial(2, 1, 0.1)
    assert best_text(one, "val_loss") == "best val_loss 0.1 (trial 2, epoch 1)"
