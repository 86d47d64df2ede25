"""The five networks of the reports on which training steps are measured."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.config import Trial
from cae.trial.networks.upsampling import UpsampledConv2d

SWEEPS = Path(__file__).parents[1] / "sweeps"


@dataclass(frozen=True)
class Source:
    """Where the trial of a network comes from: a sweep file's base trial, and changes of it."""

    sweep: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    without_judge: bool = False
    """Whether the judge, another trial, is left out: training is the same without it."""


NETWORKS = {
    "004 denoiser": Source("mnist_denoise", without_judge=True),
    "000 baseline": Source("cifar_baseline"),
    "000 best": Source(
        "cifar_grid",
        {"arch.kernel_size": 7, "arch.encoder_filters": [32, 32, 32], "arch.decoder_filters": [64]},
    ),
    "002 L4 F16": Source(
        "mnist_grid",
        {"arch.encoder_filters": [16, 32, 64, 128], "arch.decoder_filters": [128, 64, 32, 16]},
    ),
    "003 halves": Source("fashion_halves"),
}


def trial_of(name: str, changes: Mapping[str, Any] | None = None) -> Trial:
    """Return the trial of a network, with changes by dotted name."""
    source = NETWORKS[name]
    trial = read_sweep_file(SWEEPS / f"{source.sweep}.py").sweep.base
    if source.without_judge:
        task = trial.task.model_copy(update={"judge": None})
        trial = trial.model_copy(update={"task": task})
    return trial.override({**source.changes, **(changes or {})})


def unmerged(network: nn.Module) -> nn.Module:
    """Return a copy with separate Upsample and Conv2d layers, and pooling after ReLU."""
    network = copy.deepcopy(network)
    for layers in list(network.modules()):
        if isinstance(layers, nn.Sequential):
            _separate(layers)
    return network


def _separate(layers: nn.Sequential) -> None:
    for index, layer in enumerate(list(layers)):
        if isinstance(layer, UpsampledConv2d):
            convolution = nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                (layer.kernel_size[0], layer.kernel_size[1]),
                padding=(layer.kernel_size[0] // 2, layer.kernel_size[1] // 2),
            )
            convolution.load_state_dict(layer.state_dict())
            layers[index - 1] = nn.Upsample(scale_factor=2)
            layers[index] = convolution
        elif isinstance(layer, nn.MaxPool2d) and isinstance(layers[index + 1], nn.ReLU):
            layers[index] = layers[index + 1]
            layers[index + 1] = layer
