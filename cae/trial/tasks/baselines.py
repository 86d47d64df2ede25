"""Baselines: answers of simple rules that learn nothing or little.

Images and answers are B x C x H x W, floats in [0, 1]. Each rule takes a few seconds of one CPU
thread and less than 1 GB beside its answers, for 50,000 gray images of 28 x 28 or 10,000 color
images of 64 x 64. If a rule uses only some training images, they are drawn with a fixed seed, the
same for every trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from cae.trial.tasks.base import SplitPairs

BATCH = 500
"""Images that a rule processes together."""
MAX_INPUT_VALUES = 512
"""Larger inputs are averaged down before they are compared or regressed on."""
MAX_MULTIPLICATIONS = 4e10
"""Of the normal equations; they use fewer training images if all would need more."""
RIDGE_ALPHA_PER_IMAGE = 0.01
"""Directions of the inputs with a much smaller variance are hardly used."""


class HasPixels(Protocol):
    """Images of a split."""

    @property
    def pixels(self) -> Any:
        """N x C x H x W."""
        ...


Box = tuple[slice, slice]
"""Rows and columns of a hole, with at least one row and column of the image on each side."""


def mirror(inputs: Tensor) -> Tensor:
    """The input half, mirrored at its right edge: the other half of a symmetric object."""
    return inputs.flip(-1)


def ridge(train: SplitPairs, inputs: Tensor, alpha: float | None = None) -> Tensor:
    """Ridge regression of the target's values on the input's (Hoerl and Kennard 1970), clipped to
    [0, 1].

    Squared error plus `alpha` times the squared weights, with an intercept that is not penalized,
    from the normal equations of the centered training pairs, in double precision. Without `alpha`:
    RIDGE_ALPHA_PER_IMAGE times the number of training images.
    """
    small_inputs = small(inputs)
    first = torch.zeros(1, dtype=torch.int64, device=train.pixels.device)
    target_shape = train.at(first)[1].shape[1:]
    input_size = small_inputs[0].numel()
    target_size = target_shape.numel()
    size = input_size + target_size
    chosen = some(train, int(MAX_MULTIPLICATIONS / (input_size * size)))
    products = torch.zeros(input_size, size, dtype=torch.float64, device=chosen.device)
    sums = torch.zeros(size, dtype=torch.float64, device=chosen.device)
    for batch in chosen.split(BATCH):
        batch_inputs, batch_targets = train.at(batch)
        both = torch.cat([small(batch_inputs).flatten(1), batch_targets.flatten(1)], 1).double()
        products += both[:, :input_size].T @ both
        sums += both.sum(0)
    mean = sums / len(chosen)
    products -= torch.outer(sums[:input_size], mean)
    covariance, cross_covariance = products.cpu().split([input_size, target_size], 1)
    if alpha is None:
        alpha = RIDGE_ALPHA_PER_IMAGE * len(chosen)
    penalty = torch.eye(input_size, dtype=torch.float64) * alpha
    weights = torch.linalg.solve(covariance + penalty, cross_covariance)
    intercept = mean[input_size:].cpu() - mean[:input_size].cpu() @ weights
    flat_inputs = small_inputs.cpu().flatten(1)
    answers = torch.addmm(intercept.float(), flat_inputs, weights.float())
    return answers.clamp_(0, 1).reshape(-1, *target_shape)


def nearest(train: SplitPairs, inputs: Tensor, limit: int = 10_000) -> Tensor:
    """The target of the training image whose input is nearest by Euclidean distance.

    Among at most `limit` training images.
    """
    chosen = some(train, limit)
    known: list[Tensor] = []
    for batch in chosen.split(BATCH):
        known.append(small(train.at(batch)[0]).flatten(1))
    known_inputs = torch.cat(known)
    squares = known_inputs.square().sum(1)
    answers: list[Tensor] = []
    for batch in inputs.split(BATCH):
        flat = small(batch).flatten(1).to(known_inputs.device)
        # |a - b|^2 = |a|^2 - 2 ab + |b|^2, and |a|^2 does not change the order.
        distances = torch.addmm(squares, flat, known_inputs.T, alpha=-2)
        answers.append(train.at(chosen[distances.argmin(1)])[1].cpu())
    return torch.cat(answers)


def small(images: Tensor, max_values: int = MAX_INPUT_VALUES) -> Tensor:
    """The images, averaged over the smallest squares that leave at most `max_values` values."""
    channels, rows, columns = images.shape[1:]
    side = 1
    while side < max(rows, columns):
        if channels * math.ceil(rows / side) * math.ceil(columns / side) <= max_values:
            break
        side += 1
    if side == 1:
        return images
    return F.avg_pool2d(images, side, ceil_mode=True)


def some(train: HasPixels, limit: int) -> Tensor:
    """The indices of at most `limit` images on the device: a fixed random choice, in order."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(train.pixels), generator=generator)
    return order[: max(1, limit)].sort().values.to(train.pixels.device)


