"""A data folder with a small version of every data set that consists of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cae.trial.datasets import Cifar10, FashionMnist, Mnist, cifar_files
from tests.trial.datasets.small_files import (
    CIFAR_IMAGES,
    TEST_IMAGES,
    TRAIN_IMAGES,
    numbered_images,
    write_cifar_files,
    write_idx_files,
    write_random_images,
)


@pytest.fixture
def _small_cifar_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar_files, "IMAGES_PER_FILE", CIFAR_IMAGES)


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _small_cifar_files: None) -> Path:
    """The data folder, which is the current folder too."""
    monkeypatch.chdir(tmp_path)
    train = numbered_images(TRAIN_IMAGES)
    test = numbered_images(TEST_IMAGES, TRAIN_IMAGES)
    write_idx_files(tmp_path / Mnist.subfolders[0], train, test)
    write_idx_files(tmp_path / FashionMnist.subfolders[0], train, test)
    write_cifar_files(tmp_path / Cifar10.subfolders[0], "bin")
    write_random_images(tmp_path / "photos", [f"{number:02d}.png" for number in range(12)])
    np.savez(tmp_path / "cells.npz", images=train.pixels, labels=train.labels)
    return tmp_path
