"""Losses: what training minimizes. Importing this package registers all of them.

A task names its loss, or a weighted sum of several, as a text: `0.8*mse + 0.2*ms_ssim`.
"""

from cae.trial.losses.base import Loss
from cae.trial.losses.binary_cross_entropy import binary_cross_entropy
from cae.trial.losses.expression import (
    LossText,
    WeightedLoss,
    known_losses,
    loss_names,
    total_loss,
)
from cae.trial.losses.pixels import L1, Bce, GradientDifference, Huber, Mse
from cae.trial.losses.similarity import MsSsim, Ssim

__all__ = [
    "L1",
    "Bce",
    "GradientDifference",
    "Huber",
    "Loss",
    "LossText",
    "MsSsim",
    "Mse",
    "Ssim",
    "WeightedLoss",
    "binary_cross_entropy",
    "known_losses",
    "loss_names",
    "total_loss",
]
