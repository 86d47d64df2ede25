"""The network of a trial: a new one, or the one it has trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from cae.trial import checkpoint
from cae.trial.config import Trial


def build(config: Trial) -> nn.Module:
    """The trial's network, its weights drawn from torch's global generator."""
    shape = config.dataset.image_shape
    return config.arch.build(config.task.input_shape(shape), config.task.output_shape(shape))


def trained(config: Trial, folder: Path, device: torch.device) -> nn.Module:
    """The network of a finished trial, at its best epoch: frozen, in evaluation mode."""
    network = build(config)
    network.load_state_dict(checkpoint.load(folder / checkpoint.BEST).network)
    return network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload, no-any-return]
