"""What simple rules, which learn nothing or little, answer to a test input: a network that does not beat them has learnt nothing.

Images are B x C x H x W, floats in [0, 1], and so are all answers. Each rule takes a few seconds of one CPU thread and less than
1 GB beside its answers, for 50,000 grey images of 28 x 28 or 10,000 colour images of 64 x 64. Where a rule takes only some
training images, they are drawn by a seed of their own: every trial has the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cae.trial.tasks.base import SplitPairs

CHUNK = 500
"""Images that a rule works on at once."""
VALUES = 512
"""Inputs of more values than this are averaged down to at most as many, before they are compared or regressed on."""
WORK = 4e10
"""Multiplications that the normal equations may take; fewer training images are used where all would take more."""
PENALTY = 0.01
"""Ridge regression's alpha, per training image: directions whose variance over the inputs is well below this are left alone."""

Box = tuple[slice, slice]
"""Rows and columns of a hole, with at least one row and column of the image on each side."""


def mirror(given: Tensor) -> Tensor:
    """The given half, mirrored at its right edge: the other half of a symmetric thing."""
    return given.flip(-1)


def ridge(train: SplitPairs, given: Tensor, alpha: float | None = None) -> Tensor:
    """Ridge regression of all the target's values on the input's: squared error plus `alpha` times the squared weights, with an
    intercept that costs nothing (Hoerl and Kennard 1970), from the normal equations of the centred training pairs, in double
    precision. Without `alpha`: PENALTY times the training images. Answers are clipped to [0, 1]."""
    given = small(given)
    shape = train.batch(torch.zeros(1, dtype=torch.int64, device=train.pixels.device))[1].shape[1:]
    inputs, outputs = given[0].numel(), shape.numel()
    chosen = some(train, int(WORK / (inputs * (inputs + outputs))))
    products = torch.zeros(inputs, inputs + outputs, dtype=torch.float64, device=chosen.device)
    sums = torch.zeros(inputs + outputs, dtype=torch.float64, device=chosen.device)
    for part in chosen.split(CHUNK):
        images, targets = train.batch(part)
        both = torch.cat([small(images).flatten(1), targets.flatten(1)], 1).double()
        products += both[:, :inputs].T @ both
        sums += both.sum(0)
    mean = sums / len(chosen)
    products -= torch.outer(sums[:inputs], mean)
    covariance, crossed = products.cpu().split([inputs, outputs], 1)
    penalty = torch.eye(inputs, dtype=torch.float64) * (
        PENALTY * len(chosen) if alpha is None else alpha
    )
    weights = torch.linalg.solve(covariance + penalty, crossed)
    intercept = mean[inputs:].cpu() - mean[:inputs].cpu() @ weights
    return (
        torch.addmm(intercept.float(), given.cpu().flatten(1), weights.float())
        .clamp_(0, 1)
        .reshape(-1, *shape)
    )


def nearest(train: SplitPairs, given: Tensor, limit: int = 10_000) -> Tensor:
    """The target of the training image whose input is nearest by Euclidean distance, among at most `limit` training images."""
    chosen = some(train, limit)
    known = torch.cat([small(train.batch(part)[0]).flatten(1) for part in chosen.split(CHUNK)])
    squares = known.square().sum(1)
    answers = []
    for images in given.split(CHUNK):  # |a - b|^2 is |a|^2, which ranks nothing, - 2 ab + |b|^2
        found = torch.addmm(
            squares, small(images).flatten(1).to(known.device), known.T, alpha=-2
        ).argmin(1)
        answers.append(train.batch(chosen[found])[1].cpu())
    return torch.cat(answers)


