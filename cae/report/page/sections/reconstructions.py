"""What reconstructions look like: the same fixed samples through the best and the worst networks."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import Results
from cae.report.page.sections.base import Section

Pixels = npt.NDArray[np.uint8]

BEST, WORST, SAMPLES = 10, 3, 8
GAIN = 4
"""|error| is shown that many times brighter, clipped at white: small errors are black otherwise."""
LARGEST = 64
"""Pixels on a side; larger images are shown reduced by a whole factor, and the page says so."""
MOST_BYTES = 2_500_000
GAP = 1


def images(results: Results, _rows: list[dict[str, Any]]) -> Section:
    ranked = results.ranked
    worst = ranked.iloc[max(BEST, len(ranked) - WORST) :]
    names = scales.varying(results, results.trials)
    cards, spent, without = [], 0, 0
    for place, frame in (("best", ranked.head(BEST)), ("worst", worst)):
        for index, row in zip(frame.index, frame.to_dict("records"), strict=True):
            strip = sprite(results.folder(row["run"]).trial(row["trial"]) / "samples.npz")
            if strip is None or spent > MOST_BYTES:
                without += 1
                continue
            spent += len(strip["source"])
            label, value = results.labels[index], formatting.number(results.values[index])
            settings = [
                f"{name}\u00a0{formatting.parameter(row[name])}"
                for name in names
                if not scales.missing(row[name])
            ]
            cards.append(
                {
                    **strip,
                    "place": place,
                    "key": int(index),
                    "label": label,
                    "value": value,
                    "settings": settings,
                }
            )
    if not cards:
        return Section(
            "images", "Reconstructions", "No trial has saved samples to show.", empty=True
        )
    best = sum(card["place"] == "best" for card in cards)
    low = f" and the worst {len(cards) - best} trials" if len(cards) > best else ""
    missing = (
        f" {formatting.plural(without, 'trial')} without readable samples or beyond the page's budget of bytes left out."
        if without
        else ""
    )
    return Section(
        "images",
        "Reconstructions",
        f"The same {cards[0]['columns']} samples through the best {formatting.plural(best, 'trial')}{low} by {results.metric}.{missing}",
        how=f"Samples are fixed for the whole sweep and come from each trial's best epoch. |error| is the absolute difference of target "
        f"and output, mean over the channels, {GAIN} times brighter and clipped at white. The images "
        "are lossless; trials/*/samples.npz hold them.",
        data={"cards": cards, "metric": results.metric},
    )


def sprite(path: Path) -> dict[str, Any] | None:
    """One PNG that holds all rows of one trial's samples, as a data URI; None where there are none, or they are damaged."""
    arrays = load(path)
    if arrays is None:
        return None
    given, target, output = arrays
    rows = [("input and target", given), ("output", output)]
    if given.shape != target.shape or not np.array_equal(given, target):
        rows = [("input", given), ("target", target), ("output", output)]
    if target.shape == output.shape:
        rows.append((f"|error|, {GAIN} times", error(target, output)))
    side = max(max(images.shape[2:]) for _, images in rows)
    factor = -(-side // LARGEST)
    height, width = (max(-(-images.shape[axis] // factor) for _, images in rows) for axis in (2, 3))
    image = compose([reduced(images, factor) for _, images in rows], height, width)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return {
        "source": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
        "rows": [name for name, _ in rows],
        "columns": len(output),
        "width": image.width,
        "height": image.height,
        "factor": factor,
    }


def read_arrays(path: Path, *needed: str) -> dict[str, Any]:
    """All arrays of a file; none where it is missing, damaged or lacks one that is needed. Nothing is unpickled."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = {name: np.asarray(archive[name]) for name in archive.files}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return {}
    return found if found.keys() >= set(needed) else {}


def load(path: Path) -> tuple[Pixels, Pixels, Pixels] | None:
    """input, target and output, N x C x H x W."""
    if not (found := read_arrays(path, "input", "target", "output")):
        return None
    arrays = tuple(found[name][:SAMPLES] for name in ("input", "target", "output"))
    whole = all(
        images.ndim == 4 and images.dtype == np.uint8 and images.size and images.shape[1] in (1, 3)
        for images in arrays
    )
    return (
        (arrays[0], arrays[1], arrays[2])
        if whole and len({len(images) for images in arrays}) == 1
        else None
    )


def error(target: Pixels, output: Pixels) -> Pixels:
    difference = np.abs(target.astype(np.float32) - output.astype(np.float32)).mean(
        axis=1, keepdims=True
    )
    return np.asarray(np.clip(GAIN * difference, 0, 255).round(), dtype=np.uint8)


def reduced(images: Pixels, factor: int) -> Pixels:
    """Mean over blocks of factor x factor pixels; edges that do not fill a block are repeated."""
    if factor == 1:
        return images
    padded = np.pad(
        images,
        ((0, 0), (0, 0), (0, -images.shape[2] % factor), (0, -images.shape[3] % factor)),
        mode="edge",
    )
    count, channels, height, width = padded.shape
    blocks = padded.reshape(count, channels, height // factor, factor, width // factor, factor)
    return np.asarray(blocks.mean(axis=(3, 5)).round(), dtype=np.uint8)


def compose(rows: list[Pixels], height: int, width: int) -> Image.Image:
    """Rows of images on one sheet, each cell height x width; smaller images are enlarged by a whole factor and centred."""
    colour = any(images.shape[1] == 3 for images in rows)
    columns = max(len(images) for images in rows)
    sheet = np.zeros(
        (len(rows) * (height + GAP) - GAP, columns * (width + GAP) - GAP, 4 if colour else 2),
        dtype=np.uint8,
    )
    for row, images in enumerate(rows):
        for column, pixels in enumerate(images):
            times = max(1, min(height // pixels.shape[1], width // pixels.shape[2]))
            block = np.repeat(np.repeat(pixels, times, axis=1), times, axis=2).transpose(1, 2, 0)
            top = row * (height + GAP) + (height - block.shape[0]) // 2
            left = column * (width + GAP) + (width - block.shape[1]) // 2
            cell = sheet[top : top + block.shape[0], left : left + block.shape[1]]
            cell[..., :-1] = block
            cell[..., -1] = 255
    return Image.fromarray(sheet, "RGBA" if colour else "LA")