def filled(inputs: Tensor, box: Box, values: Tensor | Callable[[Tensor], Tensor]) -> Tensor:
    """The images with `values` in their hole, or with what `values` computes from BATCH images."""
    answer = inputs.clone()
    for images in answer.split(BATCH):
        hole_values = values
        if callable(hole_values):
            hole_values = hole_values(images)
        images[..., *box] = hole_values
    return answer


def border_mean(inputs: Tensor, box: Box) -> Tensor:
    """The hole in one color: the mean of the pixels around it, corners included."""
    rows, columns = box
    border = torch.zeros(inputs.shape[-2:], dtype=torch.bool, device=inputs.device)
    border[rows.start - 1 : rows.stop + 1, columns.start - 1 : columns.stop + 1] = True
    border[box] = False
    return filled(inputs, box, lambda images: images[..., border].mean(-1)[..., None, None])


def nearest_border(inputs: Tensor, box: Box) -> Tensor:
    """Each pixel of the hole as the nearest pixel outside it.

    Of equally near ones the one above, below, to the left, to the right, in this order.
    """
    rows, columns = box
    row = torch.arange(rows.start, rows.stop)[:, None].expand(-1, columns.stop - columns.start)
    column = torch.arange(columns.start, columns.stop).expand_as(row)
    to_top = row - rows.start
    to_bottom = rows.stop - 1 - row
    to_left = column - columns.start
    to_right = columns.stop - 1 - column
    side = torch.stack([to_top, to_bottom, to_left, to_right]).argmin(0)
    source_row = torch.where(side == 1, rows.stop, row)
    source_row = torch.where(side == 0, rows.start - 1, source_row).to(inputs.device)
    source_column = torch.where(side == 3, columns.stop, column)
    source_column = torch.where(side == 2, columns.start - 1, source_column).to(inputs.device)
    return filled(inputs, box, lambda images: images[..., source_row, source_column])


def harmonic(inputs: Tensor, box: Box) -> Tensor:
    """Each pixel of the hole as the mean of its four neighbours: Laplace's equation on the grid.

    The pixels around the hole are the boundary. Solved exactly with the sine functions in which the
    discrete Laplace operator of a rectangle is diagonal (Buzbee, Golub, Nielson 1970): four small
    matrix products per image. Clipped to [0, 1], which only rounding errors leave.
    """
    rows, columns = box
    vertical, vertical_eigenvalues = _sines(rows.stop - rows.start, inputs)
    horizontal, horizontal_eigenvalues = _sines(columns.stop - columns.start, inputs)
    eigenvalues = vertical_eigenvalues[:, None] + horizontal_eigenvalues

    def solve(images: Tensor) -> Tensor:
        boundary = torch.zeros_like(images[..., *box])
        boundary[..., 0, :] += images[..., rows.start - 1, columns]
        boundary[..., -1, :] += images[..., rows.stop, columns]
        boundary[..., 0] += images[..., rows, columns.start - 1]
        boundary[..., -1] += images[..., rows, columns.stop]
        coefficients = (vertical @ boundary @ horizontal) / eigenvalues
        return (vertical @ coefficients @ horizontal).clamp(0, 1)

    return filled(inputs, box, solve)


def rings(side: int) -> Tensor:
    """For each pixel of a square hole, the distance to the nearest pixel outside, along rows or
    columns.

    Shape side x side; 1 at the border.
    """
    to_edge = torch.minimum(torch.arange(1, side + 1), torch.arange(side, 0, -1))
    return torch.minimum(to_edge[:, None], to_edge)


def _sines(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvectors (orthonormal, symmetric) and eigenvalues of the second difference of `size`
    points.

    The points before the first and after the last are zero.
    """
    angles = torch.arange(1, size + 1, dtype=torch.float64) * (math.pi / (size + 1))
    numbers = torch.arange(1, size + 1, dtype=torch.float64)
    vectors = torch.outer(angles, numbers).sin() * math.sqrt(2 / (size + 1))
    return vectors.to(like), (2 - 2 * angles.cos()).to(like)
