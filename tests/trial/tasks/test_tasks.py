"""Tasks: pairs from images, losses on the scale that is said, and a network that learns each of
them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from cae.trial.batches import DeviceSplit, Pairs, generator, to_float
from cae.trial.config import Trial
from cae.trial.datasets import Patches
from cae.trial.networks.create import build_network
from cae.trial.tasks import Denoise, Reconstruct, Task
from tests.trial.steps import losses_of

LABELS = torch.zeros(48, dtype=torch.int64)

BUILT_IN = {"reconstruct": Reconstruct, "denoise": Denoise}
"""Tasks whose targets are images, in [0, 1]."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def patches() -> Tensor:
    """48 color patches, 12 x 12, floats in [0, 1]."""
    return to_float(
        torch.from_numpy(
            Patches(size=12, train_images=48, val_images=1, test_images=1).load(()).train.pixels
        )
    )


@pytest.mark.parametrize("loss", ["mse", "l1", "bce"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_few_training_steps_reduce_the_loss_of_each_task_and_loss(
    name: str, loss: str, patches: Tensor, trial: Trial
) -> None:
    task: Task = BUILT_IN[name](loss=loss)
    torch.manual_seed(0)
    network = build_network(trial.model_copy(update={"dataset": Patches(size=12), "task": task}))
    inputs, target = task.pairs(patches, LABELS, seeded())
    losses = losses_of(task, network, inputs, target)
    if loss == "bce":  # its minimum is far above 0
        assert losses[-1] < losses[0] - 0.01
    else:
        assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", BUILT_IN)
def test_inputs_and_targets_have_the_declared_shapes_and_are_between_0_and_1(
    name: str, patches: Tensor
) -> None:
    task: Task = BUILT_IN[name]()
    before = patches.clone()
    inputs, target = task.pairs(patches, LABELS, seeded())
    assert (*inputs.shape[1:],) == task.input_shape((3, 12, 12))
    assert (*target.shape[1:],) == task.output_shape((3, 12, 12))
    assert all(images.min() >= 0 and images.max() <= 1 for images in (inputs, target))
    assert torch.equal(patches, before), "the images themselves stay as they are"


@pytest.mark.parametrize("name", BUILT_IN)
def test_metrics_have_snake_case_names_and_one_value_per_image(name: str, patches: Tensor) -> None:
    task: Task = BUILT_IN[name]()
    _, target = task.pairs(patches, LABELS, seeded())
    metrics = task.metrics(target, target)
    final_metrics = task.final_metrics(target, target)
    assert not metrics.keys() & final_metrics.keys()
    for metric, values in (metrics | final_metrics).items():
        assert metric.isidentifier(), metric
        assert metric.islower(), metric
        assert metric != "loss"
        assert values.shape == (len(patches),)


def test_the_target_of_reconstruct_is_the_input(patches: Tensor) -> None:
    inputs, target = Reconstruct().pairs(patches, LABELS, seeded())
    assert torch.equal(inputs, patches)
    assert torch.equal(target, patches)


def test_the_noise_of_denoise_has_the_standard_deviation_noise_factor_and_is_clipped(
    patches: Tensor,
) -> None:
    inputs, target = Denoise(noise_factor=0.3).pairs(patches, LABELS, seeded())
    assert torch.equal(target, patches)
    assert inputs.min() == 0
    assert inputs.max() == 1
    # 0.5 is five standard deviations away from 0 and from 1, so nothing is clipped.
    gray = torch.full((8, 3, 64, 64), 0.5)
    noisy, _ = Denoise(noise_factor=0.1).pairs(gray, LABELS, seeded())
    noise = noisy - gray
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)


def test_the_noise_of_denoise_depends_only_on_the_seed(
    patches: Tensor,
) -> None:
    noisy = [Denoise().pairs(patches, LABELS, seeded(seed))[0] for seed in (7, 7, 8)]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])


class _Negative(Denoise):
    """A task of a sweep file: from the noisy image to its negative.

    A class with a leading underscore is not registered.
    """

    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return super().pairs(images, labels, generator)[0], 1 - images


