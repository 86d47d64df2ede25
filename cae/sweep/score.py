"""Anomaly scores of a user's own images by an exported model."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from cae.errors import UserError
from cae.files import check_is_no_input, check_output, write_output
from cae.run.formatting import count_of, spreadsheet_text
from cae.sweep.reconstructed_files import (
    ARRAY_FORMATS,
    MAX_ROWS,
    WRITTEN_FORMATS,
    write_image,
)
from cae.sweep.spec.sweep_file import load_components
from cae.trial.model import OTHER_CODE, Applied, Model, apply_model, display_applied, read_model
from cae.trial.model_inputs import to_tensor
from cae.trial.tasks import DetectAnomalies
from cae.trial.user_images import (
    ReadingOptions,
    describe_warnings,
    find_user_files,
    find_warnings,
    read_user_images,
)

THRESHOLD = "test_threshold"
"""The metric of the exported trial that is the threshold."""
COLUMNS = ("image", "score", "threshold", "verdict", "warnings")
ANOMALOUS = "anomalous"
NORMAL = "normal"


@dataclass(frozen=True)
class ScoredImage:
    """A row of the written file."""

    name: str
    score: float
    verdict: str
    """`anomalous` if the score is above the threshold, `normal` otherwise."""
    warnings: tuple[str, ...]


def score_files(
    model_folder: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    maps: Path | None,
    threshold: float | None,
    sweep: Path | None,
    options: ReadingOptions,
) -> str:
    """Write the anomaly score of each image, the threshold, and the verdict, as a CSV file.

    Returns what was written, with warnings about images that differ from the training images.
    Raises UserError, and writes nothing, for files that cannot be read and for models that detect
    no anomalies or have no threshold.

    Args:
        model_folder: A folder that `best -o` wrote.
        paths: Images, arrays, and folders of images.
        out: The CSV file.
        maps: A file for the error maps: an image with inputs, outputs and error maps side by side,
            or .npy or .npz with the errors of all pixels, N x H x W float32. None: no file.
        threshold: The threshold; None: that of the model.
        sweep: The sweep file that defines components of the model.
        options: How the images are prepared.
    """
    if out.suffix.lower() != ".csv":
        raise UserError(f"-o {out}: the scores are a CSV file; use a name such as scores.csv")
    map_format = _map_format(maps)
    check_output(out)
    if maps is not None:
        check_output(maps)
    if sweep:
        load_components(sweep)
    model = read_model(model_folder)
    task = _task_of(model, model_folder)
    if threshold is None:
        threshold = _threshold_of(model, model_folder)
    files, lines = find_user_files(paths)
    for written in (out, maps):
        if written is not None:
            check_is_no_input(written, files)
    if model.has_other_code:
        lines.append(f"warning: {OTHER_CODE}")
    images, skipped = read_user_images(files, model.input_format, options)
    lines += skipped
    prepared = to_tensor(images)
    applied = apply_model(model, prepared)
    scores = task.scores(applied.outputs, applied.targets).tolist()
    rows: list[ScoredImage] = []
    for image, score in zip(images, scores, strict=True):
        verdict = NORMAL
        if not score <= threshold:  # one that is not a number is anomalous
            verdict = ANOMALOUS
        warnings = tuple(find_warnings(image, model.input_format).values())
        rows.append(ScoredImage(image.name, score, verdict, warnings))
    lines += describe_warnings(images, model.input_format)
    write_output(out, _csv(rows, threshold))
    anomalous = sum(row.verdict == ANOMALOUS for row in rows)
    lines.append(
        f"{count_of(len(rows), 'image')}: {anomalous} {ANOMALOUS} (score above {threshold:.6g})"
    )
    lines.append(f"written: {out}")
    if maps is not None:
        lines.append(_write_maps(maps, map_format, model, prepared, applied))
    return "\n".join(lines)


def _map_format(maps: Path | None) -> str:
    """The format of the file of error maps by its suffix; empty without a file."""
    if maps is None:
        return ""
    map_format = WRITTEN_FORMATS.get(maps.suffix.lower())
    if map_format is None:
        raise UserError(
            f"--maps {maps}: the suffix is the format; use {', '.join(WRITTEN_FORMATS)}"
        )
    return map_format


def _task_of(model: Model, folder: Path) -> DetectAnomalies:
    task = model.trial.task
    if not isinstance(task, DetectAnomalies):
        raise UserError(
            f"{folder} has the task {task.name!r}: anomaly scores need a model with the task "
            "'detect_anomalies'; `cae-sweep reconstruct` prints reconstruction errors"
        )
    return task


def _threshold_of(model: Model, folder: Path) -> float:
    """The threshold of an exported model. Raises UserError if it has none."""
    metrics = model.description.get("metrics")
    threshold = None
    if isinstance(metrics, dict):
        threshold = metrics.get(THRESHOLD)
    if isinstance(threshold, int | float) and math.isfinite(threshold):
        return float(threshold)
    raise UserError(
        f"{folder} has no threshold: its trial had not ended when it was exported; export it again "
        "after the sweep, or set --threshold"
    )


def _csv(rows: Sequence[ScoredImage], threshold: float) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        name = spreadsheet_text(row.name)
        writer.writerow([name, row.score, threshold, row.verdict, "; ".join(row.warnings)])
    return text.getvalue().encode("utf-8", "surrogateescape")


def _write_maps(maps: Path, map_format: str, model: Model, images: Tensor, applied: Applied) -> str:
    """Write the error maps; return a line about the file."""
    task = _task_of(model, maps)
    if map_format in ARRAY_FORMATS:
        return _write_arrays(maps, map_format, task.error_map(applied.outputs, applied.targets))
    # The brightest color is the largest error of the images in the file.
    first = Applied(*(values[:MAX_ROWS] for values in applied))
    shown = display_applied(model, images[:MAX_ROWS], first)
    write_image([images for _, images in shown.columns], maps, map_format)
    titles = ", ".join(title for title, _ in shown.columns)
    line = f"written: {maps} (from left to right: {titles})"
    if len(applied.outputs) > MAX_ROWS:
        line += f"; it shows the first {MAX_ROWS} of {len(applied.outputs)} images"
    return line


def _write_arrays(maps: Path, map_format: str, error_map: Tensor) -> str:
    errors = error_map[:, 0].numpy().astype(np.float32)
    buffer = io.BytesIO()
    if map_format == "NPZ":
        np.savez(buffer, error_maps=errors)
    else:
        np.save(buffer, errors)
    write_output(maps, buffer.getvalue())
    shape = " x ".join(map(str, errors.shape))
    return f"written: {maps} (errors of the pixels: {shape}, float32)"
