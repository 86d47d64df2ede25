"""The order in which trials start, without Ray."""

from __future__ import annotations

import heapq
import random
import statistics

from hypothesis import given
from hypothesis import strategies as st

from cae.sweep.engine.trial_queue import TrialQueue, start_long_trials_early


def test_a_trial_is_handed_out_when_a_slot_is_free() -> None:
    queue = TrialQueue([3, 1, 2], slots=2)
    assert [queue.suggest("a"), queue.suggest("b"), queue.suggest("c")] == [
        {"number": 3, "inputs": 3},
        {"number": 1, "inputs": 1},
        None,
    ]
    queue.on_trial_complete("a")
    assert queue.suggest("c") == {"number": 2, "inputs": 2}


def test_further_trials_are_suggested_when_no_planned_one_waits() -> None:
    suggestions = [7, 8, None]
    queue = TrialQueue([1], slots=1, inputs=str, suggest=lambda: suggestions.pop(0))
    assert queue.suggest("a") == {"number": 1, "inputs": "1"}
    assert queue.suggest("b") is None
    queue.on_trial_complete("a")
    assert queue.suggest("b") == {"number": 7, "inputs": "7"}
    queue.restart(7)
    queue.on_trial_complete("b", error=True)
    assert queue.suggest("c") == {"number": 7, "inputs": "7"}
    queue.on_trial_complete("c")
    assert queue.suggest("d") == {"number": 8, "inputs": "8"}
    queue.on_trial_complete("d")
    assert queue.suggest("e") == "FINISHED"


def test_a_trial_whose_worker_died_is_next() -> None:
    queue = TrialQueue([1, 2], slots=1)
    queue.suggest("a")
    queue.on_trial_complete("a", error=True)
    queue.restart(1)
    assert queue.suggest("b") == {"number": 1, "inputs": 1}
    queue.on_trial_complete("b")
    assert queue.suggest("c") == {"number": 2, "inputs": 2}


def test_the_queue_is_finished_when_no_trial_waits_or_runs() -> None:
    queue = TrialQueue([1], slots=2)
    queue.suggest("a")
    assert queue.suggest("b") is None
    queue.on_trial_complete("a", error=True)
    queue.restart(1)
    assert queue.suggest("b") == {"number": 1, "inputs": 1}
    queue.on_trial_complete("b")
    assert queue.suggest("c") == TrialQueue.FINISHED


def wall_time(order: list[int], work: dict[int, float], slots: int) -> float:
    free = [0.0] * slots
    for number in order:
        heapq.heapreplace(free, free[0] + work[number])
    return max(free)


@given(st.lists(st.floats(0.01, 100), max_size=40), st.integers(1, 8))
def test_every_trial_starts_once(times: list[float], slots: int) -> None:
    assert sorted(start_long_trials_early(dict(enumerate(times)), slots)) == list(range(len(times)))


def test_the_wall_time_is_close_to_the_lower_bound() -> None:
    draw = random.Random(0)
    as_planned: list[float] = []
    reordered: list[float] = []
    for _ in range(500):
        slots = draw.randint(2, 8)
        work = {
            number: draw.lognormvariate(0, 1.5) for number in range(draw.randint(2, 10) * slots)
        }
        lower_bound = max(sum(work.values()) / slots, *work.values())
        as_planned.append(wall_time(list(work), work, slots) / lower_bound)
        reordered.append(wall_time(start_long_trials_early(work, slots), work, slots) / lower_bound)
    assert statistics.mean(as_planned) > 1.1
    assert statistics.mean(reordered) < 1.03


def test_a_long_trial_at_the_end_of_the_plan_starts_earlier() -> None:
    work = dict.fromkeys(range(1, 11), 1.0) | {11: 5.0}
    order = start_long_trials_early(work, 2)
    assert wall_time(sorted(work), work, 2) == 10
    assert wall_time(order, work, 2) <= 8
    assert [number for number in order if number != 11] == list(range(1, 11))


def test_trials_of_equal_length_keep_the_order_of_the_plan() -> None:
    assert start_long_trials_early(dict.fromkeys([5, 3, 9, 1], 2.0), 2) == [5, 3, 9, 1]
