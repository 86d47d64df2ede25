"""Reconstructing the input."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from cae.trial.tasks.base import Task


class Reconstruct(Task):
    """The target is the input."""

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return images, images
