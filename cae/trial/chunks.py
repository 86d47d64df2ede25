"""Computing over many images with temporary tensors of a bounded size.

At the end of a trial, inputs, targets and outputs of all test images are in memory. What is
computed from them is computed a chunk at a time, so that temporary tensors do not need as much
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

CHUNK_BYTES = 2**27
"""Size of a chunk of the largest tensor: 10,000 images of CIFAR-10, as float32, are one chunk."""


def chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split tensors of N images each into chunks of the same images, without copying them."""
    count = len(tensors[0])
    largest = max(tensor.numel() * tensor.element_size() for tensor in tensors)
    size = max(1, count)
    if largest > CHUNK_BYTES:
        size = max(1, count * CHUNK_BYTES // largest)
    for start in range(0, count, size):
        yield tuple(tensor[start : start + size] for tensor in tensors)


def by_chunks(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Return `function(*tensors)`, whose value for an image depends on this image only; N."""
    return torch.cat([function(*chunk) for chunk in chunks(*tensors)])


def mean_by_chunks(function: Callable[..., float], *tensors: Tensor) -> float:
    """Return `function(*tensors)`, which is a mean over the images."""
    count = len(tensors[0])
    total = 0.0
    for chunk in chunks(*tensors):
        total += function(*chunk) * (len(chunk[0]) / count)
    return total
