"""Removing noise."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import PositiveFloat
from torch import Tensor
from typing_extensions import override

from cae.trial.component import Dependency
from cae.trial.losses import LossText
from cae.trial.metrics import Direction, Metric, share_metric
from cae.trial.tasks.base import (
    Evaluation,
    Table,
    Task,
    check_judge,
    confusions,
    recognize,
)


class Denoise(Task):
    """Input: the image plus `noise_factor` times standard normal noise, clipped to [0, 1].

    Target: the clean image. The formula is that of the Keras blog ("Building autoencoders in
    Keras"), which draws the noise once, before training.
    """

    loss: LossText = "bce"
    noise_factor: PositiveFloat = 0.5
    """Standard deviation of the noise, in units of the pixel range."""
    redraw_noise: bool = False
    """Whether each epoch draws new noise for the training images."""
    judge: Dependency | None = None
    """A trial that classifies clean images: how many of the denoised test images it still
    recognizes is evaluated at the end."""

    corrupts: ClassVar[bool] = True
    dependency_names: ClassVar[tuple[str, ...]] = ("judge",)
    training_parameters: ClassVar[tuple[str, ...]] = ("redraw_noise",)

    @property
    @override
    def redraws(self) -> bool:
        return self.redraw_noise

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        return (images + self.noise_factor * noise).clamp_(0, 1), images

    @override
    def validate_trial(self, trial: Any) -> None:
        check_judge(self.judge, trial.dataset)

    @override
    def defining_parameters(self, name: str) -> tuple[str, ...]:
        if name.startswith("recognised"):
            return ("judge",)
        return super().defining_parameters(name)

    @override
    def declared_metrics(self) -> dict[str, Metric]:
        metrics = super().declared_metrics()
        for name, images in (
            ("recognised", "denoised"),
            ("recognised_noisy", "noisy"),
            ("recognised_clean", "clean"),
        ):
            meaning = f"Share of the {images} test images whose class the judge recognizes."
            metrics[name] = share_metric(name, Direction.MAXIMIZE, meaning)
        return metrics

    @override
    def conclude(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """With a judge: the share of test images that it recognizes denoised, noisy and clean."""
        metrics, tables = super().conclude(evaluation)
        judge = evaluation.dependencies.get("judge")
        if judge is None:
            return metrics, tables
        predictions = recognize(judge, evaluation.output)
        is_right = predictions == evaluation.labels
        metrics["recognised"] = is_right.double().mean().item()
        for name, images in (("noisy", evaluation.inputs), ("clean", evaluation.target)):
            recognised = recognize(judge, images) == evaluation.labels
            metrics[f"recognised_{name}"] = recognised.double().mean().item()
        tables["recognised"] = confusions(evaluation.labels, predictions, evaluation.classes)
        numbers = evaluation.labels.unique().tolist()
        for row, number in zip(tables.get("per_class", []), numbers, strict=False):
            row["recognised"] = is_right.double()[evaluation.labels == number].mean().item()
        return metrics, tables
