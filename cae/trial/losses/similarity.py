"""Losses by structural similarity."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor
from typing_extensions import override

from cae.trial import torch_compat
from cae.trial.losses.base import Loss
from cae.trial.metrics import (
    SSIM_K1,
    SSIM_K2,
    SSIM_WINDOW,
    local_statistics,
    ssim,
)

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, from the original size on (Wang et al. 2003)."""
SMALLEST_SIMILARITY = 1e-6
"""Smaller similarities of a scale count as this: the power of a negative one is not defined, and
the gradient of that of 0 is infinite."""


class Ssim(Loss):
    """1 minus the structural similarity, as the metric `ssim` (Wang et al. 2004)."""

    needs_unit_targets: ClassVar[bool] = True

    @override
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        # Not in TF32: variances are differences of nearly equal products.
        with torch_compat.gpu_numerics():
            return 1 - ssim(output, target).mean()


class MsSsim(Loss):
    """1 minus the multi-scale structural similarity (Wang et al. 2003).

    Contrast and structure at all scales, luminance at the last one; each scale halves the image by
    the means of 2 x 2 pixels. Window, constants and range are those of the metric `ssim`. The
    window of 11 pixels has to fit at the last scale: 5 scales need images of 176 pixels, 4 of 88, 3
    of 44 and 2 of 22.
    """

    needs_unit_targets: ClassVar[bool] = True

    scales: Annotated[int, Ge(1), Le(5)] = 5
    """Number of scales, from 1 to 5. The published exponents of the first ones are divided by their
    sum."""

    @override
    def smallest_side(self) -> int:
        side: int = SSIM_WINDOW * 2 ** (self.scales - 1)
        return side

    @override
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        total = sum(SCALE_WEIGHTS[: self.scales])
        product = torch.ones((), device=output.device, dtype=output.dtype)
        with torch_compat.gpu_numerics():
            for number, weight in enumerate(SCALE_WEIGHTS[: self.scales], 1):
                similarity, structure = _similarities(output, target)
                if number == self.scales:
                    structure = similarity
                product = product * structure.clamp(min=SMALLEST_SIMILARITY) ** (weight / total)
                output = F.avg_pool2d(output, 2)
                target = F.avg_pool2d(target, 2)
        return 1 - product.mean()


def _similarities(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the structural similarity, and its factor of contrast and structure: B x C each."""
    local = local_statistics(output, target, SSIM_WINDOW)
    c1 = SSIM_K1**2
    c2 = SSIM_K2**2
    variances = local.output_variance + local.target_variance
    structure = (2 * local.covariance + c2) / (variances + c2)
    means = local.output_mean**2 + local.target_mean**2
    luminance = (2 * local.output_mean * local.target_mean + c1) / (means + c1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))
