"""What every built-in data set does. A new data set is tested without a change here."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from typing_extensions import override

from cae.errors import UserError
from cae.trial.datasets import (
    Dataset,
    DatasetMissing,
    Images,
    Source,
    fetch,
    list_datasets,
)
from tests.trial.datasets.small_files import numbered_images

BUILT_IN = {name: dataset for name, dataset in Dataset.registry.items() if dataset.is_builtin()}

SMALL: dict[str, dict[str, Any]] = {
    "mnist": {"val_images": 10},
    "fashion_mnist": {"val_images": 10},
    "cifar10": {"val_images": 10},
    "arrays": {"path": "cells.npz", "shape": (1, 28, 28)},
    "idx_folder": {"path": "MNIST/raw", "val_images": 10},
    "cifar_folder": {"path": "cifar-10-batches-bin", "val_images": 10},
    "image_folder": {"path": "photos", "size": 16},
}
"""Parameters that fit the files of `data_folder`."""


def all_splits_are_valid(images: Images, shape: tuple[int, ...]) -> None:
    for split in (images.train, images.val, images.test):
        assert split.pixels.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert split.pixels.shape == (len(split.labels), *shape)
        assert len(split.labels) > 0
        assert split.pixels.flags.c_contiguous
        assert split.pixels.flags.writeable  # torch warns about arrays that are not writable
        assert 0 <= split.labels.min() <= split.labels.max() < len(images.class_names)


def sizes(images: Images) -> list[int]:
    return [len(split.labels) for split in (images.train, images.val, images.test)]


def test_the_built_in_data_sets() -> None:
    assert set(BUILT_IN) == {
        "arrays",
        "cifar10",
        "cifar_folder",
        "digits",
        "fashion_mnist",
        "idx_folder",
        "image_folder",
        "mnist",
        "patches",
    }


INACTIVE = {"patches": {"classes"}}
"""Parameters without an effect, by data set."""


@pytest.mark.parametrize("name", BUILT_IN)
def test_images_have_the_declared_shape_and_classes(name: str, data_folder: Path) -> None:
    dataset = BUILT_IN[name](**SMALL.get(name, {}))
    files_before = set(data_folder.rglob("*"))
    images = dataset.load([data_folder])
    all_splits_are_valid(images, dataset.image_shape)
    assert re.fullmatch("[0-9a-f]{32}", images.fingerprint)
    assert not dataset.class_names or images.class_names == dataset.class_names
    assert len({id(split) for split in (images.train, images.val, images.test)}) == 3
    assert set(data_folder.rglob("*")) == files_before  # reading writes nothing
    assert set(dataset.inactive_parameters()) == INACTIVE.get(name, set())
    assert dataset.__doc__


@pytest.mark.parametrize("name", BUILT_IN)
def test_images_depend_only_on_parameters_and_seed(name: str, data_folder: Path) -> None:
    parameters = SMALL.get(name, {})
    first = BUILT_IN[name](**parameters, split_seed=3).load([data_folder])
    same = BUILT_IN[name](**parameters, split_seed=3).load([data_folder])
    other = BUILT_IN[name](**parameters, split_seed=4).load([data_folder])
    assert first.fingerprint == same.fingerprint
    assert first.fingerprint != other.fingerprint
    for kind in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(first, kind).pixels, getattr(same, kind).pixels)
        np.testing.assert_array_equal(getattr(first, kind).labels, getattr(same, kind).labels)
    with pytest.raises(ValidationError):
        BUILT_IN[name](**parameters, split_seed=2**32)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_number_of_images_is_the_requested_one(name: str, data_folder: Path) -> None:
    counts = {"train_images": 5, "val_images": 3, "test_images": 2}
    parameters = SMALL.get(name, {}) | counts
    images = BUILT_IN[name](**parameters).load([data_folder])
    assert sizes(images) == [5, 3, 2]
    fewer = BUILT_IN[name](**parameters | {"train_images": 4}).load([data_folder])
    assert fewer.fingerprint != images.fingerprint


@pytest.mark.parametrize("name", BUILT_IN)
def test_invalid_numbers_of_images_are_errors(name: str, data_folder: Path) -> None:
    parameters = SMALL.get(name, {})
    for invalid in (0, -1, 2.0, "3"):
        with pytest.raises(ValidationError):
            BUILT_IN[name](**parameters | {"train_images": invalid})
    too_many = r"dataset\.train_images = 1000000: there are only \d+ images"
    with pytest.raises(ValueError, match=too_many):
        BUILT_IN[name](**parameters | {"train_images": 1_000_000}).load([data_folder])


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_data_set_is_listed_whether_found_or_not(name: str, data_folder: Path) -> None:
    for folders in ([data_folder], [data_folder / "missing"], []):
        entries = [entry for entry in list_datasets(folders) if entry.name == name]
        assert entries
        assert all(entry.hint for entry in entries)


def test_a_new_data_set_consists_of_image_shape_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dataset, "registry", dict(Dataset.registry))

    class Spirals(Dataset):
        turns: int = 3

        @property
        @override
        def image_shape(self) -> tuple[int, int, int]:
            return 1, 28, 28

        @override
        def read(self, folders: Sequence[Path]) -> Source:
            return Source(numbered_images(50), None, tuple("0123456789"))

    images = Dataset.registry["spirals"](val_images=5).load([])
    all_splits_are_valid(images, (1, 28, 28))
    assert sizes(images) == [40, 5, 5]
    assert "spirals" in {entry.name for entry in list_datasets([])}
    with pytest.raises(DatasetMissing, match="spirals cannot be downloaded"):
        fetch("spirals", Path("/missing"))


def test_an_unknown_data_set_cannot_be_fetched(tmp_path: Path) -> None:
    message = r"name = 'minst': unknown data set; did you mean 'mnist'\? there are .*mnist"
    with pytest.raises(UserError, match=message):
        fetch("minst", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_defining_data_sets_imports_no_large_library() -> None:
    code = (
        "import sys, cae.trial.datasets; "
        "print({'torch', 'torchvision', 'sklearn', 'PIL', 'ray'} & sys.modules.keys())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
