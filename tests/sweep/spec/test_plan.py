"""Plans: which trials, in which order, with which numbers, and all errors at once."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError
from ray import tune
from torch import Tensor, nn
from typing_extensions import override

from cae import (
    ASHA,
    Adam,
    ConvAutoencoder,
    Denoise,
    Digits,
    Patches,
    Reconstruct,
    Sweep,
    Task,
    Trial,
)
from cae.errors import UserError
from cae.run.records import Record
from cae.run.selection import parse_conditions
from cae.run.sweep_json import SweepDescription
from cae.run.trial_state import TrialState
from cae.sweep.spec.plan import Plan, make_plan
from cae.trial.datasets import Dataset, Images, Source, Split
from cae.trial.messages import ConfigError
from cae.trial.networks.base import Architecture
from cae.trial.networks.geometry import Shape
from cae.trial.networks.layers import Autoencoder
from tests.sweep.spec.plans import BASE, SINGLE_PIXEL, errors_of, load, plan_of


def records_of(plan: Plan, state: TrialState = TrialState.FINISHED) -> dict[int, Record]:
    """Records of all trials of a plan, each with one epoch."""
    records: dict[int, Record] = {}
    for trial in plan.trials:
        records[trial.number] = Record(
            number=trial.number,
            hash=trial.hash,
            config=trial.trial.flat(),
            axes=trial.axes,
            sizes=trial.sizes,
            state=state,
            epochs={1: {"val_loss": 0.1}},
        )
    return records


def test_a_grid_has_every_combination() -> None:
    plan = plan_of(
        {"arch.kernel_size": tune.grid_search([3, 5]), "optimizer.lr": tune.grid_search([0.1, 0.2])}
    )
    settings = [trial.trial.flat() for trial in plan.trials]
    assert sorted((flat["arch.kernel_size"], flat["optimizer.lr"]) for flat in settings) == [
        (3, 0.1),
        (3, 0.2),
        (5, 0.1),
        (5, 0.2),
    ]
    assert [trial.number for trial in plan.trials] == [1, 2, 3, 4]
    assert plan.space_size == 4


def test_a_list_of_spaces_is_a_union_without_duplicates() -> None:
    plan = plan_of(
        [
            {"arch.kernel_size": tune.grid_search([3, 5])},
            {"arch.kernel_size": tune.grid_search([5, 7])},
        ]
    )
    assert [trial.axes["arch.kernel_size"] for trial in plan.trials] == [3, 5, 7]
    assert plan.duplicates == 1


def test_random_dimensions_are_seeded() -> None:
    space = {
        "optimizer.lr": tune.loguniform(1e-5, 1e-1),
        "arch.kernel_size": tune.choice([3, 5, 7]),
    }
    first, second = (plan_of(space, {"samples": 5}) for _ in range(2))
    assert [trial.hash for trial in first.trials] == [trial.hash for trial in second.trials]
    assert len({trial.axes["optimizer.lr"] for trial in first.trials}) == 5
    assert all(1e-5 <= trial.axes["optimizer.lr"] <= 1e-1 for trial in first.trials)


def test_a_larger_sample_starts_with_the_smaller_one_in_random_order() -> None:
    space = {"optimizer.lr": tune.grid_search([0.01 * step for step in range(1, 30)])}
    small = plan_of(space, max_trials=5)
    large = plan_of(space, max_trials=12)
    assert [trial.hash for trial in large.trials[:5]] == [trial.hash for trial in small.trials]
    rates = [trial.axes["optimizer.lr"] for trial in large.trials]
    assert rates != sorted(rates), "a sample is not the beginning of the grid"


def test_seeds_repeat_every_configuration() -> None:
    plan = plan_of({"arch.kernel_size": tune.grid_search([3, 5])}, {"seeds": 3})
    seeds: dict[int, set[int]] = {3: set(), 5: set()}
    for trial in plan.trials:
        seeds[trial.axes["arch.kernel_size"]].add(trial.trial.seed)
    assert seeds == {3: {0, 1, 2}, 5: {0, 1, 2}}
    assert len(plan.trials) == 6


KERNELS_AND_RATES = {
    "arch.kernel_size": tune.grid_search([3, 5, 7]),
    "optimizer.lr": tune.grid_search([0.1, 0.2]),
}


def kernels_and_rates(*conditions: str, **options: Any) -> list[tuple[int, float, int, int]]:
    """Kernel size, learning rate, seed and number of each trial."""
    where = parse_conditions(conditions)
    plan = plan_of(KERNELS_AND_RATES, {"seeds": 2}, where=where, **options)
    found: list[tuple[int, float, int, int]] = []
    for planned in plan.trials:
        flat = planned.trial.flat()
        setting = (flat["arch.kernel_size"], flat["optimizer.lr"], flat["seed"])
        found.append((*setting, planned.number))
    return found


def test_conditions_select_trials_of_the_space() -> None:
    assert kernels_and_rates("arch.kernel_size=5", "optimizer.lr=0.2") == [
        (5, 0.2, 0, 1),
        (5, 0.2, 1, 2),
    ]
    some = kernels_and_rates("arch.kernel_size=3", "arch.kernel_size=7", "seed=1")
    assert sorted(setting[:3] for setting in some) == [
        (3, 0.1, 1),
        (3, 0.2, 1),
        (7, 0.1, 1),
        (7, 0.2, 1),
    ]


def test_conditions_select_among_the_trials_of_a_sample() -> None:
    sample = kernels_and_rates("optimizer.lr=0.1", "optimizer.lr=0.2", max_trials=6)
    kernel, rate, _, _ = sample[0]
    chosen = [setting[:3] for setting in sample if setting[0] == kernel]
    some = kernels_and_rates(f"arch.kernel_size={kernel}", max_trials=6)
    assert [setting[:3] for setting in some] == chosen
    assert len(sample) == 6
    assert (kernel, rate, 1) in chosen


def test_other_conditions_add_trials_to_the_run() -> None:
    first = plan_of(KERNELS_AND_RATES, where=parse_conditions(["arch.kernel_size=7"]))
    records = records_of(first)
    second = plan_of(
        KERNELS_AND_RATES, where=parse_conditions(["arch.kernel_size=3"]), records=records
    )
    assert [planned.number for planned in second.remaining] == [3, 4]
    assert second.left == []  # the finished ones stay in the sweep
    everything = plan_of(KERNELS_AND_RATES, records=records | records_of(second))
    assert [planned.number for planned in everything.remaining] == [5, 6]


def test_only_failed_trials_that_meet_the_conditions_are_run_again() -> None:
    records = records_of(plan_of(KERNELS_AND_RATES), TrialState.FAILED)
    where = parse_conditions(["arch.kernel_size=7"])
    retry = (TrialState.FAILED,)
    plan = plan_of(KERNELS_AND_RATES, where=where, records=records, retry=retry)
    assert [planned.trial.flat()["arch.kernel_size"] for planned in plan.remaining] == [7, 7]


def test_a_condition_without_trials_is_an_error() -> None:
    with pytest.raises(UserError, match=r"kernel_size=4.*the values are 3, 5, 7"):
        plan_of(KERNELS_AND_RATES, where=parse_conditions(["arch.kernel_size=4"]))


def test_one_element_of_a_tuple_can_be_an_axis() -> None:
    plan = plan_of({"arch.encoder_filters.2": tune.grid_search([2, 6])})
    assert [trial.trial.flat()["arch.encoder_filters"] for trial in plan.trials] == [[4, 2], [4, 6]]
    assert plan.axes == {"arch.encoder_filters.2": {"values": [2, 6], "scale": "linear"}}


def test_the_scale_of_an_axis_comes_from_the_space() -> None:
    space = {
        "optimizer.lr": tune.loguniform(1e-4, 1e-1),
        "arch.padding": tune.grid_search(["same"]),
        "batch_size": tune.grid_search([1, 64]),
    }
    assert {key: axis["scale"] for key, axis in plan_of(space).axes.items()} == {
        "optimizer.lr": "log",
        "arch.padding": "category",
        "batch_size": "log",
    }


def test_a_setting_replaces_an_axis() -> None:
    plan = plan_of(
        {"arch.kernel_size": tune.grid_search([3, 5]), "epochs": tune.grid_search([2, 3])},
        settings={"epochs": 1},
    )
    assert [trial.trial.epochs for trial in plan.trials] == [1, 1]
    assert list(plan.axes) == ["arch.kernel_size"]
    assert plan.overrides == {"epochs": {"full": 4, "here": 1}}


def test_the_smoke_budget_is_longer_than_its_warm_up() -> None:
    budget = Sweep(base=BASE.override({"warmup_epochs": 3})).budget("smoke")
    assert (budget["warmup_epochs"], budget["epochs"]) == (1, 2)


def test_the_smoke_budget_has_few_trials_and_epochs_with_images_of_the_same_shape() -> None:
    eight_rates = [0.01 * step for step in range(1, 9)]
    plan = plan_of({"optimizer.lr": tune.grid_search(eight_rates)}, budget="smoke")
    assert len(plan.trials) == 4
    assert {trial.trial.dataset.image_shape for trial in plan.trials} == {BASE.dataset.image_shape}
    assert {trial.trial.epochs for trial in plan.trials} == {2}


def test_all_errors_of_a_search_space_are_reported_together_and_once() -> None:
    errors = errors_of(
        {
            "arch.kernal_size": tune.grid_search([3, 5]),
            "optimizer.lr": tune.grid_search(["fast", 0.1]),
            "arch.padding": "sam",
        }
    )
    assert len(errors) == 3
    assert "did you mean arch.kernel_size?" in errors[0]
    assert any(
        message.startswith("optimizer.lr = 'fast'") and "(2 of 4 trials)" in message
        for message in errors
    )
    assert any(
        message.startswith("arch.padding = 'sam'") and "did you mean 'same'?" in message
        for message in errors
    )


def test_values_of_an_axis_have_a_provenance() -> None:
    kernels: dict[str, Any] = {"arch.kernel_size": tune.grid_search([5, 7])}
    provenance: dict[str, Any] = {"arch.kernel_size": {"stated": [3], "repo": [7]}}
    axes = plan_of([{}, kernels], {"provenance": provenance}).axes
    assert axes["arch.kernel_size"]["origins"] == [[3, "stated"], [5, "inferred"], [7, "repo"]]
    assert "origins" not in plan_of([{}, kernels]).axes["arch.kernel_size"]


def test_an_axis_that_a_setting_replaces_may_have_a_provenance() -> None:
    kernels: dict[str, Any] = {"arch.kernel_size": tune.grid_search([5, 7])}
    sweep = {"provenance": {"arch.kernel_size": {"repo": [7]}}}
    plan = plan_of(kernels, sweep, settings={"arch.kernel_size": 3})
    assert plan.axes == {}


def test_the_provenance_of_an_unknown_value_is_an_error() -> None:
    kernels: dict[str, Any] = {"arch.kernel_size": tune.grid_search([5, 7])}
    (error,) = errors_of(kernels, {"provenance": {"arch.kernel_size": {"stated": [3]}}})
    assert error == "provenance: arch.kernel_size has no value 3 in the search space: 5, 7"


def test_the_provenance_of_an_unknown_parameter_is_an_error() -> None:
    kernels: dict[str, Any] = {"arch.kernel_size": tune.grid_search([5, 7])}
    with pytest.raises(
        ValidationError,
        match=r"provenance: arch\.kernal_size is not a parameter; did you mean arch\.kernel_size",
    ):
        Sweep(base=BASE, space=kernels, provenance={"arch.kernal_size": {"stated": [5]}})


def test_an_inactive_parameter_is_an_error_with_the_reason() -> None:
    errors = errors_of({"arch.negative_slope": tune.grid_search([0.1, 0.2])})
    reason = "arch.activation is 'relu', and only 'leaky_relu' has a slope (1 of 2 trials)"
    assert errors == [
        f"arch.negative_slope = {slope} would be ignored: {reason}" for slope in (0.1, 0.2)
    ]


def test_impossible_shapes_name_layer_and_parameters() -> None:
    space = {"arch.padding": "valid", "arch.kernel_size": tune.grid_search([3, 7])}
    errors = errors_of(space, strict=True)
    assert len(errors) == 1
    assert "a 7x7 kernel without padding does not fit" in errors[0]
    assert "arch.kernel_size = 7" in errors[0]
    assert errors[0].endswith("(1 of 2 trials)")


def test_an_unknown_metric_lists_the_metrics() -> None:
    errors = errors_of({}, {"metric": "val_lost"})
    assert "metric = 'val_lost'" in errors[0]
    assert "val_loss" in errors[0]


def test_an_unknown_budget_lists_the_budgets() -> None:
    assert errors_of({}, budget="cpus") == ["--budget cpus: this sweep has the budgets full, smoke"]


def test_trials_keep_their_numbers_when_the_space_grows() -> None:
    small = plan_of({"arch.kernel_size": tune.grid_search([3, 5])})
    large = plan_of({"arch.kernel_size": tune.grid_search([7, 5, 3])}, records=records_of(small))
    assert {trial.axes["arch.kernel_size"]: trial.number for trial in large.trials} == {
        3: 1,
        5: 2,
        7: 3,
    }
    assert [trial.number for trial in large.remaining] == [3]


def test_more_epochs_extend_existing_trials() -> None:
    before = plan_of({"arch.kernel_size": tune.grid_search([3, 5])})
    after = plan_of(
        {"arch.kernel_size": tune.grid_search([3, 5])},
        settings={"epochs": 9},
        records=records_of(before),
    )
    assert [trial.number for trial in after.trials] == [1, 2]
    assert [trial.done_epochs for trial in after.remaining] == [1, 1], "the epochs of the records"


def test_trials_on_other_images_are_new_trials() -> None:
    before = plan_of({})

    def load_other_images(dataset: Dataset) -> Images:
        return replace(dataset.load([]), fingerprint="other")

    after = make_plan(
        Sweep(base=BASE), load_other_images, settings={"epochs": 9}, records=records_of(before)
    )
    assert [(trial.number, trial.done_epochs) for trial in after.trials] == [(2, 0)]


def test_a_base_trial_can_be_made_with_override() -> None:
    base = BASE.override({"epochs": 5})  # sets all parameters, of which none counts as inactive
    (trial,) = make_plan(Sweep(base=base), load).trials
    assert trial.trial == base


def test_a_setting_may_belong_to_a_component_of_the_search_space() -> None:
    plan = plan_of({"optimizer": "rmsprop"}, settings={"optimizer.alpha": 0.95})
    assert plan.trials[0].trial.flat()["optimizer.alpha"] == 0.95
    assert plan.overrides == {"optimizer.alpha": {"full": "not set", "here": 0.95}}


@pytest.mark.parametrize("max_trials", ["abc", 0, -1, 1.5])
def test_an_invalid_max_trials_is_an_error(max_trials: object) -> None:
    assert errors_of({}, settings={"max_trials": max_trials}) == [
        f"max_trials = {max_trials!r}: should be a whole number above 0"
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
def test_an_invalid_search_space_is_an_error(space: object) -> None:
    with pytest.raises(
        ValidationError, match=r"should be a dictionary of dotted names|takes a list of values"
    ):
        Sweep(base=BASE, space=space)


def test_a_grid_without_values_is_an_error() -> None:
    assert errors_of({"epochs": tune.grid_search([])}) == [
        "space: a dimension has no values, so there is no trial"
    ]


def test_an_axis_of_epochs_gives_separate_trials() -> None:
    before = plan_of({"epochs": tune.grid_search([2])})
    after = plan_of({"epochs": tune.grid_search([2, 3])}, records=records_of(before))
    assert [(trial.number, trial.trial.epochs, trial.finished) for trial in after.trials] == [
        (1, 2, True),
        (2, 3, False),
    ]


@pytest.mark.parametrize(
    ("state", "runs_again"),
    [
        (TrialState.FINISHED, False),
        (TrialState.STOPPED, False),
        (TrialState.FAILED, False),
        (TrialState.INTERRUPTED, True),
        (TrialState.PENDING, True),
    ],
)
def test_only_interrupted_and_pending_trials_run_again(state: TrialState, runs_again: bool) -> None:
    before = plan_of({})
    after = plan_of({}, records=records_of(before, state))
    assert bool(after.remaining) == runs_again


def test_retry_runs_only_trials_in_the_named_states() -> None:
    failed = records_of(plan_of({}), TrialState.FAILED)
    other_state = plan_of({}, records=failed, retry=(TrialState.OUT_OF_MEMORY,))
    assert other_state.remaining == []
    same_state = plan_of({}, records=failed, retry=(TrialState.FAILED,))
    assert [trial.number for trial in same_state.remaining] == [1]


def test_a_component_can_be_an_axis_with_its_own_parameters() -> None:
    space = [
        {"task": "reconstruct"},
        {"task": "denoise", "task.noise_factor": tune.grid_search([0.3, 0.6])},
    ]
    tasks = [trial.trial.task for trial in plan_of(space).trials]
    assert tasks == [Reconstruct(), Denoise(noise_factor=0.3), Denoise(noise_factor=0.6)]


def test_rungs_are_those_of_the_longest_trial() -> None:
    plan = plan_of(
        {"epochs": tune.grid_search([2, 10])},
        {"scheduler": ASHA(grace_epochs=1, reduction_factor=3)},
    )
    assert plan.rungs == [1, 3, 9]


@pytest.mark.parametrize(
    ("metric", "mode"),
    [("val_loss", "min"), ("val_psnr", "max"), ("images_per_second", "max"), ("seconds", "min")],
)
def test_the_mode_is_the_declared_direction_of_the_metric(metric: str, mode: str) -> None:
    assert plan_of({}, {"metric": metric}).mode == mode


def test_a_declared_direction_can_be_overridden() -> None:
    assert plan_of({}, {"metric": "val_psnr", "mode": "min"}).mode == "min"


class Undeclared(Reconstruct):
    """Reports a metric that it does not declare."""

    @override
    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"sharpness": output.flatten(1).std(1)}


@pytest.mark.parametrize("metric", ["val_sharpness", "lr"])
def test_a_metric_of_unknown_direction_requires_a_mode(metric: str) -> None:
    space = {"task": "undeclared"}
    (error,) = errors_of(space, {"metric": metric})
    assert error.startswith(f"metric = '{metric}': it is not declared")
    assert "mode='min' or mode='max'" in error
    assert plan_of(space, {"metric": metric, "mode": "max"}).mode == "max"


class ScalarMetric(Reconstruct):
    """Returns the mean of a metric over the batch instead of a value per image."""

    @override
    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"error": (output - target).abs().mean()}


RESULTS: dict[str, tuple[str, Callable[[Tensor, Tensor], Any], str]] = {
    "loss per image": (
        "criterion",
        lambda output, target: (output - target).square().flatten(1).mean(1),
        "its criterion returns the shape (2,) for 2 images: should be a scalar tensor, the mean "
        "over the images; use .mean()",
    ),
    "loss that is a number": (
        "criterion",
        lambda output, target: (output - target).square().mean().item(),
        "its criterion returns float: should be a scalar tensor, the mean over the images",
    ),
    "loss without a gradient": (
        "criterion",
        lambda output, target: (output.detach() - target).square().mean(),
        "its criterion has no gradient: should be computed from the output without detach",
    ),
    "loss that raises": (
        "criterion",
        lambda output, target: dict[Any, Any]()[(output - target).shape],
        "criterion raised KeyError: torch.Size([2, 1, 8, 8])",
    ),
    "metric that is a number": (
        "metrics",
        lambda output, target: {"error": (output - target).mean().item()},
        "its metric 'error' is float for 2 images: should be a value per image, (2,)",
    ),
    "metric per pixel": (
        "final_metrics",
        lambda output, target: {"error": (output - target).abs()},
        "its metric 'error' has the shape (2, 1, 8, 8) for 2 images: should be a value per "
        "image, (2,)",
    ),
    "metrics without names": (
        "metrics",
        lambda output, target: (output - target).flatten(1).mean(1),
        "its metrics are Tensor: should be a dictionary of tensors",
    ),
}
"""Wrong results of a task's functions: the function, what it returns, and the error."""


