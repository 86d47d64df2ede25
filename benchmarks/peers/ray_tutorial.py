"""Ray Tune as PyTorch's own tutorial writes it ("Hyperparameter tuning using Ray Tune"), without
its ASHA: all trials run.

A function trainable; data set, loaders, pickled checkpoint and report in each trial. The tutorial
has 8 loader processes: 2 here.
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
    BATCH,
    DATA,
    EPOCHS,
    GRID,
    TRAIN_IMAGES,
    VAL_IMAGES,
    denoiser,
    noisy,
    trained,
)


def load_data(data_dir: str) -> tuple[Any, Any]:
    transform = transforms.Compose([transforms.ToTensor()])
    return torchvision.datasets.MNIST(data_dir, transform=transform), torchvision.datasets.MNIST(
        data_dir, train=False, transform=transform
    )


def train_denoiser(config: dict[str, Any], data_dir: str) -> None:
    torch.manual_seed(config["seed"])
    net = denoiser()
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=config["lr"])
    trainset, testset = load_data(data_dir)
    trainloader = DataLoader(
        Subset(trainset, range(TRAIN_IMAGES)), batch_size=BATCH, shuffle=True, num_workers=2
    )
    valloader = DataLoader(
        Subset(testset, range(VAL_IMAGES)), batch_size=BATCH, shuffle=True, num_workers=2
    )
    for epoch in range(EPOCHS):
        started = time.perf_counter()
        for images, _ in trainloader:
            optimizer.zero_grad()
            loss = criterion(net(noisy(images, config["noise"])), images)
            loss.backward()
            optimizer.step()
        trained(time.perf_counter() - started)
        val_loss, val_steps = 0.0, 0
        for images, _ in valloader:
            with torch.no_grad():
                val_loss += criterion(net(noisy(images, config["noise"])), images).item()
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
