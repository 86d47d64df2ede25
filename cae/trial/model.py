"""Exported models: a folder with the weights and a description in JSON."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from cae.errors import UserError
from cae.files import check_regular, write_whole
from cae.trial.config import ConfigError, Trial, from_flat
from cae.trial.networks.create import build_network_like
from cae.trial.pixel_format import PixelFormat, recorded_format
from cae.trial.user_code import digest

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
OTHER_CODE = (
    "the source code of the model's components differs from that with which it was trained; its "
    "outputs may, too"
)
MAX_DESCRIPTION_BYTES = 2**26
MAX_IMAGE_VALUES = 2**28
"""An image as float32 has at most 1 GB."""
BATCH = 500
"""Images per forward pass."""
MAX_REASON_CHARACTERS = 300
"""Longest reason in an error message: those of PyTorch list every tensor of the network."""


@dataclass(frozen=True)
class Model:
    """A trained network that was exported."""

    network: nn.Module
    """On the CPU, in evaluation mode."""
    trial: Trial
    """The configuration with which it was trained."""
    description: dict[str, Any]
    """The content of `model.json`: configuration, metrics of the epoch, provenance."""

    @property
    def has_other_code(self) -> bool:
        """Whether components of the user's are not defined as they were when it was trained."""
        code = self.description.get("code")
        return bool(code) and code != digest(self.trial.code())

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes by number; empty if they are not known."""
        names = self.description.get("class_names")
        if isinstance(names, list):
            return tuple(map(str, names))
        return self.trial.dataset.class_names

    @property
    def pixel_format(self) -> PixelFormat:
        """The type and range of the training images.

        Raises UserError if the model does not record them, and its data set may have several.
        """
        pixels = recorded_format(self.description.get("pixels"), self.trial.dataset)
        if pixels is None:
            raise UserError(
                "the model does not record the type and the value range of its training images "
                f"(dataset = {self.trial.dataset.name!r}; it was exported by an older version, or "
                "with --no-verify from a run of one), so that images cannot be prepared for it: "
                "export it again, with the images: cae-sweep best RUN --trial N -o DIR"
            )
        return pixels


class Applied(NamedTuple):
    """A model applied to images, B each."""

    inputs: Tensor
    """Inputs of the network that the task made from the images."""
    outputs: Tensor
    targets: Tensor
    """What the outputs should be. Those of a classifier are not known: class 0."""


def save_model(
    folder: Path,
    network: Mapping[str, Tensor],
    trial: Trial | Mapping[str, object],
    description: Mapping[str, object],
    components_file: str = "",
) -> None:
    """Write a model.

    `network`: the state_dict, `trial`: the trial or its flat configuration, `description`: further
    entries of `model.json`, `components_file`: the file that defines its components; empty if all
    are built in.

    Each file is written completely or not at all, `model.json` last: a folder that contains it is a
    complete model.
    """
    if isinstance(trial, Trial):
        trial = trial.flat()
    load = how_to_load("FOLDER", Path(components_file).name)
    usage = f"{load}; output = model.network(images)  # B x C x H x W floats in [0, 1]"
    content = {"format": 1, "load": usage, "config": dict(trial), **description}
    write_whole(folder / WEIGHTS, safetensors.torch.save(dict(network), {"format": "pt"}))
    write_whole(folder / DESCRIPTION, json.dumps(content, indent=2) + "\n")


def how_to_load(folder: str, components_file: str = "") -> str:
    """A line of Python that loads a model.

    Args:
        folder: Its folder.
        components_file: The file that defines its components; empty if all are built in.
    """
    components = ""
    if components_file:
        components = f"cae.load_components({components_file!r}); "
    return f"import cae; {components}model = cae.load_model({folder!r})"


def load_model(folder: str | os.PathLike[str]) -> Model:
    """Read a model that `cae-sweep best -o FOLDER` wrote.

    Nothing is unpickled, and no code from the folder is executed.

    If a sweep file defines components of the model, `load_components` has to execute it before; if
    they are defined in another way than in the training, there is a warning. Raises UserError if
    the folder does not contain a complete model.
    """
    model = read_model(Path(folder))
    if model.has_other_code:
        warnings.warn(f"{folder}: {OTHER_CODE}", stacklevel=2)
    return model


def read_model(path: Path) -> Model:
    """Read a model as `load_model` does, without its warning."""
    try:
        check_regular(path / DESCRIPTION, MAX_DESCRIPTION_BYTES)
        check_regular(path / WEIGHTS)
        description = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        trial = from_flat(description["config"])
        _check_size(trial.dataset.image_shape)
        weights = safetensors.torch.load_file(path / WEIGHTS)
        network = build_network_like(trial, weights)
    except FileNotFoundError as error:
        missing = Path(error.filename or WEIGHTS).name
        raise UserError(f"{path} is not an exported model: {missing} is missing") from None
    except ConfigError as error:
        messages = []
        for message in error.messages:
            if "is not known" in message:
                message += (
                    "; if a sweep file defines it: cae.load_components(FILE), or --sweep FILE"
                )
            messages.append(f"{path / DESCRIPTION}: {message}")
        raise UserError(messages) from None
    except (
        safetensors.SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        OSError,
        RecursionError,
        MemoryError,
    ) as error:
        reason = " ".join(str(error).split())[:MAX_REASON_CHARACTERS]
        raise UserError(f"{path} is not a complete model: {reason}") from None
    return Model(network.eval(), trial, description)


def _check_size(image_shape: tuple[int, ...]) -> None:
    """Raise ValueError for images that would not fit into the memory: a model of others may
    describe any."""
    if math.prod(image_shape) > MAX_IMAGE_VALUES:
        size = " x ".join(map(str, image_shape))
        raise ValueError(f"its images of {size} values are too large")


def apply_model(model: Model, images: Tensor, *, corrupt: bool = False) -> Applied:
    """Apply a model to images, B x C x H x W in [0, 1].

    With `corrupt`, a task that corrupts its inputs (with noise, for example) corrupts the images as
    in training, with a fixed seed; without it, the images are used as inputs unchanged. Other tasks
    always make their inputs from the images.
    """
    task = model.trial.task
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(len(images), dtype=torch.int64)
    inputs, targets = task.pairs(images, labels, generator)
    if task.corrupts and not corrupt:
        inputs = images
    outputs: list[Tensor] = []
    with torch.inference_mode():
        for batch in inputs.split(BATCH):
            outputs.append(model.network(batch))
    return Applied(inputs, torch.cat(outputs), targets)


def reconstruct(model: Model, images: Tensor, *, corrupt: bool = False) -> tuple[Tensor, Tensor]:
    """Return the network's inputs and outputs for images, all B x C x H x W.

    See `apply_model`.
    """
    applied = apply_model(model, images, corrupt=corrupt)
    return applied.inputs, applied.outputs
