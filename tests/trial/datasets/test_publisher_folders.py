"""Sets in the files of MNIST and CIFAR: KMNIST, EMNIST with its transposition, CIFAR-100."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae.errors import UserError
from cae.trial.datasets import Cifar10, CifarFolder, Dataset, IdxFolder, Mnist, load_images
from tests.trial.datasets.small_files import idx_content

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, (30, 7, 9), np.uint8)
COLOR = RANDOM.integers(0, 256, (30, 3, 4, 5), np.uint8)
FINE = np.arange(30) * 3
COARSE = np.arange(30) % 20


def write_idx(prefix: str = "", labels: np.ndarray = FINE, suffix: str = "") -> None:
    for split, part in (("train", slice(0, 20)), ("test", slice(20, 30))):
        for kind, array in (("images-idx3", GRAY[part]), ("labels-idx1", labels[part])):
            content = idx_content(array.astype(np.uint8))
            if suffix == ".gz":
                content = gzip.compress(content)
            Path(f"{prefix}{split}-{kind}-ubyte{suffix}").write_bytes(content)


def error_of(dataset: Dataset) -> str:
    with pytest.raises(UserError) as caught:
        load_images(dataset, [])
    return str(caught.value)


def test_a_folder_like_that_of_mnist_gives_the_same_images(data_folder: Path) -> None:
    for published, folder in (
        (Mnist(val_images=10), IdxFolder(path="MNIST/raw", val_images=10)),
        (Cifar10(val_images=10), CifarFolder(path="cifar-10-batches-bin", val_images=10)),
    ):
        expected = published.load([data_folder])
        assert load_images(folder, [data_folder]).fingerprint == expected.fingerprint


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_emnist_is_transposed_and_has_any_number_of_classes(suffix: str) -> None:
    write_idx("emnist-letters-", suffix=suffix)
    dataset = IdxFolder(path=".", shape=(9, 7), transpose=True)
    assert dataset.image_shape == (1, 9, 7)
    images = load_images(dataset, [])
    np.testing.assert_array_equal(images.test.pixels[:, 0], GRAY[20:].transpose(0, 2, 1))
    np.testing.assert_array_equal(images.test.labels, FINE[20:])
    assert images.class_names == tuple(map(str, range(88)))
    assert images.train.pixels.flags.c_contiguous


def test_one_of_several_sets_is_stated() -> None:
    write_idx("emnist-letters-")
    write_idx("emnist-digits-")
    assert "contains 2 sets: set prefix to one of 'emnist-digits-', 'emnist-letters-'" in error_of(
        IdxFolder(path=".", shape=(7, 9))
    )
    load_images(IdxFolder(path=".", shape=(7, 9), prefix="emnist-letters-"), [])
    assert "there are 'emnist-digits-'" in error_of(IdxFolder(path=".", prefix="emnist-"))


def test_wrong_idx_folders_are_errors() -> None:
    assert "no such file or folder" in error_of(IdxFolder(path="absent"))
    assert "no files named like train-images-idx3-ubyte" in error_of(IdxFolder(path="."))
    write_idx()
    assert "write shape=(7, 9)" in error_of(IdxFolder(path="."))
    Path("test-labels-idx1-ubyte").unlink()
    assert "the test labels of '' are missing" in error_of(IdxFolder(path=".", shape=(7, 9)))
    Path("test-images-idx3-ubyte").unlink()
    assert "the data set has no test file; use 'pooled'" in error_of(
        IdxFolder(path=".", shape=(7, 9))
    )
    load_images(IdxFolder(path=".", shape=(7, 9), split="pooled"), [])


def write_cifar100(version: str) -> None:
    """20 training and 10 test images with two labels."""
    for name, part in (("train", slice(0, 20)), ("test", slice(20, 30))):
        pixels = COLOR[part].reshape(-1, 60)
        if version == "binary":
            labels = np.stack([COARSE[part], FINE[part]], 1).astype(np.uint8)
            Path(f"{name}.bin").write_bytes(np.hstack([labels, pixels]).tobytes())
        else:
            content = {
                b"data": pixels,
                b"coarse_labels": COARSE[part].tolist(),
                b"fine_labels": FINE[part].tolist(),
            }
            Path(name).write_bytes(pickle.dumps(content, 2))
    names = {
        f"{kind}_label_names": [f"{kind} {number}" for number in range(100)]
        for kind in ("coarse", "fine")
    }
    if version == "binary":
        for name, lines in names.items():
            Path(f"{name}.txt").write_text("\n".join(lines) + "\n")
    else:
        Path("meta").write_bytes(pickle.dumps(names, 2))


@pytest.mark.parametrize("version", ["binary", "python"])
def test_cifar_100_has_fine_or_coarse_labels(version: str) -> None:
    write_cifar100(version)
    parameters: dict[str, Any] = {"path": ".", "shape": (4, 5)}
    fine = load_images(CifarFolder(**parameters), [])
    np.testing.assert_array_equal(fine.test.pixels, COLOR[20:])
    np.testing.assert_array_equal(fine.test.labels, FINE[20:])
    assert fine.class_names[3] == "fine 3"
    coarse = load_images(CifarFolder(**parameters, labels="coarse"), [])
    np.testing.assert_array_equal(coarse.test.labels, COARSE[20:])
    assert coarse.class_names[3] == "coarse 3"


def test_wrong_cifar_folders_are_errors() -> None:
    assert "no files named data_batch_1.bin" in error_of(CifarFolder(path="."))
    write_cifar100("binary")
    assert "expected records of 3,073 bytes (one label) or of 3,074" in error_of(
        CifarFolder(path=".")
    )
    Path("train.bin").write_bytes(Path("train.bin").read_bytes()[:-1])
    assert "expected records of 61 bytes" in error_of(CifarFolder(path=".", shape=(4, 5)))
    for path in Path().glob("*"):
        path.unlink()
    Path("data_batch_1.bin").write_bytes(bytes(61 * 30))
    Path("test_batch.bin").write_bytes(bytes(61 * 9))
    assert "have one label" in error_of(CifarFolder(path=".", shape=(4, 5), labels="coarse"))
    load_images(CifarFolder(path=".", shape=(4, 5)), [])
    Path("test_batch.bin").write_bytes(bytes([9]) + bytes(60))
    Path("batches.meta.txt").write_text("cat\ndog\n")
    assert "labels up to 9, and 2 names of classes" in error_of(CifarFolder(path=".", shape=(4, 5)))


def test_pickles_that_would_run_code_are_refused() -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path("evil").touch, ()

    Path("train").write_bytes(pickle.dumps({b"data": Evil()}, 2))
    assert "is not allowed" in error_of(CifarFolder(path="."))
    assert not Path("evil").exists()
