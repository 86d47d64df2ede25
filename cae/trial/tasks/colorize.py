"""Colorizing gray images."""

from __future__ import annotations

import functools
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import override

from cae.trial.metrics import (
    CHANNEL_ARGMAX_ERROR,
    Direction,
    Metric,
    channel_argmax_error,
    description,
    error_metric,
    mse,
    psnr,
    share_metric,
    ssim,
)
from cae.trial.tasks.base import Evaluation, Shape, SplitPairs, Table, Task, per_class

RGB_TO_YIQ = (
    (0.299, 0.587, 0.114),
    (0.59590059, -0.27455667, -0.32134392),
    (0.21153661, -0.52273617, 0.31119955),
)
"""Rows Y, I, Q (NTSC, 1953) of red, green, blue, as in scikit-image and, except for rounding
0.21153661 to 0.2115, in TensorFlow. With R, G, B in [0, 1]: Y in [0, 1], I within 0.596 and Q
within 0.523 of 0."""
MAX_ROUNDING = 1e-6
"""I and Q of gray pixels may differ from 0 by this much."""


class Colorize(Task):
    """From the gray values of an image to its colors. Input: Y, 1 x H x W.

    Metrics are reported in both color spaces, whichever is learnt. `iq_mse`: of I and Q, mean over
    both and the pixels. `rgb_mse`, `rgb_psnr`: of the color image, not clipped. An output in I and
    Q is merged with the true Y, so its error in RGB follows from that in I and Q alone; an output
    in RGB has an error in Y of its own.
    """

    target: Literal["rgb", "iq"] = "rgb"
    """`rgb`: the image. `iq`: its chroma, 2 x H x W, signed values in [-0.6, 0.6], of which a
    sigmoid output reaches only those above 0."""

    baseline_names = ("mean_image", "grey", "mean_chroma")

    @override
    def input_shape(self, image_shape: Shape) -> Shape:
        channels, rows, columns = image_shape
        if channels != 3:
            raise ValueError(
                f"task = 'colorize' needs color images: the images have {channels} channel"
            )
        return 1, rows, columns

    @override
    def output_shape(self, image_shape: Shape) -> Shape:
        _, rows, columns = image_shape
        if self.target == "rgb":
            return 3, rows, columns
        return 2, rows, columns

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        yiq = rgb_to_yiq(images)
        if self.target == "rgb":
            return yiq[:, :1], images
        return yiq[:, :1], yiq[:, 1:]

    @override
    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        error = output - target
        if self.target == "rgb":
            rgb_error = error
            iq_error = rgb_to_yiq(error)[:, 1:]
        else:
            iq_error = error
            no_y_error = torch.zeros_like(error[:, :1])
            rgb_error = yiq_to_rgb(torch.cat([no_y_error, error], 1))
        metrics = {
            "iq_mse": mse(iq_error),
            "rgb_mse": mse(rgb_error),
            "rgb_psnr": psnr(rgb_error, torch.zeros_like(rgb_error)),
        }
        if self.loss != "mse":
            metrics["mse"] = mse(error)
        if self.target == "rgb":
            metrics["channel_argmax_error"] = channel_argmax_error(output, target)
        return metrics

    @override
    def final_metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Structural similarity in RGB; `conclude` computes it for I and Q after merging them."""
        if self.target == "rgb":
            return {"ssim": ssim(output.clamp(0, 1), target)}
        return {}

    @override
    def defining_parameters(self, name: str) -> tuple[str, ...]:
        if name.startswith(("iq_", "rgb_", "clipped_rgb_", "mean_chroma_")):
            return ()  # in one color space, whichever is learnt
        if self.is_common_metric(name):
            return ("loss", "target")
        return super().defining_parameters(name)

    @override
    def declared_metrics(self) -> dict[str, Metric]:
        unit = "squared pixel value"
        metrics = [
            error_metric("iq_mse", unit, "Mean squared error of I and Q."),
            error_metric("rgb_mse", unit, "Mean squared error of the color image, not clipped."),
            Metric("rgb_psnr", Direction.MAXIMIZE, "dB", -200.0, 100.0, "PSNR of the color image."),
            error_metric("clipped_rgb_mse", unit, "Mean squared error of the clipped image."),
            Metric(
                "clipped_rgb_psnr",
                Direction.MAXIMIZE,
                "dB",
                0.0,
                100.0,
                "PSNR of the clipped image.",
            ),
            description("mean_chroma_iq_mse", unit, "iq_mse of the mean chroma.", 0.0),
            description("mean_chroma_rgb_mse", unit, "rgb_mse of the mean chroma.", 0.0),
            CHANNEL_ARGMAX_ERROR,
            share_metric("negative_i", Direction.NONE, "Share of target pixels with negative I."),
            share_metric("negative_q", Direction.NONE, "Share of target pixels with negative Q."),
            description("floor_sigmoid", unit, "Smallest MSE of non-negative outputs.", 0.0),
        ]
        return super().declared_metrics() | {metric.name: metric for metric in metrics}

    @override
    def to_image(self, inputs: Tensor, image: Tensor) -> Tensor:
        """The color image; I and Q are merged with the Y of the input."""
        if self.target == "rgb":
            return image
        return yiq_to_rgb(torch.cat([inputs, image], 1))

    @override
    def validate_output_range(self, output_range: tuple[float, float]) -> None:
        needs_unit_targets = any(term.loss.needs_unit_targets for term in self.losses())
        if needs_unit_targets and self.target == "iq":
            raise ValueError(
                f"task.loss = {self.loss!r} needs targets in [0, 1], and task.target = 'iq' has "
                "negative ones: choose 'mse' or 'l1'"
            )
        super().validate_output_range(output_range)

    @override
    def baselines(self, train: SplitPairs, inputs: Tensor) -> dict[str, Tensor]:
        """`gray`: no color. `mean_chroma`: the mean I and Q of all training pixels.

        In RGB they are merged with the Y of the input and clipped.
        """
        answers = super().baselines(train, inputs)
        chroma = {"grey": torch.zeros(1, 2, 1, 1), "mean_chroma": self._mean_chroma(train)}
        for name, iq in chroma.items():
            answer = iq.to(inputs).expand(len(inputs), -1, *inputs.shape[-2:])
            if self.target == "rgb":
                answer = yiq_to_rgb(torch.cat([inputs, answer], 1)).clamp_(0, 1)
            answers[name] = answer
        return answers

    @override
    def conclude(self, seen: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """Metrics of the clipped color image, of the mean chroma, and of the targets.

        `clipped_rgb_mse`, `clipped_rgb_psnr`: of the color image clipped to [0, 1], as are all
        metrics per class. `mean_chroma_iq_mse`, `mean_chroma_rgb_mse`: of the baseline of that
        name, in both spaces, not clipped. With target I and Q: `negative_i`, `negative_q`, the
        share of target pixels below 0, and `floor_sigmoid`, the smallest mean squared error of
        outputs that are not negative.
        """
        output = self.to_image(seen.inputs, seen.output).clamp(0, 1)
        target = self.to_image(seen.inputs, seen.target).clamp(0, 1)
        iq = rgb_to_yiq(target)[:, 1:]
        metrics = {
            "clipped_rgb_mse": mse(output - target).mean().item(),
            "clipped_rgb_psnr": psnr(output, target).mean().item(),
        }
        metrics |= self._mean_chroma_errors(seen.train, iq)
        if self.target == "iq":
            negative = (iq < -MAX_ROUNDING).double().mean((0, 2, 3))
            metrics |= {
                "ssim": ssim(output, target).mean().item(),
                "channel_argmax_error": channel_argmax_error(output, target).mean().item(),
                "negative_i": negative[0].item(),
                "negative_q": negative[1].item(),
                "floor_sigmoid": iq.clamp(max=0).square().mean().item(),
            }
        tables: dict[str, Table] = {}
        if len(seen.classes) > 1:
            in_rgb = self.model_copy(update={"target": "rgb"})
            tables["per_class"] = per_class(in_rgb, seen._replace(output=output, target=target))
        return metrics, tables

    def _mean_chroma_errors(self, train: SplitPairs, iq: Tensor) -> dict[str, float]:
        errors = (self._mean_chroma(train).to(iq) - iq).movedim(1, 0).flatten(1).double()
        products = errors @ errors.T / errors.shape[1]  # 2 x 2, means over images and pixels
        to_rgb = _conversion_matrix(iq, inverse=True)[:, 1:].double()
        return {
            "mean_chroma_iq_mse": products.trace().item() / 2,
            "mean_chroma_rgb_mse": (to_rgb @ products @ to_rgb.T).trace().item() / 3,
        }

    def _mean_chroma(self, train: SplitPairs) -> Tensor:
        """Mean I and Q of the training pixels, 1 x 2 x 1 x 1, on the CPU."""
        target = train.mean_target().mean((2, 3), keepdim=True).cpu()
        if self.target == "rgb":
            return rgb_to_yiq(target)[:, 1:]
        return target


def rgb_to_yiq(images: Tensor) -> Tensor:
    """Convert B x 3 x H x W; see RGB_TO_YIQ."""
    return torch.einsum("kc,bchw->bkhw", _conversion_matrix(images), images)


def yiq_to_rgb(images: Tensor) -> Tensor:
    """The inverse of `rgb_to_yiq`, not clipped, B x 3 x H x W."""
    return torch.einsum("kc,bchw->bkhw", _conversion_matrix(images, inverse=True), images)


def _conversion_matrix(like: Tensor, *, inverse: bool = False) -> Tensor:
    return _cached_conversion_matrix(like.device, like.dtype, inverse)


@functools.cache
def _cached_conversion_matrix(device: torch.device, dtype: torch.dtype, inverse: bool) -> Tensor:
    """The matrix on a device: copying it in every step would wait for the device."""
    with torch.inference_mode(mode=False):  # usable in training, whoever asks for it first
        matrix = torch.tensor(RGB_TO_YIQ, dtype=torch.float64)
        if inverse:
            matrix = torch.linalg.inv(matrix)
        return matrix.to(device, dtype)
