"""A trial's configuration: its flat form and back, all errors together, and its identity."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cae.trial.component import Component
from cae.trial.config import Trial, from_flat, known_names
from cae.trial.datasets import Dataset, Digits, Patches
from cae.trial.identity import identity
from cae.trial.messages import ConfigError
from cae.trial.networks import Classifier, ConvAutoencoder
from cae.trial.optimizers import SGD, Adam, RMSprop
from cae.trial.schedules import Constant, ReduceOnPlateau
from cae.trial.tasks import Classify, Denoise, Reconstruct

fractions = st.floats(0, 0.99)
rates = st.floats(1e-8, 10)
filters = st.lists(st.integers(1, 64), min_size=3, max_size=3).map(tuple)

datasets = st.one_of(
    st.builds(
        Digits,
        size=st.integers(1, 64),
        train_images=st.none() | st.integers(1, 900),
        split_seed=st.integers(0, 2**32 - 1),
    ),
    st.builds(Patches, size=st.integers(1, 64)),
)
tasks = st.one_of(
    st.builds(Reconstruct), st.builds(Denoise, noise_factor=rates, redraw_noise=st.booleans())
)
optimizers = st.one_of(
    st.builds(Adam, lr=rates, beta1=fractions),
    st.builds(RMSprop, lr=rates),
    st.builds(SGD, lr=rates, momentum=fractions),
)
schedules = st.one_of(st.builds(Constant), st.builds(ReduceOnPlateau, factor=st.floats(0.01, 0.99)))
trials = st.builds(
    Trial,
    dataset=datasets,
    task=tasks,
    arch=st.builds(
        ConvAutoencoder,
        encoder_filters=filters,
        kernel_size=st.integers(1, 9),
        padding=st.sampled_from(["same", "valid"]),
    ),
    optimizer=optimizers,
    schedule=schedules,
    batch_size=st.integers(1, 4096),
    epochs=st.integers(1, 999),
    seed=st.integers(0, 2**63),
)


def errors_of(trial: Trial, changes: dict[str, Any]) -> list[str]:
    """The messages about invalid changes of a trial."""
    with pytest.raises(ConfigError) as caught:
        trial.override(changes)
    return caught.value.messages


def builtin_names(registry: dict[str, type[Component]]) -> list[str]:
    """The registered components without those that other tests define."""
    return [name for name, component in registry.items() if component.is_builtin()]


def all_combinations(trial: Trial) -> Iterator[Trial]:
    """The trial with every combination of built-in data sets, tasks and networks.

    The other components take turns: their combinations would take most of the tests' time.
    """
    names = {kind: builtin_names(base.registry) for kind, base in Trial.COMPONENTS.items()}
    combined = ("dataset", "task", "arch")
    products = itertools.product(*(names.pop(kind) for kind in combined))
    others = {kind: itertools.cycle(choices) for kind, choices in names.items()}
    for product in products:
        changes: dict[str, Any] = dict(zip(combined, product, strict=True))
        changes |= {kind: next(choices) for kind, choices in others.items()}
        changes |= required_parameters(changes["dataset"])
        if changes["task"] == "detect_anomalies":
            changes |= {"task.normal_classes": [0]}
        if changes["optimizer"] == "torch_optimizer":
            changes |= {"optimizer.algorithm": "NAdam", "optimizer.lr": 1e-3}
        yield trial.override(changes)


def required_parameters(dataset: str) -> dict[str, Any]:
    """Parameters that a data set of the user's own files needs."""
    parameters: dict[str, Any] = {}
    if "path" in Dataset.registry[dataset].model_fields:
        parameters["dataset.path"] = "somewhere"
    if dataset == "arrays":
        parameters["dataset.shape"] = (3, 32, 32)
    return parameters


@settings(deadline=None, max_examples=100)
@given(trials)
def test_a_trial_is_restored_from_its_flat_form_and_from_json(trial: Trial) -> None:
    assert from_flat(trial.flat()) == trial
    assert from_flat(json.loads(json.dumps(trial.flat()))) == trial


@settings(deadline=None, max_examples=100)
@given(trials)
def test_overriding_a_trial_with_its_own_values_changes_nothing(trial: Trial) -> None:
    changes = trial.flat()
    for kind in Trial.COMPONENTS:
        for name in getattr(trial, kind).inactive_parameters():
            changes.pop(f"{kind}.{name}", None)
    assert trial.override(changes) == trial


def test_the_flat_form_contains_every_name_that_can_be_set(trial: Trial) -> None:
    left_out = set(trial.omitted_defaults())
    assert set(known_names(trial.flat())) == set(trial.flat()) | left_out


