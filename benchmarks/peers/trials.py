"""The 24 trials, and the training function of the peers.

The images stay in memory, the network is the plain one, and nothing is saved.
"""

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

SLOTS = 2
EPOCHS = 2
BATCH_SIZE = 128
TRAIN_IMAGES = 6_000
VAL_IMAGES = 1_000
GRID: dict[str, list[Any]] = {
    "lr": [3e-4, 1e-3, 3e-3, 1e-2],
    "noise": [0.3, 0.5, 0.7],
    "seed": [0, 1],
}
TRIALS = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
DATA = os.environ.get("CAE_DATA", "data")
"""The folder that contains MNIST/raw."""


def denoiser() -> nn.Sequential:
    """The network of report 004 with 7,265 parameters."""

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


def add_noise(images: Tensor, noise: float) -> Tensor:
    return (images + noise * torch.randn_like(images)).clamp(0, 1)


def load_images(*, is_training: bool, count: int) -> Tensor:
    """The first images of a split of MNIST, B x 1 x 28 x 28, in [0, 1]."""
    dataset = torchvision.datasets.MNIST(DATA, train=is_training)
    pixels: Tensor = dataset.data[:count, None]
    return pixels.float() / 255


def train(
    lr: float, noise: float, seed: int, report: Callable[[int, float], None] | None = None
) -> float:
    """Train one trial; return the validation loss of the last epoch.

    `report` is called with each epoch and its validation loss.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    images = load_images(is_training=True, count=TRAIN_IMAGES)
    val_images = load_images(is_training=False, count=VAL_IMAGES)
    inputs = add_noise(images, noise)
    val_inputs = add_noise(val_images, noise)
    network = denoiser().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr, fused=True)
    for epoch in range(1, EPOCHS + 1):
        started = time.perf_counter()
        for batch in torch.randperm(len(images)).split(BATCH_SIZE):
            outputs = network(inputs[batch].contiguous(memory_format=torch.channels_last))
            loss = F.binary_cross_entropy(outputs, images[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        record_seconds(time.perf_counter() - started)
        with torch.inference_mode():
            loss = F.binary_cross_entropy(network(val_inputs), val_images)
        if report:
            report(epoch, loss.item())
    return loss.item()


def record_seconds(seconds: float) -> None:
    """Append the seconds of an epoch's training steps to the file in $BENCH_STEPS, if it is set.

    The benchmark compares them with the wall time.
    """
    path = os.environ.get("BENCH_STEPS")
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps({"seconds": seconds}) + "\n")
