"""A trial's configuration: dotted names there and back, mistakes in words and all at once, an identity."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cae.trial.component import Component
from cae.trial.config import ConfigError, Trial, from_flat, identity, known_names
from cae.trial.datasets.base import Digits, Patches
from cae.trial.networks import ConvAutoencoder
from cae.trial.optimizers import SGD, Adam, Constant, ReduceOnPlateau, RMSprop
from cae.trial.tasks import Denoise, Reconstruct

fractions = st.floats(0, 0.99)
rates = st.floats(1e-8, 10)
filters = st.lists(st.integers(1, 64), min_size=3, max_size=3).map(tuple)

trials = st.builds(
    Trial,
    dataset=st.one_of(
        st.builds(
            Digits,
            size=st.integers(1, 64),
            train_images=st.none() | st.integers(1, 900),
            split_seed=st.integers(0, 2**32 - 1),
        ),
        st.builds(Patches, size=st.integers(1, 64)),
    ),
    task=st.one_of(
        st.builds(Reconstruct), st.builds(Denoise, noise_factor=rates, redraw_noise=st.booleans())
    ),
    arch=st.builds(
        ConvAutoencoder,
        encoder_filters=filters,
        kernel_size=st.integers(1, 9),
        padding=st.sampled_from(["same", "valid"]),
    ),
    optimizer=st.one_of(
        st.builds(Adam, lr=rates, beta1=fractions),
        st.builds(RMSprop, lr=rates),
        st.builds(SGD, lr=rates, momentum=fractions),
    ),
    schedule=st.one_of(
        st.builds(Constant), st.builds(ReduceOnPlateau, factor=st.floats(0.01, 0.99))
    ),
    batch_size=st.integers(1, 4096),
    epochs=st.integers(1, 999),
    seed=st.integers(0, 2**63),
)


def mistakes(trial: Trial, changes: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as told:
        trial.override(changes)
    return told.value.messages


def ours(registry: dict[str, type[Component]]) -> list[str]:
    """Without the parts that other tests, or a sweep file, have defined."""
    return [name for name, part in registry.items() if part.__module__.startswith("cae.")]


def every_choice_of_parts(trial: Trial) -> Iterator[Trial]:
    needed: dict[str, dict[str, Any]] = {"image_folder": {"dataset.path": "somewhere"}}
    for names in itertools.product(*(ours(part.registry) for part in Trial.COMPONENTS.values())):
        chosen = dict(zip(Trial.COMPONENTS, names, strict=True))
        yield trial.override(chosen | needed.get(chosen["dataset"], {}))


@settings(deadline=None, max_examples=100)
@given(trials)
def test_a_trial_comes_back_from_its_dotted_names_and_from_their_json(trial: Trial) -> None:
    assert from_flat(trial.flat()) == trial
    assert from_flat(json.loads(json.dumps(trial.flat()))) == trial
    assert (
        trial.override(
            trial.flat()
            if not any(getattr(trial, kind).inactive_parameters() for kind in Trial.COMPONENTS)
            else {}
        )
        == trial
    )


def test_every_dotted_name_is_in_the_flat_configuration_and_may_be_set(trial: Trial) -> None:
    assert sorted(known_names(trial.flat())) == sorted(
        {*trial.flat(), "precision"}
    )  # its default is unsaid


def test_parameters_left_out_take_their_defaults() -> None:
    few = {
        "dataset": "digits",
        "task": "reconstruct",
        "arch": "conv_autoencoder",
        "optimizer": "adam",
        "schedule": "constant",
    }
    assert from_flat(few) == Trial(
        dataset=Digits(), task=Reconstruct(), arch=ConvAutoencoder(), optimizer=Adam()
    )
    assert from_flat(few | {"arch.kernel_size": 5}).arch == ConvAutoencoder(kernel_size=5)


def test_a_trial_does_not_change(trial: Trial) -> None:
    before = trial.flat()
    assert trial.override({"epochs": 9}).epochs == 9
    assert trial.flat() == before
    with pytest.raises(ValidationError, match="frozen"):
        trial.epochs = 9  # type: ignore[misc]


def test_an_element_of_a_tuple_is_set_by_its_number_from_one(trial: Trial) -> None:
    assert trial.override({"arch.encoder_filters.1": 9, "arch.encoder_filters.2": 7}).flat()[
        "arch.encoder_filters"
    ] == [9, 7]


def test_an_element_is_set_in_the_whole_that_is_set_beside_it_whichever_comes_first(
    trial: Trial,
) -> None:
    changes = {"arch.encoder_filters": [3, 5], "arch.encoder_filters.2": 9}
    for order in (changes, dict(reversed(changes.items()))):
        assert trial.override(order).flat()["arch.encoder_filters"] == [3, 9]


def test_another_part_comes_with_its_own_defaults_and_its_own_names(trial: Trial) -> None:
    changed = trial.override(
        {"optimizer.momentum": 0.5, "optimizer": "sgd", "optimizer.nesterov": True}
    )
    assert changed.optimizer == SGD(momentum=0.5, nesterov=True)
    assert trial.override({"optimizer": "adam"}).optimizer == trial.optimizer, (
        "the part that is there keeps its parameters"
    )


COLLECTED_ERRORS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "misspelt": (
        {"arch.kernal_size": 3},
        ["arch.kernal_size is not a parameter", "did you mean arch.kernel_size"],
    ),
    "without its part": (
        {"kernel_size": 3},
        ["kernel_size is not a parameter", "did you mean arch.kernel_size?"],
    ),
    "of a misspelt part": ({"achr.kernel_size": 3}, ["achr.kernel_size", "arch.kernel_size"]),
    "like nothing": ({"arch.zzz": 3}, ["arch.zzz", "there are arch.encoder_filters", "arch.init"]),
    "of another part": (
        {"optimizer.momentum": 0.9},
        ["optimizer.momentum is not a parameter of optimizer = 'adam'"],
    ),
    "unknown part": (
        {"arch": "conv_autoencodr"},
        ["arch = 'conv_autoencodr'", "did you mean 'conv_autoencoder'?"],
    ),
    "part that is a list": (
        {"arch": ["conv_autoencoder"]},
        ["arch = ['conv_autoencoder'] is not known"],
    ),
    "wrong type": ({"batch_size": "32"}, ["batch_size = '32'", "integer"]),
    "float for a whole number": ({"epochs": 2.0}, ["epochs = 2.0", "integer"]),
    "yes for a number": ({"seed": True}, ["seed = True", "integer"]),
    "wrong type in a part": ({"arch.kernel_size": "3"}, ["arch.kernel_size = '3'", "integer"]),
    "out of range": ({"epochs": 0}, ["epochs = 0", "greater than 0"]),
    "out of range in a part": ({"optimizer.lr": -0.1}, ["optimizer.lr = -0.1", "greater than 0"]),
    "not a number": ({"optimizer.lr": float("nan")}, ["optimizer.lr = nan", "finite"]),
    "not a choice": ({"arch.padding": "smae"}, ["arch.padding = 'smae'", "did you mean 'same'?"]),
    "element beyond": (
        {"arch.encoder_filters.3": 8},
        ["arch.encoder_filters.3 is not there", "[4, 6]", "count from 1"],
    ),
    "element 0": (
        {"arch.encoder_filters.0": 8},
        ["arch.encoder_filters.0 is not there", "count from 1"],
    ),
    "element by no digit": ({"arch.encoder_filters.²": 8}, ["arch.encoder_filters.² is not"]),
    "element of a number": ({"batch_size.1": 8}, ["batch_size.1 is not there", "batch_size is 32"]),
    "wrong element": (
        {"arch.encoder_filters.2": 0},
        ["arch.encoder_filters (element 2) = 0", "greater than 0"],
    ),
    "idle": (
        {"arch.negative_slope": 0.2},
        ["arch.negative_slope = 0.2 would be ignored", "arch.activation is 'relu'"],
    ),
    "idle for another": (
        {"optimizer": "sgd", "optimizer.nesterov": True},
        ["optimizer.nesterov", "would be ignored", "momentum is 0"],
    ),
    "rule over several": (
        {"arch.pool_after": [1, 2]},
        ["arch.upsample_after = [1]", "arch.pool_after = [1, 2]"],
    ),
    "too many images": ({"dataset.train_images": 1797}, ["dataset.train_images = 1797", "1753"]),
}


@pytest.mark.parametrize("kind", COLLECTED_ERRORS)
def test_a_mistake_is_one_message_with_the_name_the_value_and_the_rule(
    kind: str, trial: Trial
) -> None:
    changes, words = COLLECTED_ERRORS[kind]
    told = mistakes(trial, changes)
    assert len(told) == 1, told
    assert all(word in told[0] for word in words), told


def test_several_mistakes_are_told_at_once(trial: Trial) -> None:
    changes = {
        "arch.kernal_size": 3,
        "arch.padding": "smae",
        "optimizer.lr": -1.0,
        "batchsize": 8,
        "epochs": 0,
        "seed": "x",
    }
    told = mistakes(trial, changes)
    assert len(told) == len(changes)
    assert all(any(key in message for message in told) for key in changes), told


def test_an_unknown_part_does_not_hide_the_other_mistakes(trial: Trial) -> None:
    told = mistakes(
        trial,
        {"arch": "conv_autoencodr", "arch.kernel_size": 3, "batchsize": 8, "optimizer.lr": -1.0},
    )
    assert len(told) == 3, told  # whether kernel_size is one, nobody can tell
    assert [
        any(key in message for message in told) for key in ("arch = ", "batchsize", "optimizer.lr")
    ] == [True] * 3


@pytest.mark.parametrize("extra", ["batchsize", "arch.kernal_size", "arhc.kernel_size"])
def test_a_whole_configuration_with_a_name_that_nothing_has_is_refused(
    extra: str, trial: Trial
) -> None:
    with pytest.raises(ConfigError, match=extra):
        from_flat(trial.flat() | {extra: 3})


def test_a_whole_configuration_without_its_parts_is_refused() -> None:
    with pytest.raises(ConfigError) as told:
        from_flat({"epochs": 0})
    assert [message.split(" ")[0] for message in told.value.messages] == [
        *Trial.COMPONENTS,
        "epochs",
    ]


def test_what_cannot_be_built_is_told_before_any_image_is_read(trial: Trial) -> None:
    with pytest.raises(ConfigError, match=r"arch\.kernel_size = 9"):
        trial.override({"arch.kernel_size": 9, "arch.padding": "valid"}).sizes()
    with pytest.raises(ConfigError, match=r"arch\.output_activation"):
        trial.override({"task.loss": "bce", "arch.output_activation": "tanh"}).sizes()
    assert trial.sizes()["latent_shape"] == [6, 4, 4]


def test_every_parameter_and_the_images_belong_to_the_identity(trial: Trial) -> None:
    flat = trial.flat()
    seen = {identity(flat, "fingerprint"), identity(flat, "another")}
    seen |= {identity(flat | {key: f"not {value}"}, "fingerprint") for key, value in flat.items()}
    seen.add(identity(trial.override({"seed": 1}).flat(), "fingerprint"))
    assert len(seen) == len(flat) + 3
    assert all(len(found) == 12 and int(found, 16) >= 0 for found in seen)


def test_the_order_of_names_and_the_way_a_tuple_is_written_do_not_belong_to_the_identity(
    trial: Trial,
) -> None:
    flat = trial.flat()
    assert identity(dict(reversed(flat.items())), "f") == identity(flat, "f")
    assert identity(flat | {"arch.encoder_filters": (4, 6)}, "f") == identity(flat, "f")
    assert identity(trial.override({"optimizer.lr": 1}).flat(), "f") == identity(
        trial.override({"optimizer.lr": 1.0}).flat(), "f"
    )


def test_names_of_configuration_and_of_metrics_never_collide(trial: Trial) -> None:
    for chosen in every_choice_of_parts(trial):
        image = torch.zeros(1, *chosen.task.output_shape(chosen.dataset.image_shape))
        last = {
            f"test_{name}"
            for name in (
                "loss",
                *chosen.task.metrics(image, image),
                *chosen.task.final_metrics(image, image),
            )
        }
        names = set(chosen.metric_names())
        assert len(names) == len(chosen.metric_names())
        assert not (names | last) & set(known_names(chosen.flat()))
        assert not any("." in name for name in names | last)
        assert not names & last