@pytest.mark.parametrize("kind", RESULTS)
def test_a_wrong_result_of_a_task_is_an_error_before_training(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, function, expected = RESULTS[kind]

    def method(task: Task, output: Tensor, target: Tensor) -> Any:
        assert isinstance(task, ScalarMetric)
        return function(output, target)

    monkeypatch.setattr(ScalarMetric, "metrics", Reconstruct.metrics)
    monkeypatch.setattr(ScalarMetric, name, method)
    assert errors_of({"task": "scalar_metric"}) == [f"task = 'scalar_metric': {expected}"]


class MisshapenNetwork(Architecture):
    """A network whose outputs are made by `result`."""

    result: ClassVar[Callable[[Tensor], Any]]

    @override
    def build(self, input_shape: Shape, output_shape: Shape) -> nn.Module:
        result = type(self).result

        class Network(nn.Module):
            @override
            def forward(self, images: Tensor) -> Any:
                return result(images)

        return Network()


OUTPUTS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "tuple": (lambda images: (images, images), "its network returns tuple: should return one"),
    "one for all": (lambda images: images[:1], "its network returns 1 outputs for 2 images"),
    "pixels as images": (lambda images: images.expand(8, -1, -1, -1), "8 outputs for 1 images"),
    "another size": (lambda images: images[..., 1:], "its output is 1x8x7, but the target is"),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_wrong_output_of_a_network_is_an_error(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, expected = OUTPUTS[kind]
    monkeypatch.setattr(MisshapenNetwork, "result", staticmethod(result), raising=False)
    (error,) = errors_of({"arch": "misshapen_network"})
    assert error.startswith("arch = 'misshapen_network': ")
    assert expected in error


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (range(1, 4), 3, "the labels of labeled are from 1 to 3; the numbers of classes begin"),
        (range(5), 3, "the labels of labeled are from 0 to 4; set task.classes = 5"),
        ([0], 3, "all images of labeled are of class 0: there is nothing to classify"),
    ],
)
def test_labels_that_do_not_fit_the_classes_are_an_error(
    labels: Iterable[int], classes: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.resize(np.array(list(labels)), 60)
    monkeypatch.setattr(Dataset, "registry", dict(Dataset.registry))

    class Labeled(Dataset):
        @property
        @override
        def image_shape(self) -> Shape:
            return 1, 8, 8

        @override
        def read(self, folders: Sequence[Path]) -> Source:
            return Source(Split(np.full((60, 1, 8, 8), 255, np.uint8), numbers))

    changes: dict[str, Any] = {"dataset": Labeled.name, "task": "classify", "arch": "classifier"}
    changes |= {"task.classes": classes, "arch.encoder_filters": [4], "arch.pool_after": [1]}
    (error,) = errors_of(changes)
    assert expected in error


def test_a_last_batch_of_one_image_that_batch_normalization_refuses_is_an_error() -> None:
    (error,) = errors_of(SINGLE_PIXEL | {"batch_size": 16})
    assert error.startswith("batch_size = 16: the last batch of the 33 training images")
    assert len(plan_of(SINGLE_PIXEL | {"batch_size": 15}).trials) == 1
    without = SINGLE_PIXEL | {"batch_size": 16, "arch.batch_norm": "none"}
    assert len(plan_of(without).trials) == 1


def test_a_metric_without_a_value_per_image_is_an_error() -> None:
    (error,) = errors_of({"task": "scalar_metric"})
    assert error == (
        "task = 'scalar_metric': its metric 'error' has the shape () for 2 images: should be a "
        "value per image, (2,)"
    )


def test_the_spaces_of_a_union_draw_independently() -> None:
    rates = {"optimizer.lr": tune.loguniform(1e-5, 1e-1)}
    spaces = [{**rates, "arch.kernel_size": 3}, {**rates, "arch.kernel_size": 5}]
    drawn: dict[int, list[float]] = {3: [], 5: []}
    for trial in plan_of(spaces, {"samples": 3}).trials:
        drawn[trial.axes["arch.kernel_size"]].append(trial.axes["optimizer.lr"])
    assert len({*drawn[3], *drawn[5]}) == 6
    # Adding the second space has not changed the values of the first one.
    first_space_alone = plan_of(rates, {"samples": 3})
    assert drawn[3] == [trial.axes["optimizer.lr"] for trial in first_space_alone.trials]


def test_functions_of_sample_from_are_seeded() -> None:
    space = {
        "optimizer.lr": tune.sample_from(lambda _: random.uniform(1e-4, 1e-2)),
        "batch_size": tune.sample_from(lambda _: int(np.random.randint(1, 64))),
    }
    first = plan_of(space, {"samples": 4})
    second = plan_of(space, {"samples": 4})
    assert [trial.hash for trial in first.trials] == [trial.hash for trial in second.trials]
    assert len({trial.axes["optimizer.lr"] for trial in first.trials}) == 4
    batch_sizes = [trial.axes["batch_size"] for trial in first.trials]
    without_duplicates = list(dict.fromkeys(batch_sizes))
    assert first.axes["batch_size"]["values"] == without_duplicates


def test_a_plan_does_not_change_the_global_random_state() -> None:
    space = {"optimizer.lr": tune.sample_from(lambda _: random.uniform(1e-4, 1e-2))}
    state_before = random.getstate()
    plan_of(space, {"samples": 4})
    assert random.getstate() == state_before


def test_a_function_of_sample_from_has_to_be_reproducible() -> None:
    values = itertools.count(1)
    (error,) = errors_of({"batch_size": tune.sample_from(lambda _: next(values))})
    assert error.startswith("space: batch_size: the function of tune.sample_from returns other")


@pytest.mark.parametrize("domain", [tune.randn(1e-2, 1e-4), tune.qrandn(1e-2, 1e-4, 1e-5)])
def test_the_axis_of_an_unbounded_domain_has_no_limits(domain: Any) -> None:
    plan = plan_of({"optimizer.lr": domain}, {"samples": 3})
    axis = plan.axes["optimizer.lr"]
    assert axis["low"] is None
    assert axis["high"] is None
    SweepDescription(axes=plan.axes).to_json()  # raises an error for an axis that is not valid


@pytest.mark.parametrize(
    ("max_trials", "configurations", "trials"),
    [
        (6, 2, 6),
        (7, 2, 6),  # a third configuration would need 9 trials
        (3, 1, 3),
        (2, 1, 2),  # at least one configuration, if need be with fewer seeds
    ],
)
def test_max_trials_limits_configurations_times_seeds(
    max_trials: int, configurations: int, trials: int
) -> None:
    space = {"arch.kernel_size": tune.grid_search([1, 3, 5, 7])}
    plan = plan_of(space, {"seeds": 3}, max_trials=max_trials)
    assert len(plan.trials) == trials
    assert len({trial.axes["arch.kernel_size"] for trial in plan.trials}) == configurations


def test_a_larger_sample_with_seeds_contains_the_smaller_one() -> None:
    space = {"arch.kernel_size": tune.grid_search([1, 3, 5, 7])}
    small = plan_of(space, {"seeds": 2}, max_trials=4)
    large = plan_of(space, {"seeds": 2}, max_trials=6)
    assert {trial.hash for trial in small.trials} < {trial.hash for trial in large.trials}


def test_classes_are_inactive_for_patches() -> None:
    patches = BASE.model_copy(update={"dataset": Patches(size=8, classes=(0,))})
    with pytest.raises(ConfigError, match=r"dataset\.classes = \(0,\) would be ignored"):
        make_plan(Sweep(base=patches, space={}), load)
    (error,) = errors_of({"dataset": "patches", "dataset.size": 8, "dataset.classes": [0]})
    assert error.startswith("dataset.classes")


def test_numpy_values_are_converted_to_python_values() -> None:
    integer: Any = np.int64
    base = Trial(
        dataset=Digits(size=integer(8), train_images=integer(64), val_images=16, test_images=16),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(integer(4), integer(2)),
            decoder_filters=(4,),
            pool_after=(1,),
            upsample_after=(0,),
        ),
        optimizer=Adam(),
        epochs=integer(4),
    )
    assert base == BASE
    space = {
        "arch.kernel_size": tune.grid_search(np.arange(3, 8, 2)),
        "arch.encoder_filters": tune.grid_search([(integer(4), integer(2))]),
        "optimizer.lr": tune.choice(list(np.logspace(-3, -2, 2))),
        "batch_size": integer(16),
    }
    plan = make_plan(Sweep(base=base, space=space, samples=2), load)
    axes = SweepDescription(axes=plan.axes).axes
    assert axes["arch.kernel_size"]["values"] == [3, 5, 7]
    assert axes["optimizer.lr"]["values"] == [0.001, 0.01]
    assert axes["batch_size"]["values"] == [16]
    types = set()
    for trial in plan.trials:
        types |= {type(value) for value in trial.axes.values()}
    assert types == {int, float, tuple}
    json.dumps([trial.trial.flat() for trial in plan.trials])  # fails for values of numpy


