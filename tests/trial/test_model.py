"""An exported model: a folder that comes back as a network, or says in words why it does not."""

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
from cae.trial.checkpoint import weights
from cae.trial.config import Trial
from cae.trial.model import DESCRIPTION, WEIGHTS, load_model, reconstruct, save_model
from cae.trial.networks.create import build


@pytest.fixture
def folder(trial: Trial, tmp_path: Path) -> Path:
    """An exported model with the weights of seed 0."""
    torch.manual_seed(0)
    save_model(
        tmp_path / "model",
        weights(build(trial)),
        trial,
        {"metrics": {"val_loss": 0.25}, "epoch": 3},
    )
    return tmp_path / "model"


def test_a_model_comes_back_with_its_weights_its_trial_and_what_is_known_of_it(
    folder: Path, trial: Trial
) -> None:
    model = load_model(folder)
    torch.manual_seed(0)
    network = build(trial)
    images = torch.rand(5, 1, 8, 8)
    assert torch.equal(model.network(images), network(images))
    assert not model.network.training
    assert model.trial == trial
    assert model.description["metrics"] == {"val_loss": 0.25}
    assert "load_model" in model.description["load"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([WEIGHTS, DESCRIPTION])
    assert load_model(str(folder)).trial == trial


def test_another_export_to_the_same_folder_replaces_the_model(folder: Path, trial: Trial) -> None:
    other = trial.override({"arch.encoder_filters": [2, 2]})
    save_model(folder, weights(build(other)), other, {})
    assert load_model(folder).trial == other


def test_an_export_that_fails_leaves_the_model_that_was_there(folder: Path, trial: Trial) -> None:
    with pytest.raises(TypeError):
        save_model(folder, weights(build(trial)), trial, {"metrics": object()})
    assert load_model(folder).description["epoch"] == 3
    assert len(list(folder.iterdir())) == 2


def described(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        said = json.loads((folder / DESCRIPTION).read_text())
        (folder / DESCRIPTION).write_text(json.dumps(change(said)))

    return write


def set_in_config(**changes: Any) -> Callable[[Path], object]:
    return described(
        lambda said: (
            said
            | {
                "config": said["config"]
                | {key.replace("__", "."): value for key, value in changes.items()}
            }
        )
    )


def remove_all(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        path.rmdir() if path.is_dir() else path.unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (remove_all, DESCRIPTION),
    "no description": (lambda folder: (folder / DESCRIPTION).unlink(), DESCRIPTION),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), WEIGHTS),
    "torn description": (lambda folder: os.truncate(folder / DESCRIPTION, 50), "not a whole model"),
    "binary description": (
        lambda folder: (folder / DESCRIPTION).write_bytes(b"\xff\xfe\x00"),
        "not a whole model",
    ),
    "description of another program": (described(lambda _: {"model_type": "bert"}), "config"),
    "description that is a list": (described(lambda _: [1, 2]), "not a whole model"),
    "configuration that is a list": (
        described(lambda said: said | {"config": ["arch"]}),
        "not a whole model",
    ),
    "no configuration": (described(lambda said: said | {"config": None}), "not a whole model"),
    "unknown architecture": (
        set_in_config(arch="transformer"),
        "arch = 'transformer' is not known",
    ),
    "unknown parameter": (set_in_config(arch__heads=8), "arch.heads"),
    "parameter out of range": (set_in_config(arch__kernel_size=0), "arch.kernel_size = 0"),
    "network that does not fit": (
        set_in_config(arch__kernel_size=9, arch__padding="valid"),
        "arch.kernel_size = 9",
    ),
    "weights of another network": (set_in_config(arch__encoder_filters=[4, 7]), "size mismatch"),
    "torn weights": (
        lambda folder: os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size - 4),
        "not a whole model",
    ),
    "empty weights": (lambda folder: (folder / WEIGHTS).write_bytes(b""), "not a whole model"),
    "pickled weights": (
        lambda folder: torch.save({"weight": torch.zeros(1)}, folder / WEIGHTS),
        "not a whole model",
    ),
    "foreign weights": (
        lambda folder: safetensors.torch.save_file({"w": torch.zeros(1)}, folder / WEIGHTS),
        "not a whole model",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_folder_that_is_no_whole_model_is_told_in_words(kind: str, folder: Path) -> None:
    breaks, words = BROKEN[kind]
    breaks(folder)
    with pytest.raises(UserError, match=words) as told:
        load_model(folder)
    assert str(folder) in str(told.value)
    assert all(len(message) < 600 and "\n" not in message for message in told.value.messages)


def test_a_file_in_the_folders_place_is_told_in_words(folder: Path) -> None:
    with pytest.raises(UserError, match="model"):
        load_model(folder / WEIGHTS)


def test_own_images_are_taken_for_what_they_are_unless_corruption_is_asked_for(
    trial: Trial, tmp_path: Path
) -> None:
    denoiser = trial.override({"task": "denoise", "task.noise_factor": 0.4})
    save_model(tmp_path, weights(build(denoiser)), denoiser, {})
    model, images = load_model(tmp_path), torch.rand(2, 1, 8, 8)
    given, output = reconstruct(model, images)
    assert torch.equal(given, images)
    assert torch.equal(output, model.network(images))
    noisy, again = (reconstruct(model, images, corrupt=True)[0] for _ in range(2))
    assert not torch.equal(noisy, images)
    assert torch.equal(noisy, again)