def small(images: Tensor) -> Tensor:
    """The images, averaged over squares of the least side that leaves at most VALUES values."""
    channels, rows, columns = images.shape[1:]
    side = next(
        side
        for side in range(1, max(rows, columns) + 1)
        if channels * -(-rows // side) * -(-columns // side) <= VALUES
    )
    return F.avg_pool2d(images, side, ceil_mode=True) if side > 1 else images


def some(train: SplitPairs, limit: int) -> Tensor:
    """The indices of at most `limit` training images, in their order, on the device."""
    drawn = torch.randperm(len(train.pixels), generator=torch.Generator().manual_seed(0))[
        : max(1, limit)
    ]
    return drawn.sort().values.to(train.pixels.device)


def filled(given: Tensor, box: Box, values: Tensor | Callable[[Tensor], Tensor]) -> Tensor:
    """The images with `values` in their hole, or with what `values` makes of them, CHUNK images at a time."""
    answer = given.clone()
    for images in answer.split(CHUNK):
        images[..., *box] = values(images) if callable(values) else values
    return answer


def border_mean(given: Tensor, box: Box) -> Tensor:
    """The hole in one colour: the mean of the pixels that surround it, the corners among them."""
    rows, columns = box
    around = torch.zeros(given.shape[-2:], dtype=torch.bool, device=given.device)
    around[rows.start - 1 : rows.stop + 1, columns.start - 1 : columns.stop + 1] = True
    around[box] = False
    return filled(given, box, lambda images: images[..., around].mean(-1)[..., None, None])


def nearest_border(given: Tensor, box: Box) -> Tensor:
    """Each pixel of the hole as the nearest pixel outside it; of equally near ones that above, below, to the left, to the right."""
    rows, columns = box
    row = torch.arange(rows.start, rows.stop)[:, None].expand(-1, columns.stop - columns.start)
    column = torch.arange(columns.start, columns.stop).expand_as(row)
    nearest = torch.stack(
        [row - rows.start, rows.stop - 1 - row, column - columns.start, columns.stop - 1 - column]
    ).argmin(0)
    source_row = torch.where(
        nearest == 0, rows.start - 1, torch.where(nearest == 1, rows.stop, row)
    ).to(given.device)
    source_column = torch.where(
        nearest == 2, columns.start - 1, torch.where(nearest == 3, columns.stop, column)
    ).to(given.device)
    return filled(given, box, lambda images: images[..., source_row, source_column])


def harmonic(given: Tensor, box: Box) -> Tensor:
    """The smoothest membrane over the hole: each pixel of it is the mean of its four neighbours (Laplace's equation on the grid,
    the surrounding pixels being the boundary).

    Solved exactly, by the sine functions in which the discrete Laplace operator of a rectangle is diagonal (Buzbee, Golub,
    Nielson 1970): four small matrix products an image. Clipped to [0, 1], which only rounding errors leave.
    """
    rows, columns = box
    across, along = (_sines(part.stop - part.start, given) for part in box)
    eigenvalues = across[1][:, None] + along[1]

    def solve(images: Tensor) -> Tensor:
        known = torch.zeros_like(images[..., *box])
        known[..., 0, :] += images[..., rows.start - 1, columns]
        known[..., -1, :] += images[..., rows.stop, columns]
        known[..., 0] += images[..., rows, columns.start - 1]
        known[..., -1] += images[..., rows, columns.stop]
        return (across[0] @ ((across[0] @ known @ along[0]) / eigenvalues) @ along[0]).clamp(0, 1)

    return filled(given, box, solve)


def rings(side: int) -> Tensor:
    """Of each pixel of a square hole (side x side), how many pixels away the nearest pixel outside is, along a row or column."""
    to_edge = torch.minimum(torch.arange(1, side + 1), torch.arange(side, 0, -1))
    return torch.minimum(to_edge[:, None], to_edge)


def _sines(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvectors (orthonormal, symmetric) and eigenvalues of the second difference of `size` points between two zeros."""
    angles = torch.arange(1, size + 1, dtype=torch.float64) * (math.pi / (size + 1))
    vectors = torch.outer(angles, torch.arange(1, size + 1, dtype=torch.float64)).sin() * math.sqrt(
        2 / (size + 1)
    )
    return vectors.to(like), (2 - 2 * angles.cos()).to(like)
