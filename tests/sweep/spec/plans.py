"""Plans of search spaces around a small trial, for several files of tests.

They are not in a file of tests: imported by another one it would be loaded twice, and its
components would be registered twice.
"""

from __future__ import annotations

from typing import Any

import pytest

from cae import Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial
from cae.sweep.spec.plan import Plan, make_plan
from cae.trial.datasets import Dataset, Images
from cae.trial.messages import ConfigError

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


def plan_of(space: Any, sweep: dict[str, Any] | None = None, **options: Any) -> Plan:
    """The plan of a search space around BASE.

    `sweep`: further parameters of Sweep; `options`: those of make_plan.
    """
    return make_plan(Sweep(base=BASE, space=space, **(sweep or {})), load, **options)


def errors_of(space: Any, sweep: dict[str, Any] | None = None, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan_of(space, sweep, **options)
    return caught.value.messages


SINGLE_PIXEL = {
    "arch.encoder_filters": [4, 4, 4, 4],
    "arch.pool_after": [1, 2, 3],
    "arch.upsample_after": [0, 1, 2],
    "arch.decoder_filters": [4, 4],
    "arch.batch_norm": "before_activation",
    "dataset.train_images": 33,
}
