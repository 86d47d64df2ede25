"""Trials with recipes: what is interrupted continues bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cae.trial import checkpoint
from cae.trial.batches import DeviceImages
from cae.trial.config import Trial
from cae.trial.training import train

RECIPES: list[dict[str, Any]] = [
    {
        "optimizer": "torch_optimizer",
        "optimizer.algorithm": "NAdam",
        "optimizer.lr": 0.01,
        "schedule": "cosine",
        "warmup_epochs": 1,
        "clip_norm": 0.1,
        "task.loss": "0.5*huber + 0.5*ssim",
    },
    {
        "optimizer": "adam_w",
        "schedule": "one_cycle",
        "clip_value": 0.001,
        "task": "vae",
        "task.warmup": 3,
        "task.beta": 2.0,
        "task.free_bits": 0.1,
        "task.generated": 10,
        "arch": "variational_autoencoder",
    },
    {
        "task": "denoise",
        "arch.skips": True,
        "arch.residual_blocks": 1,
        "arch.batch_norm": "before_activation",
        "arch.norm": "layer",
        "arch.activation": "gelu",
        "arch.bottleneck_channels": 3,
    },
    {
        "task": "denoise",
        "task.redraw_noise": True,
        "augmentation": "augment",
        "augmentation.flip": "horizontal",
        "augmentation.shift": 1,
        "augmentation.rotation": 5.0,
        "augmentation.brightness": 0.1,
        "augmentation.contrast": 0.1,
        "augmentation.cutout": 2,
    },
]


@pytest.mark.parametrize("changes", RECIPES, ids=lambda changes: " ".join(map(str, changes)))
def test_an_interrupted_trial_continues_bit_for_bit(
    trial: Trial, images: DeviceImages, tmp_path: Path, changes: dict[str, Any]
) -> None:
    changed = trial.override(changes)
    whole = list(train(changed, images, tmp_path / "whole"))
    interrupted = train(changed, images, tmp_path / "parts")
    for _ in range(2):
        next(interrupted)
    interrupted.close()
    resumed = list(train(changed, images, tmp_path / "parts"))
    assert [epoch.restored for epoch in resumed] == [True, True, False, False]
    for one, other in zip(whole, resumed, strict=True):
        for name, value in one.row.items():
            if name not in ("seconds", "images_per_second"):
                assert other.row[name] == value, name
    assert whole[-1].final == resumed[-1].final
    expected = checkpoint.load(tmp_path / "whole" / checkpoint.LAST).network
    found = checkpoint.load(tmp_path / "parts" / checkpoint.LAST).network
    for name, weight in expected.items():
        assert torch.equal(weight, found[name])
    assert whole[-1].row["train_loss"] < whole[0].row["train_loss"]
