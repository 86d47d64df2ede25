"""Losses: their values against independent computations, and their texts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from torch import Tensor
from typing_extensions import override

from cae.trial.config import Trial, from_flat
from cae.trial.losses import Loss, MsSsim, Ssim, total_loss
from cae.trial.losses.expression import build
from cae.trial.losses.similarity import SCALE_WEIGHTS
from cae.trial.messages import ConfigError
from cae.trial.tasks import Colorize, Denoise, Inpaint, Reconstruct


@pytest.fixture(autouse=True)
def _restore_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loss, "registry", dict(Loss.registry))


def images(rows: int, columns: int, channels: int = 2) -> tuple[Tensor, Tensor]:
    """Smooth targets, and outputs that differ from them by noise; B x C x rows x columns."""
    generator = torch.Generator().manual_seed(3)
    shape = (2, channels, rows, columns)
    target = torch.rand(shape, dtype=torch.float64, generator=generator)
    target = torch.nn.functional.avg_pool2d(target, 5, 1, 2)
    noise = torch.randn(shape, dtype=torch.float64, generator=generator)
    return (target + 0.1 * noise).clamp(0, 1), target


def numpy_blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted means of 11 x 11 pixels, where the whole window is inside."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    blurred: NDArray[np.float64] = correlate1d(correlate1d(image, window, 0), window, 1)
    return blurred[5:-5, 5:-5]


def numpy_ms_ssim(output: Tensor, target: Tensor, scales: int) -> float:
    """The mean over images and channels, each computed alone in double precision."""
    similarities = []
    for x, y in zip(output.flatten(0, 1).numpy(), target.flatten(0, 1).numpy(), strict=True):
        weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
        similarity = 1.0
        for scale, weight in enumerate(weights):
            mean_x = numpy_blur(x)
            mean_y = numpy_blur(y)
            variances = numpy_blur(x * x) - mean_x**2 + numpy_blur(y * y) - mean_y**2
            covariance = numpy_blur(x * y) - mean_x * mean_y
            factor = (2 * covariance + 0.03**2) / (variances + 0.03**2)
            if scale == scales - 1:
                factor = factor * (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
            similarity *= max(factor.mean(), 1e-6) ** weight
            x = x[: len(x) // 2 * 2, : x.shape[1] // 2 * 2]
            y = y[: len(y) // 2 * 2, : y.shape[1] // 2 * 2]
            x = (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
            y = (y[::2, ::2] + y[1::2, ::2] + y[::2, 1::2] + y[1::2, 1::2]) / 4
        similarities.append(similarity)
    return float(np.mean(similarities))


@pytest.mark.parametrize(
    ("scales", "rows", "columns"), [(5, 176, 190), (3, 44, 51), (2, 28, 28), (1, 11, 12)]
)
def test_ms_ssim_equals_a_computation_with_numpy(scales: int, rows: int, columns: int) -> None:
    output, target = images(rows, columns)
    expected = 1 - numpy_ms_ssim(output, target, scales)
    loss = MsSsim(scales=scales)
    assert loss(output, target).item() == pytest.approx(expected, abs=1e-12)
    assert loss(output.float(), target.float()).item() == pytest.approx(expected, abs=1e-5)


def test_ms_ssim_equals_that_of_pytorch_msssim() -> None:
    """The number that pytorch-msssim 1.0.0 gives for these images, whose window is in singles."""
    generator = torch.Generator().manual_seed(3)
    target = torch.rand(1, 1, 176, 176, dtype=torch.float64, generator=generator)
    output = (target + 0.2).clamp(0, 1)
    assert 1 - MsSsim()(output, target).item() == pytest.approx(0.9810945, abs=1e-5)


@pytest.mark.parametrize("loss", [Ssim(), MsSsim(scales=2)])
def test_gradients_of_similarities_are_finite_for_opposite_images(loss: Loss) -> None:
    target = torch.rand(2, 1, 28, 28)
    for start in (1 - target, target, torch.zeros_like(target)):
        output = start.clone().requires_grad_()
        loss(output, target).backward()
        assert output.grad is not None
        assert output.grad.isfinite().all()


def test_pixel_losses_have_their_definitions() -> None:
    output = torch.tensor([[[[0.0, 0.5], [1.0, 0.3]]]])
    target = torch.tensor([[[[0.0, 0.2], [0.4, 0.3]]]])
    # Errors 0, 0.3, 0.6, 0; beyond delta the loss is delta * (|error| - delta / 2).
    assert total_loss("huber(delta=0.4)", output, target).item() == pytest.approx(
        (0.3**2 / 2 + 0.4 * (0.6 - 0.2)) / 4
    )
    # Gradients of the columns: |0.5| - |0.2|, |-0.7| - |-0.1|; of the rows: 1 - 0.4, 0.2 - 0.1.
    assert total_loss("gradient_difference", output, target).item() == pytest.approx(
        (0.3 + 0.6) / 2 + (0.6 + 0.1) / 2
    )
    assert total_loss("0.5*mse + 2*l1", output, target).item() == pytest.approx(
        0.5 * (0.3**2 + 0.6**2) / 4 + 2 * (0.3 + 0.6) / 4
    )


@pytest.mark.parametrize("name", ["mse", "l1", "bce"])
def test_a_loss_without_a_weight_is_that_of_torch_bit_for_bit(name: str) -> None:
    output, target = (image.float() for image in images(28, 28))
    functions: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "mse": torch.nn.functional.mse_loss,
        "l1": torch.nn.functional.l1_loss,
        "bce": torch.nn.functional.binary_cross_entropy,
    }
    result = Reconstruct(loss=name).criterion(output, target)
    expected = functions[name](output, target)
    if name == "bce":  # another order of the logarithms
        torch.testing.assert_close(result, expected)
    else:
        assert torch.equal(result, expected)


# Texts


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("mse", "mse"),
        (" 1 * mse ", "mse"),
        ("0.80*mse+.2*ms_ssim( scales = 2 )", "0.8*mse + 0.2*ms_ssim(scales=2)"),
        ("huber(delta=0.1)", "huber"),
        ("huber(delta=1)", "huber(delta=1.0)"),
        ("mse + l1 + 1e-3*bce", "mse + l1 + 0.001*bce"),
    ],
)
def test_a_loss_has_one_text(text: str, canonical: str) -> None:
    assert Denoise(loss=text).loss == canonical
    assert Denoise(loss=canonical).loss == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("msee", "'msee' is not known; did you mean mse?"),
        ("0.5*mse + huber(delt=1)", "huber.delt is not a parameter here; did you mean delta?"),
        ("huber(delta=0)", "huber.delta = 0: should be greater than 0"),
        ("ms_ssim(scales=6)", "ms_ssim.scales = 6: should be less than or equal to 5"),
        ("0*mse", "a weight is 0: should be from 1e-12 to 1e+12"),
        ("1e400*mse", "a weight is inf: should be from 1e-12 to 1e+12"),
        ("1e-50*mse", "a weight is 1e-50: should be from 1e-12 to 1e+12"),
        ("-1*mse", "a weight should be a number above 0 before its loss"),
        (
            "huber(delta=1, delta=2)",
            "delta of 'huber(delta=1, delta=2)' should be set once",
        ),
        ("mse - l1", "should be a loss like 'mse', 'huber(delta=0.05)' or a sum like"),
        ("mse +", "should be a loss like"),
        ("", "should be a loss like"),
        ("mse*0.5", "a weight should be a number above 0 before its loss"),
        ("huber(delta=open('x'))", "delta should be a number or a text in quotes"),
    ],
)
def test_an_invalid_loss_is_an_error_with_the_rule(trial: Trial, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        trial.override({"task.loss": text})
    (error,) = caught.value.messages
    assert error.startswith(f"task.loss = {text!r}: {message}")


def test_a_loss_of_the_flat_configuration_is_the_same(trial: Trial) -> None:
    changed = trial.override({"task.loss": "0.2*ssim+0.8*mse"})
    assert changed.flat()["task.loss"] == "0.2*ssim + 0.8*mse"
    assert from_flat(changed.flat()) == changed


# What fits


def test_images_that_are_too_small_for_ms_ssim_are_refused(trial: Trial) -> None:
    large = trial.override({"dataset.size": 32})
    with pytest.raises(ConfigError) as caught:
        large.override({"task.loss": "0.5*mse + 0.5*ms_ssim"}).sizes()
    assert caught.value.messages == [
        "task.loss = '0.5*mse + 0.5*ms_ssim': 0.5*ms_ssim needs images of at least 176 x 176 "
        "pixels, and these have 32 x 32; choose ms_ssim(scales=2)"
    ]
    large.override({"task.loss": "0.5*mse + 0.5*ms_ssim(scales=2)"}).sizes()
    with pytest.raises(ConfigError, match="these have 8 x 8; choose another loss"):
        trial.override({"dataset.size": 8, "task.loss": "ms_ssim"}).sizes()


def test_only_the_hole_counts_for_the_size_if_the_loss_is_of_the_hole() -> None:
    assert Inpaint(region="hole").loss_size((1, 28, 28)) == (14, 14)
    assert Inpaint().loss_size((1, 28, 28)) == (28, 28)


def test_losses_of_unit_ranges_are_refused_elsewhere(trial: Trial) -> None:
    with pytest.raises(ConfigError, match=r"0.5\*bce' needs outputs in \[0, 1\]"):
        trial.override({"task.loss": "mse + 0.5*bce", "arch.output_activation": "linear"}).sizes()
    with pytest.raises(ValueError, match=r"'ssim' needs targets in \[0, 1\]"):
        Colorize(loss="ssim", target="iq").validate_output_range((0, 1))


def test_the_floor_of_a_sum_with_bce_is_its_entropy() -> None:
    target = torch.full((1, 1, 12, 12), 0.5)
    task = Denoise(loss="0.5*mse + 2*bce + 0.5*ssim")
    assert task.floor(target) == pytest.approx(2 * math.log(2), rel=1e-5)
    assert Denoise(loss="mse + ssim").floor(target) == 0


# Losses of a user's


@pytest.fixture
def charbonnier() -> type[Loss]:
    class Charbonnier(Loss):
        """The square root of the squared error plus a small number."""

        eps: float = 1e-3

        @override
        def __call__(self, output: Tensor, target: Tensor) -> Tensor:
            return ((output - target).square() + self.eps**2).sqrt().mean()

    return Charbonnier


def test_an_own_loss_is_used_by_its_name(charbonnier: type[Loss]) -> None:
    output, target = images(12, 12)
    expected = ((output - target).square() + 0.1**2).sqrt().mean()
    task = Reconstruct(loss="0.5*charbonnier(eps=0.1)")
    assert torch.equal(task.criterion(output, target), 0.5 * expected)
    assert [type(term.loss) for term in task.losses()] == [charbonnier]


def test_the_code_of_an_own_loss_identifies_the_trial(
    trial: Trial, charbonnier: type[Loss]
) -> None:
    changed = trial.override({"task.loss": "mse + charbonnier"})
    assert charbonnier in changed.own_components()
    assert "self.eps**2" in changed.code()
    assert trial.code() == ""


def test_every_built_in_loss_is_created_by_its_name() -> None:
    for name, component in Loss.registry.items():
        if component.is_builtin():
            (term,) = build(name)
            assert type(term.loss) is component
            assert term.text == name
