"""What stopped trials would have reached."""

from __future__ import annotations

import pytest

from cae.sweep.search.final_values import estimate_final, lowest_so_far

LONG = [[5.0, 4.0, 3.0, 2.0], [6.0, 4.0, 4.0, 1.0], [7.0, 7.0, 7.0, 7.0]]


def test_the_lowest_cost_so_far_never_rises() -> None:
    assert lowest_so_far([3.0, 1.0, 2.0]) == [3.0, 1.0, 1.0]


def test_a_stopped_trial_changes_as_the_median_of_those_that_went_further() -> None:
    assert estimate_final([8.0, 6.0], 4, LONG, [2]) == 6.0 - 2.0


def test_each_interval_between_marks_has_its_own_trials() -> None:
    """From 1 to 2 all three, from 2 to 4 the only one that went on."""
    curves = [[5.0, 4.0], [6.0, 3.0], [7.0, 6.0, 5.5, 5.0]]
    assert estimate_final([9.0], 4, curves, [1, 2]) == pytest.approx(9.0 - 1.0 - 1.0)


def test_without_a_longer_trial_the_cost_stays() -> None:
    assert estimate_final([8.0, 6.0], 4, [[8.0, 6.0], [1.0]], [2]) == 6.0


def test_a_finished_trial_keeps_its_cost() -> None:
    assert estimate_final(LONG[0], 4, LONG, [1, 2]) == 2.0
