"""Points of a search space whose combination of values is impossible are left out and counted."""

from __future__ import annotations

from typing import Any

import pytest
from ray import tune

from cae import Adam, Classifier, Classify, Denoise, Sweep, Trial
from cae.run.left_out import left_out_lines
from cae.run.sweep_json import SweepDescription
from cae.sweep.spec.plan import make_plan
from cae.sweep.spec.search_points import GridPoints
from cae.trial.messages import ConfigError
from tests.sweep.spec.plans import BASE, SINGLE_PIXEL, errors_of, load, plan_of

KERNELS: dict[str, Any] = {
    "arch.padding": tune.grid_search(["same", "valid"]),
    "arch.kernel_size": tune.grid_search([3, 5, 7]),
}
"""With padding `valid` only the kernel of 3 fits."""


def test_impossible_points_of_a_grid_are_left_out_and_counted() -> None:
    plan = plan_of(KERNELS)
    points = [(trial.axes["arch.padding"], trial.axes["arch.kernel_size"]) for trial in plan.trials]
    assert sorted(points) == [("same", 3), ("same", 5), ("same", 7), ("valid", 3)]
    assert plan.space_size == 6
    assert plan.examined == 6
    assert [group["points"] for group in plan.left_out] == [1, 1]
    assert plan.left_out[0]["example"] == {"arch.padding": "valid", "arch.kernel_size": 5}
    assert "a 5x5 kernel without padding does not fit" in plan.left_out[0]["reason"]
    SweepDescription(left_out=plan.left_out, examined=plan.examined).to_json()


def test_strict_plans_refuse_impossible_points() -> None:
    errors = errors_of(KERNELS, strict=True)
    assert len(errors) == 2
    assert all(error.endswith("(1 of 6 trials)") for error in errors)


def test_a_space_of_impossible_points_is_an_error() -> None:
    errors = errors_of({"arch.padding": "valid", "arch.kernel_size": tune.grid_search([5, 7])})
    assert ["kernel without padding does not fit" in error for error in errors] == [True, True]


def test_a_value_that_is_invalid_by_itself_is_an_error() -> None:
    (error,) = errors_of({**KERNELS, "arch.kernel_size": tune.grid_search([3, 5, -1])})
    assert error.startswith("arch.kernel_size = -1: ")
    assert error.endswith("(2 of 6 trials)")


def test_impossible_draws_are_left_out_and_not_replaced() -> None:
    space = {"arch.padding": "valid", "arch.kernel_size": tune.choice([3, 5])}
    plan = plan_of(space, {"samples": 12})
    left_out = sum(group["points"] for group in plan.left_out)
    assert left_out > 0
    assert plan.trials
    assert len(plan.trials) + plan.duplicates + left_out == plan.examined == 12


def test_draws_outside_the_valid_range_are_left_out() -> None:
    plan = plan_of({"optimizer.lr": tune.uniform(-0.1, 0.1)}, {"samples": 12})
    assert all(trial.axes["optimizer.lr"] > 0 for trial in plan.trials)
    assert len(plan.trials) + len(plan.left_out) == 12
    assert errors_of({"optimizer.lr": tune.uniform(-0.2, -0.1)}, {"samples": 2})


def test_max_trials_counts_possible_points_and_a_larger_sample_extends_it() -> None:
    small = plan_of(KERNELS, {"seeds": 2}, max_trials=4)
    large = plan_of(KERNELS, {"seeds": 2}, max_trials=8)
    assert len(small.trials) == 4
    assert len(large.trials) == 8
    assert {trial.hash for trial in small.trials} < {trial.hash for trial in large.trials}


def test_trials_with_an_impossible_dependency_are_left_out() -> None:
    base = Trial(
        dataset=BASE.dataset,
        task=Classify(encoder=BASE),
        arch=Classifier(encoder_filters=(4, 2), pool_after=(1,)),
        optimizer=Adam(),
    )
    space = {f"task.encoder.{key}": domain for key, domain in KERNELS.items()}
    plan = make_plan(Sweep(base=base, space=space), load)
    requested = [trial.axes for trial in plan.trials if not trial.is_dependency]
    assert len(requested) == 1
    reasons = [group["reason"] for group in plan.left_out]
    assert "its encoder differs from the encoder of this trial's arch" in reasons[0]
    assert "its arch.kernel_size is not (3, 3)" in reasons[0]
    assert "its arch.padding is not 'same'" in reasons[1]
    assert reasons[2].startswith("task.encoder: arch.kernel_size = 5: a 5x5 kernel")
    assert [group["points"] for group in plan.left_out] == [2, 1, 1, 1]


