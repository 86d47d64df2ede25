"""CIFAR-10."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from cae.trial.datasets.base import Source
from cae.trial.datasets.cifar_files import read_cifar
from cae.trial.datasets.published import PublishedDataset

_STEMS = (
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
    "test_batch",
)


class Cifar10(PublishedDataset):
    """CIFAR-10: 50,000 + 10,000 photographs of ten classes, 32 x 32, color (Krizhevsky 2009)."""

    licence: ClassVar[str] = "none is stated by its publisher, www.cs.toronto.edu/~kriz/cifar.html"
    class_names: ClassVar[tuple[str, ...]] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    train_file_images: ClassVar[int] = 50_000
    test_file_images: ClassVar[int] = 10_000
    file_names: ClassVar[tuple[tuple[str, ...], ...]] = tuple(
        (f"{stem}.bin", stem) for stem in _STEMS
    )
    subfolders: ClassVar[tuple[str, ...]] = ("cifar-10-batches-bin", "cifar-10-batches-py", ".")
    torchvision_name: ClassVar[str] = "CIFAR10"

    @classmethod
    @override
    def read_files(cls, files: Sequence[Path]) -> Source:
        return Source(read_cifar(files[:-1]), read_cifar(files[-1:]), cls.class_names)

    @classmethod
    @override
    def count_images(cls, files: Sequence[Path]) -> int:
        return cls.train_file_images + cls.test_file_images
