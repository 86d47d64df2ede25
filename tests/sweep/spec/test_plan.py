"""From a space to a list of trials: which, in which order, under which numbers, and every mistake at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, Denoise, Digits, Reconstruct, Sweep, Trial
from cae.run.records import Record
from cae.sweep.spec.plan import Plan, make_plan
from cae.trial.config import ConfigError
from cae.trial.datasets.base import Dataset, Images

BASE = Trial(
    dataset=Digits(size=8, train_images=64, val_images=16, test_images=16),
    task=Reconstruct(),
    arch=ConvAutoencoder(
        encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
    ),
    optimizer=Adam(),
    epochs=4,
)


def load(dataset: Dataset) -> Images:
    return dataset.load([])


def planned(space: Any, sweep: dict[str, Any] | None = None, **options: Any) -> Plan:
    return make_plan(Sweep(base=BASE, space=space, **(sweep or {})), load, **options)


def mistakes(space: Any, sweep: dict[str, Any] | None = None, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        planned(space, sweep, **options)
    return caught.value.messages


def records(plan: Plan, state: str = "finished") -> dict[int, Record]:
    return {
        one.number: Record(
            one.number,
            one.hash,
            one.trial.flat(),
            one.axes,
            one.sizes,
            state=state,
            epochs={1: {"val_loss": 0.1}},
        )
        for one in plan.trials
    }


def test_a_grid_is_every_combination_in_the_order_of_the_file() -> None:
    plan = planned(
        {"arch.kernel_size": tune.grid_search([3, 5]), "optimizer.lr": tune.grid_search([0.1, 0.2])}
    )
    settings = [planned_trial.trial.flat() for planned_trial in plan.trials]
    assert sorted((flat["arch.kernel_size"], flat["optimizer.lr"]) for flat in settings) == [
        (3, 0.1),
        (3, 0.2),
        (5, 0.1),
        (5, 0.2),
    ]
    assert [one.number for one in plan.trials] == [1, 2, 3, 4]
    assert plan.space_size == 4


def test_a_list_of_spaces_is_their_union_and_what_stands_twice_runs_once() -> None:
    plan = planned(
        [
            {"arch.kernel_size": tune.grid_search([3, 5])},
            {"arch.kernel_size": tune.grid_search([5, 7])},
        ]
    )
    assert [one.axes["arch.kernel_size"] for one in plan.trials] == [3, 5, 7]
    assert plan.duplicates == 1


def test_random_dimensions_are_drawn_alike_each_time() -> None:
    space = {
        "optimizer.lr": tune.loguniform(1e-5, 1e-1),
        "arch.kernel_size": tune.choice([3, 5, 7]),
    }
    first, second = (planned(space, {"samples": 5}) for _ in range(2))
    assert [one.hash for one in first.trials] == [one.hash for one in second.trials]
    assert len({one.axes["optimizer.lr"] for one in first.trials}) == 5
    assert all(1e-5 <= one.axes["optimizer.lr"] <= 1e-1 for one in first.trials)


def test_a_larger_sample_begins_with_the_smaller_one() -> None:
    space = {"optimizer.lr": tune.grid_search([0.01 * step for step in range(1, 30)])}
    small, large = planned(space, max_trials=5), planned(space, max_trials=12)
    assert [one.hash for one in large.trials][:5] == [one.hash for one in small.trials]
    assert [one.axes["optimizer.lr"] for one in large.trials] != sorted(
        one.axes["optimizer.lr"] for one in large.trials
    )


def test_seeds_repeat_every_configuration() -> None:
    plan = planned({"arch.kernel_size": tune.grid_search([3, 5])}, {"seeds": 3})
    assert sorted((one.axes["arch.kernel_size"], one.trial.seed) for one in plan.trials) == [
        (k, s) for k in (3, 5) for s in (0, 1, 2)
    ]


def test_one_element_of_a_tuple_can_be_an_axis() -> None:
    plan = planned({"arch.encoder_filters.2": tune.grid_search([2, 6])})
    assert [one.trial.flat()["arch.encoder_filters"] for one in plan.trials] == [[4, 2], [4, 6]]
    assert plan.axes == {"arch.encoder_filters.2": {"values": [2, 6], "scale": "linear"}}


def test_the_scale_of_an_axis_comes_from_the_space() -> None:
    words = {
        "optimizer.lr": tune.loguniform(1e-4, 1e-1),
        "arch.padding": tune.grid_search(["same"]),
        "batch_size": tune.grid_search([1, 64]),
    }
    assert {key: axis["scale"] for key, axis in planned(words).axes.items()} == {
        "optimizer.lr": "log",
        "arch.padding": "category",
        "batch_size": "log",
    }


def test_the_command_line_wins_over_the_space_and_takes_its_axis_away() -> None:
    plan = planned(
        {"arch.kernel_size": tune.grid_search([3, 5]), "epochs": tune.grid_search([2, 3])},
        settings={"epochs": 1},
    )
    assert [one.trial.epochs for one in plan.trials] == [1, 1]
    assert list(plan.axes) == ["arch.kernel_size"]
    assert plan.overrides == {"epochs": {"full": 4, "here": 1}}


def test_smoke_puts_embedded_images_of_the_same_shape_and_is_small() -> None:
    plan = planned(
        {"optimizer.lr": tune.grid_search([0.01 * step for step in range(1, 9)])}, budget="smoke"
    )
    assert len(plan.trials) == 4
    assert {one.trial.dataset.image_shape for one in plan.trials} == {BASE.dataset.image_shape}
    assert {one.trial.epochs for one in plan.trials} == {2}


def test_all_mistakes_of_a_space_are_told_at_once_each_once() -> None:
    told = mistakes(
        {
            "arch.kernal_size": tune.grid_search([3, 5]),
            "optimizer.lr": tune.grid_search(["fast", 0.1]),
            "arch.padding": "sam",
        }
    )
    assert len(told) == 3
    assert "did you mean arch.kernel_size?" in told[0]
    assert any(
        message.startswith("optimizer.lr = 'fast'") and "(2 of 4 trials)" in message
        for message in told
    )
    assert any(
        message.startswith("arch.padding = 'sam'") and "did you mean 'same'?" in message
        for message in told
    )


def test_the_values_of_an_axis_say_whose_they_are_the_base_s_own_too() -> None:
    kernels: dict[str, Any] = {"arch.kernel_size": tune.grid_search([5, 7])}
    origins: dict[str, Any] = {"arch.kernel_size": {"stated": [3], "repo": [7]}}
    axes = planned([{}, kernels], {"origins": origins}).axes
    assert axes["arch.kernel_size"]["origins"] == [[3, "stated"], [5, "inferred"], [7, "repo"]]
    assert "origins" not in planned([{}, kernels]).axes["arch.kernel_size"]
    assert planned([{}, kernels], {"origins": origins}, settings={"arch.kernel_size": 3}).axes == {}


def test_an_origin_of_a_value_or_a_parameter_that_is_not_there_is_refused() -> None:
    kernels: dict[str, Any] = {"arch.kernel_size": tune.grid_search([5, 7])}
    (told,) = mistakes(kernels, {"origins": {"arch.kernel_size": {"stated": [3]}}})
    assert told == "origins: arch.kernel_size has no value 3 in the space: 5, 7"
    with pytest.raises(
        ValidationError,
        match=r"origins: arch\.kernal_size is not a parameter; did you mean arch\.kernel_size",
    ):
        Sweep(base=BASE, space=kernels, origins={"arch.kernal_size": {"stated": [5]}})


def test_a_parameter_that_another_makes_idle_is_refused_with_the_reason() -> None:
    told = mistakes({"arch.negative_slope": tune.grid_search([0.1, 0.2])})
    assert told == [
        f"arch.negative_slope = {slope} would be ignored: arch.activation is 'relu', and only 'leaky_relu' has a slope (1 of 2 trials)"
        for slope in (0.1, 0.2)
    ]


def test_shapes_that_do_not_fit_are_refused_with_layer_and_parameters() -> None:
    told = mistakes({"arch.padding": "valid", "arch.kernel_size": tune.grid_search([3, 7])})
    assert len(told) == 1
    assert "a 7x7 kernel without padding does not fit" in told[0]
    assert "arch.kernel_size = 7" in told[0]
    assert told[0].endswith("(1 of 2 trials)")


def test_a_metric_that_no_trial_reports_is_refused_with_those_that_are() -> None:
    told = mistakes({}, {"metric": "val_lost"})
    assert "metric = 'val_lost'" in told[0]
    assert "val_loss" in told[0]


def test_a_budget_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert mistakes({}, budget="cpus") == [
        "--budget cpus: this sweep has the budgets full, smoke"
    ]


def test_trials_keep_their_numbers_when_the_space_grows() -> None:
    small = planned({"arch.kernel_size": tune.grid_search([3, 5])})
    large = planned({"arch.kernel_size": tune.grid_search([7, 5, 3])}, records=records(small))
    assert {one.axes["arch.kernel_size"]: one.number for one in large.trials} == {3: 1, 5: 2, 7: 3}
    assert [one.number for one in large.remaining] == [3]


def test_more_epochs_go_on_from_the_trial_that_had_fewer() -> None:
    before = planned({"arch.kernel_size": tune.grid_search([3, 5])})
    after = planned(
        {"arch.kernel_size": tune.grid_search([3, 5])},
        settings={"epochs": 9},
        records=records(before),
    )
    assert [one.number for one in after.trials] == [1, 2]
    assert [one.done_epochs for one in after.remaining] == [1, 1]


def test_more_epochs_on_other_images_are_another_trial() -> None:
    before = planned({})

    def other(dataset: Dataset) -> Images:
        return replace(dataset.load([]), fingerprint="other")

    after = make_plan(Sweep(base=BASE), other, settings={"epochs": 9}, records=records(before))
    assert [(one.number, one.done_epochs) for one in after.trials] == [(2, 0)]


def test_a_base_made_by_override_sets_nothing_in_vain() -> None:
    assert make_plan(Sweep(base=BASE.override({"epochs": 5})), load).trials[0].trial.epochs == 5


def test_what_is_set_of_a_part_that_the_space_chooses_is_no_mistake() -> None:
    plan = planned({"optimizer": "rmsprop"}, settings={"optimizer.alpha": 0.95})
    assert plan.trials[0].trial.flat()["optimizer.alpha"] == 0.95
    assert plan.overrides == {"optimizer.alpha": {"full": "no such", "here": 0.95}}


@pytest.mark.parametrize("wrong", ["abc", 0, -1, 1.5])
def test_a_number_of_trials_that_is_none_is_refused(wrong: object) -> None:
    assert mistakes({}, settings={"max_trials": wrong}) == [
        f"max_trials = {wrong!r}: should be a whole number above 0"
    ]


@pytest.mark.parametrize(
    "space",
    [
        None,
        "abc",
        {3: 4},
        {"epochs": tune.grid_search(3)},  # type: ignore[arg-type]
        [{"epochs": 3}, 4],
    ],
)
def test_a_space_that_is_none_is_refused(space: object) -> None:
    with pytest.raises(
        ValidationError, match=r"should be a dictionary of dotted names|takes a list of values"
    ):
        Sweep(base=BASE, space=space)


def test_a_grid_without_values_is_refused() -> None:
    assert mistakes({"epochs": tune.grid_search([])}) == [
        "space: it has no point, for one of its dimensions has no value"
    ]


def test_an_axis_of_epochs_is_trials_of_their_own() -> None:
    before = planned({"epochs": tune.grid_search([2])})
    after = planned({"epochs": tune.grid_search([2, 3])}, records=records(before))
    assert [(one.number, one.trial.epochs, one.finished) for one in after.trials] == [
        (1, 2, True),
        (2, 3, False),
    ]


@pytest.mark.parametrize(
    ("state", "runs"),
    [
        ("finished", False),
        ("stopped", False),
        ("failed", False),
        ("interrupted", True),
        ("pending", True),
    ],
)
def test_what_has_ended_is_left_alone(state: str, runs: bool) -> None:
    before = planned({})
    assert bool(planned({}, records=records(before, state)).remaining) == runs


def test_retry_runs_the_named_states_again() -> None:
    known = records(planned({}), "failed")
    assert planned({}, records=known, retry=("oom",)).remaining == []
    assert [one.number for one in planned({}, records=known, retry=("failed",)).remaining] == [1]


def test_a_part_can_be_an_axis_with_its_own_parameters() -> None:
    space = [
        {"task": "reconstruct"},
        {"task": "denoise", "task.noise_factor": tune.grid_search([0.3, 0.6])},
    ]
    tasks = [one.trial.task for one in planned(space).trials]
    assert tasks == [Reconstruct(), Denoise(noise_factor=0.3), Denoise(noise_factor=0.6)]


def test_rungs_are_those_of_the_longest_trial() -> None:
    plan = planned(
        {"epochs": tune.grid_search([2, 10])},
        {"scheduler": ASHA(grace_epochs=1, reduction_factor=3)},
    )
    assert plan.rungs == [1, 3, 9]
