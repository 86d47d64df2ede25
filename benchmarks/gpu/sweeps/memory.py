"""Trials that hold memory of the GPU: none, a part of a share, more than a share, more than all."""

from pathlib import Path

import torch
from ray import tune
from torch import Tensor, nn
from typing_extensions import override

from cae import Adam, Architecture, Digits, Reconstruct, Sweep, Trial
from cae.trial.networks import Shape


class Hungry(Architecture):
    """A network with one weight that allocates `share` of the memory of the GPU in training."""

    share: float = 0.0

    @override
    def build(self, input_shape: Shape, output_shape: Shape) -> nn.Module:
        return Layer(self.share)


class Layer(nn.Module):
    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.held: Tensor | None = None

    @override
    def forward(self, images: Tensor) -> Tensor:
        if self.training and self.held is None:
            self.held = self._allocate(images.device)
        product: Tensor = images * self.weight
        return product

    def _allocate(self, device: torch.device) -> Tensor:
        if device.type == "cuda":
            total = torch.cuda.get_device_properties(device).total_memory
            return torch.empty(int(self.share * total), dtype=torch.uint8, device=device)
        # A rehearsal: more than half fails once, more than all always.
        has_failed = Path("rehearsed")
        if self.share > 1 or (self.share > 0.5 and not has_failed.exists()):
            has_failed.touch()
            raise torch.OutOfMemoryError("CUDA out of memory (rehearsal)")
        return torch.empty(0)


sweep = Sweep(
    base=Trial(
        dataset=Digits(train_images=64, val_images=32, test_images=32),
        task=Reconstruct(),
        arch=Hungry(),
        optimizer=Adam(),
        epochs=3,
    ),
    space={"arch.share": tune.grid_search([0.1, 0.7, 2.0, 0.0])},
)
