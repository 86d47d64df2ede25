"""Published data sets: where their files are found, how they are divided and downloaded."""

from __future__ import annotations

import os
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cae.trial.datasets import (
    Cifar10,
    Dataset,
    DatasetDamaged,
    DatasetMissing,
    Digits,
    FashionMnist,
    InventoryEntry,
    Mnist,
    fetch,
    find_dataset,
    list_datasets,
)
from cae.trial.datasets.published import PublishedDataset
from tests.trial.datasets.small_files import (
    CIFAR_IMAGES,
    TEST_IMAGES,
    TRAIN_IMAGES,
    image_numbers,
    numbered_images,
    write_cifar_files,
    write_idx_files,
)

PUBLISHED: list[type[PublishedDataset]] = [Mnist, FashionMnist, Cifar10]


def entry_of(name: str, folder: Path) -> InventoryEntry:
    [entry] = [entry for entry in list_datasets([folder]) if entry.name == name]
    return entry


# How they are divided


def test_more_training_images_contain_the_fewer_ones(data_folder: Path) -> None:
    few = Mnist(val_images=10, train_images=7).load([data_folder])
    many = Mnist(val_images=10, train_images=30).load([data_folder])
    assert image_numbers(many.train)[:7] == image_numbers(few.train)
    assert image_numbers(many.val) == image_numbers(few.val)


def test_pooled_divides_training_and_test_file_together(data_folder: Path) -> None:
    images = Mnist(split="pooled", val_images=8, test_images=9).load([data_folder])
    order = np.random.RandomState(0).permutation(TRAIN_IMAGES + TEST_IMAGES).tolist()
    assert image_numbers(images.val) == order[:8]
    assert image_numbers(images.test) == order[8:17]
    assert image_numbers(images.train) == order[17:]
    a_tenth = Mnist(split="pooled", val_images=None).load([data_folder])
    assert len(a_tenth.val.labels) == 8


def test_test_as_validation_uses_the_test_file_for_both(data_folder: Path) -> None:
    dataset = Mnist(split="test_as_validation", val_images=20)
    images = dataset.load([data_folder])
    assert images.val is images.test
    assert image_numbers(images.val) == list(range(TRAIN_IMAGES, TRAIN_IMAGES + TEST_IMAGES))
    assert sorted(image_numbers(images.train)) == list(range(TRAIN_IMAGES))
    assert "test_images" in dataset.inactive_parameters()


TOO_MANY_IMAGES: list[tuple[Callable[[], Dataset], str]] = [
    (
        lambda: Mnist(val_images=60_001),
        r"dataset\.val_images = 60001: there are only 60000 images in the training file",
    ),
    (
        lambda: Mnist(val_images=60_000),
        r"dataset\.val_images = 60000: none of the 60000 images in the training file is left",
    ),
    (
        lambda: Mnist(train_images=50_001),
        r"dataset\.train_images = 50001: there are only 50000 images left of 60000 after",
    ),
    (
        lambda: Mnist(test_images=10_001),
        r"dataset\.test_images = 10001: there are only 10000 images in the test file",
    ),
    (
        lambda: Mnist(split="test_as_validation", val_images=10_001),
        r"val_images = 10001: there are only 10000",
    ),
    (
        lambda: Cifar10(split="pooled", val_images=30_000, test_images=30_001),
        r"test_images = 30001: there are only 30000",
    ),
    (
        lambda: Cifar10(split="pooled", val_images=30_000, test_images=30_000),
        r"none of the 60000 images is left",
    ),
    (lambda: Digits(train_images=1286), r"dataset\.train_images = 1286: there are only 1285"),
]


