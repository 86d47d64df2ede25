"""Tasks of the user's: errors of `pairs` that are reported before anything runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from typing_extensions import override

from cae import Adam, ConvAutoencoder, Digits, Task, Trial
from cae.trial.messages import ConfigError


class GrainOfOwnTask(Task):
    """Noise of its generator, declared."""

    corrupts = True

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return images + 0.1 * torch.rand(images.shape, generator=generator), images


class UndeclaredGrain(GrainOfOwnTask):
    """Noise that is not declared."""

    corrupts = False


class GlobalGrain(GrainOfOwnTask):
    """Noise of PyTorch's global generator."""

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return images + 0.1 * torch.rand(images.shape), images


class LeftHalf(Task):
    """Inputs of another shape than `input_shape` returns."""

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return images[..., :8], images


class ThirdChannel(Task):
    """Fails for gray images."""

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return images[:, 2:3] + images[:, [2]], images


def trial_of(task: Task) -> Trial:
    return Trial(
        dataset=Digits(size=16), task=task, arch=ConvAutoencoder(), optimizer=Adam(lr=1e-3)
    )


def test_a_task_that_draws_from_its_generator_is_accepted() -> None:
    assert trial_of(GrainOfOwnTask()).sizes()


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (UndeclaredGrain(), "write corrupts = True in class UndeclaredGrain"),
        (GlobalGrain(), "draw all random numbers with generator=generator"),
        (LeftHalf(), "returns inputs of 1 x 16 x 8, and input_shape returns 1 x 16 x 16"),
        (
            ThirdChannel(),
            "task = 'third_channel': its method pairs fails for images of 1 x 16 x 16",
        ),
    ],
)
def test_errors_of_pairs_are_reported_before_the_run(task: Task, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        trial_of(task).sizes()
    assert expected in str(error.value)
