"""Suggestions from results: no Ray, no training."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cae.sweep.search.base import INITIAL, MODEL, NO_MODEL, Candidates, Suggestion, TrialResult
from cae.sweep.search.model_based import ModelBased

SEARCH = ModelBased()
GRID: list[Mapping[str, float]] = [{"x": x, "y": y} for x in range(8) for y in range(8)]
random.Random(2).shuffle(GRID)


def bowl(point: Mapping[str, float]) -> float:
    """Smallest, 0.01, at x = 5, y = 2."""
    return 0.01 + (point["x"] - 5) ** 2 / 10 + (point["y"] - 2) ** 2 / 20


def ended(candidate: int, *values: float, epochs: int = 1, diverged: bool = False) -> TrialResult:
    return TrialResult(candidate, epochs, values, has_ended=True, is_diverged=diverged)


def suggest(candidates: Candidates, results: Sequence[TrialResult]) -> Suggestion:
    suggestion = SEARCH.suggest(candidates, results)
    assert suggestion is not None
    return suggestion


def search_for(
    value: Callable[[Mapping[str, float]], float], trials: int, mode: str = "min"
) -> list[int]:
    """The candidates that are suggested, in their order."""
    candidates = Candidates(GRID, mode=mode)
    results: list[TrialResult] = []
    for _ in range(trials):
        index = suggest(candidates, results).candidate
        results.append(ended(index, value(GRID[index])))
    return [result.candidate for result in results]


def test_the_best_of_64_points_is_found_with_a_quarter_of_them() -> None:
    found = search_for(bowl, 16)
    assert min(bowl(GRID[index]) for index in found) == pytest.approx(0.01)
    assert min(bowl(GRID[index]) for index in range(16)) > 0.1, "random order would find it too"


def test_the_direction_of_the_metric_counts() -> None:
    found = search_for(lambda point: -bowl(point), 16, mode="max")
    assert max(-bowl(GRID[index]) for index in found) == pytest.approx(-0.01)


def test_suggestions_are_a_function_of_the_results() -> None:
    assert search_for(bowl, 10) == search_for(bowl, 10)
    candidates = Candidates(GRID)
    results = [ended(index, bowl(GRID[index])) for index in range(6)]
    assert suggest(candidates, results) == suggest(Candidates(GRID), list(results))


def test_the_first_trials_are_the_first_candidates() -> None:
    candidates = Candidates(GRID)
    results: list[TrialResult] = []
    for number in range(4):
        suggestion = suggest(candidates, results)
        assert (suggestion.candidate, suggestion.method) == (number, INITIAL)
        results.append(ended(number, bowl(GRID[number])))
    suggestion = suggest(candidates, results)
    assert suggestion.method == MODEL
    assert suggestion.low is not None
    assert suggestion.mean is not None
    assert suggestion.high is not None
    assert suggestion.low < suggestion.mean < suggestion.high


def test_no_candidate_is_suggested_twice_and_the_end_is_none() -> None:
    found = search_for(bowl, 64)
    assert sorted(found) == list(range(64))
    candidates = Candidates(GRID)
    assert SEARCH.suggest(candidates, [ended(index, 1.0) for index in found]) is None


def test_a_trial_that_runs_is_taken_into_account() -> None:
    candidates = Candidates(GRID)
    results = [ended(index, bowl(GRID[index])) for index in range(8)]
    first = suggest(candidates, results)
    second = suggest(candidates, [*results, TrialResult(first.candidate, epochs=1)])
    third = suggest(
        candidates,
        [
            *results,
            TrialResult(first.candidate, epochs=1),
            TrialResult(second.candidate, epochs=1),
        ],
    )
    assert len({first.candidate, second.candidate, third.candidate}) == 3


def test_groups_take_turns_and_are_modelled_alone() -> None:
    """Values of the second group are a thousand times larger, and its best point another one."""
    points = [{**point, "loss": loss} for point in GRID for loss in ("a", "b")]
    groups = [str(point["loss"]) for point in points]
    candidates = Candidates(points, groups)
    results: list[TrialResult] = []
    for number in range(32):
        index = suggest(candidates, results).candidate
        point = {"x": float(points[index]["x"]), "y": float(points[index]["y"])}
        assert groups[index] == "ab"[number % 2]
        value = bowl(point)
        if groups[index] == "b":
            value = 1000 * bowl({"x": 7 - point["x"], "y": 7 - point["y"]})
        results.append(ended(index, value))
    best_a = min(results[::2], key=lambda result: result.values[0])
    best_b = min(results[1::2], key=lambda result: result.values[0])
    assert points[best_a.candidate] == {"x": 5, "y": 2, "loss": "a"}
    assert points[best_b.candidate] == {"x": 2, "y": 5, "loss": "b"}


def test_stopped_trials_count_with_the_value_that_they_would_have_reached() -> None:
    """Stopped after one epoch near the best point: worse than finished trials elsewhere, but ahead
    of them at that epoch."""
    candidates = Candidates(GRID, rungs=[1])
    results: list[TrialResult] = []
    for index in range(12):
        value = bowl(GRID[index])
        if value < 0.7:
            results.append(ended(index, 10 * value, epochs=3))
        else:
            results.append(ended(index, 10 * value, 5 * value, value, epochs=3))
    best = GRID[suggest(candidates, results).candidate]
    assert bowl(best) < 0.7


@pytest.mark.parametrize("values", [(), (math.nan,)], ids=["failed", "no finite value"])
def test_without_any_value_points_come_in_random_order(values: tuple[float, ...]) -> None:
    results = [ended(index, *values) for index in range(6)]
    suggestion = suggest(Candidates(GRID), results)
    assert (suggestion.candidate, suggestion.method) == (6, NO_MODEL)
    assert "no trial has a value" in suggestion.reason


def test_a_constant_metric_says_that_there_is_nothing_to_learn() -> None:
    suggestion = suggest(Candidates(GRID), [ended(index, 0.5) for index in range(6)])
    assert (suggestion.candidate, suggestion.method) == (6, NO_MODEL)
    assert "the same value" in suggestion.reason


def test_a_diverged_trial_counts_as_the_worst() -> None:
    """It is where the model would look first without it."""
    candidates = Candidates([{"x": float(x)} for x in (0, 2, 4, 6, 9, 8)])
    values = {0: 4.0, 1: 3.0, 2: 2.0, 3: 1.0}
    results = [ended(index, value) for index, value in values.items()]
    assert suggest(candidates, results).candidate == 4
    diverged = ended(4, 0.5, math.nan, epochs=5, diverged=True)
    suggestion = suggest(candidates, [*results, diverged])
    assert suggestion.mean is not None
    assert suggestion.mean > 1.0, "its low value before it diverged does not attract"


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.floats(allow_nan=True, allow_infinity=True, width=32),
            st.sampled_from([0.0, -1.0, 1e-300, 1e300]),
        ),
        min_size=4,
        max_size=12,
    ),
    st.sampled_from(["min", "max"]),
)
def test_any_values_lead_to_a_suggestion_of_finite_numbers(values: list[float], mode: str) -> None:
    candidates = Candidates(GRID, mode=mode)
    results = [ended(index, value) for index, value in enumerate(values)]
    suggestion = suggest(candidates, results)
    assert suggestion.candidate >= len(values)
    for number in (suggestion.mean, suggestion.low, suggestion.high):
        assert number is None or not math.isnan(number)