def test_all_errors_of_a_trial_and_its_dependencies_are_reported() -> None:
    judge = Trial(
        dataset=BASE.dataset,
        task=Classify(classes=12),
        arch=Classifier(encoder_filters=(4,), pool_after=(1,)),
        optimizer=Adam(),
        epochs=3,
        warmup_epochs=5,
    )
    base = Trial(
        dataset=BASE.dataset,
        task=Denoise(noise_factor=0.3, judge=judge),
        arch=BASE.arch,
        optimizer=Adam(),
        epochs=2,
        warmup_epochs=2,
    )
    with pytest.raises(ConfigError) as raised:
        make_plan(Sweep(base=base, space={}), load)
    starts = ("task.judge: warmup_epochs = 5:", "task.judge predicts 12", "warmup_epochs = 2:")
    assert len(raised.value.messages) == len(starts)
    for start in starts:
        assert any(message.startswith(start) for message in raised.value.messages), start


def test_a_last_batch_of_one_image_leaves_out_its_points() -> None:
    plan = plan_of(SINGLE_PIXEL | {"batch_size": tune.grid_search([15, 16])})
    assert [trial.axes["batch_size"] for trial in plan.trials] == [15]
    assert [group["points"] for group in plan.left_out] == [1]
    assert plan.left_out[0]["reason"].startswith("batch_size = 16: the last batch")


@pytest.mark.parametrize("units", [10**12, 10**17, 10**25])
def test_a_network_that_does_not_fit_into_the_memory_is_impossible(units: int) -> None:
    space = {"arch": "dense_autoencoder", "arch.hidden_units": tune.grid_search([(8,), (units,)])}
    plan = plan_of(space)
    assert [trial.axes["arch.hidden_units"] for trial in plan.trials] == [(8,)]
    (group,) = plan.left_out
    assert "GB of memory" in group["reason"] or "a layer is too large" in group["reason"]
    assert "\n" not in group["reason"]


def test_a_sample_of_a_huge_grid_computes_only_its_points() -> None:
    space = {name: tune.grid_search(range(10**6)) for name in ("a", "b", "c")}
    points = GridPoints(space)
    assert len(points) == 10**18
    assert points[10**12 + 5] == {"a": 5, "b": 0, "c": 1}


@pytest.mark.parametrize("count", [1, 3])
def test_a_grid_has_the_points_of_ray_tune_in_the_same_order(count: int) -> None:
    from ray.tune.search.variant_generator import generate_variants

    space = {
        "z": tune.grid_search([1, 2]),
        "b": "constant",
        "a": tune.grid_search(["x", None, (1, 2)][:count]),
    }
    expected = [variant for _, variant in generate_variants(space)]
    points = list(GridPoints(space))
    assert points == expected
    assert [list(point) for point in points] == [list(point) for point in expected]


def test_the_most_frequent_reasons_are_listed() -> None:
    groups: list[dict[str, Any]] = [
        {"reason": f"reason {n}", "points": n, "example": {}} for n in (5, 4, 3, 2, 1)
    ]
    assert left_out_lines(groups, 20) == [
        "left out as impossible: 15 points of 20",
        "  5 points: reason 5",
        "  4 points: reason 4",
        "  3 points: reason 3",
        "  3 points for 2 other reasons",
    ]
    assert left_out_lines([], 20) == []


def test_the_sample_of_a_grid_needs_no_other_points(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    get = GridPoints.__getitem__

    def count(points: GridPoints, index: Any) -> Any:
        used.append(index)
        return get(points, index)

    monkeypatch.setattr(GridPoints, "__getitem__", count)
    rates = [step * 1e-4 for step in range(1, 101)]
    space = {"optimizer.lr": tune.grid_search(rates), "batch_size": tune.grid_search(range(1, 41))}
    plan = plan_of(space, max_trials=5)
    assert len(plan.trials) == 5
    assert len(used) <= 6
    assert plan.space_size == 4000
