"""Pareto fronts, their hypervolume, its expected improvement, and a search for a front."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cae.run.pareto import Point, hypervolume, pareto_front
from cae.sweep.search.base import MODEL, NO_MODEL, Candidates, TrialResult
from cae.sweep.search.hypervolume import (
    Normal,
    expected_hypervolume_improvement,
    worst_point,
)
from cae.sweep.search.model_based import ModelBased

WHOLE_NUMBERS = st.integers(0, 6).map(float)
POINTS = st.lists(st.tuples(WHOLE_NUMBERS, WHOLE_NUMBERS), max_size=8)


@given(POINTS)
def test_a_front_consists_of_the_points_that_no_other_point_beats(points: list[Point]) -> None:
    def is_beaten(point: Point) -> bool:
        return any(
            other[0] <= point[0] and other[1] <= point[1] and other != point for other in points
        )

    front = pareto_front(points)
    assert set(front) == {point for point in points if not is_beaten(point)}
    assert front == sorted(set(front), key=lambda point: point[1])


@given(POINTS)
def test_the_hypervolume_is_the_number_of_unit_squares_that_are_covered(
    points: list[Point],
) -> None:
    reference = (7.0, 7.0)
    covered = 0
    for first, second in itertools.product(range(7), range(7)):
        covered += any(point[0] <= first and point[1] <= second for point in points)
    assert hypervolume(pareto_front(points), reference) == covered


def test_points_beyond_the_reference_point_and_nan_do_not_count() -> None:
    front = pareto_front([(8.0, 0.0), (1.0, 1.0), (0.0, 9.0), (math.nan, 0.0)])
    assert front == [(8.0, 0.0), (1.0, 1.0), (0.0, 9.0)]
    assert hypervolume(front, (2.0, 2.0)) == 1.0


def test_expected_shortfall_is_the_mean_of_random_draws() -> None:
    generator = np.random.default_rng(0)
    mean = np.array([0.0, 1.0, -2.0])
    deviation = np.array([1.0, 0.5, 0.0])
    draws = generator.normal(mean, deviation, (200_000, 3))
    expected = np.maximum(0.5 - draws, 0).mean(axis=0)
    assert Normal(mean, deviation).expected_shortfall(0.5) == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("second_deviation", [0.0, 0.4])
def test_expected_hypervolume_improvement_is_the_mean_of_random_draws(
    second_deviation: float,
) -> None:
    generator = np.random.default_rng(1)
    front = pareto_front([(2.0, 0.5), (1.0, 1.0), (0.2, 2.5)])
    reference = (2.5, 3.0)
    first = Normal(np.array([0.5, 1.5, 3.0]), np.array([0.5, 0.3, 0.2]))
    second = Normal(np.array([0.8, 0.2, 0.1]), np.full(3, second_deviation))
    expected: list[float] = []
    for point in range(3):
        draws = zip(
            generator.normal(first.mean[point], first.deviation[point], 20_000),
            generator.normal(second.mean[point], second.deviation[point], 20_000),
            strict=True,
        )
        areas = [hypervolume(pareto_front([*front, draw]), reference) for draw in draws]
        expected.append(float(np.mean(areas)) - hypervolume(front, reference))
    found = expected_hypervolume_improvement(first, second, front, reference)
    assert found == pytest.approx(expected, abs=0.02)


def test_the_reference_point_is_worse_than_all_points() -> None:
    assert worst_point([(0.0, 5.0), (10.0, 5.0)]) == pytest.approx((11.0, 5.1))


# A search for a front: a larger x costs more and lowers the loss, y only raises it.
GRID: list[Mapping[str, float]] = [{"x": x, "y": y} for x in range(12) for y in range(6)]
np.random.default_rng(3).shuffle(GRID)


def loss(point: Mapping[str, float]) -> float:
    return math.exp(-point["x"] / 3) + 0.05 + point["y"] / 10


def share_of_front(tried: Sequence[int]) -> float:
    """Which share of the front's hypervolume some candidates have."""
    reference = (2.0, 20.0)
    points = [(loss(point), point["x"] + 1) for point in GRID]
    found = hypervolume(pareto_front([points[index] for index in tried]), reference)
    return found / hypervolume(pareto_front(points), reference)


