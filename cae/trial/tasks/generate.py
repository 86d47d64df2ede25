"""Generating images: variational autoencoders, and what their images are worth."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from annotated_types import Len
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from cae.trial.component import Dependency
from cae.trial.tasks.base import Evaluation, Gallery, Table, Task, recognise

ELBO_SAMPLES = 16
"""Latents drawn per test image."""
VENDI_IMAGES = 500
"""Of each scale, for the Vendi score: it grows with the number of images, so all have the same."""
SHOWN = 8
"""Of each scale, in the gallery."""
SEED = 0
"""Of what is drawn at the end: the same for all trials."""


class Vae(Task):
    """The image itself, through a random latent (Kingma & Welling 2014): the loss is the negative evidence lower bound in nats per
    image, the reconstruction's error summed over channels and pixels plus the KL divergence from the standard normal prior.

    `loss` is the sum convention; over the pixels, as other libraries print it, it is `test_loss_per_pixel`. Validation and test
    losses take each latent at its mean; `test_elbo` draws it.
    """

    loss: Literal["mse", "bce"] = "bce"
    judge: Dependency | None = None
    """A trial that classifies real images: at the end it says which generated ones it recognises as the class trained on."""
    latent_scales: Annotated[tuple[PositiveFloat, ...], Len(1)] = (1.0, 2.0, 3.0, 4.0)
    """Latents are drawn where the largest of their coordinates lies between the scale before (0 first) and this one."""
    generated: PositiveInt = 1000
    """Images at each scale."""
    term_names: ClassVar[tuple[str, ...]] = ("kl",)
    dependency_names: ClassVar[tuple[str, ...]] = ("judge",)

    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return images, images

    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        return super().criterion(output, target) * target[0].numel()

    def terms(self, network: nn.Module) -> dict[str, Tensor]:
        return {"kl": cast(Any, network).kl()}

    def validate_trial(self, trial: Any) -> None:
        if trial.arch.name != "variational_autoencoder" and trial.arch.is_builtin():
            raise ValueError(
                f"task = 'vae' needs arch = 'variational_autoencoder', not {trial.arch.name!r}"
            )
        if self.judge and self.judge.task.name != "classify":
            raise ValueError(
                f"task.judge has the task {self.judge.task.name!r}: a judge has to classify"
            )

    def conclude(self, seen: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """The drawn bound; and per latent scale how the generated images are recognised (Wilson interval, 95 %), how they differ
        from one another (mean pairwise Euclidean distance; Vendi score of cosine similarities) and from the training images."""
        network: Any = seen.network
        device = next(seen.network.parameters()).device
        elbo = self._elbo(network, seen.target.to(device))
        metrics = {"elbo": elbo, "loss_per_pixel": -elbo / seen.target[0].numel()}
        trained_on = seen.train.labels.unique().cpu()
        pixels = torch.cat([target.flatten(1) for _, target, _ in seen.train.whole()])
        rows: Table = []
        for scale, latents in zip(
            self.latent_scales, self._latents(_dimensions(network, seen)), strict=True
        ):
            images = torch.cat([network.decode(part.to(device)) for part in latents.split(500)])
            flat = images.flatten(1)
            nearest = torch.cat([torch.cdist(part, pixels).amin(1) for part in flat.split(250)])
            row: dict[str, Any] = {
                "latent scale": scale,
                "images": len(images),
                "mean distance": torch.pdist(flat).mean().item(),
                "vendi score": vendi(flat[:VENDI_IMAGES].cpu()),
                "distance to nearest training image": nearest.mean().item(),
            }
            if (judge := seen.dependencies.get("judge")) and len(trained_on) == 1:
                row |= _judged(recognise(judge, images), int(trained_on), seen.classes)
            rows.append(row)
            tag = f"{scale:g}".replace(".", "_")
            keys = {
                "recognised": "recognised",
                "diversity": "mean distance",
                "vendi": "vendi score",
            }
            metrics |= {
                f"{name}_{tag}": float(row[key]) for name, key in keys.items() if key in row
            }
        return metrics, {"generated": rows}

    def galleries(self, seen: Evaluation) -> dict[str, Gallery]:
        """The first images that are generated at each scale; with a judge, what it says they are."""
        network: Any = seen.network
        device, judge = next(seen.network.parameters()).device, seen.dependencies.get("judge")
        found: dict[str, Gallery] = {}
        for scale, latents in zip(
            self.latent_scales, self._latents(_dimensions(network, seen)), strict=True
        ):
            images = network.decode(latents[:SHOWN].to(device)).cpu()
            said = (
                [f"as {seen.classes[number]}" for number in recognise(judge, images)]
                if judge
                else [""] * len(images)
            )
            found[f"generated at latent scale {scale:g}"] = (images, said)
        return found

    def _elbo(self, network: Any, images: Tensor) -> float:
        """Nats per image, the mean over `ELBO_SAMPLES` latents of each."""
        total, generator = 0.0, torch.Generator(images.device).manual_seed(SEED)
        for part in images.split(500):
            mean, log_var = network.encode(part.contiguous(memory_format=torch.channels_last))
            kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
            for _ in range(ELBO_SAMPLES):
                noise = torch.randn(mean.shape, generator=generator, device=mean.device)
                error = self.criterion(
                    network.decode(mean + (0.5 * log_var).exp() * noise), part
                ) * len(part)
                total += (error + kl.sum()).item() / ELBO_SAMPLES
        return -total / len(images)

    def _latents(self, dimensions: int) -> list[Tensor]:
        """Of each scale, uniform in the shell between the cube of the scale before and its own; generated x dimensions."""
        drawn, inner = [], 0.0
        generator = torch.Generator().manual_seed(SEED)
        for scale in self.latent_scales:
            kept: list[Tensor] = []
            while sum(map(len, kept)) < self.generated:
                latents = (
                    torch.rand(4 * self.generated, dimensions, generator=generator) * 2 - 1
                ) * scale
                kept.append(latents[latents.abs().amax(1) > inner])
            drawn.append(torch.cat(kept)[: self.generated])
            inner = scale
        return drawn


def _dimensions(network: Any, seen: Evaluation) -> int:
    device = next(seen.network.parameters()).device
    return int(network.encode(seen.target[:1].to(device))[0].shape[1])


def _judged(said: Tensor, wanted: int, classes: tuple[str, ...]) -> dict[str, Any]:
    from scipy.stats import binomtest  # takes a second to import, and only this needs it

    right = int((said == wanted).sum())
    interval = binomtest(right, len(said)).proportion_ci(method="wilson")
    counts = torch.bincount(said, minlength=len(classes))
    others = [
        number
        for number in counts.argsort(descending=True).tolist()
        if number != wanted and counts[number]
    ]
    taken_for = (
        ", ".join(f"{classes[number]} ({int(counts[number])})" for number in others) or "no other"
    )
    return {
        "recognised": right / len(said),
        "from": float(interval.low),
        "to": float(interval.high),
        "taken for": taken_for,
    }


def vendi(flat: Tensor) -> float:
    """The Vendi score (Friedman & Dieng 2023) of N flat images by cosine similarity: the exponential of the entropy of the
    eigenvalues of K / N; 1 where all are alike, N where all are orthogonal."""
    unit = F.normalize(flat.double(), dim=1)
    eigenvalues = torch.linalg.eigvalsh(unit @ unit.T / len(flat)).clamp(min=0)
    return float(torch.special.entr(eigenvalues).sum().exp())
