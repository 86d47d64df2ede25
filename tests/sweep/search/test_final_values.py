"""What stopped trials would have reached."""

from __future__ import annotations

import pytest

from cae.sweep.search.final_values import FinalValues, lowest_so_far

LONG = [[5.0, 4.0, 3.0, 2.0], [6.0, 4.0, 4.0, 1.0], [7.0, 7.0, 7.0, 7.0]]


def test_the_lowest_cost_so_far_never_rises() -> None:
    assert lowest_so_far([3.0, 1.0, 2.0]) == [3.0, 1.0, 1.0]


def test_a_stopped_trial_changes_as_the_median_of_those_that_went_further() -> None:
    assert FinalValues(LONG, [2]).estimate([8.0, 6.0], 4) == 6.0 - 2.0


def test_each_interval_between_marks_has_its_own_trials() -> None:
    """From 1 to 2 all three, from 2 to 4 the only one that went on."""
    curves = [[5.0, 4.0], [6.0, 3.0], [7.0, 6.0, 5.5, 5.0]]
    assert FinalValues(curves, [1, 2]).estimate([9.0], 4) == pytest.approx(9.0 - 1.0 - 1.0)


def test_without_a_longer_trial_the_cost_stays() -> None:
    assert FinalValues([[8.0, 6.0], [1.0]], [2]).estimate([8.0, 6.0], 4) == 6.0


def test_a_finished_trial_keeps_its_cost() -> None:
    assert FinalValues(LONG, [1, 2]).estimate(LONG[0], 4) == 2.0
