"""Reconstructions: the same samples through the best and the worst networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from cae.report import formatting
from cae.report.data.cells import is_missing
from cae.report.data.parameters import varying_parameters
from cae.report.data.results import Results
from cae.report.page.images import (
    Pixels,
    is_image_batch,
    read_arrays,
    reduce,
    reduction_factor,
    to_data_uri,
)
from cae.report.page.section import SectionContent, section

BEST = 10
WORST = 3
SAMPLES = 8
ERROR_GAIN = 4
"""The error is shown this many times brighter, clipped at white: small errors would be black."""
MAX_BYTES = 2_500_000
"""Of all images of the section; the trials beyond are left out."""
GAP = 1
"""Pixels between two images of a sheet."""


class Samples(NamedTuple):
    """Images of a trial, N x C x H x W."""

    input: Pixels
    target: Pixels
    output: Pixels


@dataclass(frozen=True)
class SampleSheet:
    """One PNG image with all samples of a trial: a row per kind of image, a column per sample."""

    source: str
    rows: list[str]
    """Names of the rows."""
    columns: int
    width: int
    height: int
    factor: int
    """By how much the images are reduced."""


@dataclass(frozen=True)
class Strip:
    """The samples of one trial, with the text above them."""

    trial: int
    """Index in the table of trials."""
    group: str
    """best or worst."""
    label: str
    value: str
    settings: list[str]
    image: SampleSheet


@dataclass(frozen=True, kw_only=True)
class ReconstructionsContent(SectionContent):
    strips: Sequence[Strip] = ()


@section("reconstructions", title="Reconstructions", order=130)
def reconstructions_section(results: Results) -> SectionContent:
    ranked = results.ranked
    worst = ranked.iloc[max(BEST, len(ranked) - WORST) :]
    candidates = [(index, "best") for index in ranked.index[:BEST]]
    candidates += [(index, "worst") for index in worst.index]
    names = varying_parameters(results, results.trials)
    strips: list[Strip] = []
    size = 0
    for index, group in candidates:
        row = ranked.loc[index]
        folder = results.folder(row["run"]).trial(row["trial"])
        sheet = make_sheet(folder / "samples.npz")
        if sheet is None or size > MAX_BYTES:
            continue
        size += len(sheet.source)
        value = f"{results.metric} {formatting.number(results.values[index])}"
        strips.append(
            Strip(int(index), group, results.labels[index], value, _settings(row, names), sheet)
        )
    if not strips:
        return ReconstructionsContent(verdict="No trial has saved samples.", is_empty=True)
    return ReconstructionsContent(
        verdict=_verdict(results, strips, left_out=len(candidates) - len(strips)),
        method=(
            "The samples are the same for the whole sweep and come from each trial's best epoch. "
            "|error| is the absolute difference of target and output, averaged over the channels, "
            f"{ERROR_GAIN} times brighter and clipped at white. The images are lossless; "
            "trials/*/samples.npz contains them."
        ),
        strips=strips,
    )


def _settings(trial: pd.Series[Any], names: list[str]) -> list[str]:
    names = [name for name in names if not is_missing(trial[name])]
    return [f"{name}\u00a0{formatting.parameter(trial[name])}" for name in names]


def _verdict(results: Results, strips: list[Strip], left_out: int) -> str:
    best_count = len([strip for strip in strips if strip.group == "best"])
    trials = f"the best {formatting.plural(best_count, 'trial')}"
    if len(strips) > best_count:
        trials += f" and the worst {len(strips) - best_count}"
    samples = strips[0].image.columns
    sentences = [f"The same {samples} samples through {trials} by {results.metric}."]
    if left_out:
        sentences.append(
            f"{formatting.plural(left_out, 'trial')} left out: no readable samples, or no room on "
            "the page."
        )
    return formatting.sentences(sentences)


def make_sheet(path: Path) -> SampleSheet | None:
    """Return the samples of a trial as one image; None if the file is missing or damaged."""
    samples = load_samples(path)
    if samples is None:
        return None
    rows = _rows(samples)
    sides = [max(images.shape[2:]) for images in rows.values()]
    factor = reduction_factor(max(sides))
    reduced = [reduce(images, factor) for images in rows.values()]
    height = max(images.shape[2] for images in reduced)
    width = max(images.shape[3] for images in reduced)
    image = compose(reduced, height, width)
    return SampleSheet(
        source=to_data_uri(image),
        rows=list(rows),
        columns=len(samples.output),
        width=image.width,
        height=image.height,
        factor=factor,
    )


def _rows(samples: Samples) -> dict[str, Pixels]:
    """Return the images of each row by its name. Equal inputs and targets share a row."""
    rows = {"input": samples.input, "target": samples.target}
    if np.array_equal(samples.input, samples.target):
        rows = {"input and target": samples.input}
    rows["output"] = samples.output
    if samples.target.shape == samples.output.shape:
        rows[f"|error|, {ERROR_GAIN} times"] = error_images(samples.target, samples.output)
    return rows


def load_samples(path: Path) -> Samples | None:
    """Read the first samples of a trial; None if the file is missing or damaged."""
    arrays = read_arrays(path, *Samples._fields)
    if not arrays:
        return None
    batches = []
    for name in Samples._fields:
        batch = arrays[name][:SAMPLES]
        if not is_image_batch(batch) or not batch.size:
            return None
        batches.append(batch.astype(np.uint8, copy=False))
    samples = Samples(*batches)
    if not len(samples.input) == len(samples.target) == len(samples.output):
        return None
    return samples


def error_images(target: Pixels, output: Pixels) -> Pixels:
    """Return the absolute error, averaged over the channels and brightened."""
    difference = np.abs(target.astype(np.float32) - output.astype(np.float32))
    error = difference.mean(axis=1, keepdims=True)
    return np.asarray(np.clip(ERROR_GAIN * error, 0, 255).round(), dtype=np.uint8)


def compose(rows: list[Pixels], height: int, width: int) -> Image.Image:
    """Arrange rows of images on one sheet of cells of height x width pixels.

    Smaller images are enlarged by a whole factor and centered; the rest is transparent.
    """
    has_color = any(images.shape[1] == 3 for images in rows)
    channels = 1
    mode = "LA"
    if has_color:
        channels = 3
        mode = "RGBA"
    columns = max(len(images) for images in rows)
    sheet_height = len(rows) * (height + GAP) - GAP
    sheet_width = columns * (width + GAP) - GAP
    sheet = np.zeros((sheet_height, sheet_width, channels + 1), dtype=np.uint8)
    for row, images in enumerate(rows):
        for column, pixels in enumerate(images):
            scale = max(1, min(height // pixels.shape[1], width // pixels.shape[2]))
            enlarged = np.repeat(np.repeat(pixels, scale, axis=1), scale, axis=2)
            block = enlarged.transpose(1, 2, 0)
            top = row * (height + GAP) + (height - block.shape[0]) // 2
            left = column * (width + GAP) + (width - block.shape[1]) // 2
            cell = sheet[top : top + block.shape[0], left : left + block.shape[1]]
            cell[..., :-1] = block
            cell[..., -1] = 255
    return Image.fromarray(sheet, mode)
