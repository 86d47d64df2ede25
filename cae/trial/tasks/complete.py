"""Completing the right half of an image from its left half."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from cae.trial.layout import image_layout
from cae.trial.metrics import MSE, Direction, Metric, description, error_metric, mse
from cae.trial.tasks import baselines
from cae.trial.tasks.base import (
    Display,
    Evaluation,
    Shape,
    SplitPairs,
    Table,
    Task,
    error_text,
)
from cae.trial.tasks.declared_tables import IMAGES, DeclaredTable, declared_table
from cae.trial.tasks.statistics import rank_correlation, total

FOOTWEAR = {"Sandal", "Sneaker", "Ankle boot"}
"""Classes of Fashion-MNIST nearly all of whose images point to the left."""
MIN_CLASSES = 3
"""Correlations over classes need at least this many."""
OUTPUT_BATCH = 500


class Complete(Task):
    """From the left half of an image, C x H x W/2, to its right half of the same shape."""

    baseline_names = ("mean_image", "mirror", "ridge", "nearest")

    @override
    def input_shape(self, image_shape: Shape) -> Shape:
        channels, rows, columns = image_shape
        if columns % 2:
            raise ValueError(
                "task = 'complete' needs an even width, for two equal halves: "
                f"the images have {columns} columns"
            )
        return channels, rows, columns // 2

    @override
    def output_shape(self, image_shape: Shape) -> Shape:
        return self.input_shape(image_shape)

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        half = images.shape[-1] // 2
        return images[..., :half], images[..., half:]

    @override
    def to_image(self, inputs: Tensor, image: Tensor) -> Tensor:
        """Both halves, joined."""
        return torch.cat([inputs, image], -1)

    @override
    def display(
        self, inputs: Tensor, output: Tensor, target: Tensor, class_names: tuple[str, ...]
    ) -> Display:
        """The error is that of the right half, which is predicted."""
        shown = super().display(inputs, output, target, class_names)
        errors = mse(output - target).tolist()
        return shown._replace(texts=[f"right half: {error_text(error)}" for error in errors])

    @override
    def baselines(self, train: SplitPairs, inputs: Tensor) -> dict[str, Tensor]:
        """`mean_image`: the mean right half. `mirror`, `ridge`, `nearest`: see baselines.py."""
        return super().baselines(train, inputs) | {
            "mirror": baselines.mirror(inputs),
            "ridge": baselines.ridge(train, inputs),
            "nearest": baselines.nearest(train, inputs),
        }

    @override
    def defining_parameters(self, name: str) -> tuple[str, ...]:
        if name.startswith(("asymmetry_", "flipped_")):
            return ()
        return super().defining_parameters(name)

    @override
    def declared_metrics(self) -> dict[str, Metric]:
        correlation = "Spearman correlation over classes of asymmetry and "
        metrics = [
            Metric("asymmetry_correlation", Direction.NONE, "", -1.0, 1.0, f"{correlation}mse."),
            Metric(
                "asymmetry_correlation_relative",
                Direction.NONE,
                "",
                -1.0,
                1.0,
                f"{correlation}relative_mse.",
            ),
            description("flipped_ratio", "ratio", "MSE of flipped images over MSE of images.", 0.0),
        ]
        return super().declared_metrics() | {metric.name: metric for metric in metrics}

    @override
    def declared_tables(self) -> dict[str, DeclaredTable]:
        asymmetry = description(
            "asymmetry",
            "squared pixel value",
            "Difference of right halves from mirrored left halves.",
            0.0,
            depends_on_training=False,
        )
        flipped = error_metric("mse_flipped", MSE.unit, "Mean squared error of flipped images.")
        columns = super().declared_tables()["per_class"].columns
        return {
            "per_class": declared_table([*columns.values(), asymmetry]),
            "flipped": declared_table([IMAGES, MSE, flipped]),
        }

    @override
    def conclude(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """Per class: asymmetry, and errors of horizontally flipped images.

        `asymmetry`: mean squared difference of the right halves of a class from their mirrored left
        halves. `asymmetry_correlation`, `asymmetry_correlation_relative`: Spearman's correlation,
        over at least three classes, of the asymmetry with `mse` or `relative_mse`. `flipped`: the
        errors of the images and of the flipped images, for the FOOTWEAR among the classes if there
        is some, otherwise for all; `flipped_ratio`: the second over the first, mean over those
        classes.
        """
        metrics, tables = super().conclude(evaluation)
        if not tables:
            return metrics, tables
        asymmetry = mse(evaluation.target - evaluation.inputs.flip(-1))
        numbers = evaluation.labels.unique().tolist()
        for row, number in zip(tables["per_class"], numbers, strict=True):
            row["asymmetry"] = _mean(asymmetry, evaluation.labels == number)
        metrics |= _asymmetry_correlations(tables["per_class"])
        flipped = _flipped(evaluation)
        if all(row["mse"] for row in flipped):
            ratios = [row["mse_flipped"] / row["mse"] for row in flipped]
            metrics["flipped_ratio"] = total(ratios) / len(ratios)
        tables["flipped"] = flipped
        return metrics, tables


def _mean(values: Tensor, members: Tensor) -> float:
    return values[members].double().mean().item()


def _asymmetry_correlations(rows: Table) -> dict[str, float]:
    correlations: dict[str, float] = {}
    columns = {
        "asymmetry_correlation": "mse",
        "asymmetry_correlation_relative": "relative_mse",
    }
    for name, column in columns.items():
        usable = [row for row in rows if column in row]
        asymmetries = [row["asymmetry"] for row in usable]
        errors = [row[column] for row in usable]
        varies = len(set(asymmetries)) > 1 and len(set(errors)) > 1
        if len(usable) >= MIN_CLASSES and varies:
            correlations[name] = rank_correlation(asymmetries, errors)
    return correlations


def _flipped(evaluation: Evaluation) -> Table:
    """A row for each class of FOOTWEAR, or for every class if there is no footwear: its error and
    that of its flipped images."""
    numbers = evaluation.labels.unique().tolist()
    footwear = [number for number in numbers if evaluation.classes[number] in FOOTWEAR]
    rows: Table = []
    for number in footwear or numbers:
        members = evaluation.labels == number
        inputs = evaluation.inputs[members]
        target = evaluation.target[members]
        flipped_output = _apply(evaluation.network, target.flip(-1))
        rows.append(
            {
                "class": evaluation.classes[number],
                "images": len(inputs),
                "mse": mse(evaluation.output[members] - target).double().mean().item(),
                "mse_flipped": mse(flipped_output - inputs.flip(-1)).double().mean().item(),
            }
        )
    return rows


def _apply(network: nn.Module, inputs: Tensor) -> Tensor:
    """Outputs of the network, on the device of the inputs."""
    device = inputs.device
    for parameter in network.parameters():
        device = parameter.device
        break
    outputs: list[Tensor] = []
    with torch.inference_mode():
        for batch in inputs.split(OUTPUT_BATCH):
            on_device = batch.to(device, memory_format=image_layout(device))
            outputs.append(network(on_device).to(inputs.device))
    return torch.cat(outputs)
