"""cae-sweep: hyperparameter sweeps of convolutional autoencoders. These are the words of a sweep file.

Each is imported when it is first used: `cae-sweep --help` needs none of them, and torch and ray take seconds to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cae.sweep.spec import ASHA, Sweep
    from cae.trial.architectures import Architecture, ConvAutoencoder
    from cae.trial.config import Trial
    from cae.trial.datasets import Cifar10, Dataset, Digits, FashionMnist, ImageFolder, Mnist, Patches
    from cae.trial.model import load_model
    from cae.trial.optimizers import SGD, Adam, Constant, Optimizer, ReduceOnPlateau, RMSprop, Schedule
    from cae.trial.tasks import Denoise, Reconstruct, Task

_HOMES = {
    "cae.sweep.spec": ("ASHA", "Sweep"),
    "cae.trial.architectures": ("Architecture", "ConvAutoencoder"),
    "cae.trial.config": ("Trial",),
    "cae.trial.datasets": ("Cifar10", "Dataset", "Digits", "FashionMnist", "ImageFolder", "Mnist", "Patches"),
    "cae.trial.model": ("load_model",),
    "cae.trial.optimizers": ("SGD", "Adam", "Constant", "Optimizer", "RMSprop", "ReduceOnPlateau", "Schedule"),
    "cae.trial.tasks": ("Denoise", "Reconstruct", "Task"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ASHA", "SGD", "Adam", "Architecture", "Cifar10", "Constant", "ConvAutoencoder", "Dataset", "Denoise", "Digits", "FashionMnist",
    "ImageFolder", "Mnist", "Optimizer", "Patches", "RMSprop", "Reconstruct", "ReduceOnPlateau", "Schedule", "Sweep", "Task", "Trial",
    "load_model",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cae' has no {name!r}; it has {', '.join(sorted(_HOME))}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
