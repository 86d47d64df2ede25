"""The type and the range of pixels: recorded with each trial, and never guessed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cae import Adam, Arrays, Digits, ImageFolder, Reconstruct, Sweep, Trial
from cae.errors import UserError
from cae.run.events import TrialPlanned, event_fields, parse_event
from cae.run.records import replay
from cae.sweep.spec.plan import make_plan
from cae.trial.checkpoint import copy_weights
from cae.trial.datasets import Dataset, Images, load_images
from cae.trial.model import Model, load_model, save_model
from cae.trial.networks.create import build_network
from cae.trial.pixel_format import PixelFormat, recorded_format
from tests.trial.tasks.test_declared_metrics import AUTOENCODER

DEEP = PixelFormat("uint16", (0.0, 4095.0))


def trial_on(dataset: Dataset) -> Trial:
    return Trial(
        dataset=dataset,
        task=Reconstruct(),
        arch=AUTOENCODER,
        optimizer=Adam(lr=1e-3),
        batch_size=8,
        epochs=1,
    )


def deep_images() -> Arrays:
    """A data set of 12 bits in a file of the current folder."""
    rng = np.random.default_rng(0)
    np.save("deep.npy", rng.integers(0, 4096, (40, 1, 8, 8), np.uint16))
    return Arrays(path="deep.npy", shape=(1, 8, 8), value_range=(0, 4095))


def model_of(trial: Trial, **description: object) -> Model:
    folder = Path("model")
    save_model(folder, copy_weights(build_network(trial)), trial, description)
    return load_model(folder)


def test_the_plan_and_the_journal_have_the_format_of_the_images() -> None:
    def load(dataset: Dataset) -> Images:
        return load_images(dataset, [Path.cwd()])

    plan = make_plan(Sweep(base=trial_on(deep_images())), load)
    [planned] = plan.trials
    assert PixelFormat.from_json(planned.pixels) == DEEP
    assert planned.pixels["inputs"] == "(pixels - 0) / 4095, float32"
    event = TrialPlanned(
        time=1.0,
        trial=planned.number,
        hash=planned.hash,
        config=planned.trial.flat(),
        axes={},
        sizes={},
        pixels=planned.pixels,
    )
    read = parse_event(json.loads(json.dumps(event_fields(event))))
    assert read is not None
    record = replay([read], is_running=False)[planned.number]
    assert PixelFormat.from_json(record.pixels) == DEEP


def test_a_record_of_an_older_version_gets_the_format_with_its_next_plan() -> None:
    old = TrialPlanned(time=1.0, trial=1, hash="a", config={"epochs": 1}, axes={}, sizes={})
    new = TrialPlanned(
        time=2.0,
        trial=1,
        hash="a",
        config={"epochs": 1},
        axes={},
        sizes={},
        pixels=DEEP.to_json(),
    )
    assert replay([old], is_running=False)[1].pixels == {}
    assert replay([old, new], is_running=False)[1].pixels == DEEP.to_json()


@pytest.mark.parametrize("recorded", [{}, {"dtype": "int64", "value_range": [0, 1]}, None, 3])
def test_an_unrecorded_format_is_known_only_for_data_of_8_bits(recorded: object) -> None:
    assert recorded_format(recorded, Digits()) == PixelFormat()
    assert recorded_format(recorded, Arrays(path="a.npy", shape=(1, 8, 8))) is None
    assert recorded_format(recorded, ImageFolder(path="photos")) is None
    assert recorded_format(DEEP.to_json(), ImageFolder(path="photos")) == DEEP


def test_a_model_without_a_recorded_format_says_what_to_do() -> None:
    torch.manual_seed(0)
    trial = trial_on(deep_images())
    assert model_of(trial, pixels=DEEP.to_json()).pixel_format == DEEP
    with pytest.raises(UserError, match=r"'arrays'.* export it again.*best RUN --trial N -o DIR"):
        _ = model_of(trial).pixel_format
    assert model_of(trial_on(Digits(size=8))).pixel_format == PixelFormat()


class FloatDigitsWithoutRecord(Digits):
    """A user's data set: what it inherits says nothing about its pixels."""


def test_a_users_data_set_does_not_inherit_its_format() -> None:
    assert recorded_format({}, FloatDigitsWithoutRecord()) is None
