"""One's own pictures through an exported model."""

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

SHOWN_PIXELS = 160
"""About so many pixels a side in the written picture: small images are enlarged, each pixel to a square."""


def reconstruct_files(
    model_folder: Path, files: Sequence[Path], out: Path, *, corrupt: bool, sweep: Path | None
) -> str:
    """Fits each picture to the network (shorter side, then the centre), puts it through, and writes a row each: what the
    network was given, what it gave back. Returns what was written. Raises UserError for what cannot be read."""
    if sweep:
        read_sweep_file(sweep)
    model = load_model(model_folder)
    channels, height, width = model.trial.dataset.image_shape
    pixels = np.stack([_read(file, channels, (width, height)) for file in files])
    given, output = reconstruct(model, torch.from_numpy(pixels).float().div(255), corrupt=corrupt)
    zoom = max(1, round(SHOWN_PIXELS / max(height, width)))
    rows = [
        np.concatenate([_enlarged(one, zoom), _enlarged(other, zoom)], axis=1)
        for one, other in zip(given, output, strict=True)
    ]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(buffer, "PNG")
    write_whole(out, buffer.getvalue())
    error = (output - torch.from_numpy(pixels).float().div(255)).square().flatten(1).mean(1)
    told = "\n".join(
        f"{file}: mean squared error {value:.6f} on pixels in [0, 1]"
        for file, value in zip(files, error.tolist(), strict=True)
    )
    return f"{told}\nwritten: {out} (left: what the network was given, {width} x {height}; right: what it gave back)"


def _read(file: Path, channels: int, size: tuple[int, int]) -> np.ndarray:
    """uint8 C x H x W."""
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
            fitted = ImageOps.fit(upright, size, Image.Resampling.LANCZOS)
    except FileNotFoundError:
        raise UserError(f"{file} is not there") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read as a picture: {error}") from None
    return (
        np.asarray(fitted, np.uint8).reshape(size[1], size[0], channels).transpose(2, 0, 1).copy()
    )


def _enlarged(image: torch.Tensor, zoom: int) -> np.ndarray:
    """uint8 H x W x 3."""
    rgb = (
        (image.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).numpy()
    )
    return rgb.repeat(zoom, axis=0).repeat(zoom, axis=1)
