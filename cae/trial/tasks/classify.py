"""Classifying images, in one stage or, with the encoder of another trial, in two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from cae.trial.component import Dependency
from cae.trial.metrics import Direction, Metric, description, error_metric, share_metric
from cae.trial.tasks.base import Evaluation, Gallery, Shape, SplitPairs, Table, Task, confusions
from cae.trial.tasks.statistics import total

MAX_SHOWN = 16
"""Images in a gallery, and rows in the table of mistakes."""
MIN_FREQUENCY = 1e-9
"""Classes without training images get this frequency in the baseline."""
UNBOUNDED = (float("-inf"), float("inf"))


class Classify(Task):
    """The class of each image.

    Outputs are logits, B x classes x 1 x 1; targets are one-hot of the same shape. With an
    `encoder`, training has two stages: first that trial's encoder is frozen (with its batch
    normalization) and only the head is trained, then everything, with a new optimizer.
    """

    loss: Literal["mse", "cross_entropy"] = "cross_entropy"  # type: ignore[assignment]
    """`mse`: mean over images and classes of (softmax - one-hot) squared; a wrong and certain
    answer costs 2 / classes. `cross_entropy`: mean over images, in nats."""
    classes: PositiveInt = 10
    """Number of classes."""
    encoder: Dependency | None = None
    """A trial whose trained encoder this trial starts with; both need the same encoder
    architecture."""
    frozen_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the epochs, rounded to a whole number, during which the encoder is frozen."""

    dependency_names: ClassVar[tuple[str, ...]] = ("encoder",)
    baseline_names = ("frequencies",)

    @override
    def inactive_parameters(self) -> dict[str, str]:
        if self.encoder is None:
            return {"frozen_share": "there is no task.encoder to freeze"}
        return {}

    @override
    def output_shape(self, image_shape: Shape) -> Shape:
        return self.classes, 1, 1

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return images, F.one_hot(labels, self.classes).float()[..., None, None]

    @override
    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        if self.loss == "mse":
            return F.mse_loss(output.softmax(1), target)
        return F.cross_entropy(output.flatten(1), target.flatten(1))

    @override
    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"accuracy": (output.argmax(1) == target.argmax(1)).float().flatten()}

    @override
    def final_metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """`rounded_accuracy`: of the class of report 002, the first whose probability rounds to 1.

        Class 0 if there is none.
        """
        rounded = output.softmax(1).round().argmax(1)
        return {"rounded_accuracy": (rounded == target.argmax(1)).float().flatten()}

    @override
    def declared_metrics(self) -> dict[str, Metric]:
        unit = "nats"
        if self.loss == "mse":
            unit = "squared probability"
        better = Direction.MAXIMIZE
        metrics = [
            error_metric("loss", unit, "The loss."),
            share_metric("accuracy", better, "Share of images with the right class."),
            share_metric(
                "rounded_accuracy",
                better,
                "Accuracy of the first class whose probability rounds to 1.",
            ),
            share_metric("macro_f1", better, "Mean F1 score over classes."),
            Metric(
                "correct",
                better,
                "images",
                0.0,
                float("inf"),
                "Number of test images with the right class.",
            ),
            description("classes_said", "classes", "Number of different predicted classes.", 0.0),
            description("baseline_frequencies", unit, "Loss of the class frequencies.", 0.0),
        ]
        return {metric.name: metric for metric in metrics}

    @override
    def to_image(self, inputs: Tensor, image: Tensor) -> Tensor:
        """A bar per class, from the left, as high as its probability."""
        rows, columns = inputs.shape[-2:]
        if image.amin() >= 0:  # a target
            probabilities = image / image.sum(1, keepdim=True)
        else:
            probabilities = image.softmax(1)
        class_of_column = torch.arange(columns, device=image.device) * self.classes // columns
        height = torch.linspace(1, 1 / rows, rows, device=image.device)
        bars = probabilities.flatten(1)[:, None, None, class_of_column]
        return (bars >= height[None, None, :, None]).float()

    @override
    def stage(self, epoch: int, epochs: int) -> int:
        """0 while the encoder is frozen, then 1."""
        if self.encoder is not None and epoch <= round(self.frozen_share * epochs):
            return 0
        return 1

    @override
    def prepare(self, network: nn.Module, stage: int) -> None:
        if self.encoder is not None:
            encoder = network.get_submodule("encoder")
            encoder.requires_grad_(stage == 1).train(stage == 1)

    @override
    def start_from(self, network: nn.Module, dependencies: Mapping[str, nn.Module]) -> None:
        if "encoder" in dependencies:
            trained = dependencies["encoder"].get_submodule("encoder")
            network.get_submodule("encoder").load_state_dict(trained.state_dict())

    @override
    def validate_trial(self, trial: Any) -> None:
        count = len(trial.dataset.class_names)
        if count > self.classes:
            raise ValueError(
                f"task.classes = {self.classes}: {trial.dataset.name} has {count} classes"
            )
        if self.encoder is None:
            return
        image_shape = trial.dataset.image_shape
        with torch.device("meta"):
            own = trial.arch.build(image_shape, self.output_shape(image_shape))
            encoder_output = self.encoder.task.output_shape(image_shape)
            other = self.encoder.arch.build(image_shape, encoder_output)
        own_shapes = _encoder_shapes(own)
        if not own_shapes or own_shapes != _encoder_shapes(other):
            raise ValueError(
                "task.encoder: the encoder of its arch is not the one of this trial's arch: "
                "give both the same parameters"
            )

    @override
    def validate_output_range(self, output_range: tuple[float, float]) -> None:
        if output_range != UNBOUNDED:
            raise ValueError(
                "task = 'classify' needs logits: choose arch = 'classifier', whose outputs are not "
                "bounded"
            )

    @override
    def baselines(self, train: SplitPairs, inputs: Tensor) -> dict[str, Tensor]:
        """`frequencies`: each class with its share of the training images, whatever the image."""
        logits = train.mean_target().clamp(min=MIN_FREQUENCY).log()
        return {"frequencies": logits.expand(len(inputs), -1, -1, -1)}

    @override
    def floor(self, target: Tensor) -> float:
        return 0.0

    @override
    def conclude(self, seen: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """Precision, recall and F1 per class (scikit-learn), the confusion matrix, the worst
        mistakes."""
        result = _classify(seen)
        names = self._class_names(seen)
        rows = _scores(result, names)
        metrics = {
            "correct": float(result.is_right.sum()),
            "macro_f1": total(row["f1"] for row in rows) / self.classes,
            "classes_said": float(len(result.predictions.unique())),
        }
        tables = {
            "per_class": rows,
            "confusion": confusions(result.truth, result.predictions, tuple(names)),
            "mistakes": _mistakes(result, names),
        }
        return metrics, tables

    @override
    def galleries(self, seen: Evaluation) -> dict[str, Gallery]:
        """`right`: the most certain right answer per class, then the least certain. `wrong`:
        mistakes."""
        result = _classify(seen)
        names = self._class_names(seen)
        right: list[int] = []
        for number in range(self.classes):
            members = result.is_right & (result.truth == number)
            right += _most_certain(result, members, 1)
        by_certainty = _most_certain(result, result.is_right, len(result.truth))
        shown = set(right)
        right += [index for index in reversed(by_certainty) if index not in shown]
        wrong = _most_certain(result, ~result.is_right)
        return {
            "right": _gallery(seen, result, names, right[:MAX_SHOWN]),
            "wrong": _gallery(seen, result, names, wrong),
        }

    def _class_names(self, seen: Evaluation) -> list[str]:
        names = list(seen.classes[: self.classes])
        return names + [str(number) for number in range(len(names), self.classes)]


@dataclass(frozen=True)
class _Classification:
    """True and predicted classes of N test images, and the probabilities, N x classes."""

    truth: Tensor
    predictions: Tensor
    probabilities: Tensor

    @property
    def is_right(self) -> Tensor:
        return self.predictions == self.truth

    def certainty(self, index: int) -> float:
        """Probability of the predicted class."""
        return self.probabilities[index, self.predictions[index]].item()


def _classify(seen: Evaluation) -> _Classification:
    probabilities = seen.output.flatten(1).softmax(1)
    truth = seen.target.flatten(1).argmax(1)
    return _Classification(truth, probabilities.argmax(1), probabilities)


def _scores(result: _Classification, names: list[str]) -> Table:
    from sklearn.metrics import precision_recall_fscore_support  # takes a second to import

    precision, recall, f1, support = precision_recall_fscore_support(
        result.truth.numpy(),
        result.predictions.numpy(),
        labels=list(range(len(names))),
        zero_division=0.0,
    )
    rows: Table = []
    for number, name in enumerate(names):
        rows.append(
            {
                "class": name,
                "precision": float(precision[number]),
                "recall": float(recall[number]),
                "f1": float(f1[number]),
                "support": int(support[number]),
            }
        )
    return rows


def _mistakes(result: _Classification, names: list[str]) -> Table:
    """The most certain wrong answers."""
    rows: Table = []
    for index in _most_certain(result, ~result.is_right):
        rows.append(
            {
                "test image": index,
                "class": names[int(result.truth[index])],
                "said": names[int(result.predictions[index])],
                "probability": result.certainty(index),
            }
        )
    return rows


def _gallery(
    seen: Evaluation, result: _Classification, names: list[str], chosen: list[int]
) -> Gallery:
    """Test images with the predicted class, the true one if it differs, and the probability."""
    captions: list[str] = []
    for index in chosen:
        caption = names[int(result.predictions[index])]
        if not result.is_right[index]:
            caption += f", is {names[int(result.truth[index])]}"
        captions.append(f"{caption} ({100 * result.certainty(index):.0f} %)")
    return seen.inputs[chosen], captions


def _most_certain(result: _Classification, members: Tensor, count: int = MAX_SHOWN) -> list[int]:
    """Of the images that are True in `members`, those with the largest probability."""
    indices = members.nonzero().flatten()
    certainties = result.probabilities[indices].amax(1)
    order = certainties.argsort(descending=True, stable=True)
    chosen: list[int] = indices[order][:count].tolist()
    return chosen


def _encoder_shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a network's encoder; empty if it has none."""
    encoder = getattr(network, "encoder", nn.Identity())
    return {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