def test_missing_parameters_take_their_defaults() -> None:
    components = {
        "dataset": "digits",
        "task": "reconstruct",
        "arch": "conv_autoencoder",
        "optimizer": "adam",
        "schedule": "constant",
    }
    assert from_flat(components) == Trial(
        dataset=Digits(), task=Reconstruct(), arch=ConvAutoencoder(), optimizer=Adam()
    )
    changed = from_flat(components | {"arch.kernel_size": 5})
    assert changed.arch == ConvAutoencoder(kernel_size=5)


def test_a_trial_cannot_be_changed(trial: Trial) -> None:
    before = trial.flat()
    assert trial.override({"epochs": 9}).epochs == 9
    assert trial.flat() == before
    frozen: Any = trial
    with pytest.raises(ValidationError, match="frozen"):
        frozen.epochs = 9


def test_elements_of_tuples_are_counted_from_1(trial: Trial) -> None:
    changed = trial.override({"arch.encoder_filters.1": 9, "arch.encoder_filters.2": 7})
    assert changed.flat()["arch.encoder_filters"] == [9, 7]


def test_a_tuple_is_set_before_its_elements_in_any_order(trial: Trial) -> None:
    changes = {"arch.encoder_filters": [3, 5], "arch.encoder_filters.2": 9}
    for order in (changes, dict(reversed(changes.items()))):
        assert trial.override(order).flat()["arch.encoder_filters"] == [3, 9]


def test_another_component_has_its_own_defaults(trial: Trial) -> None:
    changed = trial.override(
        {"optimizer.momentum": 0.5, "optimizer": "sgd", "optimizer.nesterov": True}
    )
    assert changed.optimizer == SGD(momentum=0.5, nesterov=True)


def test_the_same_component_keeps_its_parameters(trial: Trial) -> None:
    assert trial.override({"optimizer": "adam"}).optimizer == trial.optimizer


INVALID_CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "misspelt name": (
        {"arch.kernal_size": 3},
        ["arch.kernal_size is not a parameter", "did you mean arch.kernel_size"],
    ),
    "name without its component": (
        {"kernel_size": 3},
        ["kernel_size is not a parameter", "did you mean arch.kernel_size?"],
    ),
    "misspelt kind": ({"achr.kernel_size": 3}, ["achr.kernel_size", "arch.kernel_size"]),
    "name that resembles no other": (
        {"arch.zzz": 3},
        ["arch.zzz", "available: arch.encoder_filters", "arch.init"],
    ),
    "name of another component": (
        {"optimizer.momentum": 0.9},
        ["optimizer.momentum is not a parameter of optimizer = 'adam'"],
    ),
    "unknown component": (
        {"arch": "conv_autoencodr"},
        ["arch = 'conv_autoencodr'", "did you mean 'conv_autoencoder'?"],
    ),
    "component that is a list": (
        {"arch": ["conv_autoencoder"]},
        ["arch = ['conv_autoencoder'] is not known"],
    ),
    "text for an integer": ({"batch_size": "32"}, ["batch_size = '32'", "integer"]),
    "float for an integer": ({"epochs": 2.0}, ["epochs = 2.0", "integer"]),
    "boolean for an integer": ({"seed": True}, ["seed = True", "integer"]),
    "text for a kernel": ({"arch.kernel_size": "3"}, ["arch.kernel_size = '3'", "integer"]),
    "too small": ({"epochs": 0}, ["epochs = 0", "greater than 0"]),
    "too small in a component": (
        {"optimizer.lr": -0.1},
        ["optimizer.lr = -0.1", "greater than 0"],
    ),
    "NaN": ({"optimizer.lr": float("nan")}, ["optimizer.lr = nan", "finite"]),
    "unknown choice": ({"arch.padding": "smae"}, ["arch.padding = 'smae'", "did you mean 'same'?"]),
    "element beyond the last": (
        {"arch.encoder_filters.3": 8},
        ["arch.encoder_filters.3 does not exist", "[4, 6]", "counted from 1"],
    ),
    "element 0": (
        {"arch.encoder_filters.0": 8},
        ["arch.encoder_filters.0 does not exist", "counted from 1"],
    ),
    "element that is no decimal number": (
        {"arch.encoder_filters.²": 8},
        ["arch.encoder_filters.² is not"],
    ),
    "element of a number": (
        {"batch_size.1": 8},
        ["batch_size.1 does not exist", "batch_size is 32"],
    ),
    "invalid element": (
        {"arch.encoder_filters.2": 0},
        ["arch.encoder_filters (element 2) = 0", "greater than 0"],
    ),
    "inactive": (
        {"arch.negative_slope": 0.2},
        ["arch.negative_slope = 0.2 would be ignored", "arch.activation is 'relu'"],
    ),
    "inactive in a new component": (
        {"optimizer": "sgd", "optimizer.nesterov": True},
        ["optimizer.nesterov", "would be ignored", "momentum is 0"],
    ),
    "rule about two parameters": (
        {"arch.pool_after": [1, 2]},
        ["arch.upsample_after = [1]", "arch.pool_after = [1, 2]"],
    ),
    "too many images": ({"dataset.train_images": 1797}, ["dataset.train_images = 1797", "1753"]),
}
"""Invalid changes, each with parts of its message."""


