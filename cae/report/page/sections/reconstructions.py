"""Reconstructions: the same samples through the best and the worst networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from cae.report import formatting
from cae.report.data.axis import has_none
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
from cae.report.page.wording import state_note

MAX_BEST_TRIALS = 10
MAX_WORST_TRIALS = 3
MAX_SAMPLES = 8
ERROR_GAIN = 4
"""The absolute error is multiplied by this and clipped at white: otherwise small errors would look
black."""
MAX_BYTES = 2_500_000
"""Limit for the images of the section, as data URIs; later trials are left out."""
GAP_PIXELS = 1
"""Space between two images of a sheet."""


class Samples(NamedTuple):
    """Images of a trial: uint8, N x C x H x W, where C is 1 or 3."""

    input: Pixels
    target: Pixels
    output: Pixels


@dataclass(frozen=True)
class SampleSheet:
    """One PNG image with all samples of a trial: a row per kind of image, a column per sample."""

    data_uri: str
    row_names: list[str]
    columns: int
    width: int
    height: int
    reduction_factor: int
    """Height and width of the images are divided by this."""


@dataclass(frozen=True)
class Strip:
    """The samples of one trial, with the text above them."""

    trial_index: int
    """Index in `Results.trials`; not the trial's number."""
    group: Literal["best", "worst"]
    label: str
    value: str
    """Name and value of the metric, and how the trial ended if it did not finish."""
    settings: list[str]
    sheet: SampleSheet


@dataclass(frozen=True, kw_only=True)
class ReconstructionsContent(SectionContent):
    strips: Sequence[Strip] = ()


@section("reconstructions", title="Reconstructions", order=130)
def reconstructions_section(results: Results) -> SectionContent:
    candidates = _candidates(results.ranked)
    parameters = varying_parameters(results, results.trials)
    strips_by_trial: dict[Any, Strip] = {}
    total_bytes = 0
    for index, group in _by_importance(candidates):
        trial = results.ranked.loc[index]
        run = results.folder(trial["run"])
        path = run.trial(trial["trial"]) / "samples.npz"
        if not run.contains(path):
            continue
        sheet = make_sheet(path)
        if sheet is None or total_bytes > MAX_BYTES / results.group_count:
            continue
        total_bytes += len(sheet.data_uri)
        strips_by_trial[index] = Strip(
            trial_index=int(index),
            group=group,
            label=results.labels[index],
            value=_value(results, index),
            settings=_settings(results, trial, parameters),
            sheet=sheet,
        )
    strips = [strips_by_trial[index] for index, _ in candidates if index in strips_by_trial]
    if not strips:
        return ReconstructionsContent(verdict="No trial has saved samples.", is_empty=True)
    return ReconstructionsContent(
        verdict=_verdict(results, strips, left_out=len(candidates) - len(strips)),
        method=(
            "The samples are the same for the whole sweep and come from each trial's best epoch. "
            "|error| is the absolute difference of target and output, averaged over the channels, "
            f"multiplied by {ERROR_GAIN} and clipped at white. The images are compressed without "
            "loss; trials/*/samples.npz contains the original samples."
        ),
        strips=strips,
    )


def _value(results: Results, index: int) -> str:
    value = f"{results.metric} {formatting.number(results.values[index])}"
    note = state_note(results, index)
    if note:
        return f"{value}, {note}"
    return value


def _candidates(ranked: pd.DataFrame) -> list[tuple[Any, Literal["best", "worst"]]]:
    """Return the indices of the best and the worst trials, each trial once."""
    first_worst = max(MAX_BEST_TRIALS, len(ranked) - MAX_WORST_TRIALS)
    candidates: list[tuple[Any, Literal["best", "worst"]]] = []
    for index in ranked.index[:MAX_BEST_TRIALS]:
        candidates.append((index, "best"))
    for index in ranked.index[first_worst:]:
        candidates.append((index, "worst"))
    return candidates


def _by_importance(
    candidates: list[tuple[Any, Literal["best", "worst"]]],
) -> list[tuple[Any, Literal["best", "worst"]]]:
    """Return the best trial, the worst ones, the very worst first, and then the other best ones.

    If the size limit leaves some out, these are the ones in the middle.
    """
    best = [candidate for candidate in candidates if candidate[1] == "best"]
    worst = [candidate for candidate in candidates if candidate[1] == "worst"]
    return [*best[:1], *reversed(worst), *best[1:]]