@pytest.mark.parametrize("task", [_Negative(), Denoise(), Reconstruct()], ids=repr)
def test_a_batch_contains_the_inputs_and_targets_of_its_indices(task: Task) -> None:
    pixels = torch.arange(3 * 64, dtype=torch.uint8).reshape(3, 1, 8, 8)
    chosen = torch.tensor([2, 0])
    inputs, target = Pairs(task, DeviceSplit(pixels, LABELS[: len(pixels)]), 0, 1, "train").at(
        chosen
    )
    every = task.pairs(to_float(pixels), LABELS[: len(pixels)], generator(0, 1, "train", "cpu"))
    assert torch.equal(inputs, every[0][chosen])
    assert torch.equal(target, every[1][chosen])


def test_denoise_redraws_its_noise_only_with_redraw_noise() -> None:
    assert Denoise.corrupts
    assert not Denoise().redraws
    assert Denoise(redraw_noise=True).redraws
    assert not Reconstruct.corrupts


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mse", (0.5**2 + 0.25**2 + 0 + 0.1**2) / 4),
        ("l1", (0.5 + 0.25 + 0 + 0.1) / 4),
        (
            "bce",
            -(
                math.log(0.5)
                + math.log(0.75)
                + math.log(0.5)
                + 0.2 * math.log(0.1)
                + 0.8 * math.log(0.9)
            )
            / 4,
        ),
    ],
)
def test_a_loss_is_the_mean_over_images_channels_and_pixels(loss: Any, expected: float) -> None:
    output = torch.tensor([0.5, 0.25, 0.5, 0.1], dtype=torch.float64).reshape(2, 1, 1, 2)
    target = torch.tensor([1.0, 0.0, 0.5, 0.2], dtype=torch.float64).reshape(2, 1, 1, 2)
    assert Reconstruct(loss=loss).criterion(output, target).item() == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 999), certain=st.floats(0, 1), scale=st.sampled_from([1.0, 10.0, 1000.0])
)
def test_cross_entropy_has_the_same_values_and_gradients_as_in_torch(
    seed: int, certain: float, scale: float
) -> None:
    torch.manual_seed(seed)
    output = (
        (scale * torch.randn(3, 2, 5, 4))
        .sigmoid()
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
    )  # 0 and 1 too
    target = torch.where(
        torch.rand_like(output) < certain, torch.rand_like(output).round(), torch.rand_like(output)
    )
    ours = Reconstruct(loss="bce").criterion(output, target)
    torchs = F.binary_cross_entropy(output, target)
    torch.testing.assert_close(ours, torchs)
    (our_gradient,) = torch.autograd.grad(ours, output)
    (torchs_gradient,) = torch.autograd.grad(torchs, output)
    torch.testing.assert_close(our_gradient, torchs_gradient)


def test_every_loss_of_nan_outputs_is_nan() -> None:
    """So that the trial ends as `diverged`: torch's own cross-entropy raises an error, which on a
    GPU ends the process."""
    output = torch.full((1, 1, 2, 2), math.nan)
    target = torch.rand(1, 1, 2, 2)
    for loss in ("mse", "l1", "bce"):
        assert Reconstruct(loss=loss).criterion(output, target).isnan()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_task_reports_the_mean_squared_error_with_every_loss(
    name: str, patches: Tensor
) -> None:
    output = (patches * 0.9).clamp(0, 1)
    for loss in ("mse", "l1", "bce"):
        task: Task = BUILT_IN[name](loss=loss)
        if loss == "mse":
            measured = task.criterion(output, patches)
        else:
            measured = task.metrics(output, patches)["mse"].mean()
        assert measured.item() == pytest.approx((output - patches).square().mean().item())


def test_channel_argmax_error_is_reported_for_color_images_only() -> None:
    assert "channel_argmax_error" in Reconstruct().metrics(
        torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    )
    assert "channel_argmax_error" not in Reconstruct().metrics(
        torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4)
    )


def test_cross_entropy_requires_outputs_between_0_and_1() -> None:
    Reconstruct(loss="bce").validate_output_range((0, 1))
    Reconstruct(loss="mse").validate_output_range((-1, 1))
    for output_range in ((-1.0, 1.0), (-math.inf, math.inf)):
        with pytest.raises(ValueError, match=r"task\.loss = 'bce'.*arch\.output_activation"):
            Denoise(loss="bce").validate_output_range(output_range)


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise_factor": 0.0},
        {"noise_factor": -1.0},
        {"loss": "mae"},
        {"noise": 0.5},
        {"redraw_noise": 1},
    ],
)
def test_an_invalid_parameter_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Denoise(**wrong)
