"""Exported models: saved and loaded; folders without a complete model are user errors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from cae.errors import UserError
from cae.trial.checkpoint import copy_weights
from cae.trial.config import Trial
from cae.trial.model import DESCRIPTION, WEIGHTS, apply_model, load_model, save_model
from cae.trial.networks.create import build_network

INCOMPLETE = "not a complete model"


@pytest.fixture
def folder(trial: Trial, tmp_path: Path) -> Path:
    """An exported model with the weights of seed 0."""
    torch.manual_seed(0)
    save_model(
        tmp_path / "model",
        copy_weights(build_network(trial)),
        trial,
        {"metrics": {"val_loss": 0.25}, "epoch": 3},
    )
    return tmp_path / "model"


def test_a_model_is_loaded_with_weights_trial_and_description(folder: Path, trial: Trial) -> None:
    model = load_model(folder)
    torch.manual_seed(0)
    network = build_network(trial)
    images = torch.rand(5, 1, 8, 8)
    assert torch.equal(model.network(images), network(images))
    assert not model.network.training
    assert model.trial == trial
    assert model.description["metrics"] == {"val_loss": 0.25}
    assert "load_model" in model.description["load"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([WEIGHTS, DESCRIPTION])
    assert load_model(str(folder)).trial == trial


def test_a_second_export_replaces_the_model(folder: Path, trial: Trial) -> None:
    other = trial.override({"arch.encoder_filters": [2, 2]})
    save_model(folder, copy_weights(build_network(other)), other, {})
    assert load_model(folder).trial == other


def test_a_failed_export_leaves_the_earlier_model(folder: Path, trial: Trial) -> None:
    with pytest.raises(TypeError):
        save_model(folder, copy_weights(build_network(trial)), trial, {"metrics": object()})
    assert load_model(folder).description["epoch"] == 3
    assert len(list(folder.iterdir())) == 2


def with_description(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """A function that changes the description of the model in a folder."""

    def write(folder: Path) -> None:
        description = json.loads((folder / DESCRIPTION).read_text())
        (folder / DESCRIPTION).write_text(json.dumps(change(description)))

    return write


def with_config(changes: dict[str, Any]) -> Callable[[Path], object]:
    """A function that changes the configuration of the model in a folder."""
    return with_description(
        lambda description: description | {"config": description["config"] | changes}
    )


def remove_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def truncate_weights(folder: Path) -> None:
    os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size - 4)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (remove_all, DESCRIPTION),
    "no description": (lambda folder: (folder / DESCRIPTION).unlink(), DESCRIPTION),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), WEIGHTS),
    "truncated description": (lambda folder: os.truncate(folder / DESCRIPTION, 50), INCOMPLETE),
    "binary description": (
        lambda folder: (folder / DESCRIPTION).write_bytes(b"\xff\xfe\x00"),
        INCOMPLETE,
    ),
    "description of another program": (
        with_description(lambda _: {"model_type": "bert"}),
        "config",
    ),
    "description that is a list": (with_description(lambda _: [1, 2]), INCOMPLETE),
    "configuration that is a list": (
        with_description(lambda description: description | {"config": ["arch"]}),
        INCOMPLETE,
    ),
    "no configuration": (
        with_description(lambda description: description | {"config": None}),
        INCOMPLETE,
    ),
    "unknown architecture": (
        with_config({"arch": "transformer"}),
        "arch = 'transformer' is not known",
    ),
    "unknown parameter": (with_config({"arch.heads": 8}), "arch.heads"),
    "parameter out of range": (with_config({"arch.kernel_size": 0}), "arch.kernel_size = 0"),
    "network that does not fit": (
        with_config({"arch.kernel_size": 9, "arch.padding": "valid"}),
        "arch.kernel_size = 9",
    ),
    "weights of another network": (with_config({"arch.encoder_filters": [4, 7]}), "size mismatch"),
    "network that is larger than the memory": (
        with_config({"arch.encoder_filters": [4, 10**12]}),
        r"size mismatch for encoder.3.weight: \(6, 4, 3, 3\) in the weights, and \(1000000000000,",
    ),
    "description that is a pipe": (
        lambda folder: replace_by_pipe(folder / DESCRIPTION),
        "not a regular file",
    ),
    "weights that are a pipe": (
        lambda folder: replace_by_pipe(folder / WEIGHTS),
        "not a regular file",
    ),
    "truncated weights": (truncate_weights, INCOMPLETE),
    "empty weights": (lambda folder: (folder / WEIGHTS).write_bytes(b""), INCOMPLETE),
    "pickled weights": (
        lambda folder: torch.save({"weight": torch.zeros(1)}, folder / WEIGHTS),
        INCOMPLETE,
    ),
    "foreign weights": (
        lambda folder: safetensors.torch.save_file({"w": torch.zeros(1)}, folder / WEIGHTS),
        INCOMPLETE,
    ),
}
"""Ways to damage a model, each with a part of the error message."""


@pytest.mark.parametrize("kind", BROKEN)
def test_a_folder_without_a_complete_model_is_a_user_error(kind: str, folder: Path) -> None:
    damage, expected = BROKEN[kind]
    damage(folder)
    with pytest.raises(UserError, match=expected) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)
    for message in caught.value.messages:
        assert len(message) < 600
        assert "\n" not in message


def test_a_file_instead_of_a_folder_is_a_user_error(folder: Path) -> None:
    with pytest.raises(UserError, match="model"):
        load_model(folder / WEIGHTS)


@pytest.fixture
def noisy_trial(trial: Trial) -> Trial:
    return trial.override({"task": "denoise", "task.noise_factor": 0.4})


def test_images_are_used_unchanged_by_default(noisy_trial: Trial, tmp_path: Path) -> None:
    save_model(tmp_path, copy_weights(build_network(noisy_trial)), noisy_trial, {})
    model = load_model(tmp_path)
    images = torch.rand(2, 1, 8, 8)
    inputs, outputs, _ = apply_model(model, images)
    assert torch.equal(inputs, images)
    assert torch.equal(outputs, model.network(images))


def test_images_are_corrupted_on_request_the_same_way_each_time(
    noisy_trial: Trial, tmp_path: Path
) -> None:
    save_model(tmp_path, copy_weights(build_network(noisy_trial)), noisy_trial, {})
    model = load_model(tmp_path)
    images = torch.rand(2, 1, 8, 8)
    first = apply_model(model, images, corrupt=True).inputs
    second = apply_model(model, images, corrupt=True).inputs
    assert not torch.equal(first, images)
    assert torch.equal(first, second)


def test_images_larger_than_the_memory_are_refused(folder: Path) -> None:
    description = json.loads((folder / DESCRIPTION).read_text())
    description["config"]["dataset.size"] = 10**7
    (folder / DESCRIPTION).write_text(json.dumps(description))
    with pytest.raises(UserError, match="its images of 1 x 10000000 x 10000000 values are too"):
        load_model(folder)
