"""The network of a trial: a new one, or the trained one from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from cae.trial import checkpoint
from cae.trial.config import Trial
from cae.trial.layout import weight_layout


def build_network(trial: Trial) -> nn.Module:
    """Return a new network of the trial, on the CPU.

    The weights are drawn from PyTorch's global random number generator.
    """
    image_shape = trial.dataset.image_shape
    input_shape = trial.task.input_shape(image_shape)
    return trial.arch.build(input_shape, trial.task.output_shape(image_shape))


def build_network_like(trial: Trial, weights: Mapping[str, Tensor]) -> nn.Module:
    """Return the network of a trial with these weights, on the CPU.

    The names and shapes are compared before memory is allocated for the network: somebody else's
    configuration may describe one of any size. Raises ValueError if they differ.
    """
    with torch.device("meta"):
        described = build_network(trial).state_dict()
    for name in [*described, *weights]:
        if name not in weights:
            raise ValueError(f"the weights lack {name}, which the configuration describes")
        if name not in described:
            raise ValueError(f"the weights have {name}, which the configuration lacks")
        shape = tuple(weights[name].shape)
        described_shape = tuple(described[name].shape)
        if shape != described_shape:
            raise ValueError(
                f"size mismatch for {name}: {shape} in the weights, and {described_shape} in the "
                "network that the configuration describes"
            )
    network = build_network(trial)
    network.load_state_dict(weights)
    return network


def load_trained(trial: Trial, folder: Path, device: torch.device) -> nn.Module:
    """Return the trained network of a finished trial, frozen and in evaluation mode.

    It has the weights of the best epoch.

    Raises FileNotFoundError, DamagedCheckpoint or ForeignCheckpoint if `folder` does not contain an
    undamaged checkpoint of the trial.
    """
    network = build_network(trial)
    best = checkpoint.load_own(folder / checkpoint.BEST, checkpoint.Owner(trial.flat()))
    network.load_state_dict(best.network)
    return to_device(network, device).eval().requires_grad_(False)


def to_device(network: nn.Module, device: torch.device, precision: str = "float32") -> nn.Module:
    """Move a network to a device, in the layout that is fastest there; return the same network.

    `precision`: that of its training.
    """
    return network.to(device).to(memory_format=weight_layout(device, precision))


def training_error_of_one_image(trial: Trial) -> str:
    """Return why a network in training mode does not accept a single image; empty if it does.

    No values are computed.
    """
    with torch.device("meta"):
        network = build_network(trial).train()
        image = torch.empty(1, *trial.task.input_shape(trial.dataset.image_shape))
    try:
        network(image)
    except Exception as error:  # other errors than that of batch normalization are not of the batch
        if "more than 1 value per channel" in str(error):
            return str(error)
    return ""
