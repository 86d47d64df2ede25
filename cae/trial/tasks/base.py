"""Tasks: inputs and targets, loss, metrics, and what is evaluated at the end.

Images are B x C x H x W, floats in [0, 1]. Every loss is a mean over images, channels and pixels on
that scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from cae.trial.chunks import by_chunks
from cae.trial.component import Component
from cae.trial.losses import LossText, WeightedLoss, known_losses, loss_names, total_loss
from cae.trial.metrics import (
    CHANNEL_ARGMAX_ERROR,
    GRADIENT_ENERGY,
    MSE,
    PSNR,
    SSIM,
    Metric,
    channel_argmax_error,
    description,
    error_metric,
    gradient_energy,
    mse,
    psnr,
    squared_error,
    ssim,
)

Shape = tuple[int, int, int]
"""Channels, rows, columns."""
Table = list[dict[str, Any]]
"""Rows of a table of the final evaluation: numbers and text by column."""
Gallery = tuple[Tensor, list[str]]
"""Images, N x 1 or 3 x H x W in [0, 1], and a caption of each."""

WORST_IMAGES = 8
"""How many test images with the largest errors are kept in the gallery."""
CLASSIFIER_BATCH = 500

COMMON_METRICS = {
    "loss": "criterion",
    "psnr": "metrics",
    "mse": "metrics",
    "channel_argmax_error": "metrics",
    "ssim": "final_metrics",
}
"""Metrics of the base class that do not depend on the task, with the method that computes each."""


class Display(NamedTuple):
    """What is shown of a model that was applied to a user's images, B each."""

    columns: list[tuple[str, Tensor]]
    """Images side by side, each with its title: B x C x H x W in [0, 1] after clipping."""
    texts: list[str]
    """A text per image, such as its error."""


class SplitPairs(Protocol):
    """The inputs and targets of a split (see cae/trial/batches.py)."""

    pixels: Tensor
    labels: Tensor

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the images with these indices."""
        ...

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Inputs, targets and labels of the whole split, in batches."""
        ...

    def mean_target(self) -> Tensor:
        """The mean of all targets, 1 x C x H x W."""
        ...


class ImageMetrics(NamedTuple):
    """The metrics of each image, and what they were computed from."""

    task: Task
    output: Tensor
    target: Tensor
    values: Mapping[str, Tensor]
    """By name, N values each: those of `Task.metrics` and of `Task.final_metrics`."""


class Evaluation(NamedTuple):
    """The test split evaluated with the best weights, on the trial's device; N images."""

    network: nn.Module
    inputs: Tensor
    """Inputs of the network."""
    target: Tensor
    output: Tensor
    labels: Tensor
    """Class numbers, shape N."""
    classes: tuple[str, ...]
    """Names of the classes by number; empty if the data set has none."""
    train: SplitPairs
    """The training pairs, on the device."""
    dependencies: Mapping[str, nn.Module]
    """Networks of the trials that this one depends on, by parameter of the task."""
    image_metrics: ImageMetrics | None = None
    """None: they are computed from the outputs when they are needed."""
    val: SplitPairs | None = None
    """The validation pairs, on the device; None if they are not known."""


