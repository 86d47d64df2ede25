"""The five networks of the reports on which steps are measured, and their plain forms."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.config import Trial
from cae.trial.networks.upsampling import UpsampledConv2d

SWEEPS = Path(__file__).parents[1] / "sweeps"
NETWORKS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "004 denoiser": ("mnist_denoise", {"task.judge": None}),
    "000 baseline": ("cifar_baseline", {}),
    "000 best": (
        "cifar_grid",
        {"arch.kernel_size": 7, "arch.encoder_filters": [32, 32, 32], "arch.decoder_filters": [64]},
    ),
    "002 L4 F16": (
        "mnist_grid",
        {"arch.encoder_filters": [16, 32, 64, 128], "arch.decoder_filters": [128, 64, 32, 16]},
    ),
    "003 halves": ("fashion_halves", {}),
}
"""By sweep file, and what is other than its base."""


def trial_of(name: str, **changes: Any) -> Trial:
    """A network's trial; `changes` are dotted names with two underscores for each dot."""
    sweep, settings = NETWORKS[name]
    base = read_sweep_file(SWEEPS / f"{sweep}.py").sweep.base
    if settings.get("task.judge", 0) is None:  # the training is the same with and without one
        base = base.model_copy(update={"task": base.task.model_copy(update={"judge": None})})
        settings = {}
    return base.override(
        {**settings, **{key.replace("__", "."): value for key, value in changes.items()}}
    )


def plain(network: nn.Module) -> nn.Module:
    """A copy in which each folded convolution is an Upsample and a Conv2d again, and pooling comes after ReLU."""
    network = copy.deepcopy(network)
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for place, layer in enumerate(list(layers)):
            if isinstance(layer, UpsampledConv2d):
                inputs, outputs, kernel = layer.in_channels, layer.out_channels, layer.kernel_size
                layers[place - 1] = nn.Upsample(scale_factor=2)
                layers[place] = nn.Conv2d(inputs, outputs, kernel, padding=layer.padding)  # type: ignore[arg-type]
                layers[place].load_state_dict(layer.state_dict())
            elif isinstance(layer, nn.MaxPool2d) and isinstance(layers[place + 1], nn.ReLU):
                layers[place], layers[place + 1] = layers[place + 1], layer
    return network
