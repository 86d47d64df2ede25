"""The files that `reconstruct` writes: an image for people, or arrays for programs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cae.errors import UserError
from cae.files import write_output
from cae.trial.datasets.pixel_values import format_range, from_unit
from cae.trial.display import tile_channels
from cae.trial.pixel_format import PixelFormat

MIN_SHOWN_PIXELS = 160
"""Small images are enlarged to about so many pixels per side in the written image."""
MAX_ROWS = 64
"""Images that are shown; the numbers of all are printed."""
WRITTEN_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".npy": "NPY",
    ".npz": "NPZ",
}
"""Formats of the written file, by suffix."""
ARRAY_FORMATS = ("NPY", "NPZ", "TIFF stack")


def find_format(out: Path, pixels: PixelFormat) -> str:
    """Return the format of a file by its suffix. Raises UserError.

    For images of more than 8 bits, a TIFF file is a stack of the outputs.
    """
    file_format = WRITTEN_FORMATS.get(out.suffix.lower())
    if file_format is None:
        raise UserError(
            f"-o {out}: the suffix is the format of the image; use {', '.join(WRITTEN_FORMATS)}"
        )
    if file_format == "TIFF" and pixels.dtype != "uint8":
        return "TIFF stack"
    return file_format


def write_arrays(
    columns: Sequence[tuple[str, torch.Tensor]], out: Path, file_format: str, pixels: PixelFormat
) -> str:
    """Write the outputs, N x C x H x W, in the type and range of the training images.

    Returns a line about the file. An archive contains all columns (inputs, outputs, targets).
    Raises UserError if there are no outputs.
    """
    arrays: dict[str, np.ndarray] = {}
    for title, images in columns:
        arrays[title] = from_unit(images.cpu().numpy(), pixels.dtype, pixels.value_range)
    if "outputs" not in arrays:
        raise UserError(
            f"-o {out}: the outputs of this task are no images ({', '.join(arrays)}); use .png"
        )
    outputs = np.ascontiguousarray(arrays["outputs"])
    buffer = io.BytesIO()
    contents = "outputs"
    if file_format == "NPY":
        np.save(buffer, outputs)
    elif file_format == "NPZ":
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        contents = ", ".join(arrays)
    else:
        _write_stack(buffer, outputs, out)
    write_output(out, buffer.getvalue())
    shape = " x ".join(map(str, outputs.shape))
    return (
        f"written: {out} ({contents}: {shape}, {pixels.dtype}, "
        f"black and white are {format_range(pixels.value_range)})"
    )


def _write_stack(buffer: io.BytesIO, outputs: np.ndarray, out: Path) -> None:
    try:
        import tifffile
    except ImportError:
        raise UserError(
            f"-o {out}: TIFF stacks are written by the library tifffile, which is not installed: "
            "pip install 'cae-sweep[tiff]', or use .npy"
        ) from None
    if outputs.dtype == np.float16:  # most programs cannot read it
        outputs = outputs.astype(np.float32)
    tifffile.imwrite(buffer, outputs, photometric="minisblack", metadata={"axes": "ICYX"})


def write_image(columns: Sequence[torch.Tensor], out: Path, file_format: str) -> None:
    """Write a row per image with a cell per column, each enlarged by a whole factor."""
    from PIL import Image

    cells = [_to_cells(column[:MAX_ROWS]) for column in columns]
    height = max(cell.shape[1] for cell in cells)
    rows: list[np.ndarray] = []
    for index in range(len(cells[0])):
        row: list[np.ndarray] = []
        for cell in cells:
            missing = height - cell.shape[1]
            row.append(np.pad(cell[index], ((0, missing), (0, 0), (0, 0))))
        rows.append(np.concatenate(row, axis=1))
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.concatenate(rows)).save(buffer, file_format)
    except (OSError, ValueError) as error:
        raise UserError(
            f"-o {out}: cannot be written as {file_format}: {error}; use .png"
        ) from None
    write_output(out, buffer.getvalue())


def _to_cells(images: torch.Tensor) -> np.ndarray:
    """Images in [0, 1] as uint8, N x H x W x 3, each pixel as a square."""
    tiles = tile_channels(images)
    zoom = max(1, round(MIN_SHOWN_PIXELS / max(tiles.shape[-2:])))
    rgb = (tiles.clamp(0, 1).nan_to_num() * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)
    pixels = rgb.permute(0, 2, 3, 1).numpy()
    return pixels.repeat(zoom, axis=1).repeat(zoom, axis=2)
