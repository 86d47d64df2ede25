"""Image classification: training in one stage, or in two with the encoder of another trial."""

from __future__ import annotations

import math
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
from cae.trial.networks.conv_encoder import ConvEncoder
from cae.trial.tasks.base import (
    Display,
    Evaluation,
    Gallery,
    Shape,
    SplitPairs,
    Table,
    Task,
    confusions,
)
from cae.trial.tasks.declared_tables import DeclaredTable, declared_table
from cae.trial.tasks.statistics import total

MAX_EXAMPLES = 16
"""Images in a gallery, and rows in the table of misclassified images."""
MIN_FREQUENCY = 1e-9
"""Classes without training images get this frequency in the baseline."""
CLASS_METRICS = (
    "accuracy",
    "rounded_accuracy",
    "macro_f1",
    "correct",
    "rounded_correct",
    "classes_said",
)
"""Metrics that do not depend on the loss."""
UNBOUNDED = (-math.inf, math.inf)
AVERAGES = ("macro avg", "weighted avg")
"""Rows of `rounded_per_class` below those of the classes, named as in scikit-learn's report."""


class Classify(Task):
    """Prediction of the class of each image.

    Outputs are logits, B x classes x 1 x 1; targets are one-hot of the same shape. With an
    `encoder`, training has two stages: first that trial's encoder is frozen (with its batch
    normalization) and only the head is trained, then everything, with a new optimizer.
    """

    loss: Literal["mse", "cross_entropy"] = "cross_entropy"
    """`mse`: mean over images and classes of (softmax - one-hot) squared; a confident
    wrong prediction has the loss 2 / classes. `cross_entropy`: mean over images, in nats."""
    classes: PositiveInt = 10
    """Number of classes."""
    encoder: Dependency | None = None
    """A trial whose trained encoder this trial starts with; both need the same encoder
    architecture."""
    frozen_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the epochs during which the encoder is frozen. The number of epochs is rounded, a
    half to the even number: half of 5 epochs are 2, half of 7 are 4. A trial with another number
    of epochs has other stages: it is trained anew, not extended."""

    measures_latent_code: ClassVar[bool] = False
    dependency_names: ClassVar[tuple[str, ...]] = ("encoder",)
    training_parameters: ClassVar[tuple[str, ...]] = ("encoder", "frozen_share")
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
        """`rounded_accuracy`: accuracy with the prediction rule of report 002.

        The predicted class is the first whose probability rounds to 1, or class 0 if there is none.
        """
        rounded = output.softmax(1).round().argmax(1)
        return {"rounded_accuracy": (rounded == target.argmax(1)).float().flatten()}

    @override
    def defining_parameters(self, name: str) -> tuple[str, ...]:
        if name in CLASS_METRICS:
            return ("classes",)
        return super().defining_parameters(name)

    @override
    def declared_metrics(self) -> dict[str, Metric]:
        unit = "nats"
        if self.loss == "mse":
            unit = "squared probability"
        metrics = [
            error_metric("loss", unit, "The loss that is minimized."),
            share_metric("accuracy", Direction.MAXIMIZE, "Share of images with the right class."),
            share_metric(
                "rounded_accuracy",
                Direction.MAXIMIZE,
                "Accuracy if the predicted class is the first whose probability rounds to 1.",
            ),
            share_metric(
                "macro_f1",
                Direction.MAXIMIZE,
                "Mean F1 score over the classes that test images have or the network predicts.",
            ),
            Metric(
                name="correct",
                direction=Direction.MAXIMIZE,
                unit="images",
                low=0.0,
                high=math.inf,
                meaning="Number of test images with the right class.",
            ),
            Metric(
                name="rounded_correct",
                direction=Direction.MAXIMIZE,
                unit="images",
                low=0.0,
                high=math.inf,
                meaning="Number of test images that count for rounded_accuracy.",
            ),
            description("classes_said", "classes", "Number of different predicted classes.", 0.0),
            description(
                "baseline_frequencies",
                unit,
                "Loss of predicting the class frequencies of the training images.",
                0.0,
                depends_on_training=False,
            ),
        ]
        return {metric.name: metric for metric in metrics}

    @override
    def declared_tables(self) -> dict[str, DeclaredTable]:
        columns = [
            share_metric("precision", Direction.MAXIMIZE, "Precision of the class."),
            share_metric("recall", Direction.MAXIMIZE, "Recall of the class."),
            share_metric("f1", Direction.MAXIMIZE, "F1 score of the class."),
            description("support", "images", "Number of images.", 0.0, depends_on_training=False),
        ]
        return {
            "per_class": declared_table(columns),
            "rounded_per_class": declared_table(columns, other_rows=AVERAGES),
        }

    @override
    def to_image(self, inputs: Tensor, image: Tensor) -> Tensor:
        """A bar chart with a bar per class, as high as its probability: B x 1 x H x W, 0 or 1."""
        rows, columns = inputs.shape[-2:]
        is_target = bool(((image == 0) | (image == 1)).all())  # one-hot, not logits
        probabilities = image.flatten(1)
        if not is_target:
            probabilities = probabilities.softmax(1)
        class_of_column = torch.arange(columns, device=image.device) * self.classes // columns
        bar_heights = probabilities[:, class_of_column]  # B x W
        row_heights = torch.linspace(1, 1 / rows, rows, device=image.device)  # H
        is_bar = bar_heights[:, None, :] >= row_heights[:, None]
        return is_bar[:, None].float()

    @override
    def display(
        self, inputs: Tensor, output: Tensor, target: Tensor, class_names: tuple[str, ...]
    ) -> Display:
        """The images, the probabilities of the classes as bars, and the predicted class of each.

        The true classes of a user's images are not known.
        """
        columns = [("inputs", inputs), ("probabilities", self.to_image(inputs, output))]
        confidences, numbers = output.flatten(1).softmax(1).max(1)
        texts: list[str] = []
        for confidence, number in zip(confidences.tolist(), numbers.tolist(), strict=True):
            name = str(number)
            if number < len(class_names):
                name = class_names[number]
            texts.append(f"class {name} (probability {confidence:.2f})")
        return Display(columns, texts)

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
            is_trained = stage == 1
            encoder.requires_grad_(is_trained)
            encoder.train(is_trained)  # otherwise batch normalization would update its statistics

    @override
    def start_from(self, network: nn.Module, dependencies: Mapping[str, nn.Module]) -> None:
        if "encoder" in dependencies:
            trained = dependencies["encoder"].get_submodule("encoder")
            network.get_submodule("encoder").load_state_dict(trained.state_dict())

    @override
    def validate_trial(self, trial: Any) -> None:
        class_count = len(trial.dataset.class_names)
        if class_count > self.classes:
            raise ValueError(
                f"task.classes = {self.classes}: {trial.dataset.name} has {class_count} classes"
            )
        if self.encoder is None:
            return
        _check_settings(trial.arch, self.encoder.arch)
        image_shape = trial.dataset.image_shape
        with torch.device("meta"):
            classifier = trial.arch.build(image_shape, self.output_shape(image_shape))
            encoder_output = self.encoder.task.output_shape(image_shape)
            pretrained = self.encoder.arch.build(image_shape, encoder_output)
        encoder_shapes = _encoder_shapes(classifier)
        if not encoder_shapes or encoder_shapes != _encoder_shapes(pretrained):
            raise ValueError(
                "task.encoder: its encoder differs from the encoder of this trial's arch: "
                "give both the same parameters"
            )

    @override
    def validate_images(self, dataset: Any, images: Any) -> None:
        """Every label needs an output, and there have to be two classes to tell apart."""
        names = images.class_names
        if len(names) > self.classes:
            raise ValueError(
                f"task.classes = {self.classes}: {dataset.name} has {len(names)} classes"
            )
        numbers: set[int] = set()
        for split in (images.train, images.val, images.test):
            numbers |= set(split.labels.tolist())
        if max(numbers) >= self.classes:
            hint = f"set task.classes = {max(numbers) + 1}"
            if min(numbers) == 1 and max(numbers) == self.classes:
                hint = "the numbers of classes begin with 0"
            raise ValueError(
                f"task.classes = {self.classes}: the labels of {dataset.name} are from "
                f"{min(numbers)} to {max(numbers)}; {hint}"
            )
        has_labels = bool(dataset.class_names or dataset.classes)
        if len(numbers) < 2 and not has_labels:
            raise ValueError(
                f"task = 'classify': all images of {dataset.name} are of class {min(numbers)}: "
                "there is nothing to classify"
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
        """`frequencies`: for every image, the class frequencies of the training images."""
        logits = train.mean_target().clamp(min=MIN_FREQUENCY).log()
        return {"frequencies": logits.expand(len(inputs), -1, -1, -1)}

    @override
    def floor(self, target: Tensor) -> float:
        return 0.0

    @override
    def conclude(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """Precision, recall and F1 per class (as in scikit-learn), the confusion matrix, and the
        most confident wrong predictions.

        `macro_f1`: f1_score of scikit-learn with average='macro': the mean over the classes that
        test images have or the network predicts. Others have no F1 score.

        `rounded_per_class`: the scores with the prediction rule of report 002 (see
        `final_metrics`), and their means over classes, as in scikit-learn's classification report.
        """
        result = _classification(evaluation)
        names = self._class_names(evaluation)
        rows = _scores_per_class(result.truth, result.predictions, names)
        rounded = result.probabilities.round().argmax(1)
        rounded_rows = _scores_per_class(result.truth, rounded, names)
        present = _present_rows(rows, result.truth, result.predictions)
        rounded_present = _present_rows(rounded_rows, result.truth, rounded)
        metrics = {
            "correct": float(result.is_right.sum()),
            "rounded_correct": float((rounded == result.truth).sum()),
            "macro_f1": total(row["f1"] for row in present) / len(present),
            "classes_said": float(len(result.predictions.unique())),
        }
        tables = {
            "per_class": rows,
            "rounded_per_class": rounded_rows + _averages(rounded_present),
            "confusion": confusions(result.truth, result.predictions, tuple(names)),
            "mistakes": _misclassified(result, names),
        }
        return metrics, tables

    @override
    def galleries(self, evaluation: Evaluation) -> dict[str, Gallery]:
        """`right`: per class the most confident right prediction, then the least confident right
        ones. `wrong`: the most confident wrong predictions."""
        result = _classification(evaluation)
        names = self._class_names(evaluation)
        best_per_class: list[int] = []
        for number in range(self.classes):
            is_right = result.is_right & (result.truth == number)
            best_per_class += _most_confident(result, is_right, 1)
        by_confidence = _most_confident(result, result.is_right, len(result.truth))
        others = set(by_confidence) - set(best_per_class)
        least_confident = [index for index in reversed(by_confidence) if index in others]
        right = best_per_class + least_confident
        wrong = _most_confident(result, ~result.is_right, MAX_EXAMPLES)
        return {
            "right": _gallery(evaluation, result, names, right[:MAX_EXAMPLES]),
            "wrong": _gallery(evaluation, result, names, wrong),
        }

    def _class_names(self, evaluation: Evaluation) -> list[str]:
        """A name per output; the number of the class if it has no name."""
        names = list(evaluation.classes[: self.classes])
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

    def confidence(self, index: int) -> float:
        """Probability of the predicted class of an image."""
        return self.probabilities[index, self.predictions[index]].item()


def _classification(evaluation: Evaluation) -> _Classification:
    probabilities = evaluation.output.flatten(1).softmax(1).cpu()
    truth = evaluation.target.flatten(1).argmax(1).cpu()
    return _Classification(
        truth=truth, predictions=probabilities.argmax(1), probabilities=probabilities
    )


def _scores_per_class(truth: Tensor, predictions: Tensor, names: list[str]) -> Table:
    """Precision, recall, F1 score and number of images of each class."""
    from sklearn.metrics import precision_recall_fscore_support  # takes a second to import

    precision, recall, f1, support = precision_recall_fscore_support(
        truth.numpy(),
        predictions.numpy(),
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


def _present_rows(rows: Table, truth: Tensor, predictions: Tensor) -> Table:
    """The rows of the classes that images have or that are predicted.

    A network may have more outputs than the test images have classes: a data set with some of the
    classes of its files, or with labels from 1.
    """
    numbers = torch.cat([truth, predictions]).unique()
    return [rows[number] for number in numbers.tolist()]


def _averages(rows: Table) -> Table:
    """The means of the scores over classes, and the means weighted by their numbers of images."""
    images = total(row["support"] for row in rows)
    macro: dict[str, Any] = {"class": AVERAGES[0]}
    weighted: dict[str, Any] = {"class": AVERAGES[1]}
    for name in ("precision", "recall", "f1"):
        macro[name] = total(row[name] for row in rows) / len(rows)
        weighted[name] = total(row[name] * row["support"] for row in rows) / images
    for average in (macro, weighted):
        average["support"] = int(images)
    return [macro, weighted]


def _misclassified(result: _Classification, names: list[str]) -> Table:
    """The wrongly classified test images, the most confident prediction first."""
    rows: Table = []
    for index in _most_confident(result, ~result.is_right, MAX_EXAMPLES):
        rows.append(
            {
                "test image": index,
                "class": names[int(result.truth[index])],
                "said": names[int(result.predictions[index])],
                "probability": result.confidence(index),
            }
        )
    return rows


def _gallery(
    evaluation: Evaluation, result: _Classification, names: list[str], chosen: list[int]
) -> Gallery:
    """Test images with the predicted class, the true one if it differs, and the probability."""
    captions: list[str] = []
    for index in chosen:
        caption = names[int(result.predictions[index])]
        if not result.is_right[index]:
            caption += f", truth: {names[int(result.truth[index])]}"
        captions.append(f"{caption} ({100 * result.confidence(index):.0f} %)")
    return evaluation.inputs[chosen], captions


def _most_confident(result: _Classification, mask: Tensor, count: int) -> list[int]:
    """Indices of at most `count` images in `mask`, the most confident prediction first."""
    indices = mask.nonzero().flatten()
    confidences = result.probabilities[indices].amax(1)
    order = confidences.argsort(descending=True, stable=True)
    chosen: list[int] = indices[order][:count].tolist()
    return chosen


def _check_settings(arch: Any, trained: Any) -> None:
    """Raise ValueError if two encoders with the same weights would have different outputs.

    Not all settings change a shape: another activation does not.
    """
    if not isinstance(arch, ConvEncoder) or not isinstance(trained, ConvEncoder):
        return
    settings = arch.encoder_settings()
    trained_settings = trained.encoder_settings()
    differences: list[str] = []
    for name, value in settings.items():
        if name in trained_settings and value != trained_settings[name]:
            differences.append(f"its arch.{name} is not {value!r}")
    if differences:
        raise ValueError(
            "task.encoder: its encoder differs from the encoder of this trial's arch: "
            f"{', '.join(differences)}; give both the same parameters"
        )


def _encoder_shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a network's encoder; empty if it has none."""
    encoder = getattr(network, "encoder", None)
    if encoder is None:
        return {}
    return {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
