"""What users pass to a model in Python: images in any form, and latent codes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
import torch
from torch import Tensor

from cae.errors import UserError
from cae.trial.datasets.image_reader import UnreadableImage, no_pillow_warnings
from cae.trial.user_images import (
    InputFormat,
    ReadingOptions,
    UserImage,
    describe_warnings,
    find_range_error,
    find_user_files,
    prepare_array,
    prepare_image,
    read_user_images,
)

if TYPE_CHECKING:
    from PIL.Image import Image

OneInput: TypeAlias = Union["str | os.PathLike[str] | Tensor | np.ndarray", "Image"]
"""A path, a tensor, an array, or an image of Pillow."""
ImageInput: TypeAlias = OneInput | Sequence[OneInput]
"""One image, an array of several, a folder, or a list of them."""
KINDS = "a path, an image of Pillow, an array of numpy, a tensor, or a list of these"


def prepare_images(images: ImageInput, inputs: InputFormat, options: ReadingOptions) -> Tensor:
    """Return images as the training images were prepared: N x C x H x W, float32 in [0, 1].

    Args:
        images: See ImageInput.
        inputs: The training images.
        options: How images are prepared.

    Raises UserError with everything that is wrong. Warns about images that are cropped, reduced to
    8 bits, or unlike the training images.
    """
    prepared: list[UserImage] = []
    errors: list[str] = []
    items = _as_list(images)
    for number, item in enumerate(items):
        name = "images"
        if isinstance(images, list | tuple):
            name = f"images[{number}]"
        try:
            prepared += _prepare(item, name, inputs, options)
        except UnreadableImage as error:
            errors.append(f"{name}: {error}")
        except UserError as error:
            errors += error.messages
    unknown_range = find_range_error(prepared, inputs, options)
    if unknown_range:
        errors.append(unknown_range)
    if errors:
        raise UserError(errors)
    if not prepared:
        raise UserError(f"images is empty: should be {KINDS}")
    _warn(prepared, inputs)
    return to_tensor(prepared)


def to_tensor(images: Sequence[UserImage]) -> Tensor:
    """Return prepared images as N x C x H x W, float32 in [0, 1].

    The memory layout is always the same: convolutions of tensors with other strides round in
    another way, also if an axis has the length 1.
    """
    stacked = torch.from_numpy(np.stack([image.values for image in images]))
    return stacked.clone(memory_format=torch.contiguous_format)


def _as_list(images: object) -> Iterable[object]:
    """The items of a list, or the single one."""
    if isinstance(images, list | tuple):
        return images
    return [images]


def _prepare(
    item: object, name: str, inputs: InputFormat, options: ReadingOptions
) -> list[UserImage]:
    """The images of one item. Raises UnreadableImage and UserError."""
    if isinstance(item, str | os.PathLike):
        files, lines = find_user_files([Path(item).expanduser()])
        read, _ = read_user_images(files, inputs, options)
        for line in lines:
            warnings.warn(line, stacklevel=5)
        return read
    if isinstance(item, Tensor):
        return prepare_array(_to_numpy(item), name, inputs, options)
    if isinstance(item, np.ndarray):
        return prepare_array(item, name, inputs, options)
    from PIL import Image

    if isinstance(item, Image.Image):
        with no_pillow_warnings():
            return [prepare_image(item, name, inputs, options)]
    raise UserError(f"{name} is of the type {type(item).__name__}: should be {KINDS}")


def _to_numpy(tensor: Tensor) -> np.ndarray:
    """A tensor as an array; bfloat16, which numpy does not have, as float32."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: np.ndarray = tensor.numpy()
    return array


def _warn(images: Sequence[UserImage], inputs: InputFormat) -> None:
    """Warn once about all images that a user has to know something about."""
    lines = describe_warnings(images, inputs)
    if lines:
        warnings.warn("\n".join(lines), stacklevel=4)


def check_codes(codes: object, latent_shape: tuple[int, ...]) -> Tensor:
    """Return latent codes as N x `latent_shape`, float32.

    `codes`: a tensor or an array, N x `latent_shape`, or one code. Raises UserError for other
    shapes and types, and for values that are not finite.
    """
    wanted = " x ".join(map(str, latent_shape))
    rule = f"should be N x {wanted}, as encode returns them, or one code of {wanted}"
    if isinstance(codes, np.ndarray) and codes.dtype.kind in "fiu":
        codes = torch.from_numpy(codes.astype(np.float32))
    if not isinstance(codes, Tensor) or codes.is_complex() or codes.dtype == torch.bool:
        kind = type(codes).__name__
        dtype = getattr(codes, "dtype", None)
        if dtype is not None:
            kind += f" of {dtype}"
        raise UserError(f"codes is a {kind}: should be a tensor or an array of numbers; {rule}")
    checked = codes.detach().cpu().to(torch.float32)
    if tuple(checked.shape) == latent_shape:
        checked = checked[None]
    if tuple(checked.shape[1:]) != latent_shape:
        shape = " x ".join(map(str, codes.shape)) or "a single number"
        raise UserError(f"codes has the shape {shape}: {rule}")
    if not len(checked):
        raise UserError(f"codes is empty: {rule}")
    if not torch.isfinite(checked).all():
        raise UserError("codes contains NaN or infinite values")
    return checked