def search_for_front(search: ModelBased, trials: int) -> list[int]:
    amounts = [point["x"] + 1 for point in GRID]
    candidates = Candidates(GRID)
    if search.second_objective == "parameters":
        candidates = Candidates(GRID, amounts=amounts)
    results: list[TrialResult] = []
    for _ in range(trials):
        suggestion = search.suggest(candidates, results)
        assert suggestion is not None
        index = suggestion.candidate
        results.append(
            TrialResult(index, 1, [loss(GRID[index])], has_ended=True, seconds=amounts[index])
        )
    return [result.candidate for result in results]


@pytest.mark.parametrize("objective", ["parameters", "seconds"])
def test_a_front_is_found_with_a_quarter_of_the_points(objective: str) -> None:
    search = ModelBased.model_validate({"second_objective": objective})
    found = share_of_front(search_for_front(search, 18))
    assert found > 0.985
    assert found > share_of_front(range(18))
    assert found > share_of_front(search_for_front(ModelBased(), 18))


def test_a_trial_that_runs_is_not_suggested_again_nearby() -> None:
    search = ModelBased(second_objective="parameters")
    candidates = Candidates(GRID, amounts=[point["x"] + 1 for point in GRID])
    results = [
        TrialResult(index, 1, [loss(GRID[index])], has_ended=True, seconds=1.0)
        for index in range(10)
    ]
    first = search.suggest(candidates, results)
    assert first is not None
    second = search.suggest(candidates, [*results, TrialResult(first.candidate, 1)])
    assert second is not None
    assert first.method == second.method == MODEL
    assert second.candidate != first.candidate
    assert second.expected_improvement is not None
    assert first.expected_improvement is not None
    assert second.expected_improvement < first.expected_improvement


def test_a_diverged_trial_is_no_part_of_the_front() -> None:
    points: list[Mapping[str, float]] = [{"x": float(x)} for x in range(8)]
    candidates = Candidates(points, amounts=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    results = [TrialResult(0, 1, [], has_ended=True, is_diverged=True)]
    for index, value in ((4, 0.5), (5, 0.4), (7, 0.3)):
        results.append(TrialResult(index, 1, [value], has_ended=True))
    suggestion = ModelBased(second_objective="parameters").suggest(candidates, results)
    assert suggestion is not None
    # Small networks are still wanted: the smallest one has no value.
    assert suggestion.candidate in {1, 2, 3}


@pytest.mark.parametrize("objective", ["parameters", "seconds"])
def test_equal_amounts_leave_the_metric_alone(objective: str) -> None:
    search = ModelBased.model_validate({"second_objective": objective})
    candidates = Candidates(GRID, amounts=[7.0] * len(GRID))
    results = [
        TrialResult(index, 1, [loss(GRID[index])], has_ended=True, seconds=7.0)
        for index in range(10)
    ]
    suggestion = search.suggest(candidates, results)
    alone = ModelBased().suggest(candidates, results)
    assert suggestion is not None
    assert alone is not None
    assert suggestion.candidate == alone.candidate


def test_missing_seconds_are_left_out() -> None:
    search = ModelBased(second_objective="seconds")
    results = [
        TrialResult(index, 1, [loss(GRID[index])], has_ended=True, seconds=float(index + 1))
        for index in range(6)
    ]
    results.append(TrialResult(6, 1, [loss(GRID[6])], has_ended=True))
    suggestion = search.suggest(Candidates(GRID), results)
    assert suggestion is not None
    assert suggestion.method == MODEL
    assert suggestion.expected_improvement is not None
    assert math.isfinite(suggestion.expected_improvement)


def test_without_any_seconds_the_next_point_is_in_random_order() -> None:
    results = [
        TrialResult(index, 1, [loss(GRID[index])], has_ended=True, seconds=math.nan)
        for index in range(5)
    ]
    diverged = TrialResult(5, 1, [], has_ended=True, is_diverged=True, seconds=2.0)
    search = ModelBased(second_objective="seconds")
    suggestion = search.suggest(Candidates(GRID), [*results, diverged])
    assert suggestion is not None
    assert suggestion.method == NO_MODEL
    assert "no trial has measured its seconds" in suggestion.reason
