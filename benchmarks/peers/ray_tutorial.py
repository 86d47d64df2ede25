"""Ray Tune as in PyTorch's tutorial ("Hyperparameter tuning using Ray Tune"), without its ASHA.

A function trainable; each trial has its own data set, loaders, pickled checkpoint and reports. All
trials run. Each loader has 2 processes here, not the tutorial's 8.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from ray import tune
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms

from benchmarks.peers.trials import (
    BATCH_SIZE,
    DATA,
    EPOCHS,
    GRID,
    TRAIN_IMAGES,
    VAL_IMAGES,
    add_noise,
    denoiser,
    record_seconds,
)


def load_data(data_dir: str) -> tuple[Any, Any]:
    transform = transforms.Compose([transforms.ToTensor()])
    trainset = torchvision.datasets.MNIST(data_dir, transform=transform)
    testset = torchvision.datasets.MNIST(data_dir, train=False, transform=transform)
    return trainset, testset


def train_denoiser(config: dict[str, Any], data_dir: str) -> None:
    torch.manual_seed(config["seed"])
    net = denoiser()
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=config["lr"])
    trainset, testset = load_data(data_dir)
    trainloader = DataLoader(
        Subset(trainset, range(TRAIN_IMAGES)), batch_size=BATCH_SIZE, shuffle=True, num_workers=2
    )
    valloader = DataLoader(
        Subset(testset, range(VAL_IMAGES)), batch_size=BATCH_SIZE, shuffle=True, num_workers=2
    )
    for epoch in range(EPOCHS):
        started = time.perf_counter()
        for images, _ in trainloader:
            optimizer.zero_grad()
            loss = criterion(net(add_noise(images, config["noise"])), images)
            loss.backward()
            optimizer.step()
        record_seconds(time.perf_counter() - started)
        val_loss = 0.0
        val_steps = 0
        for images, _ in valloader:
            with torch.no_grad():
                val_loss += criterion(net(add_noise(images, config["noise"])), images).item()
                val_steps += 1
        with tempfile.TemporaryDirectory() as checkpoint_dir:
            state = {"epoch": epoch, "net": net.state_dict(), "optimizer": optimizer.state_dict()}
            (Path(checkpoint_dir) / "data.pkl").write_bytes(pickle.dumps(state))
            tune.report(
                {"loss": val_loss / val_steps},
                checkpoint=tune.Checkpoint.from_directory(checkpoint_dir),
            )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(train_denoiser, data_dir=DATA), resources={"cpu": 1, "gpu": 0}
            ),
            tune_config=tune.TuneConfig(metric="loss", mode="min"),
            run_config=tune.RunConfig(storage_path=folder),
            param_space={name: tune.grid_search(values) for name, values in GRID.items()},
        )
        results = tuner.fit()
    if results.num_errors:
        raise SystemExit(f"{results.num_errors} trials failed")


if __name__ == "__main__":
    main()