@pytest.mark.parametrize("kind", INVALID_CHANGES)
def test_an_error_is_one_message_with_name_value_and_rule(kind: str, trial: Trial) -> None:
    changes, parts = INVALID_CHANGES[kind]
    (message,) = errors_of(trial, changes)
    for part in parts:
        assert part in message


def test_all_errors_are_reported_together(trial: Trial) -> None:
    changes = {
        "arch.kernal_size": 3,
        "arch.padding": "smae",
        "optimizer.lr": -1.0,
        "batchsize": 8,
        "epochs": 0,
        "seed": "x",
    }
    messages = errors_of(trial, changes)
    assert len(messages) == len(changes)
    for key in changes:
        assert any(key in message for message in messages)


@pytest.mark.parametrize("wrong", ["arch.pool_aftr", "arch.pool_after.5"])
def test_no_consequence_of_an_invalid_name_is_reported(wrong: str, trial: Trial) -> None:
    """Without the invalid change, `pool_after` selects layers and `upsample_after` none."""
    (message,) = errors_of(trial, {wrong: 1, "arch.upsample_after": ()})
    assert message.startswith(wrong)
    messages = errors_of(trial, {"optimizer.lrr": 1, "arch.upsample_after": ()})
    assert len(messages) == 2, "errors of different components do not follow from each other"


def classifier(**parameters: Any) -> Trial:
    """A trial with a dependency."""
    encoder = Trial(
        dataset=Digits(size=8), task=Reconstruct(), arch=ConvAutoencoder(), optimizer=Adam()
    )
    task = Classify(encoder=encoder, **parameters)
    return Trial(dataset=Digits(size=8), task=task, arch=Classifier(), optimizer=Adam())


def test_errors_of_a_dependency_and_of_its_task_are_reported_together() -> None:
    flat = classifier().flat()
    flat |= {"task.encoder.epochs": 0, "task.encoder.arch.pool_aftr": [1]}
    flat |= {"task.frozen_share": 3.0, "epochs": -1}
    with pytest.raises(ConfigError) as caught:
        from_flat(flat)
    assert [message.partition(" = ")[0] for message in caught.value.messages] == [
        "task.encoder: arch.pool_aftr is not a parameter here",
        "task.encoder: epochs",
        "task.frozen_share",
        "epochs",
    ]


def test_a_dependency_can_be_replaced_as_a_whole() -> None:
    trial = classifier()
    assert trial.override({"task.encoder": None}).dependencies() == {}
    other = trial.dependencies()["encoder"].override({"epochs": 7})
    replaced = trial.override({"task.encoder": other, "task.encoder.batch_size": 5})
    expected = other.override({"batch_size": 5})
    assert replaced.dependencies() == {"encoder": expected}
    assert from_flat(replaced.flat()) == replaced
    (message,) = errors_of(trial, {"task.encoder": "x"})
    assert message == "task.encoder = 'x': should be a Trial(...)"


@pytest.mark.parametrize(
    ("changes", "causes"),
    [
        ({"task.encoder": "x"}, ["task.encoder = 'x'"]),
        ({"task.encoder": "x", "task.encoder.epochs": 3}, ["task.encoder = 'x'"]),
        ({"task.encoder": 3, "task.encoder.arch.kernal": 3}, ["task.encoder = 3"]),
        ({"task": "clasify", "task.encoder.zzz": 3}, ["task = 'clasify'"]),
        ({"task": "clasify", "task.encoder": 3}, ["task = 'clasify'"]),
        ({"task.encoder": None, "task.encoder.epochs": 3}, ["task.encoder.epochs = 3"]),
        ({"task.encoder": "x", "epohcs": 3}, ["epohcs is not", "task.encoder = 'x'"]),
    ],
)
def test_one_cause_is_one_error_also_below_a_dependency(
    changes: dict[str, object], causes: list[str]
) -> None:
    messages = sorted(errors_of(classifier(), changes))
    assert len(messages) == len(causes)
    for message, cause in zip(messages, causes, strict=True):
        assert message.startswith(cause)


def test_a_setting_of_a_dependency_that_is_none_would_be_ignored() -> None:
    trial = classifier().override({"task.encoder": None})
    for changes in ({"task.encoder.epochs": 3}, {"task": "classify", "task.encoder.epochs": 3}):
        (message,) = errors_of(trial, changes)
        assert message == "task.encoder.epochs = 3 would be ignored: task.encoder is None"


