"""Data sets: what is asked for is what comes, split as said; what cannot be had is told in words that help."""

from __future__ import annotations

import gzip
import os
import pickle
import re
import struct
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from cae.errors import UserError
from cae.trial.datasets import base as datasets
from cae.trial.datasets import readers
from cae.trial.datasets.base import (
    Cifar10,
    Dataset,
    DatasetDamaged,
    DatasetMissing,
    Digits,
    FashionMnist,
    Images,
    Mnist,
    Source,
    Split,
    available,
    fetch,
)

BUILT_IN = {
    name: part for name, part in Dataset.registry.items() if part.__module__ == datasets.__name__
}
"""The table that the tests loop over: a new data set in datasets.py is tested with no further line here."""

TRAIN, TEST = 60, 20
"""Images in the small files that stand for published ones."""


def numbered(count: int, start: int = 0, shape: tuple[int, ...] = (1, 28, 28)) -> Split:
    """Images that can be told apart: the first two bytes of each are its number."""
    pixels = np.zeros((count, *shape), np.uint8)
    numbers = np.arange(start, start + count)
    flat = pixels.reshape(count, -1)
    flat[:, 0], flat[:, 1] = numbers // 256, numbers % 256
    return Split(pixels, (numbers * 7 % 10).astype(np.int64))


def numbers(split: Split) -> list[int]:
    flat = split.pixels.reshape(len(split.pixels), -1).astype(int)
    return [int(number) for number in flat[:, 0] * 256 + flat[:, 1]]


def write_idx(folder: Path, train: Split, test: Split, suffix: str = "", joint: str = "-") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, split in (("train", train), ("t10k", test)):
        for kind, dimensions, array in (
            ("images", 3, split.pixels[:, 0]),
            ("labels", 1, split.labels.astype(np.uint8)),
        ):
            content = (
                bytes((0, 0, 8, dimensions))
                + struct.pack(f">{dimensions}I", *array.shape)
                + array.tobytes()
            )
            path = folder / f"{stem}-{kind}{joint}idx{dimensions}-ubyte{suffix}"
            path.write_bytes(gzip.compress(content) if suffix else content)


