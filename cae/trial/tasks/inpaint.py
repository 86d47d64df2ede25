"""Filling a hole in the center of an image."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from cae.trial.chunks import by_chunks, mean_by_chunks
from cae.trial.metrics import (
    MSE,
    Direction,
    Metric,
    description,
    error_metric,
    gradient_energy,
    mse,
    psnr,
    share_metric,
    ssim,
)
from cae.trial.tasks import baselines
from cae.trial.tasks.base import Evaluation, Shape, SplitPairs, Table, Task
from cae.trial.tasks.baselines import Box
from cae.trial.tasks.declared_tables import DeclaredTable, declared_table
from cae.trial.tasks.statistics import rank_correlation


class Inpaint(Task):
    """From an image with a square hole in its center to the whole image.

    Metrics of the hole alone: `hole_mse`, `hole_l1`, `hole_psnr`, `hole_ssim`. All others are of
    the whole image, most of which the network only has to copy. With `region` = 'hole' the output
    outside the hole is arbitrary; these metrics then use the image with the hole filled.
    """

    hole: PositiveInt | None = None
    """Side of the hole in pixels; None: half of the image's shorter side."""
    fill: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Value of all channels in the hole of the input."""
    region: Literal["full", "hole"] = "full"
    """Pixels over which the loss is the mean."""

    baseline_names = ("mean_image", "mean_hole", "border_mean", "nearest_border", "harmonic")

    @override
    def input_shape(self, image_shape: Shape) -> Shape:
        self._box(torch.Size(image_shape))
        return image_shape

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        inputs = images.clone()
        inputs[..., *self._box(images.shape)] = self.fill
        return inputs, images

    @override
    def loss_size(self, image_shape: Shape) -> tuple[int, int]:
        if self.region == "full":
            return super().loss_size(image_shape)
        rows, columns = self._box(torch.Size(image_shape))
        return rows.stop - rows.start, columns.stop - columns.start

    @override
    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        if self.region == "full":
            return super().criterion(output, target)
        return super().criterion(self._hole(output), self._hole(target))

    @override
    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """`binary_accuracy`: the share of values that equal the target after rounding.

        Only targets of exactly 0 or 1 can be equal. It is what Keras 2.0 reported as accuracy
        beside a cross-entropy; it describes an image poorly, and is here because it was published.
        """
        image = self._filled(output, target)
        hole = self._hole(output)
        hole_target = self._hole(target)
        metrics = super().metrics(image, target) | {
            "hole_mse": mse(hole - hole_target),
            "hole_l1": (hole - hole_target).abs().flatten(1).mean(1),
            "hole_psnr": psnr(hole, hole_target),
            "binary_accuracy": (image.round() == target).float().flatten(1).mean(1),
        }
        if self.region == "hole":
            metrics["mse"] = mse(image - target)
        return metrics

    @override
    def final_metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        image = self._filled(output, target)
        hole_ssim = ssim(self._hole(output), self._hole(target))
        return super().final_metrics(image, target) | {"hole_ssim": hole_ssim}

    @override
    def defining_parameters(self, name: str) -> tuple[str, ...]:
        if name.startswith("hole_"):  # of the hole alone, whatever the loss is
            return ("hole", "fill")
        return super().defining_parameters(name)

    @override
    def declared_metrics(self) -> dict[str, Metric]:
        metrics = [
            error_metric("hole_mse", "squared pixel value", "Mean squared error in the hole."),
            error_metric("hole_l1", "pixel value", "Mean absolute error in the hole."),
            Metric("hole_psnr", Direction.MAXIMIZE, "dB", -200.0, 100.0, "PSNR in the hole."),
            Metric("hole_ssim", Direction.MAXIMIZE, "", -1.0, 1.0, "SSIM in the hole."),
            share_metric(
                "binary_accuracy", Direction.MAXIMIZE, "Share of values equal after rounding."
            ),
            description("hole_mean", "0..255", "Mean value of the predicted hole."),
            description("hole_brightness", "ratio", "Mean of predicted over true holes."),
            description(
                "hole_gradient_energy",
                "ratio",
                "Gradient energy of predicted over true holes.",
                0.0,
            ),
            error_metric("bce_above_floor", "nats", "Loss minus the entropy of the targets."),
            Metric(
                "ring_correlation",
                Direction.NONE,
                "",
                -1.0,
                1.0,
                "Spearman correlation of the error with the distance from the border.",
            ),
        ]
        return super().declared_metrics() | {metric.name: metric for metric in metrics}

    @override
    def declared_tables(self) -> dict[str, DeclaredTable]:
        columns = [
            description("pixels", "pixels", "Size of the ring.", depends_on_training=False),
            MSE,
            error_metric("l1", "pixel value", "Mean absolute error."),
        ]
        rings = declared_table(columns, has_class_rows=False)
        return super().declared_tables() | {"rings": rings}

    @override
    def to_image(self, inputs: Tensor, image: Tensor) -> Tensor:
        """The output; if only the hole is learnt, the input with the hole filled."""
        return self._filled(image, inputs)

    @override
    def baselines(self, train: SplitPairs, inputs: Tensor) -> dict[str, Tensor]:
        """`mean_image`: the mean training image. The others copy the input and fill the hole.

        `mean_hole` from the mean image; `border_mean`, `nearest_border`, `harmonic`: see
        baselines.py.
        """
        box = self._box(inputs.shape)
        mean = train.mean_target().to(inputs.device)
        return {
            "mean_image": mean.expand(len(inputs), -1, -1, -1),
            "mean_hole": baselines.filled(inputs, box, self._hole(mean)),
            "border_mean": baselines.border_mean(inputs, box),
            "nearest_border": baselines.nearest_border(inputs, box),
            "harmonic": baselines.harmonic(inputs, box),
        }

    @override
    def conclude(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """Brightness and sharpness of the hole, and errors by distance from its border.

        `hole_mean`: of the predicted hole, on 0..255. `hole_brightness`, `hole_gradient_energy`:
        predicted over true holes; below 1 they are darker, blurred. `bce_above_floor`: the loss
        minus the entropy of the targets. `rings`: errors by distance from the border of the hole,
        from 1; `ring_correlation`: Spearman's correlation of both.
        """
        metrics, tables = super().conclude(evaluation)
        output = self._hole(evaluation.output)
        target = self._hole(evaluation.target)
        metrics["hole_mean"] = 255 * output.mean().item()
        brightness = target.mean().item()
        if brightness:
            metrics["hole_brightness"] = output.mean().item() / brightness
        energy = by_chunks(gradient_energy, target).mean().item()
        if energy:
            output_energy = by_chunks(gradient_energy, output).mean().item()
            metrics["hole_gradient_energy"] = output_energy / energy
        if self.loss == "bce":
            loss = mean_by_chunks(self._loss, evaluation.output, evaluation.target)
            floor = mean_by_chunks(self.floor, evaluation.target)
            metrics["bce_above_floor"] = loss - floor
        rings = _errors_by_ring(output - target)
        errors = [row["mse"] for row in rings]
        if len(set(errors)) > 1:
            distances = [row["ring"] for row in rings]
            metrics["ring_correlation"] = rank_correlation(distances, errors)
        tables["rings"] = rings
        return metrics, tables

    def _loss(self, output: Tensor, target: Tensor) -> float:
        return self.criterion(output, target).item()

    def _box(self, shape: torch.Size) -> Box:
        """Rows and columns of the hole. Raises ValueError if it does not fit."""
        rows, columns = shape[-2:]
        shorter = min(rows, columns)
        max_side = shorter - 2
        side = self.hole or shorter // 2
        if side > max_side:
            setting = f"task.hole = {self.hole}"
            if self.hole is None:
                setting = f"task.hole = None, which is {side} here"
            raise ValueError(
                f"{setting}: should leave a pixel on each side of an image of {rows}x{columns}: "
                f"at most {max(max_side, 0)}"
            )
        top = (rows - side) // 2
        left = (columns - side) // 2
        return slice(top, top + side), slice(left, left + side)

    def _hole(self, images: Tensor) -> Tensor:
        return images[..., *self._box(images.shape)]

    def _filled(self, output: Tensor, around: Tensor) -> Tensor:
        """The output; if only the hole is learnt, `around` with the hole of the output."""
        if self.region == "full":
            return output
        return baselines.filled(around, self._box(around.shape), self._hole(output))


def _errors_by_ring(error: Tensor) -> Table:
    """Mean errors of the pixels at each distance from the border of the hole."""
    squared = error.square().mean((0, 1))
    absolute = error.abs().mean((0, 1))
    ring = baselines.rings(error.shape[-1]).to(error.device)
    rows: Table = []
    for number in ring.unique().tolist():
        pixels = ring == number
        rows.append(
            {
                "ring": number,
                "pixels": int(pixels.sum()),
                "mse": squared[pixels].mean().item(),
                "l1": absolute[pixels].mean().item(),
            }
        )
    return rows
