"""Whose turn it is, without a Ray."""

from __future__ import annotations

import heapq
import random
import statistics

from hypothesis import given
from hypothesis import strategies as st

from cae.sweep.engine.trial_queue import Turns, without_a_tail


def test_a_trial_has_its_turn_when_a_slot_is_free_and_not_before() -> None:
    turns = Turns([3, 1, 2], slots=2)
    assert [turns.suggest("a"), turns.suggest("b"), turns.suggest("c")] == [
        {"number": 3},
        {"number": 1},
        None,
    ]
    turns.on_trial_complete("a")
    assert turns.suggest("c") == {"number": 2}


def test_a_trial_whose_worker_died_comes_before_those_that_have_not_begun() -> None:
    turns = Turns([1, 2], slots=1)
    turns.suggest("a")
    turns.on_trial_complete("a", error=True)
    turns.again(1)
    assert turns.suggest("b") == {"number": 1}
    turns.on_trial_complete("b")
    assert turns.suggest("c") == {"number": 2}


def test_it_is_over_when_none_waits_and_none_that_runs_could_come_again() -> None:
    turns = Turns([1], slots=2)
    turns.suggest("a")
    assert turns.suggest("b") is None
    turns.on_trial_complete("a", error=True)
    turns.again(1)
    assert turns.suggest("b") == {"number": 1}
    turns.on_trial_complete("b")
    assert turns.suggest("c") == Turns.FINISHED


def wall(order: list[int], work: dict[int, float], slots: int) -> float:
    free = [0.0] * slots
    for number in order:
        heapq.heapreplace(free, free[0] + work[number])
    return max(free)


@given(st.lists(st.floats(0.01, 100), max_size=40), st.integers(1, 8))
def test_each_trial_has_one_turn(times: list[float], slots: int) -> None:
    assert sorted(without_a_tail(dict(enumerate(times)), slots)) == list(range(len(times)))


def test_sweeps_of_trials_of_many_lengths_end_nearly_as_soon_as_slots_allow() -> None:
    draw = random.Random(0)
    as_planned, without = [], []
    for _ in range(500):
        slots = draw.randint(2, 8)
        work = {
            number: draw.lognormvariate(0, 1.5) for number in range(draw.randint(2, 10) * slots)
        }
        least = max(sum(work.values()) / slots, *work.values())
        as_planned.append(wall(list(work), work, slots) / least)
        without.append(wall(without_a_tail(work, slots), work, slots) / least)
    assert statistics.mean(as_planned) > 1.1
    assert statistics.mean(without) < 1.03


def test_a_long_trial_at_the_end_of_the_plan_does_not_train_alone() -> None:
    work = dict.fromkeys(range(1, 11), 1.0) | {11: 5.0}
    order = without_a_tail(work, 2)
    assert wall(sorted(work), work, 2) == 10
    assert wall(order, work, 2) <= 8
    assert [number for number in order if number != 11] == list(range(1, 11))


def test_trials_of_equal_length_keep_the_order_of_the_plan() -> None:
    assert without_a_tail(dict.fromkeys([5, 3, 9, 1], 2.0), 2) == [5, 3, 9, 1]
