"""An exported model: a folder with `model.safetensors` (the weights alone) and `model.json` (all that is known of them)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from cae.errors import UserError
from cae.files import write_whole
from cae.trial.config import ConfigError, Trial, from_flat
from cae.trial.networks.create import build

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
HOW_TO_LOAD = "import cae; model = cae.load_model(FOLDER); output = model.network(images)  # B x C x H x W floats in [0, 1]"


@dataclass(frozen=True)
class Model:
    """A trained network, ready to be used."""

    network: nn.Module
    """In evaluation mode, on the CPU."""
    trial: Trial
    description: dict[str, Any]
    """What `model.json` says: config, metrics of the epoch, where it comes from."""


def save_model(
    folder: Path, network: Mapping[str, Tensor], trial: Trial, said: Mapping[str, Any]
) -> None:
    """Writes both files, each whole or not at all; the description last, so that a folder with one is a whole model."""
    description = {"format": 1, "load": HOW_TO_LOAD, "config": trial.flat(), **said}
    write_whole(folder / WEIGHTS, safetensors.torch.save(dict(network), {"format": "pt"}))
    write_whole(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def load_model(folder: str | os.PathLike[str]) -> Model:
    """Reads what `cae-sweep best -o` wrote. Nothing is unpickled and no code of the folder is run.

    A model whose architecture a sweep file defined needs that file imported before. Raises UserError where the folder holds
    no whole model.
    """
    place = Path(folder)
    try:
        description = json.loads((place / DESCRIPTION).read_text())
        trial = from_flat(description["config"])
        network = build(trial)
        network.load_state_dict(safetensors.torch.load_file(place / WEIGHTS))
    except FileNotFoundError as error:
        raise UserError(
            f"{place} is not an exported model: it has no {Path(error.filename or WEIGHTS).name}"
        ) from None
    except ConfigError as error:
        raise UserError(
            [f"{place / DESCRIPTION}: {message}" for message in error.messages]
        ) from None
    except (
        safetensors.SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        OSError,
    ) as error:
        raise UserError(
            f"{place} is not a whole model: {' '.join(str(error).split())[:300]}"
        ) from None
    return Model(network.eval(), trial, description)


def reconstruct(model: Model, images: Tensor, *, corrupt: bool = False) -> tuple[Tensor, Tensor]:
    """What the network is given for these images, and what it gives back; B x C x H x W floats in [0, 1].

    `corrupt` puts the images through the task's own corruption first (noise, say), as in training; without it they are
    taken for what they are.
    """
    generator, labels = (
        torch.Generator().manual_seed(0),
        torch.zeros(len(images), dtype=torch.int64),
    )
    given = (
        model.trial.task.pairs(images, labels, generator)[0]
        if corrupt or not model.trial.task.corrupts
        else images
    )
    with torch.inference_mode():
        return given, model.network(given)
