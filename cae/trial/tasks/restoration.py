"""Giving back what was taken from an image: its colours, its right half, its centre."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from cae.trial.metrics import channel_argmax_error, gradient_energy, psnr, ssim
from cae.trial.tasks import baselines
from cae.trial.tasks.base import Evaluation, Shape, SplitPairs, Table, Task, per_class
from cae.trial.tasks.baselines import CHUNK, Box

RGB_TO_YIQ = (
    (0.299, 0.587, 0.114),
    (0.59590059, -0.27455667, -0.32134392),
    (0.21153661, -0.52273617, 0.31119955),
)
"""Rows Y, I, Q (NTSC, 1953), of red, green, blue; as scikit-image and, but for rounding 0.21153661 to 0.2115, TensorFlow have
them. With R, G, B in [0, 1]: Y in [0, 1], I within 0.596 and Q within 0.523 of 0."""


FOOTWEAR = {"Sandal", "Sneaker", "Ankle boot"}
"""Classes of Fashion-MNIST nearly all of whose images point the same way, to the left."""


class Colorize(Task):
    """From an image's grey values to its colours. Input: Y, 1 x H x W.

    The measures stand in both spaces, whichever is learnt. `iq_mse`: of I and Q, mean over both and the pixels. `rgb_mse`,
    `rgb_psnr`: of the colour image, before any clipping; an answer in I and Q is merged with the true Y, so that its error in
    RGB follows from that in I and Q alone. An answer in RGB has an error in Y of its own.
    """

    target: Literal["rgb", "iq"] = "rgb"
    """`rgb`: the image. `iq`: its chroma, 2 x H x W, signed: values in [-0.6, 0.6], of which a sigmoid gives only those above 0."""

    def input_shape(self, image_shape: Shape) -> Shape:
        if image_shape[0] != 3:
            raise ValueError(
                f"task = 'colorize' needs colour images: the images have {image_shape[0]} channel"
            )
        return 1, *image_shape[1:]

    def output_shape(self, image_shape: Shape) -> Shape:
        return 3 if self.target == "rgb" else 2, *image_shape[1:]

    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        yiq = rgb_to_yiq(images)
        return yiq[:, :1], images if self.target == "rgb" else yiq[:, 1:]

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        error = output - target
        iq = rgb_to_yiq(error)[:, 1:] if self.target == "rgb" else error
        rgb = (
            error
            if self.target == "rgb"
            else yiq_to_rgb(torch.cat([torch.zeros_like(error[:, :1]), error], 1))
        )
        measured = {
            "iq_mse": _mse(iq),
            "rgb_mse": _mse(rgb),
            "rgb_psnr": psnr(rgb, torch.zeros_like(rgb)),
        }
        if self.loss != "mse":
            measured["mse"] = _mse(error)
        return measured | (
            {"channel_argmax_error": channel_argmax_error(output, target)}
            if self.target == "rgb"
            else {}
        )

    def final_metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The similarity of I and Q alone would say little: `conclude` merges them first."""
        return {"ssim": ssim(output.clamp(0, 1), target)} if self.target == "rgb" else {}

    def picture(self, given: Tensor, image: Tensor) -> Tensor:
        """The colour image; I and Q are merged with the given Y."""
        return image if self.target == "rgb" else yiq_to_rgb(torch.cat([given, image], 1))

    def validate_output_range(self, output_range: tuple[float, float]) -> None:
        if self.loss == "bce" and self.target == "iq":
            raise ValueError(
                "task.loss = 'bce' needs targets in [0, 1], and task.target = 'iq' has negative ones: choose 'mse' or 'l1'"
            )
        super().validate_output_range(output_range)

    def baselines(self, train: SplitPairs, given: Tensor) -> dict[str, Tensor]:
        """`grey`: no colour. `mean_chroma`: the mean I and Q of all training pixels, everywhere. In RGB with the given Y, clipped."""
        chroma = {"grey": torch.zeros(1, 2, 1, 1), "mean_chroma": self._mean_chroma(train)}
        answers = {
            name: iq.to(given).expand(len(given), -1, *given.shape[-2:])
            for name, iq in chroma.items()
        }
        if self.target == "rgb":
            answers = {
                name: yiq_to_rgb(torch.cat([given, iq], 1)).clamp_(0, 1)
                for name, iq in answers.items()
            }
        return super().baselines(train, given) | answers

    def conclude(self, seen: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """`clipped_rgb_mse`, `clipped_rgb_psnr`: of the colour image clipped to [0, 1], as are all numbers of the classes.
        `mean_chroma_iq_mse`, `mean_chroma_rgb_mse`: of the baseline of that name, in both spaces, unclipped.
        Of the targets I and Q: `negative_i`, `negative_q`, the share of pixels below 0, and `floor_sigmoid`, the least mean
        squared error of a network whose outputs are not negative. (1e-6 is taken for 0: rounding makes grey so.)"""
        output, target = (
            self.picture(seen.given, image).clamp(0, 1) for image in (seen.output, seen.target)
        )
        iq = rgb_to_yiq(target)[:, 1:]
        missing = (self._mean_chroma(seen.train) - iq).movedim(1, 0).flatten(1).double()
        spread = (
            missing @ missing.T / missing.shape[1]
        )  # 2 x 2: the mean products of I's and Q's errors
        to_rgb = _matrix(iq, inverse=True)[:, 1:].double()
        metrics = {
            "clipped_rgb_mse": _mse(output - target).mean().item(),
            "clipped_rgb_psnr": psnr(output, target).mean().item(),
            "mean_chroma_iq_mse": spread.trace().item() / 2,
            "mean_chroma_rgb_mse": (to_rgb @ spread @ to_rgb.T).trace().item() / 3,
        }
        if self.target == "iq":
            negative = (iq < -1e-6).double().mean((0, 2, 3))
            metrics |= {
                "ssim": ssim(output, target).mean().item(),
                "channel_argmax_error": channel_argmax_error(output, target).mean().item(),
                "negative_i": negative[0].item(),
                "negative_q": negative[1].item(),
                "floor_sigmoid": iq.clamp(max=0).square().mean().item(),
            }
        if len(seen.classes) < 2:
            return metrics, {}
        return metrics, {
            "per_class": per_class(
                self.model_copy(update={"target": "rgb"}),
                seen._replace(output=output, target=target),
            )
        }

    def _mean_chroma(self, train: SplitPairs) -> Tensor:
        """1 x 2 x 1 x 1, on the CPU."""
        target = train.mean_target().mean((2, 3), keepdim=True).cpu()
        return rgb_to_yiq(target)[:, 1:] if self.target == "rgb" else target


class Complete(Task):
    """From an image's left half, C x H x W/2, to its right half, of the same shape."""

    def input_shape(self, image_shape: Shape) -> Shape:
        channels, rows, columns = image_shape
        if columns % 2:
            raise ValueError(
                f"task = 'complete' needs an even width, for two equal halves: the images have {columns} columns"
            )
        return channels, rows, columns // 2

    def output_shape(self, image_shape: Shape) -> Shape:
        return self.input_shape(image_shape)

    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        half = images.shape[-1] // 2
        return images[..., :half], images[..., half:]

    def picture(self, given: Tensor, image: Tensor) -> Tensor:
        """Both halves, joined."""
        return torch.cat([given, image], -1)

    def baselines(self, train: SplitPairs, given: Tensor) -> dict[str, Tensor]:
        """`mean_image`: the mean right half. `mirror`, `ridge`, `nearest`: as cae/trial/tasks/baselines.py says."""
        return super().baselines(train, given) | {
            "mirror": baselines.mirror(given),
            "ridge": baselines.ridge(train, given),
            "nearest": baselines.nearest(train, given),
        }

    def conclude(self, seen: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """`asymmetry`: mean squared difference of a class's right halves from their mirrored left ones. `asymmetry_correlation`,
        `asymmetry_correlation_relative`: Spearman's, over three classes or more, between that and the class's `mse` or
        `relative_mse`. `flipped`: the errors of the images as they are and flipped horizontally, of the FOOTWEAR among the
        classes where there is some, else of all classes; `flipped_ratio`: the second over the first, the mean of those classes."""
        metrics, tables = super().conclude(seen)
        if not tables:
            return metrics, tables
        errors = {
            "asymmetry": _mse(seen.target - seen.given.flip(-1)),
            "mse": _mse(seen.output - seen.target),
            "mse_flipped": _mse(_answers(seen.network, seen.target.flip(-1)) - seen.given.flip(-1)),
        }
        rows: Table = []
        flipped: Table = []
        for row, number in zip(tables["per_class"], seen.labels.unique().tolist(), strict=True):
            means = {
                name: values[seen.labels == number].double().mean().item()
                for name, values in errors.items()
            }
            rows.append(row | {"asymmetry": means.pop("asymmetry")})
            flipped.append({"class": row["class"], "images": row["images"]} | means)
        for name, column in (
            ("asymmetry_correlation", "mse"),
            ("asymmetry_correlation_relative", "relative_mse"),
        ):
            told = [row for row in rows if column in row]
            if len(told) >= 3 and all(
                len({row[side] for row in told}) > 1 for side in ("asymmetry", column)
            ):
                metrics[name] = _rank_correlation(told, "asymmetry", column)
        flipped = [row for row in flipped if row["class"] in FOOTWEAR] or flipped
        if all(row["mse"] for row in flipped):
            metrics["flipped_ratio"] = sum(
                row["mse_flipped"] / row["mse"] for row in flipped
            ) / len(flipped)
        return metrics, tables | {"per_class": rows, "flipped": flipped}


class Inpaint(Task):
    """From an image with a square hole in its centre to the whole image.

    Measures of the hole alone: `hole_mse`, `hole_l1`, `hole_psnr`, `hole_ssim`. The others are of the full image, most of which
    the network only has to copy; with `region` = 'hole', where what it gives outside is arbitrary, as if it were copied.
    """

    hole: PositiveInt | None = None
    """Side of the hole in pixels; None: half of the image's shorter side."""
    fill: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The value of all channels in the hole."""
    region: Literal["full", "hole"] = "full"
    """Over which pixels the loss is the mean."""

    def input_shape(self, image_shape: Shape) -> Shape:
        self._box(torch.Size(image_shape))
        return image_shape

    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        given = images.clone()
        given[..., *self._box(images.shape)] = self.fill
        return given, images

    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        if self.region == "full":
            return super().criterion(output, target)
        return super().criterion(self._hole(output), self._hole(target))

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """`binary_accuracy`: the share of values that, rounded, equal the target, which only targets of exactly 0 or 1 allow: what
        Keras 2.0 gave as accuracy beside a cross-entropy. It says little of images, and stands here because it was published."""
        image, hole, true_hole = (
            self._answer(output, target),
            self._hole(output),
            self._hole(target),
        )
        measured = super().metrics(image, target) | {
            "hole_mse": _mse(hole - true_hole),
            "hole_l1": (hole - true_hole).abs().flatten(1).mean(1),
            "hole_psnr": psnr(hole, true_hole),
            "binary_accuracy": (image.round() == target).float().flatten(1).mean(1),
        }
        if self.region == "hole":
            measured["mse"] = _mse(image - target)
        return measured

    def final_metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return super().final_metrics(self._answer(output, target), target) | {
            "hole_ssim": ssim(self._hole(output), self._hole(target))
        }

    def picture(self, given: Tensor, image: Tensor) -> Tensor:
        """What the network gives; where it learns the hole only, with what it was given around it."""
        return self._answer(image, given)

    def baselines(self, train: SplitPairs, given: Tensor) -> dict[str, Tensor]:
        """`mean_image`: the mean of the training images. The others copy what they are given and fill the hole: `mean_hole` from
        that mean image, `border_mean`, `nearest_border` and `harmonic` as cae/trial/tasks/baselines.py says."""
        box, mean = self._box(given.shape), train.mean_target().to(given.device)
        return {
            "mean_image": mean.expand(len(given), -1, -1, -1),
            "mean_hole": baselines.filled(given, box, self._hole(mean)),
            "border_mean": baselines.border_mean(given, box),
            "nearest_border": baselines.nearest_border(given, box),
            "harmonic": baselines.harmonic(given, box),
        }

    def conclude(self, seen: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """`hole_mean`: of the predicted hole, on 0..255. `hole_brightness`, `hole_gradient_energy`: of the predicted holes over
        the true ones; below 1 they are darker, blurrier. `bce_above_floor`: the loss without the targets' own entropy.
        `rings`: the errors by distance from the hole's border, 1 being at it; `ring_correlation`: Spearman's, of both."""
        metrics, tables = super().conclude(seen)
        output, target = self._hole(seen.output), self._hole(seen.target)
        metrics["hole_mean"] = 255 * output.mean().item()
        if brightness := target.mean().item():
            metrics["hole_brightness"] = output.mean().item() / brightness
        if energy := gradient_energy(target).mean().item():
            metrics["hole_gradient_energy"] = gradient_energy(output).mean().item() / energy
        if self.loss == "bce":
            metrics["bce_above_floor"] = self.criterion(
                seen.output, seen.target
            ).item() - self.floor(seen.target)
        error = output - target
        squared, absolute = error.square().mean((0, 1)), error.abs().mean((0, 1))
        ring = baselines.rings(target.shape[-1])
        tables["rings"] = [
            {
                "ring": number,
                "pixels": int(of.sum()),
                "mse": squared[of].mean().item(),
                "l1": absolute[of].mean().item(),
            }
            for number in ring.unique().tolist()
            for of in [ring == number]
        ]
        if len({row["mse"] for row in tables["rings"]}) > 1:
            metrics["ring_correlation"] = _rank_correlation(tables["rings"], "ring", "mse")
        return metrics, tables

    def _box(self, shape: torch.Size) -> Box:
        rows, columns = shape[-2:]
        side, most = self.hole or min(rows, columns) // 2, min(rows, columns) - 2
        if side > most:
            asked = (
                f"task.hole = {self.hole}"
                if self.hole
                else f"task.hole = None, which is {side} here"
            )
            raise ValueError(
                f"{asked}: should leave a pixel on each side of an image of {rows}x{columns}: at most {max(most, 0)}"
            )
        top, left = (rows - side) // 2, (columns - side) // 2
        return slice(top, top + side), slice(left, left + side)

    def _hole(self, images: Tensor) -> Tensor:
        return images[..., *self._box(images.shape)]

    def _answer(self, output: Tensor, around: Tensor) -> Tensor:
        """The output; where only the hole is learnt, the hole of it within `around`."""
        return (
            output
            if self.region == "full"
            else baselines.filled(around, self._box(around.shape), self._hole(output))
        )


def rgb_to_yiq(images: Tensor) -> Tensor:
    """B x 3 x H x W both; see RGB_TO_YIQ."""
    return torch.einsum("kc,bchw->bkhw", _matrix(images), images)


def yiq_to_rgb(images: Tensor) -> Tensor:
    """The inverse of `rgb_to_yiq`, not clipped: B x 3 x H x W both."""
    return torch.einsum("kc,bchw->bkhw", _matrix(images, inverse=True), images)


def _matrix(like: Tensor, *, inverse: bool = False) -> Tensor:
    matrix = torch.tensor(RGB_TO_YIQ, dtype=torch.float64)
    return (torch.linalg.inv(matrix) if inverse else matrix).to(like)


def _mse(error: Tensor) -> Tensor:
    """The mean square of each image; shape B."""
    return error.square().flatten(1).mean(1)


def _rank_correlation(rows: Table, one: str, other: str) -> float:
    """Spearman's, of two columns."""
    from scipy.stats import spearmanr  # takes a second to import, and only this needs it

    return float(spearmanr([row[one] for row in rows], [row[other] for row in rows]).statistic)


def _answers(network: nn.Module, given: Tensor) -> Tensor:
    """What the network gives, on the CPU."""
    device = next((parameter.device for parameter in network.parameters()), given.device)
    with torch.inference_mode():
        parts: list[Any] = [
            network(part.to(device, memory_format=torch.channels_last)).cpu()
            for part in given.split(CHUNK)
        ]
    return torch.cat(parts)