def test_an_unknown_component_does_not_hide_other_errors(trial: Trial) -> None:
    messages = errors_of(
        trial,
        {"arch": "conv_autoencodr", "arch.kernel_size": 3, "batchsize": 8, "optimizer.lr": -1.0},
    )
    assert len(messages) == 3  # whether kernel_size is valid depends on the component
    for key in ("arch = ", "batchsize", "optimizer.lr"):
        assert any(key in message for message in messages)


@pytest.mark.parametrize("extra", ["batchsize", "arch.kernal_size", "arhc.kernel_size"])
def test_an_unknown_name_in_a_flat_configuration_is_an_error(extra: str, trial: Trial) -> None:
    with pytest.raises(ConfigError, match=extra):
        from_flat(trial.flat() | {extra: 3})


def test_learning_rates_that_do_not_fit_are_refused(trial: Trial) -> None:
    with pytest.raises(ConfigError) as caught:
        trial.override({"schedule": "cosine", "schedule.min_lr": 0.5}).sizes()
    assert caught.value.messages == ["schedule.min_lr = 0.5: should be below optimizer.lr = 0.01"]
    with pytest.raises(ConfigError) as caught:
        trial.override({"warmup_epochs": 4}).sizes()
    assert caught.value.messages == [
        "warmup_epochs = 4: should be below epochs = 4: the schedule starts after the warm-up"
    ]
    trial.override({"warmup_epochs": 3}).sizes()


def test_a_flat_configuration_without_components_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        from_flat({"epochs": 0})
    names = [message.split(" ")[0] for message in caught.value.messages]
    required = [kind for kind in Trial.COMPONENTS if kind not in Trial.LATER_FIELDS]
    assert names == [*required, "epochs"]


def test_networks_that_cannot_be_built_are_errors_before_images_are_read(trial: Trial) -> None:
    with pytest.raises(ConfigError, match=r"arch\.kernel_size = 9"):
        trial.override({"arch.kernel_size": 9, "arch.padding": "valid"}).sizes()
    with pytest.raises(ConfigError, match=r"arch\.output_activation"):
        trial.override({"task.loss": "bce", "arch.output_activation": "tanh"}).sizes()
    assert trial.sizes()["latent_shape"] == [6, 4, 4]


def test_the_identity_depends_on_every_parameter_and_on_the_images(trial: Trial) -> None:
    flat = trial.flat()
    identities = [identity(flat, "fingerprint"), identity(flat, "another")]
    for key, value in flat.items():
        identities.append(identity(flat | {key: f"not {value}"}, "fingerprint"))
    identities.append(identity(trial.override({"seed": 1}).flat(), "fingerprint"))
    assert len(set(identities)) == len(identities)
    for value in identities:
        assert len(value) == 12
        assert int(value, 16) >= 0


def test_the_identity_depends_on_the_code_of_user_components(trial: Trial) -> None:
    flat = trial.flat()
    assert identity(flat, "f", "class A: pass") != identity(flat, "f", "class B: pass")
    assert identity(flat, "f", "") == identity(flat, "f")


def test_the_identity_does_not_depend_on_notation(trial: Trial) -> None:
    flat = trial.flat()
    assert identity(dict(reversed(flat.items())), "f") == identity(flat, "f")
    assert identity(flat | {"arch.encoder_filters": (4, 6)}, "f") == identity(flat, "f")
    integer_rate = trial.override({"optimizer.lr": 1}).flat()
    float_rate = trial.override({"optimizer.lr": 1.0}).flat()
    assert identity(integer_rate, "f") == identity(float_rate, "f")


def test_names_of_parameters_and_metrics_never_collide(trial: Trial) -> None:
    for combination in all_combinations(trial):
        task = combination.task
        image = torch.zeros(1, *task.output_shape(combination.dataset.image_shape))
        test_metrics = {"test_loss"}
        for name in (*task.metrics(image, image), *task.final_metrics(image, image)):
            test_metrics.add(f"test_{name}")
        epoch_metrics = set(combination.metric_names())
        assert len(epoch_metrics) == len(combination.metric_names())
        assert not (epoch_metrics | test_metrics) & set(known_names(combination.flat()))
        assert not any("." in name for name in epoch_metrics | test_metrics)
        assert not epoch_metrics & test_metrics


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_numbers_that_are_not_finite_are_errors(trial: Trial, value: float) -> None:
    """JSON has no such numbers, and a limit of infinity is none."""
    with pytest.raises(ConfigError, match="clip_norm"):
        trial.override({"clip_norm": value})