@pytest.mark.parametrize(("create", "message"), TOO_MANY_IMAGES)
def test_too_many_images_are_an_error_before_any_file_is_read(
    create: Callable[[], Dataset], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        create()


def test_the_splits_of_the_reports_are_possible() -> None:
    Cifar10(split="pooled", train_images=48_000, val_images=6_000, test_images=6_000)  # 000
    FashionMnist(train_images=50_000, val_images=10_000, test_images=10_000)  # 003
    Mnist(split="test_as_validation", train_images=60_000)  # 004


# Where the files are found


@pytest.mark.parametrize("dataset", [Mnist, FashionMnist])
def test_all_names_of_the_files_of_mnist_are_found(dataset: type[Mnist], tmp_path: Path) -> None:
    train = numbered_images(TRAIN_IMAGES)
    test = numbered_images(TEST_IMAGES, TRAIN_IMAGES)
    fingerprints = set()
    for subfolder in dataset.subfolders:
        for suffix in ("", ".gz"):
            for separator in "-.":
                folder = tmp_path / f"{subfolder.replace('/', '_')}{suffix}{separator}"
                write_idx_files(folder / subfolder, train, test, suffix, separator)
                for folders in ([tmp_path / "missing", folder], [folder / subfolder]):
                    images = dataset(val_images=10).load(folders)
                    fingerprints.add(images.fingerprint)
                entry = entry_of(dataset.name, folder)
                assert entry.folder == folder / subfolder
                assert entry.images == TRAIN_IMAGES + TEST_IMAGES
                assert entry.hint == "ready"
    assert len(fingerprints) == 1


def test_files_of_fashion_mnist_are_never_read_as_mnist(tmp_path: Path) -> None:
    train = numbered_images(TRAIN_IMAGES)
    write_idx_files(tmp_path / "FashionMNIST/raw", train, numbered_images(TEST_IMAGES))
    for folder in (tmp_path, tmp_path / "FashionMNIST", tmp_path / "FashionMNIST/raw"):
        FashionMnist(val_images=10).load([folder])
        with pytest.raises(DatasetMissing):
            Mnist(val_images=10).load([folder])


@pytest.mark.usefixtures("_small_cifar_files")
def test_both_versions_of_cifar10_give_the_same_images(tmp_path: Path) -> None:
    loaded = []
    for version in ("bin", "py"):
        data_folder = tmp_path / version
        official = data_folder / f"cifar-10-batches-{version}"
        renamed = tmp_path / f"renamed-{version}"
        write_cifar_files(official, version)
        write_cifar_files(renamed, version)
        for folder in (data_folder, official, renamed):
            loaded.append(Cifar10(val_images=10).load([folder]))
    assert len({images.fingerprint for images in loaded}) == 1
    train_and_val = image_numbers(loaded[0].train) + image_numbers(loaded[0].val)
    assert sorted(train_and_val) == list(range(5 * CIFAR_IMAGES))
    first_test = 5 * CIFAR_IMAGES
    assert image_numbers(loaded[0].test) == list(range(first_test, first_test + CIFAR_IMAGES))


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_missing_files_are_an_error_with_all_ways_to_get_them(
    dataset: type[PublishedDataset], tmp_path: Path
) -> None:
    with pytest.raises(DatasetMissing) as caught:
        dataset().load([tmp_path / "a", tmp_path / "b"])
    message = str(caught.value)
    assert f"searched {tmp_path / 'a'}, {tmp_path / 'b'}" in message
    assert f"cae-sweep data fetch {dataset.name}" in message
    assert f"into {dataset.subfolders[0]}" in message
    assert "--data-dir FOLDER or CAE_DATA=FOLDER" in message
    for names in dataset.file_names:
        assert names[0] in message


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_an_incomplete_folder_is_reported(dataset: type[PublishedDataset], tmp_path: Path) -> None:
    first_file = tmp_path / dataset.subfolders[0] / dataset.file_names[0][0]
    first_file.parent.mkdir(parents=True)
    first_file.touch()
    missing = f"is incomplete: missing are {re.escape(dataset.file_names[1][0])}"
    with pytest.raises(DatasetMissing, match=missing):
        dataset().load([tmp_path])


def test_a_damaged_file_is_an_error_even_if_a_later_folder_is_complete(
    data_folder: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    images = damaged / "MNIST/raw/train-images-idx3-ubyte"
    write_idx_files(images.parent, numbered_images(TRAIN_IMAGES), numbered_images(TEST_IMAGES))
    os.truncate(images, 5000)
    message = r"train-images-idx3-ubyte: expected 47,056 bytes.*found 5,000"
    with pytest.raises(DatasetDamaged, match=message):
        Mnist(val_images=10).load([damaged, data_folder])
    os.truncate(images, 3)
    entry = entry_of("mnist", damaged)
    assert entry.hint.startswith("damaged: ")
    assert entry.images is None


# Downloads


class FakeTorchvision:
    """A torchvision.datasets whose data sets are written by `write(root)`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]) -> None:
        self.downloads = 0
        self.write = write
        module = types.ModuleType("torchvision.datasets")
        for dataset in PUBLISHED:
            setattr(module, dataset.torchvision_name, self.create)
        monkeypatch.setitem(sys.modules, "torchvision.datasets", module)

    def create(self, root: str, train: bool, download: bool) -> None:
        assert not train
        assert download
        self.downloads += 1
        self.write(Path(root))


def write_complete_mnist(root: Path) -> None:
    folder = root / "MNIST/raw"
    write_idx_files(folder, numbered_images(20_000), numbered_images(10))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"the archive")


def test_a_download_contains_the_files_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mnist, "train_file_images", 20_000)
    monkeypatch.setattr(Mnist, "test_file_images", 10)
    FakeTorchvision(monkeypatch, write_complete_mnist)
    folder = tmp_path / "new"
    assert fetch("mnist", folder) == folder / "MNIST/raw"
    assert os.listdir(folder) == ["MNIST"]  # no temporary folder is left
    names = {names[0] for names in Mnist.file_names}
    assert set(os.listdir(folder / "MNIST/raw")) == names
    assert len(Mnist().load([folder]).test.labels) == 10


def test_complete_files_are_not_downloaded_again_but_damaged_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mnist, "train_file_images", 20_000)
    monkeypatch.setattr(Mnist, "test_file_images", 10)
    torchvision = FakeTorchvision(monkeypatch, write_complete_mnist)
    fetch("mnist", tmp_path)
    fetch("mnist", tmp_path)
    assert torchvision.downloads == 1
    os.truncate(tmp_path / "MNIST/raw/t10k-images-idx3-ubyte", 99)
    fetch("mnist", tmp_path)
    assert torchvision.downloads == 2
    assert len(Mnist().load([tmp_path]).test.labels) == 10


def fail_without_network(root: Path) -> None:
    (root / "MNIST/raw").mkdir(parents=True)
    (root / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"half")
    raise OSError("Temporary failure in name resolution")


def write_truncated_files(root: Path) -> None:
    for folder in ("MNIST/raw", "FashionMNIST/raw"):
        write_idx_files(root / folder, numbered_images(TRAIN_IMAGES), numbered_images(TEST_IMAGES))
        os.truncate(root / folder / "t10k-images-idx3-ubyte", 99)
    write_cifar_files(root / "cifar-10-batches-py", "py", 2)


@pytest.mark.parametrize("dataset", PUBLISHED)
@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (fail_without_network, "Temporary failure in name resolution"),
        (write_truncated_files, "expected"),
    ],
)
def test_a_failed_download_leaves_nothing_and_gives_the_manual_way(
    dataset: type[PublishedDataset],
    write: Callable[[Path], None],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    FakeTorchvision(monkeypatch, write)
    with pytest.raises(DatasetMissing) as caught:
        fetch(dataset.name, tmp_path)
    message = str(caught.value)
    assert f"could not be downloaded into {tmp_path}" in message
    assert reason in message
    assert dataset.manual_hint() in message
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["MNIST", "Mnist", "mnist"])
def test_a_data_set_is_fetched_by_its_name_in_any_spelling(name: str, data_folder: Path) -> None:
    assert fetch(name, data_folder) == data_folder / "MNIST" / "raw"


@pytest.mark.parametrize("name", ["FashionMNIST", "fashion-mnist", "fashion_mnist"])
def test_names_of_several_words_are_found(name: str) -> None:
    assert find_dataset(name) is FashionMnist


def test_files_directly_in_a_data_folder_are_named_and_not_guessed(data_folder: Path) -> None:
    folder = data_folder / "downloads"
    (data_folder / "MNIST" / "raw").rename(folder)
    with pytest.raises(
        DatasetMissing, match=r"downloads itself contains train-images.*MNIST/raw if"
    ):
        Mnist().load([folder])
    entries = {entry.name: entry for entry in list_datasets([folder])}
    assert f"move them into {folder}/FashionMNIST/raw" in entries["fashion_mnist"].hint
    assert entries["fashion_mnist"].folder is None