class Task(Component):
    """A task. By default the target is an image of the input's shape, and metrics are those of
    images.

    A subclass has to define `pairs`. All other methods are optional.
    """

    loss: LossText = "mse"
    """The loss by its name (`mse`, `l1`, `bce`, `huber`, `ssim`, `ms_ssim`, `gradient_difference`,
    or one of the sweep file), with its parameters: `huber(delta=0.05)`; or a weighted sum: `0.8*mse
    + 0.2*ms_ssim`."""

    # Inputs and targets

    corrupts: ClassVar[bool] = False
    """Whether inputs are drawn at random from their images; they are then drawn once for a split,
    those of the training again in each epoch if `redraws`."""

    @property
    def redraws(self) -> bool:
        """Whether the training inputs are drawn again in each epoch, instead of once per trial."""
        return False

    def input_shape(self, image_shape: Shape) -> Shape:
        """Shape of the network's inputs. Raises ValueError if the images do not fit the task."""
        return image_shape

    def output_shape(self, image_shape: Shape) -> Shape:
        """Shape of the network's outputs."""
        return image_shape

    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Inputs and targets of images. `labels`: B class numbers.

        All randomness comes from `generator`.
        """
        raise NotImplementedError

    def trained_for(self, labels: Tensor, classes: tuple[str, ...]) -> Tensor | None:
        """Which images the network is trained for: N bools. None: all of them.

        Training and validation use only these. The test split contains all images; its means of
        losses and metrics are those of these images. `labels`: N class numbers; `classes`: their
        names by number, empty if the data set has none.
        """
        return None

    # Loss and metrics

    term_names: ClassVar[tuple[str, ...]] = ()
    """The names that `terms` returns."""

    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss: a scalar, the mean over everything."""
        return total_loss(self.loss, output, target)

    def losses(self) -> list[WeightedLoss]:
        """The terms of the loss; empty if it is one that the task defines itself."""
        return known_losses(self.loss)

    @classmethod
    def named_losses(cls, loss: object) -> list[str]:
        """The names of the registered losses that a value of `loss` uses."""
        if cls.model_fields["loss"].annotation is not str:  # the task's own choices
            return []
        return loss_names(loss)

    def terms(self, network: nn.Module) -> dict[str, Tensor]:
        """Terms that the network adds to the loss of its last batch, one value per image (shape
        B)."""
        return {}

    def weigh_terms(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms as they are added to the loss of validation and test; by default unchanged."""
        return terms

    def training_terms(self, network: nn.Module) -> dict[str, Tensor]:
        """The terms as they are added to the loss of training, one value per image or one for the
        batch; by default as in validation."""
        return self.weigh_terms(self.terms(network))

    def term_factor(self, epoch: int) -> float:
        """A factor of all terms in the training of an epoch, from 1."""
        return 1.0

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Metrics of every epoch, one value per image (shape B)."""
        metrics = {"psnr": psnr(output, target)}
        if self.loss != "mse":
            metrics["mse"] = mse(output - target)
        if target.shape[1] > 1:
            metrics["channel_argmax_error"] = channel_argmax_error(output, target)
        return metrics

    def final_metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Metrics that are too expensive for every epoch, one value per image (shape B)."""
        return {"ssim": ssim(output, target)}

    def declared_metrics(self) -> dict[str, Metric]:
        """The declarations of all metrics that this task reports, by name without a split."""
        unit = ""
        terms = self.losses()
        if len(terms) == 1 and terms[0].weight == 1:
            unit = terms[0].loss.unit
        metrics = [
            error_metric("loss", unit, "The loss."),
            PSNR,
            MSE,
            CHANNEL_ARGMAX_ERROR,
            SSIM,
            GRADIENT_ENERGY,
            description("floor", unit, "Loss of a perfect answer.", 0.0),
        ]
        for name in self.baseline_names:
            meaning = f"Loss of the baseline {name.replace('_', ' ')}."
            metrics.append(description(f"baseline_{name}", unit, meaning, 0.0))
        return {metric.name: metric for metric in metrics}

    measures_latent_code: ClassVar[bool] = True
    """Whether the latent code is measured at the end (see cae/trial/latent), if the network has
    one."""

    # Comparability

    training_parameters: ClassVar[tuple[str, ...]] = ()
    """Parameters that change only the training, not what is measured: trials with different values
    of them are comparable."""

    def is_common_metric(self, name: str) -> bool:
        """Whether a metric is that of the base class, equal in all tasks that do not override
        it."""
        method = COMMON_METRICS.get(name)
        if method is None:
            return False
        is_overridden = getattr(type(self), method) is not getattr(Task, method)
        return not is_overridden and not (name == "loss" and self.term_names)

    def defining_parameters(self, name: str) -> tuple[str, ...]:
        """The parameters on which the definition of a metric depends.

        Trials of different comparability groups may be ranked together by a metric whose definition
        is the same. By default a metric of a task depends on all its parameters but
        `training_parameters`.
        """
        if not self.is_common_metric(name):
            parameters = type(self).model_fields
            return tuple(item for item in parameters if item not in self.training_parameters)
        if name == "loss":
            return ("loss",)
        return ()

    # Stages of training

    def stage(self, epoch: int, epochs: int) -> int:
        """The stage of training, from 0, of an epoch, from 1. Each starts with a new optimizer."""
        return 0

    def prepare(self, network: nn.Module, stage: int) -> None:
        """Prepare a network in training mode for an epoch of a stage, for example freeze layers."""

    def start_from(self, network: nn.Module, dependencies: Mapping[str, nn.Module]) -> None:
        """Initialize a new network from the networks of its dependencies."""

    # Baselines

    baseline_names: ClassVar[tuple[str, ...]] = ("mean_image",)
    """The names that `baselines` returns."""

    def baselines(self, train: SplitPairs, inputs: Tensor) -> dict[str, Tensor]:
        """Answers of simple rules to test inputs, each of the targets' shape.

        The answer to an image must not depend on the other inputs: many are passed in chunks.
        A network that does not beat them has learnt nothing useful.
        """
        return {"mean_image": train.mean_target().expand(len(inputs), -1, -1, -1)}

    def floor(self, target: Tensor) -> float:
        """The loss of a perfect answer: with `bce` the mean entropy of the targets, otherwise 0."""
        if all(term.loss.is_zero_at_target for term in self.losses()):
            return 0.0
        return self.criterion(target, target).item()

    # Final evaluation and display

    def conclude(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """Metrics and tables of the test split that are not means over single images.

        `gradient_energy`: of the outputs over that of the targets; below 1 they are blurred.
        """
        metrics: dict[str, float] = {}
        target_energy = by_chunks(gradient_energy, evaluation.target).mean().item()
        if target_energy:
            energy = by_chunks(gradient_energy, evaluation.output).mean().item()
            metrics["gradient_energy"] = energy / target_energy
        tables: dict[str, Table] = {}
        if len(evaluation.classes) > 1:
            tables["per_class"] = per_class(self, evaluation)
        return metrics, tables

    def galleries(self, evaluation: Evaluation) -> dict[str, Gallery]:
        """Images to look at, by name.

        `worst`: the test images with the largest mean squared errors, the largest first; target
        above output.
        """
        errors = by_chunks(squared_error, evaluation.output, evaluation.target)
        median = errors.median().item()
        order = errors.nan_to_num(-1).argsort(descending=True, stable=True)
        worst = order[:WORST_IMAGES]
        inputs = evaluation.inputs[worst]
        target_images = self.to_image(inputs, evaluation.target[worst]).clamp(0, 1)
        output_images = self.to_image(inputs, evaluation.output[worst]).clamp(0, 1)
        captions: list[str] = []
        for index in worst:
            caption = ""
            if median:
                error = errors[index].item()
                caption = f"mse {error:.3g}, {error / median:.3g} times the median"
            captions.append(caption)
        return {"worst": (torch.cat([target_images, output_images], 2), captions)}

    def to_image(self, inputs: Tensor, image: Tensor) -> Tensor:
        """How an output or a target is displayed: B x C x H x W, in [0, 1] after clipping.

        Channels other than gray and RGB are displayed as tiles (see cae/trial/display.py).
        """
        return image

    def to_pixels(self, images: Tensor, values: Tensor) -> Tensor:
        """Return inputs, outputs or targets, as displayed, with the pixel values of their images.

        `images`: those from which the task made its inputs. All are B x C x H x W.
        """
        return values

    def display(
        self, inputs: Tensor, output: Tensor, target: Tensor, class_names: tuple[str, ...]
    ) -> Display:
        """What is shown of a user's images: inputs, outputs, and the targets if they differ.

        `class_names`: by number; empty if they are not known.
        """
        output_image = self.to_image(inputs, output)
        target_image = self.to_image(inputs, target)
        columns = [("inputs", inputs), ("outputs", output_image)]
        if not torch.equal(inputs, target_image):
            columns.append(("targets", target_image))
        errors = mse(output_image - target_image).tolist()
        return Display(columns, [error_text(error) for error in errors])

    # Validation

    def validate_trial(self, trial: Any) -> None:
        """Raise ValueError if the rest of the trial does not fit the task."""

    def validate_images(self, dataset: Any, images: Any) -> None:
        """Raise ValueError if the images of a data set (Images) do not fit the task.

        Called before anything is trained; `validate_trial` is called before any image is read.
        """

    def validate_output_range(self, output_range: tuple[float, float]) -> None:
        """Raise ValueError if the range of the network's outputs does not fit the loss."""
        low, high = output_range
        for term in self.losses():
            if term.loss.needs_unit_outputs and (low < 0 or high > 1):
                raise ValueError(
                    f"task.loss = {self.loss!r} needs outputs in [0, 1]: "
                    "choose arch.output_activation = 'sigmoid'"
                )

    def loss_size(self, image_shape: Shape) -> tuple[int, int]:
        """Height and width of the images that the loss compares."""
        _, rows, columns = self.output_shape(image_shape)
        return rows, columns


def error_text(error: float) -> str:
    """The text about the error of an image."""
    return f"mean squared error {error:.6f} on pixels in [0, 1]"


def check_judge(judge: Any, dataset: Any) -> None:
    """Raise ValueError if a judge (a trial or None) does not classify the images of a data set."""
    if judge is None:
        return
    if judge.task.name != "classify":
        raise ValueError(
            f"task.judge has the task {judge.task.name!r}: should be a trial with task 'classify'"
        )
    class_count = len(dataset.class_names)
    if judge.task.classes > class_count:
        raise ValueError(
            f"task.judge predicts {judge.task.classes} classes, but {dataset.name} has "
            f"{class_count}: set task.judge.task.classes to {class_count}"
        )


def per_class(task: Task, evaluation: Evaluation) -> Table:
    """A row per class: its images, and the means of all metrics over them.

    `relative_mse` is the mean squared error over the mean variance of the class's target pixels: a
    class that fills few pixels has a small error for that reason alone.
    """
    values = {"mse": by_chunks(squared_error, evaluation.output, evaluation.target)}
    values |= _metrics_per_image(task, evaluation)
    rows: Table = []
    for number in evaluation.labels.unique().tolist():
        members = evaluation.labels == number
        means = {name: of_images[members].double().mean() for name, of_images in values.items()}
        row = {name: mean.item() for name, mean in means.items()}
        variance = evaluation.target[members].double().var(0, correction=0).mean().item()
        if variance:
            row["relative_mse"] = row["mse"] / variance
        rows.append({"class": evaluation.classes[number], "images": int(members.sum()), **row})
    return rows


def _metrics_per_image(task: Task, evaluation: Evaluation) -> dict[str, Tensor]:
    """Those that are known, if they are of this task, these outputs and these targets."""
    known = evaluation.image_metrics
    if (
        known is not None
        and known.task == task
        and known.output is evaluation.output
        and known.target is evaluation.target
    ):
        return dict(known.values)
    metrics = task.metrics(evaluation.output, evaluation.target)
    return metrics | task.final_metrics(evaluation.output, evaluation.target)


def recognize(judge: nn.Module, images: Tensor) -> Tensor:
    """The class that a classifier predicts for each of N images: N class numbers."""
    device = next(judge.parameters()).device
    predictions: list[Tensor] = []
    with torch.inference_mode():
        for batch in images.split(CLASSIFIER_BATCH):
            logits = judge(batch.to(device)).flatten(1)
            predictions.append(logits.argmax(1).to(images.device))
    return torch.cat(predictions)


def confusions(truth: Tensor, predictions: Tensor, classes: tuple[str, ...]) -> Table:
    """The confusion matrix: a row per true class, a column per predicted class, numbers of
    images."""
    count = max(len(classes), int(truth.max()) + 1, int(predictions.max()) + 1)
    names = [*classes, *(str(number) for number in range(len(classes), count))]
    pairs = torch.bincount(truth * count + predictions, minlength=count * count)
    matrix = pairs.view(count, count).tolist()
    rows: Table = []
    for name, counts in zip(names, matrix, strict=True):
        row: dict[str, Any] = {"class": name}
        for predicted, images in zip(names, counts, strict=True):
            row[f"as {predicted}"] = images
        rows.append(row)
    return rows
