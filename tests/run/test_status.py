"""How far a run has come: counts, the best so far, the time that is left."""

from __future__ import annotations

import pytest

from cae.run.records import Record
from cae.run.status import progress


def record(
    number: int, state: str, done: int, *, epochs: int = 10, work: float = 1.0, seconds: float = 2.0
) -> Record:
    rows = {
        epoch: {"val_loss": 1 / (epoch + number), "seconds": seconds}
        for epoch in range(1, done + 1)
    }
    return Record(
        number, f"{number:x}", {"epochs": epochs}, {}, {"megaflops": work}, state=state, epochs=rows
    )


def left(*records: Record, slots: int = 2) -> float | None:
    return progress(records, "val_loss", "min", slots).seconds_left


def test_the_time_left_is_that_of_the_epochs_left_over_the_slots() -> None:
    assert (
        left(
            *(record(number, "finished", 10) for number in (1, 2)),
            *(record(number, "pending", 0) for number in (3, 4, 5, 6)),
        )
        == 40
    )


def test_one_trial_alone_does_not_train_in_two_slots() -> None:
    assert left(record(1, "finished", 10), record(2, "running", 4)) == pytest.approx(12)


def test_a_network_of_twice_the_work_is_expected_to_take_twice_the_time() -> None:
    assert left(record(1, "finished", 10), record(2, "pending", 0, work=2.0)) == pytest.approx(40)


def test_trials_to_come_are_expected_to_be_stopped_as_early_as_those_before() -> None:
    stopped = [record(number, "stopped", 1) for number in (1, 2, 3)]
    assert left(*stopped, record(4, "pending", 0), slots=1) == pytest.approx(2)


def test_nothing_measured_and_nothing_left_have_no_time() -> None:
    assert left(record(1, "pending", 0)) is None
    assert left(record(1, "finished", 10)) is None


def test_the_best_is_the_best_epoch_of_any_trial_and_states_are_counted() -> None:
    found = progress(
        [record(1, "finished", 10), record(2, "failed", 0), record(3, "running", 2)],
        "val_loss",
        "min",
        2,
    )
    assert found.best == (1, 10, 1 / 11)
    assert found.counts == {"finished": 1, "failed": 1, "running": 1}
    assert (found.requested, found.ended) == (3, 2)
