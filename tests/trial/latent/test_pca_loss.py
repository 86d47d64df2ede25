"""The loss of images restored from principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cae.trial.batches import DeviceImages
from cae.trial.config import Trial
from cae.trial.datasets import Digits
from cae.trial.latent import encoding
from cae.trial.latent.final import measure_latent
from cae.trial.networks import DenseAutoencoder, VariationalAutoencoder
from cae.trial.networks.create import build_network
from cae.trial.optimizers import Adam
from cae.trial.tasks import Complete, Denoise, DetectAnomalies, Reconstruct, Task, Vae

DATASET = Digits(train_images=300, val_images=20, test_images=120)
COMPONENTS = 6


@pytest.fixture(scope="module")
def digits() -> DeviceImages:
    return DeviceImages.load(DATASET.load(()), torch.device("cpu"))


def measured(task: Task, images: DeviceImages, arch: Any = None) -> dict[str, float]:
    if arch is None:
        arch = DenseAutoencoder(hidden_units=(COMPONENTS,))
    trial = Trial(dataset=DATASET, task=task, arch=arch, optimizer=Adam(lr=1e-3))
    return measure_latent(build_network(trial).eval(), trial, images).metrics


def restored(images: DeviceImages, train: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
    """Test images, and what scikit-learn's PCA of these training images restores of them."""
    from sklearn.decomposition import PCA

    fitted = images.train.pixels[train].flatten(1).double().numpy() / 255
    test = images.test.pixels.flatten(1).double().numpy() / 255
    pca = PCA(COMPONENTS, svd_solver="full").fit(fitted)
    output = np.clip(pca.inverse_transform(pca.transform(test)), 0, 1)
    shape = images.test.pixels.shape
    return torch.from_numpy(output).view(shape), torch.from_numpy(test).view(shape)


@pytest.mark.parametrize("loss", ["mse", "bce", "0.5*l1 + 0.5*mse"])
def test_the_loss_is_that_of_the_task_for_the_components_of_scikit_learn(
    digits: DeviceImages, loss: str
) -> None:
    task = Reconstruct(loss=loss)
    output, test = restored(digits)
    expected = task.criterion(output, test).item()
    assert measured(task, digits)["loss_pca"] == pytest.approx(expected, rel=1e-4)


def test_a_large_test_split_is_represented_by_its_sample(
    digits: DeviceImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "TEST_IMAGES", 30)
    task = Reconstruct()
    images = digits._replace(fingerprint="")
    chosen = encoding.SampledImages.choose(task, images).test_indices
    output, test = restored(digits)
    expected = task.criterion(output[chosen], test[chosen]).item()
    assert len(chosen) == 30
    assert measured(task, images)["loss_pca"] == pytest.approx(expected, rel=1e-4)


def test_the_loss_of_anomaly_detection_is_that_of_its_normal_images(digits: DeviceImages) -> None:
    task = DetectAnomalies(normal_classes=("3", "5"))
    output, test = restored(digits)
    normal = torch.isin(digits.test.labels, torch.tensor([3, 5]))
    expected = task.criterion(output[normal], test[normal]).item()
    assert measured(task, digits)["loss_pca"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("task", [Denoise(noise_factor=0.3), Complete()])
def test_a_task_whose_targets_are_not_its_inputs_has_none(digits: DeviceImages, task: Task) -> None:
    values = measured(task, digits)
    assert "loss_pca" not in values
    assert "probe_accuracy_pca" in values


def test_a_loss_with_a_term_of_the_network_has_none(digits: DeviceImages) -> None:
    arch = VariationalAutoencoder(latent_dim=4, encoder_filters=(4, 4), decoder_filters=(4, 4))
    assert "loss_pca" not in measured(Vae(generated=2, latent_scales=(1.0,)), digits, arch)
