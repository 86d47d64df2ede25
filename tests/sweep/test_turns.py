"""Whose turn it is, without a Ray."""

from __future__ import annotations

from cae.sweep.turns import Turns


def test_a_trial_has_its_turn_when_a_slot_is_free_and_not_before() -> None:
    turns = Turns([3, 1, 2], slots=2)
    assert [turns.suggest("a"), turns.suggest("b"), turns.suggest("c")] == [{"number": 3}, {"number": 1}, None]
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