def test_samples_and_seeds_can_be_overridden() -> None:
    space = {"optimizer.lr": tune.uniform(0.001, 0.1)}
    plan = plan_of(space, {"samples": 2}, settings={"samples": 3, "seeds": 2})
    assert len(plan.trials) == 6


def test_other_parameters_of_the_sweep_cannot_be_overridden() -> None:
    assert errors_of({}, settings={"samples": True, "metric": "val_psnr", "space": 3}) == [
        "samples = True: should be a whole number above 0",
        "space = 3: should be none, which leaves out the search space",
        "metric = 'val_psnr': metric is set in the sweep file and cannot be overridden",
    ]


class CountedAutoencoder(ConvAutoencoder):
    """Counts how often it was built."""

    built: ClassVar[int] = 0

    @override
    def build(self, input_shape: Shape, output_shape: Shape) -> Autoencoder:
        CountedAutoencoder.built += 1
        return super().build(input_shape, output_shape)


def test_missing_images_are_reported_before_all_networks_are_measured() -> None:
    def fail(dataset: Dataset) -> Images:
        raise UserError(f"{dataset.name}: the files were not found")

    CountedAutoencoder.built = 0
    arch = CountedAutoencoder(**dict(BASE.arch))
    base = BASE.model_copy(update={"arch": arch})
    space = {"arch.kernel_size": tune.grid_search([3, 5, 7, 1])}
    with pytest.raises(UserError, match="not found"):
        make_plan(Sweep(base=base, space=space), fail)
    assert CountedAutoencoder.built == 1
    make_plan(Sweep(base=base, space=space), load)
    assert CountedAutoencoder.built == 5


KERNELS = {
    "arch.kernel_size": tune.grid_search([3, 5]),
    "optimizer.lr": tune.loguniform(1e-4, 1e-2),
}


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"arch.kernel_size": 5, "seed": 7}, []),
        ({"arch.kernel_size": 7}, ["arch.kernel_size"]),
        ({"optimizer.lr": 0.002}, []),
        ({"optimizer.lr": 0.02}, ["optimizer.lr"]),
        ({"epochs": 2}, ["epochs"]),
    ],
)
def test_a_point_of_the_search_space_is_no_other_setting(
    settings: dict[str, Any], changed: list[str]
) -> None:
    plan = plan_of(KERNELS, settings={"space": "none", **settings})
    assert list(plan.overrides) == changed


def test_elements_of_the_search_space_are_no_other_settings() -> None:
    space = {"arch.encoder_filters.1": tune.grid_search([4, 8])}
    plan = plan_of(space, settings={"space": "none", "arch.encoder_filters": [8, 2]})
    assert plan.overrides == {}
    plan = plan_of(space, settings={"space": "none", "arch.encoder_filters": [8, 3]})
    assert list(plan.overrides) == ["arch.encoder_filters"]
