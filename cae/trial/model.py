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

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from cae.errors import UserError
from cae.files import check_regular, write_whole
from cae.trial import image_statistics, latent_code
from cae.trial.config import Trial, from_flat
from cae.trial.datasets.image_reader import Fit
from cae.trial.messages import ConfigError
from cae.trial.model_inputs import ImageInput, check_codes, prepare_images
from cae.trial.networks.create import build_network_like
from cae.trial.pixel_format import PixelFormat, recorded_format
from cae.trial.tasks.base import Display
from cae.trial.user_code import digest
from cae.trial.user_images import InputFormat, ReadingOptions

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
    """A trained network: encodes images, decodes latent codes, and reconstructs images.

    Images are given as files, folders, images of Pillow, arrays of numpy or tensors, one or a list
    of them, and prepared as the training images were: the same size, channels and range. An array
    is C x H x W or H x W x C (H x W for gray images), with N before for several images; uint8 in
    0..255, bool, floats in [0, 1], or the type and the range of the training images
    (`pixel_format`). Results are float32 tensors on the CPU.
    """

    network: nn.Module
    """On the CPU, in evaluation mode."""
    trial: Trial
    """The configuration with which it was trained."""
    description: dict[str, Any]
    """The content of `model.json`: configuration, metrics of the epoch, provenance."""

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        images = " x ".join(map(str, self.trial.dataset.image_shape))
        return (
            f"<Model {self.trial.arch.name}, {parameters:,} parameters, {self.trial.task.name} of "
            f"{self.trial.dataset.name}, {images}>"
        )

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
                "the type and the value range of the training images are not recorded (dataset = "
                f"{self.trial.dataset.name!r}; older versions did not), so that images cannot be "
                "prepared for the model: export it with its images: cae-sweep best RUN --trial N "
                "-o DIR"
            )
        return pixels

    @property
    def device(self) -> torch.device:
        """Where the network is: the CPU, unless it was moved."""
        for parameter in self.network.parameters():
            return parameter.device
        return torch.device("cpu")

    @property
    def input_format(self) -> InputFormat:
        """What readers of images need to know. Raises UserError as `pixel_format` does."""
        training = image_statistics.from_json(self.description.get("training_images"))
        return InputFormat(self.trial.dataset, self.pixel_format, training)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of the latent code of an image: (C, H, W), or (values,).

        Raises UserError if the network has no encoder.
        """
        shape = self.trial.task.input_shape(self.trial.dataset.image_shape)
        return tuple(self._encode_inputs(torch.zeros(1, *shape)).shape[1:])

    def inputs(
        self,
        images: ImageInput,
        *,
        fit: Fit = "crop",
        invert: bool = False,
        max_value: int | None = None,
    ) -> Tensor:
        """Return the inputs of the network for images: N x C x H x W, float32.

        A task that draws its inputs at random (`denoise`) gets the images unchanged; other tasks
        make their inputs from the images (a gray image, the left half).

        Args:
            images: Files, folders, images of Pillow, arrays or tensors, one or a list (see the
                class).
            fit: How images of another shape get that of the training images: crop, pad or
                stretch.
            invert: Whether to invert the pixels first: black becomes white.
            max_value: Value of white in images and arrays of more than 8 bits; None: that of the
                training images.

        Raises UserError for images that cannot be read, and arrays of a wrong shape, type or range.
        Warns about images that are cropped, or unlike the training images.
        """
        options = ReadingOptions(invert=invert, fit=fit, max_value=max_value)
        prepared = prepare_images(images, self.input_format, options)
        return _task_inputs(self, prepared, corrupt=False)[0]

    def encode(
        self,
        images: ImageInput,
        *,
        fit: Fit = "crop",
        invert: bool = False,
        max_value: int | None = None,
    ) -> Tensor:
        """Return the latent codes of images: N x `latent_shape`, float32.

        They are the outputs of the network's encoder in evaluation mode, bit for bit; those of a
        variational autoencoder are the means of its distributions. The arguments are those of
        `inputs`, and so are the errors; UserError, too, if the network has no encoder.
        """
        options = ReadingOptions(invert=invert, fit=fit, max_value=max_value)
        return self.encode_prepared(prepare_images(images, self.input_format, options))

    def encode_prepared(self, images: Tensor) -> Tensor:
        """Return the latent codes of images that are prepared: N x C x H x W in [0, 1], of the size
        of the training images. Raises UserError if the network has no encoder."""
        return self._encode_inputs(_task_inputs(self, images, corrupt=False)[0])

    def decode(self, codes: Tensor | np.ndarray) -> Tensor:
        """Return the outputs of the network for latent codes: N x C x H x W, float32.

        `codes`: N x `latent_shape`, or one code of this shape; finite numbers. Black and white are
        0 and 1; outputs may be slightly outside, unless the last activation prevents it.

        Raises UserError for codes of another shape or type, and if the network has no decoder that
        needs the latent code alone: networks with skips, classifiers.
        """
        self._decoder()
        checked = check_codes(codes, self.latent_shape)
        return latent_code.decode(self.network, checked.to(self.device)).cpu()

    def reconstruct(
        self,
        images: ImageInput,
        *,
        corrupt: bool = False,
        fit: Fit = "crop",
        invert: bool = False,
        max_value: int | None = None,
    ) -> Tensor:
        """Return the outputs for images as images: N x C x H x W, float32, black 0 and white 1.

        They are what `cae-sweep reconstruct` writes; a normalization of the contrast is undone (on
        the scale of the network they are `model.network(model.inputs(images))`). With `corrupt`, a
        task that corrupts its inputs (with noise, for example) corrupts the images as in training,
        with a fixed seed. The other arguments and the errors are those of `inputs`; UserError, too,
        for a classifier, whose outputs are no images, and for `corrupt` if the task does not
        corrupt.
        """
        task = self.trial.task
        if corrupt and not task.corrupts:
            raise UserError(
                f"corrupt = True: the task {task.name!r} does not corrupt images at random"
            )
        options = ReadingOptions(invert=invert, fit=fit, max_value=max_value)
        prepared = prepare_images(images, self.input_format, options)
        applied = apply_model(self, prepared, corrupt=corrupt)
        shown = display_applied(self, prepared, applied)
        columns = dict(shown.columns)
        if "outputs" not in columns:
            raise UserError(
                f"reconstruct: the outputs of the task {task.name!r} are no images; they are "
                "model.network(model.inputs(images))"
            )
        return columns["outputs"]

    def interpolate(self, a: ImageInput, b: ImageInput, steps: int = 8) -> Tensor:
        """Return outputs for latent codes on the line from that of an image to that of another.

        Args:
            a: The first image.
            b: The last image.
            steps: Number of outputs, both ends included; at least 2.

        Returns:
            steps x C x H x W, float32.

        Raises UserError as `encode` and `decode` do, and if there are several images.
        """
        if steps < 2:
            raise UserError(f"steps = {steps}: should be at least 2, both ends included")
        self._decoder()
        ends: list[Tensor] = []
        for name, images in (("a", a), ("b", b)):
            codes = self.encode(images)
            if len(codes) != 1:
                raise UserError(f"{name} has {len(codes)} images: should be one")
            ends.append(codes)
        weights = torch.linspace(0, 1, steps).view(-1, *[1] * (ends[0].ndim - 1))
        return self.decode(torch.lerp(ends[0], ends[1], weights))

    def _encode_inputs(self, inputs: Tensor) -> Tensor:
        try:
            return latent_code.encode(self.network, inputs.to(self.device)).cpu()
        except latent_code.NoLatentCode as error:
            raise UserError(str(error)) from None

    def _decoder(self) -> nn.Module:
        """The decoder. Raises UserError if it needs more than the latent code, or is missing."""
        try:
            return latent_code.decoder_of(self.network)
        except latent_code.NoLatentCode as error:
            raise UserError(str(error)) from None


PIXEL_COLUMNS = ("inputs", "outputs", "targets")
"""What tasks display on the scale of the network's inputs."""


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
    text = json.dumps(_without_nan(content), indent=2, allow_nan=False)
    write_whole(folder / DESCRIPTION, f"{text}\n")


