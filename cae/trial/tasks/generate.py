"""Generating images with variational autoencoders."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from annotated_types import Len
from pydantic import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)
from torch import Tensor, nn
from typing_extensions import override

from cae.trial.component import Dependency
from cae.trial.latent.measures.active_units import ACTIVE_UNITS, count_active
from cae.trial.layout import image_layout
from cae.trial.metrics import Direction, Metric, description, error_metric, share_metric
from cae.trial.tasks.base import (
    Evaluation,
    Gallery,
    SplitPairs,
    Table,
    Task,
    check_judge,
    recognize,
)
from cae.trial.tasks.declared_tables import IMAGES, DeclaredTable, declared_table

ELBO_SAMPLES = 16
"""Latent codes drawn per test image."""
VENDI_IMAGES = 500
"""Images per scale for the Vendi score, which grows with their number."""
GALLERY_IMAGES = 8
"""Images per scale in the gallery."""
SEED = 0
"""Of the latent codes drawn at the end, the same for all trials."""
BATCH = 500


class Vae(Task):
    """The image itself, through a random latent code (Kingma & Welling 2014).

    The loss is the negative evidence lower bound in nats per image: the reconstruction error summed
    over channels and pixels plus `beta` times the KL divergence from the standard normal prior.
    `loss` uses the sum convention; divided by the number of values, as other libraries print it, it
    is `test_loss_per_pixel`. Validation and test losses use the mean of each latent code;
    `test_elbo` draws it, with a KL divergence that `beta` does not multiply.

    `warmup` and `free_bits` change the training only. Validation and test losses always have the
    full `beta` and no free bits, so that the losses of all epochs, and of trials with other values
    of both, are comparable.
    """

    loss: Literal["mse", "bce"] = "bce"
    """Reconstruction error: `bce` binary cross-entropy, `mse` squared error; summed over the
    image."""
    beta: NonNegativeFloat = 1.0
    """Factor of the KL divergence in the loss (Higgins et al. 2017, beta-VAE); at least 0. 1: the
    evidence lower bound."""
    warmup: NonNegativeInt = 0
    """Epochs of KL warm-up: in epoch e of w the training multiplies the KL divergence by e / (w +
    1) too. 0: none."""
    free_bits: NonNegativeFloat = 0.0
    """Nats of KL divergence of each latent value, mean over a batch, that the training does not
    penalize (Kingma et al. 2016); at least 0."""
    judge: Dependency | None = None
    """A trial that classifies real images: which generated images it recognizes as the class that
    was trained on is evaluated at the end."""
    latent_scales: Annotated[tuple[PositiveFloat, ...], Len(1)] = (1.0, 2.0, 3.0, 4.0)
    """Latent codes are drawn between cubes: their largest coordinate is between the previous scale
    (0 first) and this one."""
    generated: PositiveInt = 1000
    """Number of generated images per scale."""

    term_names: ClassVar[tuple[str, ...]] = ("kl",)
    dependency_names: ClassVar[tuple[str, ...]] = ("judge",)
    training_parameters: ClassVar[tuple[str, ...]] = ("warmup", "free_bits")
    later_parameters: ClassVar[frozenset[str]] = frozenset({"beta", "warmup", "free_bits"})

    @override
    def inactive_parameters(self) -> dict[str, str]:
        if self.beta > 0:
            return {}
        return dict.fromkeys(("warmup", "free_bits"), "task.beta is 0")

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return images, images

    @override
    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        return super().criterion(output, target) * target[0].numel()

    @override
    def terms(self, network: nn.Module) -> dict[str, Tensor]:
        return {"kl": cast(Any, network).kl()}

    @override
    def weigh_terms(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"kl": self.beta * terms["kl"]}

    @override
    def training_terms(self, network: nn.Module) -> dict[str, Tensor]:
        if not self.free_bits:
            return super().training_terms(network)
        if not hasattr(network, "kl_per_value"):
            raise TypeError(
                f"task.free_bits = {self.free_bits:g} needs a network with the method "
                "kl_per_value(), as that of variational_autoencoder has"
            )
        kl_per_value: Tensor = cast(Any, network).kl_per_value()
        return {"kl": self.beta * kl_per_value.mean(0).clamp(min=self.free_bits).sum()}

    @override
    def term_factor(self, epoch: int) -> float:
        return min(1.0, epoch / (self.warmup + 1))

    @override
    def validate_trial(self, trial: Any) -> None:
        if trial.arch.name != "variational_autoencoder" and trial.arch.is_builtin():
            raise ValueError(
                f"task = 'vae' needs arch = 'variational_autoencoder', not {trial.arch.name!r}"
            )
        check_judge(self.judge, trial.dataset)

    @field_validator("latent_scales")
    @classmethod
    def _check_scales(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        """Each scale has to be larger than the one before, also in the names of the metrics."""
        for previous, scale in itertools.pairwise(scales):
            if scale <= previous or _tag(scale) == _tag(previous):
                raise ValueError("should be increasing, and differ in the first six digits")
        return scales

    @override
    def defining_parameters(self, name: str) -> tuple[str, ...]:
        parameters = super().defining_parameters(name)
        if name == "loss":
            return parameters
        return tuple(parameter for parameter in parameters if parameter != "beta")

    @override
    def declared_metrics(self) -> dict[str, Metric]:
        infinity = float("inf")
        better = Direction.MAXIMIZE
        loss_meaning = "Negative evidence lower bound."
        if self.beta != 1:
            loss_meaning = "Reconstruction error plus beta times the KL divergence."
        metrics = [
            error_metric("loss", "nats per image", loss_meaning),
            error_metric("kl", "nats per image", "KL divergence from the standard normal prior."),
            ACTIVE_UNITS,
            Metric(
                "elbo",
                better,
                "nats per image",
                -infinity,
                infinity,
                "Evidence lower bound, drawn.",
            ),
            Metric(
                "loss_per_pixel",
                Direction.MINIMIZE,
                "nats per value",
                -infinity,
                infinity,
                "Negative evidence lower bound per value.",
            ),
        ]
        for scale in self.latent_scales:
            tag = _tag(scale)
            where = f"of images generated at latent scale {scale:g}"
            metrics += [
                share_metric(
                    f"recognised_{tag}", better, f"Share {where} that the judge recognizes."
                ),
                Metric(f"diversity_{tag}", better, "", 0.0, infinity, f"Mean distance {where}."),
                Metric(f"vendi_{tag}", better, "images", 1.0, infinity, f"Vendi score {where}."),
            ]
        return super().declared_metrics() | {metric.name: metric for metric in metrics}

    @override
    def declared_tables(self) -> dict[str, DeclaredTable]:
        better = Direction.MAXIMIZE
        nearest = "distance to nearest training image"
        columns = [
            IMAGES,
            Metric("mean distance", better, "", 0.0, math.inf, "Mean pairwise distance."),
            Metric("vendi score", better, "images", 1.0, math.inf, "Vendi score."),
            description(nearest, "", "Mean Euclidean distance.", 0.0),
            share_metric("recognised", better, "Share that the judge recognizes."),
            share_metric("from", Direction.NONE, "Lower end of its Wilson interval."),
            share_metric("to", Direction.NONE, "Upper end of its Wilson interval."),
        ]
        return {"generated": declared_table(columns, has_class_rows=False)}

    @override
    def conclude(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """The drawn bound, active units, and measures of the generated images per latent scale.

        `active_units`: latent values whose mean varies between the test images, with a variance
        above ACTIVE_VARIANCE (Burda et al. 2016).

        How many the judge recognizes (Wilson interval, 95 %), how they differ from one another
        (mean pairwise Euclidean distance; Vendi score of cosine similarities) and from the training
        images.
        """
        network: Any = evaluation.network
        device = _device_of(evaluation.network)
        elbo = self._elbo(network, evaluation.target.to(device))
        metrics = {"elbo": elbo, "loss_per_pixel": -elbo / evaluation.target[0].numel()}
        metrics["active_units"] = _active_units(network, evaluation.inputs)
        rows: Table = []
        latent_codes = self._draw_latent_codes(_latent_size(network, evaluation))
        for scale, codes in zip(self.latent_scales, latent_codes, strict=True):
            images = torch.cat([network.decode(batch.to(device)) for batch in codes.split(BATCH)])
            row = {"latent scale": scale, **_measure_generated(images, evaluation.train)}
            row |= self._recognize(evaluation, images)
            rows.append(row)
            tag = _tag(scale)
            if "recognised" in row:
                metrics[f"recognised_{tag}"] = float(row["recognised"])
            metrics[f"diversity_{tag}"] = float(row["mean distance"])
            metrics[f"vendi_{tag}"] = float(row["vendi score"])
        return metrics, {"generated": rows}

    def _recognize(self, evaluation: Evaluation, images: Tensor) -> dict[str, Any]:
        """How the judge classifies generated images, if one class was trained on."""
        judge = evaluation.dependencies.get("judge")
        trained_classes = evaluation.train.labels.unique().cpu()
        if judge is None or len(trained_classes) != 1:
            return {}
        return _summarize(recognize(judge, images), int(trained_classes), evaluation.classes)

    @override
    def galleries(self, evaluation: Evaluation) -> dict[str, Gallery]:
        """The first generated images per scale; with a judge, the classes that it predicts."""
        network: Any = evaluation.network
        device = _device_of(evaluation.network)
        judge = evaluation.dependencies.get("judge")
        galleries: dict[str, Gallery] = {}
        latent_codes = self._draw_latent_codes(_latent_size(network, evaluation))
        for scale, codes in zip(self.latent_scales, latent_codes, strict=True):
            images = network.decode(codes[:GALLERY_IMAGES].to(device)).cpu()
            captions = [""] * len(images)
            if judge is not None:
                captions = [
                    f"as {evaluation.classes[number]}" for number in recognize(judge, images)
                ]
            galleries[f"generated at latent scale {scale:g}"] = (images, captions)
        return galleries

    def _elbo(self, network: Any, images: Tensor) -> float:
        """The evidence lower bound in nats per image, mean over ELBO_SAMPLES latent codes of
        each."""
        total = 0.0
        generator = torch.Generator().manual_seed(SEED)  # on the CPU: the same for all devices
        for batch in images.split(BATCH):
            inputs = batch.contiguous(memory_format=image_layout(batch.device))
            mean, log_variance = network.encode(inputs)
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
            for _ in range(ELBO_SAMPLES):
                noise = torch.randn(mean.shape, generator=generator).to(mean.device)
                output = network.decode(mean + (0.5 * log_variance).exp() * noise)
                error = self.criterion(output, batch) * len(batch)
                total += (error + kl.sum()).item() / ELBO_SAMPLES
        return -total / len(images)

    def _draw_latent_codes(self, latent_size: int) -> list[Tensor]:
        """Per scale `generated` x latent size, uniform between the cubes of the previous scale and
        its own."""
        generator = torch.Generator().manual_seed(SEED)
        codes_by_scale: list[Tensor] = []
        previous_scale = 0.0
        for scale in self.latent_scales:
            accepted: list[Tensor] = []
            while sum(map(len, accepted)) < self.generated:
                uniform = torch.rand(4 * self.generated, latent_size, generator=generator)
                codes = (uniform * 2 - 1) * scale
                accepted.append(codes[codes.abs().amax(1) > previous_scale])
            codes_by_scale.append(torch.cat(accepted)[: self.generated])
            previous_scale = scale
        return codes_by_scale


def _tag(scale: float) -> str:
    """A scale in the name of a metric: 1, 2_5."""
    return f"{scale:g}".replace(".", "_")


def _device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _active_units(network: Any, images: Tensor) -> float:
    """The number of latent values that are active on some images."""
    device = _device_of(network)
    means: list[Tensor] = []
    for batch in images.split(BATCH):
        inputs = batch.to(device).contiguous(memory_format=image_layout(device))
        means.append(network.encode(inputs)[0].double())
    variances = torch.cat(means).var(0, correction=0)
    return count_active(variances.cpu().numpy())


def _latent_size(network: Any, evaluation: Evaluation) -> int:
    mean, _ = network.encode(evaluation.target[:1].to(_device_of(evaluation.network)))
    return int(mean.shape[1])


def _measure_generated(images: Tensor, train: SplitPairs) -> dict[str, Any]:
    """Distances between generated images, and to the nearest training images."""
    flat = images.flatten(1)
    return {
        "images": len(images),
        "mean distance": torch.pdist(flat).mean().item(),
        "vendi score": vendi(flat[:VENDI_IMAGES].cpu()),
        "distance to nearest training image": _nearest_distances(flat, train).mean().item(),
    }


def _nearest_distances(flat: Tensor, train: SplitPairs) -> Tensor:
    """The Euclidean distance of each of N flat images to the nearest training image.

    A batch of training images at a time: together they may not fit into the memory.
    """
    nearest = torch.full((len(flat),), math.inf, device=flat.device)
    for _, targets, _ in train.batches():
        distances = torch.cdist(flat, targets.flatten(1)).amin(1)
        nearest = torch.minimum(nearest, distances)
    return nearest


def _summarize(predictions: Tensor, trained_class: int, classes: tuple[str, ...]) -> dict[str, Any]:
    """The share of images classified as the trained class, with its interval, and the other
    classes."""
    from scipy.stats import binomtest  # takes a second to import

    right = int((predictions == trained_class).sum())
    interval = binomtest(right, len(predictions)).proportion_ci(method="wilson")
    counts = torch.bincount(predictions, minlength=len(classes))
    others: list[str] = []
    for number in counts.argsort(descending=True).tolist():
        if number != trained_class and counts[number]:
            others.append(f"{classes[number]} ({int(counts[number])})")
    return {
        "recognised": right / len(predictions),
        "from": float(interval.low),
        "to": float(interval.high),
        "taken for": ", ".join(others) or "no other",
    }


def vendi(flat: Tensor) -> float:
    """The Vendi score (Friedman & Dieng 2023) of N flat images by cosine similarity.

    The exponential of the entropy of the eigenvalues of K / N: 1 if all are alike, N if all are
    orthogonal.
    """
    unit = F.normalize(flat.double(), dim=1)
    eigenvalues = torch.linalg.eigvalsh(unit @ unit.T / len(flat)).clamp(min=0)
    return float(torch.special.entr(eigenvalues).sum().exp())
