"""The flags that the page copies for a trial plan exactly that trial."""

from __future__ import annotations

import shlex
from typing import Any, Literal

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ray import tune
from torch import nn
from typing_extensions import override

from cae import (
    ASHA,
    Adam,
    Classifier,
    Classify,
    ConvAutoencoder,
    Digits,
    Reconstruct,
    Sweep,
    Trial,
)
from cae.report.data.commands import set_flags
from cae.run.records import Record
from cae.sweep.spec.plan import Plan, make_plan
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.sweep.spec.settings import adapt_settings, base_values, parse_value
from cae.trial.datasets import Dataset, Images
from cae.trial.networks.base import Architecture
from cae.trial.networks.geometry import Shape

IMAGES = Digits(size=8, train_images=64, val_images=16, test_images=16)
BASE = Trial(
    dataset=IMAGES,
    task=Reconstruct(),
    arch=ConvAutoencoder(
        encoder_filters=(4, 2),
        decoder_filters=(4,),
        pool_after=(1,),
        upsample_after=(0,),
        activation="leaky_relu",
        negative_slope=0.2,
    ),
    optimizer=Adam(),
    epochs=4,
)
ENCODER = BASE.override({"epochs": 3})
STAGES = Trial(
    dataset=IMAGES,
    task=Classify(encoder=ENCODER),
    arch=Classifier(
        encoder_filters=(4, 2), pool_after=(1,), activation="leaky_relu", negative_slope=0.2
    ),
    optimizer=Adam(),
)


class LabelledFlags(Architecture):
    """A network of a user, with parameters whose text looks like other values."""

    mode: Literal["none", "3", "true", "8-8"] = "none"
    """A text without an effect."""
    kernel_size: tuple[int, ...] = (1,)
    """Numbers without an effect."""

    @override
    def build(self, input_shape: Shape, output_shape: Shape) -> nn.Module:
        return nn.Conv2d(input_shape[0], output_shape[0], 1)


AXES: dict[str, Any] = {
    "optimizer.lr": tune.grid_search([1e-3, 1 / 3]),
    "arch.encoder_filters.2": tune.grid_search([2, 3]),
    "arch.activation": tune.grid_search(["leaky_relu", "relu"]),
    "optimizer": tune.grid_search(["adam", "sgd"]),
    "dataset.train_images": tune.choice([32, 64]),
    "batch_size": tune.randint(8, 32),
    "seed": tune.grid_search([0, 5]),
    "precision": tune.grid_search(["float32", "tf32"]),
    "clip_norm": tune.grid_search([None, 0.5]),
    "warmup_epochs": tune.grid_search([0, 1]),
    "arch.residual_blocks": tune.grid_search([0, 1]),
    "augmentation": tune.grid_search(["no_augmentation", "augment"]),
}
OTHER_COMPONENTS: list[dict[str, Any]] = [
    {"arch": "dense_autoencoder", "arch.hidden_units": tune.grid_search([(8, 4), (8,)])},
    {
        "arch": "labelled_flags",
        "arch.mode": tune.grid_search(["none", "3", "true", "8-8"]),
        "arch.kernel_size": tune.grid_search([(1,), (1, 1)]),
    },
    {
        "task": "denoise",
        "task.redraw_noise": True,
        "task.noise_factor": tune.uniform(0.1, 0.9),
    },
    {},
]
DEPENDENCY_AXES: dict[str, Any] = {
    "task.encoder.epochs": tune.grid_search([2, 3]),
    "task.encoder.arch.decoder_filters": tune.grid_search([(4,), (6,)]),
    "task.encoder.optimizer": tune.grid_search(["adam", "sgd"]),
}


def subset(axes: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Up to three of some axes."""
    names = st.lists(st.sampled_from(sorted(axes)), unique=True, max_size=3)
    return names.map(lambda chosen: {name: axes[name] for name in chosen})


LATER = BASE.override({"clip_norm": 1.0, "arch.residual_blocks": 2, "augmentation": "augment"})
"""With other values than the defaults that configurations leave out."""
autoencoders = st.tuples(
    st.sampled_from([BASE, LATER]),
    subset(AXES).flatmap(
        lambda axes: st.lists(st.sampled_from(OTHER_COMPONENTS), max_size=2).map(
            lambda others: [axes, *others]
        )
    ),
)
stages = st.tuples(st.just(STAGES), subset(DEPENDENCY_AXES).map(lambda axes: [axes]))


def load(dataset: Dataset) -> Images:
    return dataset.load([])


def plan_with_flags(sweep: Sweep, flags: str) -> Plan:
    """The plan of `cae-sweep plan SWEEP_FILE` with flags."""
    settings: dict[str, Any] = {}
    for word in shlex.split(flags):
        if word != "--set":
            name, _, value = word.partition("=")
            settings[name] = parse_value(value)
    base = base_values(settings, sweep.base)
    return make_plan(sweep, load, settings=adapt_settings(settings, base))


def record_of(planned: PlannedTrial) -> Record:
    return Record(
        planned.number, planned.hash, planned.trial.flat(), axes=planned.axes, sizes=planned.sizes
    )


@hypothesis_settings(max_examples=25, deadline=None)
@given(
    base_and_spaces=st.one_of(autoencoders, stages),
    seeds=st.sampled_from([1, 3]),
    scheduler=st.sampled_from([None, ASHA()]),
    options=st.sampled_from(
        [
            {},
            {"settings": {"epochs": 7}},
            {"settings": {"clip_norm": None}},
            {"settings": {"optimizer.lr": 0.5}, "max_trials": 2},
        ]
    ),
)
def test_the_flags_of_each_trial_plan_exactly_that_trial(
    base_and_spaces: tuple[Trial, list[dict[str, Any]]],
    seeds: int,
    scheduler: ASHA | None,
    options: dict[str, Any],
) -> None:
    base, spaces = base_and_spaces
    sweep = Sweep(base=base, space=spaces, seeds=seeds, samples=2, scheduler=scheduler)
    trials = make_plan(sweep, load, **options).trials
    for planned in [*trials[:4], *trials[-4:]]:
        flags = set_flags(record_of(planned), base.flat(), base.later_defaults())
        copied = plan_with_flags(sweep, flags).trials
        requested = [trial.hash for trial in copied if not trial.is_dependency]
        assert requested == [planned.hash], flags
