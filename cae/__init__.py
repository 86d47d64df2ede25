"""cae-sweep: hyperparameter sweeps of convolutional autoencoders. These are the words of a sweep file.

Each is imported when it is first used: `cae-sweep --help` needs none of them, and torch and ray take seconds to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cae.sweep.schedulers.asha import ASHA
    from cae.sweep.spec.claims import (
        BetterThan,
        Compares,
        CorrelatesWith,
        FallsWith,
        LargestAt,
        LargestRows,
        MoreImportantThan,
        NoDifference,
        NotTestable,
        RisesWith,
        SmallestAt,
        SmallestRows,
        Threshold,
    )
    from cae.sweep.spec.sweep_file import Sweep
    from cae.trial.config import Trial
    from cae.trial.datasets.base import (
        Cifar10,
        Dataset,
        Digits,
        FashionMnist,
        ImageFolder,
        Mnist,
        Patches,
    )
    from cae.trial.model import load_model
    from cae.trial.networks.base import Architecture
    from cae.trial.networks.classifier import Classifier
    from cae.trial.networks.conv import ConvAutoencoder
    from cae.trial.networks.dense import DenseAutoencoder
    from cae.trial.networks.variational import VariationalAutoencoder
    from cae.trial.optimizers import (
        SGD,
        Adam,
        Constant,
        Optimizer,
        ReduceOnPlateau,
        RMSprop,
        Schedule,
    )
    from cae.trial.tasks.base import Denoise, Reconstruct, Task
    from cae.trial.tasks.classify import Classify
    from cae.trial.tasks.generate import Vae
    from cae.trial.tasks.restoration import Colorize, Complete, Inpaint

_HOMES = {
    "cae.sweep.spec.claims": (
        "BetterThan",
        "Compares",
        "CorrelatesWith",
        "FallsWith",
        "LargestAt",
        "LargestRows",
        "MoreImportantThan",
        "NoDifference",
        "NotTestable",
        "RisesWith",
        "SmallestAt",
        "SmallestRows",
        "Threshold",
    ),
    "cae.sweep.schedulers.asha": ("ASHA",),
    "cae.sweep.spec.sweep_file": ("Sweep",),
    "cae.trial.networks.base": ("Architecture",),
    "cae.trial.tasks.classify": ("Classify",),
    "cae.trial.networks.classifier": ("Classifier",),
    "cae.trial.config": ("Trial",),
    "cae.trial.networks.conv": ("ConvAutoencoder",),
    "cae.trial.datasets.base": (
        "Cifar10",
        "Dataset",
        "Digits",
        "FashionMnist",
        "ImageFolder",
        "Mnist",
        "Patches",
    ),
    "cae.trial.networks.dense": ("DenseAutoencoder",),
    "cae.trial.tasks.generate": ("Vae",),
    "cae.trial.model": ("load_model",),
    "cae.trial.optimizers": (
        "SGD",
        "Adam",
        "Constant",
        "Optimizer",
        "RMSprop",
        "ReduceOnPlateau",
        "Schedule",
    ),
    "cae.trial.tasks.restoration": ("Colorize", "Complete", "Inpaint"),
    "cae.trial.tasks.base": ("Denoise", "Reconstruct", "Task"),
    "cae.trial.networks.variational": ("VariationalAutoencoder",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ASHA",
    "SGD",
    "Adam",
    "Architecture",
    "BetterThan",
    "Cifar10",
    "Classifier",
    "Classify",
    "Colorize",
    "Compares",
    "Complete",
    "Constant",
    "ConvAutoencoder",
    "CorrelatesWith",
    "Dataset",
    "Denoise",
    "DenseAutoencoder",
    "Digits",
    "FallsWith",
    "FashionMnist",
    "ImageFolder",
    "Inpaint",
    "LargestAt",
    "LargestRows",
    "Mnist",
    "MoreImportantThan",
    "NoDifference",
    "NotTestable",
    "Optimizer",
    "Patches",
    "RMSprop",
    "Reconstruct",
    "ReduceOnPlateau",
    "RisesWith",
    "Schedule",
    "SmallestAt",
    "SmallestRows",
    "Sweep",
    "Task",
    "Threshold",
    "Trial",
    "Vae",
    "VariationalAutoencoder",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cae' has no {name!r}; it has {', '.join(sorted(_HOME))}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
