"""cae-sweep: hyperparameter sweeps of convolutional autoencoders. These are the words of a sweep file.

Each is imported when it is first used: `cae-sweep --help` needs none of them, and torch and ray take seconds to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cae.sweep.claims import (
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
    from cae.sweep.spec import ASHA, Sweep
    from cae.trial.architecture import Architecture
    from cae.trial.classification import Classify
    from cae.trial.classifier import Classifier
    from cae.trial.config import Trial
    from cae.trial.conv import ConvAutoencoder
    from cae.trial.datasets import Cifar10, Dataset, Digits, FashionMnist, ImageFolder, Mnist, Patches
    from cae.trial.dense import DenseAutoencoder
    from cae.trial.generation import Vae
    from cae.trial.model import load_model
    from cae.trial.optimizers import SGD, Adam, Constant, Optimizer, ReduceOnPlateau, RMSprop, Schedule
    from cae.trial.restoration import Colorize, Complete, Inpaint
    from cae.trial.tasks import Denoise, Reconstruct, Task
    from cae.trial.variational import VariationalAutoencoder

_HOMES = {
    "cae.sweep.claims": (
        "BetterThan", "Compares", "CorrelatesWith", "FallsWith", "LargestAt", "LargestRows", "MoreImportantThan", "NoDifference",
        "NotTestable", "RisesWith", "SmallestAt", "SmallestRows", "Threshold",
    ),
    "cae.sweep.spec": ("ASHA", "Sweep"),
    "cae.trial.architecture": ("Architecture",),
    "cae.trial.classification": ("Classify",),
    "cae.trial.classifier": ("Classifier",),
    "cae.trial.config": ("Trial",),
    "cae.trial.conv": ("ConvAutoencoder",),
    "cae.trial.datasets": ("Cifar10", "Dataset", "Digits", "FashionMnist", "ImageFolder", "Mnist", "Patches"),
    "cae.trial.dense": ("DenseAutoencoder",),
    "cae.trial.generation": ("Vae",),
    "cae.trial.model": ("load_model",),
    "cae.trial.optimizers": ("SGD", "Adam", "Constant", "Optimizer", "RMSprop", "ReduceOnPlateau", "Schedule"),
    "cae.trial.restoration": ("Colorize", "Complete", "Inpaint"),
    "cae.trial.tasks": ("Denoise", "Reconstruct", "Task"),
    "cae.trial.variational": ("VariationalAutoencoder",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ASHA", "SGD", "Adam", "Architecture", "BetterThan", "Cifar10", "Classifier", "Classify", "Colorize", "Compares", "Complete",
    "Constant", "ConvAutoencoder", "CorrelatesWith", "Dataset", "Denoise", "DenseAutoencoder", "Digits", "FallsWith", "FashionMnist",
    "ImageFolder", "Inpaint", "LargestAt", "LargestRows", "Mnist", "MoreImportantThan", "NoDifference", "NotTestable", "Optimizer",
    "Patches", "RMSprop", "Reconstruct", "ReduceOnPlateau", "RisesWith", "Schedule", "SmallestAt", "SmallestRows", "Sweep",
    "Task", "Threshold", "Trial", "Vae", "VariationalAutoencoder", "load_model",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cae' has no {name!r}; it has {', '.join(sorted(_HOME))}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