def _settings(results: Results, trial: pd.Series[Any], parameters: list[str]) -> list[str]:
    settings = []
    for name in parameters:
        if not is_missing(trial[name]) or has_none(results.axes.get(name, {})):
            settings.append(f"{name}\u00a0{formatting.parameter(trial[name])}")
    return settings


def _verdict(results: Results, strips: list[Strip], left_out: int) -> str:
    best_count = len([strip for strip in strips if strip.group == "best"])
    trials = f"the best {formatting.plural(best_count, 'trial')}"
    if len(strips) > best_count:
        trials += f" and the worst {len(strips) - best_count}"
    samples = strips[0].sheet.columns
    sentences = [f"The same {samples} samples through {trials} by {results.metric}."]
    if left_out:
        sentences.append(
            f"{formatting.plural(left_out, 'trial')} left out: no readable samples, or the size "
            "limit of the section."
        )
    return formatting.sentences(sentences)


def make_sheet(path: Path) -> SampleSheet | None:
    """Return the samples of a trial as one image; None if the file is missing or damaged."""
    samples = load_samples(path)
    if samples is None:
        return None
    rows = _images_by_row(samples)
    longest_side = max(max(images.shape[2:]) for images in rows.values())
    factor = reduction_factor(longest_side)
    reduced = [reduce(images, factor) for images in rows.values()]
    height = max(images.shape[2] for images in reduced)
    width = max(images.shape[3] for images in reduced)
    image = compose_sheet(reduced, height, width)
    return SampleSheet(
        data_uri=to_data_uri(image),
        row_names=list(rows),
        columns=len(samples.output),
        width=image.width,
        height=image.height,
        reduction_factor=factor,
    )


def _images_by_row(samples: Samples) -> dict[str, Pixels]:
    """Return the images of each row by the row's name. Equal inputs and targets share a row."""
    rows = {"input": samples.input, "target": samples.target}
    if np.array_equal(samples.input, samples.target):
        rows = {"input and target": samples.input}
    rows["output"] = samples.output
    if samples.target.shape == samples.output.shape:
        rows[f"{ERROR_GAIN} x |error|"] = error_images(samples.target, samples.output)
    return rows


def load_samples(path: Path) -> Samples | None:
    """Read the first samples of a trial; None if the file is missing or damaged."""
    arrays = read_arrays(path, *Samples._fields)
    if not arrays:
        return None
    batches = []
    for name in Samples._fields:
        batch = arrays[name][:MAX_SAMPLES]
        if not is_image_batch(batch) or not batch.size:
            return None
        batches.append(batch.astype(np.uint8, copy=False))
    samples = Samples(*batches)
    if not len(samples.input) == len(samples.target) == len(samples.output):
        return None
    return samples


def error_images(target: Pixels, output: Pixels) -> Pixels:
    """Return `ERROR_GAIN` times the absolute error, averaged over the channels: N x 1 x H x W."""
    difference = np.abs(target.astype(np.float32) - output.astype(np.float32))
    error = difference.mean(axis=1, keepdims=True)
    return np.asarray(np.clip(ERROR_GAIN * error, 0, 255).round(), dtype=np.uint8)


def compose_sheet(rows: list[Pixels], height: int, width: int) -> Image.Image:
    """Arrange rows of images (N x C x H x W) in a grid of cells of height x width pixels.

    Smaller images are enlarged by a whole factor and centered; the rest is transparent.
    """
    has_color = any(images.shape[1] == 3 for images in rows)
    color_channels = 1
    mode = "LA"  # gray and alpha
    if has_color:
        color_channels = 3
        mode = "RGBA"
    columns = max(len(images) for images in rows)
    sheet_height = len(rows) * (height + GAP_PIXELS) - GAP_PIXELS
    sheet_width = columns * (width + GAP_PIXELS) - GAP_PIXELS
    sheet = np.zeros((sheet_height, sheet_width, color_channels + 1), dtype=np.uint8)
    for row, images in enumerate(rows):
        for column, pixels in enumerate(images):
            scale = max(1, min(height // pixels.shape[1], width // pixels.shape[2]))
            enlarged = np.repeat(np.repeat(pixels, scale, axis=1), scale, axis=2)
            block = enlarged.transpose(1, 2, 0)
            top = row * (height + GAP_PIXELS) + (height - block.shape[0]) // 2
            left = column * (width + GAP_PIXELS) + (width - block.shape[1]) // 2
            cell = sheet[top : top + block.shape[0], left : left + block.shape[1]]
            cell[..., :-1] = block
            cell[..., -1] = 255  # opaque
    return Image.fromarray(sheet, mode)
