"""Images of the detection of anomalies: inputs, outputs and error maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cae.trial.anomaly_scores import Scores, to_scores
from cae.trial.chunks import by_chunks
from cae.trial.display import heat_map, tile_channels
from cae.trial.tasks.base import Evaluation, Gallery

SHOWN = 8
"""Images of a gallery."""


class AnomalyTask(Protocol):
    """What the galleries need of a task (see DetectAnomalies)."""

    def error_map(self, output: Tensor, target: Tensor) -> Tensor:
        """The error of each pixel: B x 1 x H x W."""
        ...

    def scores(self, output: Tensor, target: Tensor) -> Tensor:
        """The anomaly score of each image: shape B."""
        ...

    def trained_for(self, labels: Tensor, classes: tuple[str, ...]) -> Tensor:
        """Which images are normal: N bools."""
        ...

    def to_image(self, inputs: Tensor, image: Tensor) -> Tensor:
        """How an image is displayed: B x C x H x W."""
        ...


def anomaly_galleries(
    task: AnomalyTask, evaluation: Evaluation, threshold: float
) -> dict[str, Gallery]:
    """Return the test images with the highest and the lowest scores, and the worst verdicts.

    `false_alarms`: normal images with the highest scores above the threshold; `missed_anomalies`:
    anomalous images with the lowest scores up to the threshold. The brightest color of the error
    maps is the largest error of a pixel in the shown images.
    """
    scores = to_scores(by_chunks(task.scores, evaluation.output, evaluation.target))
    is_normal = task.trained_for(evaluation.labels, evaluation.classes).cpu().numpy()
    ascending = np.argsort(scores, kind="stable")
    descending = ascending[::-1]
    false_alarms = [index for index in descending if is_normal[index] and scores[index] > threshold]
    missed = [index for index in ascending if not is_normal[index] and scores[index] <= threshold]
    chosen: dict[str, Sequence[int]] = {
        "highest_scores": list(descending[:SHOWN]),
        "lowest_scores": list(ascending[:SHOWN]),
        "false_alarms": false_alarms[:SHOWN],
        "missed_anomalies": missed[:SHOWN],
    }
    shown = {name: np.array(indices) for name, indices in chosen.items() if indices}
    largest = _largest_error(task, evaluation, np.concatenate(list(shown.values())))
    galleries: dict[str, Gallery] = {}
    for name, positions in shown.items():
        images = _with_maps(task, evaluation, positions, largest)
        captions = _captions(evaluation, is_normal, scores, positions, threshold)
        galleries[name] = (images, captions)
    return galleries


def _largest_error(task: AnomalyTask, evaluation: Evaluation, positions: np.ndarray) -> float:
    """The largest error of a pixel in the images at these positions."""
    indices = torch.as_tensor(positions, device=evaluation.output.device)
    errors = task.error_map(evaluation.output[indices], evaluation.target[indices])
    return errors.nan_to_num().max().item()


def _with_maps(
    task: AnomalyTask, evaluation: Evaluation, positions: np.ndarray, largest: float
) -> Tensor:
    """Inputs above outputs above error maps, N x 3 x 3H x W."""
    indices = torch.as_tensor(positions, device=evaluation.output.device)
    inputs = evaluation.inputs[indices]
    output = evaluation.output[indices]
    target = evaluation.target[indices]
    parts = [
        _to_rgb(task.to_image(inputs, target)),
        _to_rgb(task.to_image(inputs, output)),
    ]
    error_map = heat_map(task.error_map(output, target), largest)
    parts.append(_padded(error_map, parts[0]))
    return torch.cat(parts, 2)


def _to_rgb(images: Tensor) -> Tensor:
    """Images of any number of channels as B x 3 x H x W in [0, 1]."""
    return tile_channels(images).clamp(0, 1).expand(-1, 3, -1, -1)


def _padded(images: Tensor, like: Tensor) -> Tensor:
    """The images with black pixels to the right and below, in the size of others: those whose
    channels are tiles are larger."""
    rows = like.shape[2] - images.shape[2]
    columns = like.shape[3] - images.shape[3]
    return F.pad(images, (0, columns, 0, rows))


def _captions(
    evaluation: Evaluation,
    is_normal: np.ndarray,
    scores: Scores,
    positions: np.ndarray,
    threshold: float,
) -> list[str]:
    """Kind, class and score of each image."""
    captions: list[str] = []
    labels = evaluation.labels.cpu().numpy()
    for index in positions:
        kind = "anomalous"
        if is_normal[index]:
            kind = "normal"
        name = ""
        if evaluation.classes:
            name = f" ({evaluation.classes[labels[index]]})"
        caption = f"{kind}{name}, score {scores[index]:.3g}"
        if threshold > 0:
            caption += f", {scores[index] / threshold:.2g} x threshold"
        captions.append(caption)
    return captions
