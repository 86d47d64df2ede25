"""Applying an exported model to a user's own images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from cae.errors import UserError
from cae.files import write_whole
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.model import load_model, reconstruct

MIN_SHOWN_PIXELS = 160
"""Small images are enlarged to about so many pixels per side in the written image."""


def reconstruct_files(
    model_folder: Path, files: Sequence[Path], out: Path, *, corrupt: bool, sweep: Path | None
) -> str:
    """Apply a model to images and write inputs beside outputs, one row per image.

    Each image is resized by its shorter side and cropped to its center. Returns what was written,
    and the error of each image. Raises UserError for files that cannot be read.

    Args:
        model_folder: A folder that `best -o` wrote.
        files: The images.
        out: The PNG file to write.
        corrupt: Corrupt the images first, as in training.
        sweep: The sweep file that defines components of the model.
    """
    if sweep:
        read_sweep_file(sweep)
    model = load_model(model_folder)
    channels, height, width = model.trial.dataset.image_shape
    pixels = np.stack([_read(file, channels, (width, height)) for file in files])
    images = torch.from_numpy(pixels).float().div(255)
    inputs, outputs = reconstruct(model, images, corrupt=corrupt)
    _write_image(inputs, outputs, out)
    errors = (outputs - images).square().flatten(1).mean(1).tolist()
    lines: list[str] = []
    for file, error in zip(files, errors, strict=True):
        lines.append(f"{file}: mean squared error {error:.6f} on pixels in [0, 1]")
    lines.append(f"written: {out} (left: inputs, {width} x {height}; right: outputs)")
    return "\n".join(lines)


def _read(file: Path, channels: int, size: tuple[int, int]) -> np.ndarray:
    """An image as uint8, C x H x W. `size`: width and height."""
    mode = "RGB"
    if channels == 1:
        mode = "L"
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image).convert(mode)
            fitted = ImageOps.fit(upright, size, Image.Resampling.LANCZOS)
    except FileNotFoundError:
        raise UserError(f"{file} does not exist") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read as an image: {error}") from None
    width, height = size
    pixels = np.asarray(fitted, np.uint8).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1).copy()


def _write_image(inputs: torch.Tensor, outputs: torch.Tensor, out: Path) -> None:
    zoom = max(1, round(MIN_SHOWN_PIXELS / max(inputs.shape[-2:])))
    rows: list[np.ndarray] = []
    for image, output in zip(inputs, outputs, strict=True):
        rows.append(np.concatenate([_enlarge(image, zoom), _enlarge(output, zoom)], axis=1))
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(buffer, "PNG")
    write_whole(out, buffer.getvalue())


def _enlarge(image: torch.Tensor, zoom: int) -> np.ndarray:
    """An image in [0, 1] as uint8, H x W x 3, each pixel as a square of `zoom` x `zoom`."""
    rgb = (image.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)
    pixels = rgb.permute(1, 2, 0).numpy()
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
