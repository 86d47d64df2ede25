"""A small trial, whose network learns a few dozen handwritten digits in milliseconds."""

from __future__ import annotations

import pytest
import torch

from cae.trial.batches import DeviceImages
from cae.trial.config import Trial
from cae.trial.datasets import Digits
from cae.trial.networks import ConvAutoencoder
from cae.trial.optimizers import Adam
from cae.trial.tasks import Reconstruct


@pytest.fixture(autouse=True, scope="module")
def _one_thread_per_module() -> None:
    """Use one thread in fixtures too: the last bit of a sum depends on the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Use one thread, whatever other tests in this process have set."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def trial() -> Trial:
    """The trial that tests vary. The last of its batches (70 images, 32 each) is smaller."""
    return Trial(
        dataset=Digits(train_images=70, val_images=24, test_images=20),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 6), decoder_filters=(4,), pool_after=(1,), upsample_after=(1,)
        ),
        optimizer=Adam(lr=1e-2),
        batch_size=32,
        epochs=4,
    )


@pytest.fixture(scope="session")
def images(trial: Trial) -> DeviceImages:
    """The images of `trial`, on the CPU."""
    return DeviceImages.load(trial.dataset.load(()), torch.device("cpu"))
