"""Measures of images: hand-made cases, and numbers of other implementations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cae.trial.metrics import channel_argmax_error, psnr, ssim

REFERENCE = {
    "noisy": ([0.9819938613781913, 0.9821392848016663], [23.690339130976355, 23.732722395795555]),
    "dim": ([0.6410138456214183, 0.6410149543146243], [10.248708710239933, 10.313633084007128]),
    "inverse": (
        [-0.9498930650421087, -0.9498927231915568],
        [3.0127504643116954, 3.0127207573504586],
    ),
}
"""SSIM and PSNR of the two images of `wave` against three changed ones, by torchmetrics 1.9.0 in
float64: structural_similarity_index_measure(..., data_range=1.0, reduction="none",
return_full_image=True), its map averaged where the whole window lies inside, full[..., 5:-5,
5:-5] (its own mean takes in a reflected border as well); and peak_signal_noise_ratio(...,
data_range=1.0) of each image."""


@pytest.fixture
def wave() -> Tensor:
    """Two color images, 16 x 20, of no randomness."""
    return (
        (torch.arange(2 * 3 * 16 * 20, dtype=torch.float64) * 0.37)
        .sin()
        .mul(0.5)
        .add(0.5)
        .reshape(2, 3, 16, 20)
    )


def changed(wave: Tensor, how: str) -> Tensor:
    noise = 0.1 * (torch.arange(wave.numel(), dtype=torch.float64) * 1.7).cos().reshape(wave.shape)
    return {"noisy": (wave + noise).clamp(0, 1), "dim": wave * 0.5, "inverse": 1 - wave}[how]


@pytest.mark.parametrize("how", REFERENCE)
def test_ssim_and_psnr_give_the_numbers_of_torchmetrics(wave: Tensor, how: str) -> None:
    similarity, decibels = REFERENCE[how]
    assert ssim(changed(wave, how), wave).tolist() == pytest.approx(similarity, abs=1e-12)
    assert psnr(changed(wave, how), wave).tolist() == pytest.approx(
        decibels, rel=1e-6
    )  # its own logarithm is of singles
    singles = changed(wave, how).float(), wave.float()
    assert ssim(*singles).tolist() == pytest.approx(similarity, abs=1e-5)
    assert psnr(*singles).tolist() == pytest.approx(decibels, abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (10, 40), (11, 11), (28, 28)])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_wholly_similar_to_itself_at_any_size(
    channels: int, size: tuple[int, int]
) -> None:
    image = torch.rand(2, channels, *size)
    assert ssim(image, image).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert ssim(image, 1 - image).max() <= 1


def test_ssim_of_flat_images_is_their_luminance_term() -> None:
    dark, light = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.6)
    assert ssim(dark, light).item() == pytest.approx(
        (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4), abs=1e-3
    )


@pytest.mark.parametrize(
    ("error", "decibels"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0), (0.0, 100.0)]
)
def test_psnr_of_a_known_error(error: float, decibels: float) -> None:
    target = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    assert psnr(target + error, target).tolist() == pytest.approx([decibels] * 2)


def test_psnr_is_of_each_image_and_not_of_the_batch() -> None:
    target = torch.zeros(2, 1, 2, 2)
    assert psnr(torch.stack([target[0], target[1] + 1]), target).tolist() == [100.0, 0.0]


def test_measures_of_a_network_that_diverged_are_no_numbers() -> None:
    broken, target = torch.full((1, 3, 12, 12), math.nan), torch.rand(1, 3, 12, 12)
    assert psnr(broken, target).isnan().all()
    assert ssim(broken, target).isnan().all()


def test_channel_argmax_error_counts_the_pixels_whose_brightest_channel_is_another() -> None:
    red, green, blue = torch.eye(3)
    target = torch.stack([red, green, blue, red]).T.reshape(1, 3, 2, 2)
    output = torch.stack([0.3 * red, green, red, green]).T.reshape(1, 3, 2, 2)
    assert channel_argmax_error(output, target).tolist() == [0.5]
    assert channel_argmax_error(target, target).tolist() == [0.0]
