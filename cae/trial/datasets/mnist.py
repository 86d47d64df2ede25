"""MNIST and Fashion-MNIST, which is published in the same format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from cae.trial.datasets.base import Source
from cae.trial.datasets.idx import count_idx_images, read_idx_pair
from cae.trial.datasets.published import PublishedDataset


def _possible_names(stem: str, kind: str) -> tuple[str, ...]:
    """Return the names under which a file is distributed: `train-images-idx3-ubyte` or
    `train-images.idx3-ubyte`, with or without `.gz`."""
    names = (f"{stem}-{kind}-ubyte", f"{stem}.{kind}-ubyte")
    return (*names, *(f"{name}.gz" for name in names))


class _IdxDataset(PublishedDataset):
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    train_file_images: ClassVar[int] = 60_000
    test_file_images: ClassVar[int] = 10_000
    file_names: ClassVar[tuple[tuple[str, ...], ...]] = (
        _possible_names("train-images", "idx3"),
        _possible_names("train-labels", "idx1"),
        _possible_names("t10k-images", "idx3"),
        _possible_names("t10k-labels", "idx1"),
    )

    @classmethod
    @override
    def read_files(cls, files: Sequence[Path]) -> Source:
        train_images, train_labels, test_images, test_labels = files
        return Source(
            read_idx_pair(train_images, train_labels),
            read_idx_pair(test_images, test_labels),
            cls.class_names,
        )

    @classmethod
    @override
    def count_images(cls, files: Sequence[Path]) -> int:
        train_images, _train_labels, test_images, _test_labels = files
        return count_idx_images(train_images) + count_idx_images(test_images)


class Mnist(_IdxDataset):
    """MNIST: 60,000 + 10,000 handwritten digits, 28 x 28, gray (LeCun, Cortes, Burges 1998)."""

    licence: ClassVar[str] = "CC BY-SA 3.0, of Yann LeCun and Corinna Cortes"
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    subfolders: ClassVar[tuple[str, ...]] = ("MNIST/raw", "MNIST", "mnist")
    torchvision_name: ClassVar[str] = "MNIST"


class FashionMnist(_IdxDataset):
    """Fashion-MNIST: 60,000 + 10,000 images of clothing, 28 x 28, gray, in the format of MNIST
    (Xiao, Rasul, Vollgraf 2017)."""

    licence: ClassVar[str] = "MIT, of Zalando SE, github.com/zalandoresearch/fashion-mnist"
    class_names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    subfolders: ClassVar[tuple[str, ...]] = (
        "FashionMNIST/raw",
        "FashionMNIST",
        "fashion-mnist",
        "fashion_mnist",
    )
    torchvision_name: ClassVar[str] = "FashionMNIST"
