"""Search spaces with more points than can be drawn: those that are used are drawn."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest
from ray import tune
from ray.tune.search.variant_generator import generate_variants

from cae.sweep.spec.drawn_points import MAX_DRAWN_TOGETHER, DrawnPoints, expand
from cae.sweep.spec.plan import Plan
from cae.sweep.spec.search_points import GridPoints, JoinedPoints, _shuffled
from cae.trial.messages import ConfigError
from tests.sweep.spec.test_trained_points import plan_of, rates, trained

GRID = {
    "batch_size": tune.grid_search(range(1, 1001)),
    "seed": tune.grid_search(range(1000)),
    "optimizer.lr": tune.loguniform(1e-4, 1e-1),
}
"""A million combinations, each with draws of its own."""


def keys(plan: Plan) -> list[tuple[Any, ...]]:
    return [
        (planned.trial.batch_size, planned.trial.seed, planned.trial.optimizer.lr)
        for planned in plan.trials
    ]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """The positions of the points that are drawn."""
    positions: Counter[int] = Counter()
    get = DrawnPoints.__getitem__

    def count(points: DrawnPoints, index: Any) -> Any:
        if isinstance(index, int):
            positions[index] += 1
        return get(points, index)

    monkeypatch.setattr(DrawnPoints, "__getitem__", count)
    return positions


def test_a_sample_of_a_huge_space_draws_only_its_points(drawn: Counter[int]) -> None:
    plan = plan_of(GRID, samples=3, max_trials=5)
    assert len(plan.trials) == 5
    assert plan.space_size == 3_000_000
    assert len(set(rates(plan))) == 5
    assert drawn.total() <= 250, "a hundred points are drawn twice, to check functions"


def test_a_larger_sample_of_a_huge_space_extends_a_smaller_one() -> None:
    small = plan_of(GRID, max_trials=4)
    large = plan_of(GRID, max_trials=9)
    assert keys(large)[:4] == keys(small)
    assert len(set(keys(large))) == 9
    extended = plan_of(GRID, trained(small), max_trials=9)
    assert keys(extended) == keys(large)
    assert [planned.number for planned in extended.trials[:4]] == [1, 2, 3, 4]
    assert len(extended.remaining) == 5
    again = plan_of(GRID, trained(small), max_trials=4)
    assert keys(again) == keys(small)
    assert not again.remaining


def test_a_point_of_a_huge_space_depends_on_its_own_combination_only() -> None:
    narrow = GRID | {"batch_size": tune.grid_search([7])}
    wide_points = DrawnPoints(GRID, 2, 0)
    for position, point in enumerate(DrawnPoints(narrow, 2, 0)):
        sample, seed = divmod(position, 1000)
        assert wide_points[sample * 10**6 + seed * 1000 + 6] == point
        if position > 5:
            break
    first_draws = DrawnPoints(narrow, 2, 0)[0:1000:500]
    second_draws = DrawnPoints(narrow, 2, 0)[1000:2000:500]
    other_space = DrawnPoints(narrow, 2, 1)[0:1000:500]
    values = [point["optimizer.lr"] for point in first_draws + second_draws + other_space]
    assert len(set(values)) == 6


def test_spaces_that_can_be_drawn_together_have_the_draws_of_ray_tune() -> None:
    space = {
        "z": tune.sample_from(lambda config: (random.random(), config["a"])),
        "a": tune.grid_search([3, 5, 7]),
        "y": tune.randint(0, 10**6),
        "c": "constant",
        "b": tune.grid_search([1, 2]),
        "x": tune.choice(["s", "m", "l"]),
        "w": tune.qrandn(0, 1, 0.01),
    }
    random_state = np.random.RandomState(0)
    random.seed(0)
    expected: list[dict[str, Any]] = []
    for _ in range(4):
        variants = generate_variants(dict(space), random_state=random_state)
        expected += [dict(variant) for _, variant in variants]
    points = expand(space, 4)
    assert len(points) == 24
    assert list(points) == expected


def test_more_points_than_can_be_drawn_together_are_drawn_when_they_are_used() -> None:
    half = {"a": tune.grid_search(list(range(MAX_DRAWN_TOGETHER // 2))), "lr": tune.uniform(0, 1)}
    assert isinstance(expand(half, 2), list)
    assert isinstance(expand(half, 3), DrawnPoints)


def test_functions_in_a_huge_space_are_checked() -> None:
    state = random.Random()
    unstable = GRID | {"optimizer.lr": tune.sample_from(lambda _: state.random())}
    with pytest.raises(ConfigError, match=r"optimizer\.lr: .* returns other values each time"):
        expand(unstable, 1)
    stable = GRID | {"optimizer.lr": tune.sample_from(lambda config: 1 / config["batch_size"])}
    assert expand(stable, 1)[4]["optimizer.lr"] == 1 / 5
    failing = GRID | {"optimizer.lr": tune.sample_from(lambda config: config["missing"])}
    with pytest.raises(ConfigError, match=r"tune\.sample_from raised KeyError"):
        expand(failing, 1)


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_positions_that_are_shuffled_as_far_as_they_are_used_are_a_permutation(count: int) -> None:
    assert sorted(_shuffled(count, random.Random(0))) == list(range(count))


def test_every_position_is_first_equally_often() -> None:
    counts = Counter(tuple(_shuffled(3, random.Random(seed))) for seed in range(3000))
    assert len(counts) == 6
    assert all(400 < count < 600 for count in counts.values())


def test_points_too_many_for_the_memory_are_sampled() -> None:
    huge = GridPoints({name: tune.grid_search(range(10**6)) for name in "ab"})
    points = list(islice(JoinedPoints([huge], shuffle_seed=0), 5))
    assert len({point["a"] for point in points}) == 5
    assert points == list(islice(JoinedPoints([huge], shuffle_seed=0), 5))