def write_cifar(folder: Path, kind: str, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, stem in enumerate(
        [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    ):
        split = numbered(count, index * count, (3, 32, 32))
        data = split.pixels.reshape(count, 3072)
        if kind == "bin":
            (folder / f"{stem}.bin").write_bytes(
                np.concatenate([split.labels.astype(np.uint8)[:, None], data], axis=1).tobytes()
            )
        else:
            (folder / stem).write_bytes(
                pickle.dumps({b"data": data, b"labels": split.labels.tolist()}, protocol=2)
            )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that holds a small version of every data set, and is the current folder."""
    monkeypatch.setattr(readers, "CIFAR_BATCH", 12)
    monkeypatch.chdir(tmp_path)
    for layout in (Mnist.layouts[0], FashionMnist.layouts[0]):
        write_idx(tmp_path / layout, numbered(TRAIN), numbered(TEST, TRAIN))
    write_cifar(tmp_path / Cifar10.layouts[0], "bin", 12)
    (tmp_path / "pictures").mkdir()
    for index, pixels in enumerate(
        np.random.default_rng(0).integers(0, 256, (12, 20, 25, 3), np.uint8)
    ):
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index:02d}.png")
    return tmp_path


SMALL: dict[str, dict[str, Any]] = {
    "mnist": {"val_images": 10},
    "fashion_mnist": {"val_images": 10},
    "cifar10": {"val_images": 10},
    "image_folder": {"path": "pictures", "size": 16},
}


def split_is_whole(images: Images, shape: tuple[int, ...]) -> None:
    for split in (images.train, images.val, images.test):
        assert split.pixels.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert split.pixels.shape == (len(split.labels), *shape)
        assert len(split.labels) > 0
        assert split.pixels.flags.c_contiguous
        assert split.pixels.flags.writeable  # torch warns of arrays that are not
        assert 0 <= split.labels.min() <= split.labels.max() < len(images.class_names)


# --- every data set


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_data_set_gives_what_it_says(name: str, home: Path) -> None:
    dataset = BUILT_IN[name](**SMALL.get(name, {}))
    before = set(home.rglob("*"))
    shape = dataset.image_shape
    images = dataset.load([home])
    split_is_whole(images, shape)
    assert re.fullmatch("[0-9a-f]{32}", images.fingerprint)
    assert not dataset.class_names or images.class_names == dataset.class_names
    assert len({id(split) for split in (images.train, images.val, images.test)}) == 3
    assert set(home.rglob("*")) == before  # reading writes nothing
    assert dataset.inactive_parameters() == {}
    assert dataset.__doc__


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_data_set_depends_on_its_seed_and_on_nothing_else(name: str, home: Path) -> None:
    settings = SMALL.get(name, {})
    first, again, other = (
        BUILT_IN[name](**settings, split_seed=seed).load([home]) for seed in (3, 3, 4)
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    for one, two in zip(
        (first.train, first.val, first.test), (again.train, again.val, again.test), strict=True
    ):
        np.testing.assert_array_equal(one.pixels, two.pixels)
        np.testing.assert_array_equal(one.labels, two.labels)
    with pytest.raises(ValidationError):
        BUILT_IN[name](**settings, split_seed=2**32)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_data_set_gives_as_many_images_as_asked(name: str, home: Path) -> None:
    asked = {**SMALL.get(name, {}), "train_images": 5, "val_images": 3, "test_images": 2}
    images = BUILT_IN[name](**asked).load([home])
    assert [len(split.labels) for split in (images.train, images.val, images.test)] == [5, 3, 2]
    assert (
        images.fingerprint
        != BUILT_IN[name](**{**asked, "train_images": 4}).load([home]).fingerprint
    )
    for wrong in (0, -1, 2.0, "3"):
        with pytest.raises(ValidationError):
            BUILT_IN[name](**{**asked, "train_images": wrong})
    with pytest.raises(
        ValueError, match=r"dataset\.train_images = 1000000: there are only \d+ images"
    ):
        BUILT_IN[name](**{**asked, "train_images": 1_000_000}).load([home])


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_data_set_is_listed_found_or_not(name: str, home: Path, tmp_path: Path) -> None:
    for folders in ([home], [tmp_path / "nowhere"], []):
        lines = [line for line in available(folders) if line.name == name]
        assert lines
        assert all(line.how for line in lines)


# --- splits


def test_more_training_images_keep_the_ones_before(home: Path) -> None:
    few, many = (Mnist(val_images=10, train_images=count).load([home]) for count in (7, 30))
    assert numbers(many.train)[:7] == numbers(few.train)
    assert numbers(many.val) == numbers(few.val)


def test_rules_of_a_published_data_set(home: Path) -> None:
    pooled = Mnist(split="pooled", val_images=8, test_images=8).load([home])
    order = np.random.RandomState(0).permutation(TRAIN + TEST)
    assert [numbers(pooled.val), numbers(pooled.test), numbers(pooled.train)] == [
        list(order[:8]),
        list(order[8:16]),
        list(order[16:]),
    ]
    doubled = Mnist(split="test_as_validation", val_images=20).load([home])
    assert doubled.val is doubled.test
    assert numbers(doubled.val) == list(range(TRAIN, TRAIN + TEST))
    assert sorted(numbers(doubled.train)) == list(range(TRAIN))
    assert "test_images" in Mnist(split="test_as_validation").inactive_parameters()
    assert Mnist(split="pooled", val_images=None).load([home]).val.labels.shape == (8,)  # a tenth


def test_more_than_there_are_is_refused_before_any_file_is_read() -> None:
    cases: list[tuple[Callable[[], Dataset], str]] = [
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
            r"none of the 60000 images in all is left",
        ),
        (lambda: Digits(train_images=1286), r"dataset\.train_images = 1286: there are only 1285"),
    ]
    for build, message in cases:
        with pytest.raises(ValidationError, match=message):
            build()
    assert Cifar10(
        split="pooled", train_images=48_000, val_images=6_000, test_images=6_000
    )  # report 000
    assert FashionMnist(train_images=50_000, val_images=10_000, test_images=10_000)  # report 003
    assert Mnist(split="test_as_validation", train_images=60_000)  # report 004


def test_a_data_set_of_ones_own_needs_two_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dataset, "registry", dict(Dataset.registry))

    class Spirals(Dataset):
        turns: int = 3

        @property
        def image_shape(self) -> tuple[int, int, int]:
            return 1, 28, 28

        def read(self, folders: Sequence[Path]) -> Source:
            return Source(numbered(50), None, tuple("0123456789"))

    images = Dataset.registry["spirals"](val_images=5).load([])
    split_is_whole(images, (1, 28, 28))
    assert [len(split.labels) for split in (images.train, images.val, images.test)] == [40, 5, 5]
    assert any(line.name == "spirals" for line in available([]))
    with pytest.raises(DatasetMissing, match="spirals cannot be downloaded"):
        fetch("spirals", Path("/nowhere"))


# --- published files


@pytest.mark.parametrize("part", [Mnist, FashionMnist])
def test_mnist_layouts(part: type[Mnist], tmp_path: Path) -> None:
    expected = None
    for index, layout in enumerate(part.layouts):
        for suffix in ("", ".gz"):
            for joint in "-.":
                folder = tmp_path / f"{index}{suffix}{joint}"
                write_idx(folder / layout, numbered(TRAIN), numbered(TEST, TRAIN), suffix, joint)
                images = part(val_images=10).load([tmp_path / "nothing", folder])
                expected = expected or images.fingerprint
                assert images.fingerprint == expected
                assert part(val_images=10).load([folder / layout]).fingerprint == expected
                [line] = [line for line in available([folder]) if line.name == part.name]
                assert (line.folder, line.images, line.how) == (
                    folder / layout,
                    TRAIN + TEST,
                    "ready",
                )


def test_mnist_is_never_taken_for_fashion_mnist(tmp_path: Path) -> None:
    write_idx(tmp_path / "FashionMNIST/raw", numbered(TRAIN), numbered(TEST))
    for folder in (tmp_path, tmp_path / "FashionMNIST", tmp_path / "FashionMNIST/raw"):
        FashionMnist(val_images=10).load([folder])
        with pytest.raises(DatasetMissing):
            Mnist(val_images=10).load([folder])


def test_cifar_layouts_give_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "CIFAR_BATCH", 12)
    found = []
    for kind in ("bin", "py"):
        write_cifar(tmp_path / kind / f"cifar-10-batches-{kind}", kind, 12)
        write_cifar(tmp_path / f"renamed-{kind}", kind, 12)
        places = (
            tmp_path / kind,
            tmp_path / kind / f"cifar-10-batches-{kind}",
            tmp_path / f"renamed-{kind}",
        )
        found += [Cifar10(val_images=10).load([place]) for place in places]
    assert len({images.fingerprint for images in found}) == 1
    assert sorted(numbers(found[0].train) + numbers(found[0].val)) == list(range(60))
    assert numbers(found[0].test) == list(range(60, 72))


@pytest.mark.parametrize("part", [Mnist, FashionMnist, Cifar10])
def test_missing_files_are_told_with_what_to_do(part: type[Mnist], tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing) as caught:
        part().load([tmp_path / "a", tmp_path / "b"])
    for word in (
        str(tmp_path / "a"),
        str(tmp_path / "b"),
        f"cae-sweep data fetch {part.name}",
        "--data-dir",
        "CAE_DATA",
        part.layouts[0],
    ):
        assert word in str(caught.value)
    assert all(names[0] in str(caught.value) for names in part.files)
    (tmp_path / "a" / part.layouts[0]).mkdir(parents=True)
    (tmp_path / "a" / part.layouts[0] / part.files[0][0]).touch()
    with pytest.raises(DatasetMissing, match=f"is incomplete: it lacks {part.files[1][0]}"):
        part().load([tmp_path / "a"])


def test_a_damaged_file_is_not_passed_over_for_another_folder(home: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse"
    write_idx(worse / "MNIST/raw", numbered(TRAIN), numbered(TEST))
    os.truncate(worse / "MNIST/raw/train-images-idx3-ubyte", 5000)
    with pytest.raises(
        DatasetDamaged, match=r"train-images-idx3-ubyte: expected 47,056 bytes.*found 5,000"
    ):
        Mnist(val_images=10).load([worse, home])
    os.truncate(worse / "MNIST/raw/train-images-idx3-ubyte", 3)
    [line] = [line for line in available([worse]) if line.name == "mnist"]
    assert line.how.startswith("damaged: ")


# --- downloads


def torchvision(monkeypatch: pytest.MonkeyPatch, download: Callable[[Path], None]) -> list[Path]:
    """A torchvision whose data sets are made by `download`; returns the folders that it was asked to fill."""
    asked: list[Path] = []

    def build(
        root: str, train: bool, download: bool, work: Callable[[Path], None] = download
    ) -> None:
        assert (train, download) == (False, True)
        asked.append(Path(root))
        work(Path(root))

    fake = types.ModuleType("torchvision.datasets")
    for name in ("MNIST", "FashionMNIST", "CIFAR10"):
        setattr(fake, name, build)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", fake)
    return asked


def test_fetch_brings_the_files_whole_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(root: Path) -> None:
        write_idx(root / "MNIST/raw", numbered(20_000), numbered(10, 0))
        (root / "MNIST/raw/train-images-idx3-ubyte.gz").write_bytes(b"the archive")

    monkeypatch.setattr(Mnist, "official", (20_000, 10))
    asked = torchvision(monkeypatch, download)
    for _ in range(2):
        assert fetch("mnist", tmp_path / "new") == tmp_path / "new/MNIST/raw"
    assert len(asked) == 1
    assert sorted(os.listdir(tmp_path / "new")) == ["MNIST"]  # no folder aside is left
    assert sorted(os.listdir(tmp_path / "new/MNIST/raw")) == sorted(
        names[0] for names in Mnist.files
    )
    os.truncate(tmp_path / "new/MNIST/raw/t10k-images-idx3-ubyte", 99)
    fetch("mnist", tmp_path / "new")  # damaged: brought anew
    assert len(asked) == 2
    assert Mnist().load([tmp_path / "new"]).test.labels.shape == (10,)


def test_fetch_says_what_to_put_where_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(root: Path) -> None:
        (root / "MNIST/raw").mkdir(parents=True)
        (root / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"half")
        raise OSError("Temporary failure in name resolution")

    def cut(root: Path) -> None:
        for folder in ("MNIST/raw", "FashionMNIST/raw"):
            write_idx(root / folder, numbered(TRAIN), numbered(TEST))
            os.truncate(root / folder / "t10k-images-idx3-ubyte", 99)
        write_cifar(root / "cifar-10-batches-py", "py", 2)

    for download, reason in ((offline, "Temporary failure in name resolution"), (cut, "expected")):
        torchvision(monkeypatch, download)
        for part in (Mnist, FashionMnist, Cifar10):
            with pytest.raises(DatasetMissing) as caught:
                fetch(part.name, tmp_path)
            for word in (reason, str(tmp_path), part.files[0][0], part.layouts[0], "--data-dir"):
                assert word in str(caught.value)
            assert os.listdir(tmp_path) == []


def test_fetch_of_what_cannot_or_need_not_be_fetched(tmp_path: Path) -> None:
    assert fetch("digits", tmp_path) is None
    assert fetch("patches", tmp_path) is None
    with pytest.raises(DatasetMissing, match="cae-sweep data import"):
        fetch("image_folder", tmp_path)
    with pytest.raises(UserError, match=r"data set 'minst' is not known; there are .*mnist"):
        fetch("minst", tmp_path)
    assert os.listdir(tmp_path) == []


def test_no_torch_is_needed_to_know_the_data_sets() -> None:
    code = "import sys, cae.trial.datasets.base; print({'torch', 'torchvision', 'sklearn', 'PIL', 'ray'} & sys.modules.keys())"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
