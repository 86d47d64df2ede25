"""Tasks: what the network is given, what it shall give back, and how the difference is measured.

Images are B x C x H x W, floats in [0, 1]. Every loss is a mean over images, channels and pixels, on that scale.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from cae.trial.metrics import channel_argmax_error, psnr, ssim
from cae.trial.part import Part

Shape = tuple[int, int, int]


class Task(Part):
    """A task. The default one asks for an image of the input's shape and measures it as an image."""

    loss: Literal["mse", "l1", "bce"] = "mse"
    """`mse`: mean squared error. `l1`: mean absolute error. `bce`: mean binary cross-entropy in nats, of outputs in [0, 1]
    against targets in [0, 1]; its floor is the targets' own entropy, not 0."""

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

    def pairs(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Input and target of each image. Randomness only from `generator`."""
        raise NotImplementedError

    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss: a scalar, mean over everything."""
        if self.loss == "mse":
            return F.mse_loss(output, target)
        if self.loss == "l1":
            return F.l1_loss(output, target)
        # torch refuses outputs that are NaN, and on a GPU takes the process with it: a network that diverged has a loss of NaN
        return F.binary_cross_entropy(output.nan_to_num(0.5), target) + 0 * output.detach().sum()

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

    def check(self, output_range: tuple[float, float]) -> None:
        """Raises ValueError where the network's outputs do not suit the loss."""
        if self.loss == "bce" and not (output_range[0] >= 0 and output_range[1] <= 1):
            raise ValueError("task.loss = 'bce' needs outputs in [0, 1]: choose arch.output_activation = 'sigmoid'")


class Reconstruct(Task):
    """The target is the input itself."""

    def pairs(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:  # noqa: ARG002
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
    corrupts: ClassVar[bool] = True

    @property
    def redraws(self) -> bool:
        return self.redraw_noise

    def pairs(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        return (images + self.noise_factor * noise).clamp_(0, 1), images
