"""The 24 trials, and the training that all peers share: resident images, the plain network, nothing
else."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

SLOTS, EPOCHS, BATCH = 2, 2, 128
TRAIN_IMAGES, VAL_IMAGES = 6_000, 1_000
GRID: dict[str, list[Any]] = {
    "lr": [3e-4, 1e-3, 3e-3, 1e-2],
    "noise": [0.3, 0.5, 0.7],
    "seed": [0, 1],
}
TRIALS = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
DATA = os.environ.get("CAE_DATA", "data")
"""The folder that holds MNIST/raw."""


def denoiser() -> nn.Sequential:
    """The network of report 004: 7,265 parameters."""

    def convolution(inputs: int, outputs: int) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 3, padding=1)

    return nn.Sequential(
        convolution(1, 16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        convolution(16, 16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        convolution(16, 16),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        convolution(16, 16),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        convolution(16, 1),
        nn.Sigmoid(),
    )


def noisy(images: Tensor, noise: float) -> Tensor:
    return (images + noise * torch.randn_like(images)).clamp(0, 1)


def train(
    lr: float, noise: float, seed: int, report: Callable[[int, float], None] | None = None
) -> float:
    """One trial; returns the last epoch's validation loss. `report` is told each epoch's."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    images, held_out = (
        torchvision.datasets.MNIST(DATA, train=training).data[:count, None].float() / 255
        for training, count in ((True, TRAIN_IMAGES), (False, VAL_IMAGES))
    )
    given, unseen = noisy(images, noise), noisy(held_out, noise)
    network = denoiser().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr, fused=True)
    for epoch in range(1, EPOCHS + 1):
        started = time.perf_counter()
        for chosen in torch.randperm(len(images)).split(BATCH):
            loss = F.binary_cross_entropy(
                network(given[chosen].contiguous(memory_format=torch.channels_last)), images[chosen]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trained(time.perf_counter() - started)
        with torch.inference_mode():
            loss = F.binary_cross_entropy(network(unseen), held_out)
        if report:
            report(epoch, loss.item())
    return loss.item()


def trained(seconds: float) -> None:
    """Notes the seconds of an epoch's training steps, for the share of the wall time that they
    are."""
    if path := os.environ.get("BENCH_STEPS"):
        with Path(path).open("a") as file:
            file.write(json.dumps({"seconds": seconds}) + "\n")
