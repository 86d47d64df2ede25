"""Tasks: what the network is given, what it shall give back, and how the difference is measured.

Images are B x C x H x W, floats in [0, 1]. Every loss is a mean over images, channels and pixels, on that scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from cae.trial.component import Component, Dependency
from cae.trial.losses import binary_cross_entropy
from cae.trial.metrics import channel_argmax_error, gradient_energy, psnr, ssim

Shape = tuple[int, int, int]
Table = list[dict[str, Any]]
"""Rows of what a task found at the end, as the journal and the page have them: names to numbers and words."""


class SplitPairs(Protocol):
    """The inputs and targets of a split, as cae/trial/batches.py has them."""

    pixels: Tensor
    labels: Tensor

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the images at these indices."""
        ...

    def whole(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Inputs, targets and labels, a batch at a time."""
        ...

    def mean_target(self) -> Tensor:
        """The mean of all targets; 1 x C x H x W."""
        ...


WORST = 8
"""So many of the test images with the largest errors are kept, to be looked at."""

Gallery = tuple[Tensor, list[str]]
"""Images, N x 1 or 3 x H x W in [0, 1], and a caption of each."""


class Evaluation(NamedTuple):
    """The whole test split as the best weights have it, on the CPU; N images."""

    network: nn.Module
    given: Tensor
    target: Tensor
    output: Tensor
    labels: Tensor
    """N class numbers."""
    classes: tuple[str, ...]
    """Their names, by number; empty where the data set has none."""
    train: SplitPairs
    """The training pairs, on the device."""
    dependencies: Mapping[str, nn.Module]
    """The networks of the trials that this one needs, by the task's parameter."""


class Task(Component):
    """A task. The default one asks for an image of the input's shape and measures it as an image."""

    loss: Literal["mse", "l1", "bce"] = "mse"
    """`mse`: mean squared error. `l1`: mean absolute error. `bce`: mean binary cross-entropy in nats, of outputs in [0, 1]
    against targets in [0, 1]; its floor is the targets' own entropy, not 0."""

    term_names: ClassVar[tuple[str, ...]] = ()
    """The names that `terms` gives."""
    corrupts: ClassVar[bool] = False
    """Whether inputs are drawn at random from their images: they are made once then, for a whole split."""

    @property
    def redraws(self) -> bool:
        """Whether the training inputs are drawn anew in each epoch, rather than once per trial."""
        return False

    def input_shape(self, image_shape: Shape) -> Shape:
        return image_shape

    def output_shape(self, image_shape: Shape) -> Shape:
        return image_shape

    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Input and target of each image; `labels`: B class numbers. Randomness only from `generator`."""
        raise NotImplementedError

    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss: a scalar, mean over everything."""
        if self.loss == "mse":
            return F.mse_loss(output, target)
        if self.loss == "l1":
            return F.l1_loss(output, target)
        return binary_cross_entropy(output, target)

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Measures of every epoch, by name, a value per image (shape B)."""
        measured = {"psnr": psnr(output, target)}
        if self.loss != "mse":
            measured["mse"] = (output - target).square().flatten(1).mean(1)
        if target.shape[1] > 1:
            measured["channel_argmax_error"] = channel_argmax_error(output, target)
        return measured

    def final_metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Measures that are too dear for every epoch; taken once, with the best weights. A value per image (shape B)."""
        return {"ssim": ssim(output, target)}

    def picture(self, given: Tensor, image: Tensor) -> Tensor:
        """What people look at of an output or a target: B x 1 or 3 x H x W, in [0, 1] once it is clipped."""
        return image

    def terms(self, network: nn.Module) -> dict[str, Tensor]:
        """What the network adds to the loss of the batch it has just seen, by name, a value per image (shape B); measured too."""
        return {}

    def stage(self, epoch: int, epochs: int) -> int:
        """Which part of the training an epoch (from 1) belongs to, from 0. Each begins with a new optimizer."""
        return 0

    def prepare(self, network: nn.Module, stage: int) -> None:
        """Makes a network ready for an epoch of a stage, after it was put into training mode: freezes layers, say."""

    def start_from(self, network: nn.Module, dependencies: Mapping[str, nn.Module]) -> None:
        """Gives a new network what the trials that this one needs have learnt."""

    def baselines(self, train: SplitPairs, given: Tensor) -> dict[str, Tensor]:
        """What trivial rules, which learn nothing or little from the training pairs, would answer to the test inputs: by name,
        each of the targets' shape. A network that does not beat them has learnt nothing."""
        return {"mean_image": train.mean_target().expand(len(given), -1, -1, -1)}

    def floor(self, target: Tensor) -> float:
        """The loss of a perfect answer: for `bce` the mean entropy of the targets, else 0."""
        return self.criterion(target, target).item() if self.loss == "bce" else 0.0

    def conclude(self, seen: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """Measures and tables of the test split that are no means over single images, once, with the best weights.

        `gradient_energy`: of the outputs over that of the targets; below 1 they are blurrier."""
        energy = gradient_energy(seen.target).mean().item()
        metrics = (
            {"gradient_energy": gradient_energy(seen.output).mean().item() / energy}
            if energy
            else {}
        )
        return metrics, {"per_class": per_class(self, seen)} if len(seen.classes) > 1 else {}

    def galleries(self, seen: Evaluation) -> dict[str, Gallery]:
        """Images that this task picks out or makes at the end, with the best weights, for people to look at: by name.

        `worst`: the test images with the largest mean squared errors, the largest first; target above output."""
        errors = (seen.output - seen.target).square().flatten(1).mean(1)
        chosen, median = (
            errors.nan_to_num(-1).argsort(descending=True, stable=True)[:WORST],
            errors.median(),
        )
        pictures = [
            self.picture(seen.given[chosen], images[chosen]).clamp(0, 1)
            for images in (seen.target, seen.output)
        ]
        times = (
            [f"mse {errors[at]:.3g}, {errors[at] / median:.3g} times the median" for at in chosen]
            if median
            else [""] * len(chosen)
        )
        return {"worst": (torch.cat(pictures, 2), times)}

    def validate_trial(self, trial: Any) -> None:
        """Raises ValueError where the rest of the trial does not suit this task: a trial that it needs is another kind, say."""

    def validate_output_range(self, output_range: tuple[float, float]) -> None:
        """Raises ValueError where the network's outputs do not suit the loss."""
        if self.loss == "bce" and not (output_range[0] >= 0 and output_range[1] <= 1):
            raise ValueError(
                "task.loss = 'bce' needs outputs in [0, 1]: choose arch.output_activation = 'sigmoid'"
            )


class Reconstruct(Task):
    """The target is the input itself."""

    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return images, images


class Denoise(Task):
    """Input: the image plus `noise_factor` times standard normal noise, clipped to [0, 1]. Target: the clean image.

    The formula is the one of the Keras blog ("Building autoencoders in Keras"), which draws the noise once, before training.
    """

    loss: Literal["mse", "l1", "bce"] = "bce"
    noise_factor: PositiveFloat = 0.5
    """Standard deviation of the noise, in units of the pixel range."""
    redraw_noise: bool = False
    """Whether each epoch draws new noise for the training images."""
    judge: Dependency | None = None
    """A trial that classifies clean images: at the end it says how many of the denoised test images it still recognises."""
    corrupts: ClassVar[bool] = True
    dependency_names: ClassVar[tuple[str, ...]] = ("judge",)

    @property
    def redraws(self) -> bool:
        return self.redraw_noise

    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        return (images + self.noise_factor * noise).clamp_(0, 1), images

    def validate_trial(self, trial: Any) -> None:
        if self.judge and self.judge.task.name != "classify":
            raise ValueError(
                f"task.judge has the task {self.judge.task.name!r}: a judge has to classify"
            )

    def conclude(self, seen: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """With a judge: the share of the test images that it recognises once denoised (of each class, too), as they were given,
        and clean."""
        metrics, tables = super().conclude(seen)
        if judge := seen.dependencies.get("judge"):
            said = {
                name: recognise(judge, images)
                for name, images in (
                    ("", seen.output),
                    ("_noisy", seen.given),
                    ("_clean", seen.target),
                )
            }
            metrics |= {
                f"recognised{name}": (of == seen.labels).double().mean().item()
                for name, of in said.items()
            }
            tables["recognised"] = confusions(seen.labels, said[""], seen.classes)
            right = (said[""] == seen.labels).double()
            for row, number in zip(
                tables.get("per_class", []), seen.labels.unique().tolist(), strict=False
            ):
                row["recognised"] = right[seen.labels == number].mean().item()
        return metrics, tables


def per_class(task: Task, seen: Evaluation) -> Table:
    """A row per class: its images, the means of all measures over them, and `relative_mse`, the mean squared error over the
    mean variance of the class's own target pixels: a class that fills few pixels has a small error for that alone."""
    rows: Table = []
    for number in seen.labels.unique().tolist():
        of = seen.labels == number
        output, target = seen.output[of], seen.target[of]
        squared = (output - target).square().flatten(1).mean(1)
        measured = (
            {"mse": squared} | task.metrics(output, target) | task.final_metrics(output, target)
        )
        means = {name: values.double().mean().item() for name, values in measured.items()}
        variance = target.double().var(0, correction=0).mean().item()
        if variance:
            means["relative_mse"] = means["mse"] / variance
        rows.append({"class": seen.classes[number], "images": int(of.sum()), **means})
    return rows


def recognise(judge: nn.Module, images: Tensor) -> Tensor:
    """The class that a classifier gives each of N images; N class numbers, on the CPU."""
    device = next(judge.parameters()).device
    with torch.inference_mode():
        return torch.cat(
            [judge(part.to(device)).flatten(1).argmax(1).cpu() for part in images.split(500)]
        )


def confusions(truth: Tensor, said: Tensor, classes: tuple[str, ...]) -> Table:
    """The confusion matrix: a row per true class, a column per class that was said, counts of images."""
    count = max(len(classes), int(truth.max()) + 1, int(said.max()) + 1)
    names = [*classes, *(str(number) for number in range(len(classes), count))]
    matrix = (
        torch.bincount(truth * count + said, minlength=count * count).view(count, count).tolist()
    )
    return [
        {"class": names[true], **{f"as {name}": row[other] for other, name in enumerate(names)}}
        for true, row in enumerate(matrix)
    ]