def _without_nan(value: object) -> object:
    """Replace NaN and infinity, which JSON does not have, by None: metrics of the user's."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value


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
    inputs, targets = _task_inputs(model, images, corrupt=corrupt)
    outputs: list[Tensor] = []
    device = model.device
    with torch.inference_mode():
        for batch in inputs.split(BATCH):
            outputs.append(model.network(batch.to(device)).cpu())
    return Applied(inputs, torch.cat(outputs), targets)


def display_applied(model: Model, images: Tensor, applied: Applied) -> Display:
    """What the task shows of a model that was applied to images, with their pixel values.

    `images`: those that `apply_model` received, B x C x H x W in [0, 1].
    """
    task = model.trial.task
    shown = task.display(applied.inputs, applied.outputs, applied.targets, model.class_names)
    columns: list[tuple[str, Tensor]] = []
    for title, column in shown.columns:
        if title in PIXEL_COLUMNS:
            column = task.to_pixels(images, column)
        columns.append((title, column))
    return Display(columns, shown.texts)


def _task_inputs(model: Model, images: Tensor, *, corrupt: bool) -> tuple[Tensor, Tensor]:
    """The inputs and targets that the task makes from images."""
    task = model.trial.task
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(len(images), dtype=torch.int64)
    inputs, targets = task.pairs(images, labels, generator)
    if task.corrupts and not corrupt:
        inputs = images
    return inputs, targets
