"""Trials and images of the stages. The images are synthetic: smooth, with edges."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.networks import NETWORKS, SWEEPS, trial_of
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.batches import DeviceImages, DeviceSplit
from cae.trial.config import Trial
from cae.trial.datasets import Cifar10, Mnist
from cae.trial.networks import (
    Classifier,
    ConvAutoencoder,
    VariationalAutoencoder,
)
from cae.trial.optimizers import Adam
from cae.trial.tasks import Classify, Colorize, Denoise, Reconstruct, Vae

SEED = 20261127
CLASSES = tuple("0123456789")


def synthetic_images(trial: Trial, train: int, val: int, device: torch.device) -> DeviceImages:
    """Return images of the trial's shape on a device; as many for testing as for validation."""
    generator = torch.Generator().manual_seed(SEED)
    splits = [_synthetic_split(trial, count, generator) for count in (train, val, val)]
    moved = [DeviceSplit(item.pixels.to(device), item.labels.to(device)) for item in splits]
    train_split, val_split, test_split = moved
    return DeviceImages(train_split, val_split, test_split, CLASSES)


def _synthetic_split(trial: Trial, count: int, generator: torch.Generator) -> DeviceSplit:
    channels, rows, columns = trial.dataset.image_shape
    labels = torch.randint(0, len(CLASSES), (count,), generator=generator)
    coarse = torch.rand(count, channels, 5, 5, generator=generator)
    smooth = F.interpolate(coarse, (rows, columns), mode="bicubic", align_corners=True)
    threshold = 0.3 + 0.04 * labels[:, None, None, None]
    images = (4 * (smooth - threshold)).clamp(0, 1)
    return DeviceSplit((images * 255).round().to(torch.uint8), labels)


def _small(task: Any, arch: Any, dataset: Any = None, **parameters: Any) -> Trial:
    return Trial(
        dataset=dataset or Mnist(),
        task=task,
        arch=arch,
        optimizer=Adam(lr=1e-3),
        batch_size=64,
        **parameters,
    )


def network_trials() -> dict[str, Trial]:
    """Return the five networks of the reports on which steps are measured."""
    return {name: trial_of(name) for name in NETWORKS}


def inpainting_trials() -> dict[str, Trial]:
    """Return networks of report 001: v1, plain, with batch norm and dilated, and a dense one."""
    base = read_sweep_file(SWEEPS / "inpaint_center.py").sweep.base
    base = base.override({"dataset": "patches", "dataset.size": 64, "batch_size": 64})
    dense = {
        "arch": "dense_autoencoder",
        "arch.hidden_units": (512, 128),
        "arch.activation": "sigmoid",
    }
    return {
        "001 v1": base,
        "001 batch norm": base.override({"arch.batch_norm": "before_activation"}),
        "001 dilated": base.override({"arch.dilation": (4, 3, 2, 1)}),
        "001 dense": base.override(dense),
    }


def other_trials() -> dict[str, Trial]:
    """Return a variational autoencoder, a classifier and a colorization."""
    return {
        "VAE": _small(Vae(), VariationalAutoencoder()),
        "classifier": _small(Classify(), Classifier()),
        "colorize": _small(Colorize(), ConvAutoencoder(), Cifar10()),
        "colorize IQ": _small(
            Colorize(target="iq"), ConvAutoencoder(output_activation="tanh"), Cifar10()
        ),
    }


def troublesome_trials() -> dict[str, Trial]:
    """Return small trials whose bits are compared: each has another source of trouble."""
    reconstruct = Reconstruct()
    return {
        "plain": _small(reconstruct, ConvAutoencoder()),
        "batch norm, dropout": _small(
            reconstruct, ConvAutoencoder(batch_norm="before_activation", dropout=0.3)
        ),
        "VAE": _small(Vae(), VariationalAutoencoder()),
        "dilated": _small(reconstruct, ConvAutoencoder(dilation=2)),
        "transposed": _small(reconstruct, ConvAutoencoder(upsampling="transposed")),
        "redrawn noise": _small(Denoise(redraw_noise=True), ConvAutoencoder()),
    }
