"""Small and real: a few dozen handwritten digits, and a network that learns them in milliseconds."""

from __future__ import annotations

import pytest
import torch

from cae.trial.batches import Resident
from cae.trial.config import Trial
from cae.trial.datasets.base import Digits
from cae.trial.networks import ConvAutoencoder
from cae.trial.optimizers import Adam
from cae.trial.tasks import Reconstruct


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Sums of floats depend on how many threads share them, in the last bit."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _still_one_thread() -> None:
    """Whatever the tests of other rooms did in this process meanwhile."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def trial() -> Trial:
    """The trial that tests vary. 70 images in batches of 32: the last batch is a smaller one."""
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
def images(trial: Trial) -> Resident:
    """The images of `trial`, on the CPU."""
    return Resident.of(trial.dataset.load(()), torch.device("cpu"))
