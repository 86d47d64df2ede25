"""Folders of images of any shape: size, fit, class folders, splits in a CSV file, statistics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cae.cli.app import app
from cae.errors import UserError
from cae.trial.datasets import ImageFolder, Images, import_folder, load_images
from cae.trial.datasets.image_files import decode_folder
from cae.trial.datasets.image_reader import Fit
from tests.trial.datasets.small_files import write_image

NAMES = [f"{kind}/{number}.png" for kind in ("pets/cat", "pets/dog", "cars") for number in range(8)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """24 random gray images of 20 x 10 pixels (width x height) in nested folders."""
    random = np.random.default_rng(0)
    for name in NAMES:
        pixels = random.integers(0, 256, (10, 20), np.uint8)
        write_image(tmp_path / "photos" / name, Image.fromarray(pixels))
    return tmp_path / "photos"


def load(**parameters: Any) -> Images:
    return load_images(ImageFolder(channels=1, **{"path": "photos", **parameters}), [])


def error_of(**parameters: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(**parameters)
    return str(caught.value)


def invoke(*words: str) -> str:
    result = CliRunner().invoke(app, ["data", *words, "--data-dir", "library"])
    assert result.exit_code == 0, result.output
    return result.stdout


# Size and fit


def test_images_of_their_own_shape_are_not_changed(photos: Path) -> None:
    decoded = decode_folder(photos, (10, 20), 1)
    files = sorted(photos.rglob("*.png"), key=lambda path: path.relative_to(photos).parts)
    for pixels, path in zip(decoded.images.pixels, files, strict=True):
        np.testing.assert_array_equal(pixels[0], np.asarray(Image.open(path)))
    assert not any("shape" in note for note in decoded.notes)
    assert ImageFolder(path="photos", size=(10, 20)).image_shape == (3, 10, 20)


def with_a_black_border(fit: Fit) -> np.ndarray:
    """A white area of 4 x 36 pixels within black, reduced from 12 x 40 to 12 x 20."""
    pixels = np.zeros((12, 40), np.uint8)
    pixels[4:8, 2:38] = 255
    write_image(Path("one/1.png"), Image.fromarray(pixels))
    result: np.ndarray = decode_folder(Path("one"), (12, 20), 1, fit=fit).images.pixels[0, 0]
    return result


@pytest.mark.usefixtures("photos")
def test_fit_crops_pads_or_stretches() -> None:
    cropped = with_a_black_border("crop")
    assert cropped[5].min() > 200  # the border at the sides is outside
    padded = with_a_black_border("pad")
    assert padded[0].max() == 0
    assert padded[:, 0].max() < 30
    assert (padded > 128).any(1).sum() == 2  # half as high
    stretched = with_a_black_border("stretch")
    assert (stretched > 128).any(1).sum() == 4  # as high, half as wide
    assert (stretched > 128).any(0).sum() == 18


@pytest.mark.usefixtures("photos")
def test_what_is_lost_is_noted() -> None:
    assert "24 of 24 images are of another shape and were cropped" in load(size=8).notes[0]
    assert load(size=8, fit="stretch").notes[0] == (
        "24 of 24 images were stretched to another shape"
    )
    assert not any("shape" in note for note in load(size=8, fit="pad").notes)
    fingerprints = {load(size=8, fit=fit).fingerprint for fit in ("crop", "pad", "stretch")}
    assert len(fingerprints) == 3


@pytest.mark.parametrize("size", [0, (8,), (8, 0), (8, 8, 8), "8", 8.5])
def test_a_size_is_one_or_two_numbers(size: Any) -> None:
    with pytest.raises(ValueError, match="size"):
        ImageFolder(path="photos", size=size)


# Classes


@pytest.mark.usefixtures("photos")
def test_classes_are_the_first_or_all_folders() -> None:
    assert load().class_names == ("cars", "pets")
    assert load(class_folders="all").class_names == ("cars", "pets/cat", "pets/dog")


# Splits


def write_csv(*rows: str, header: str = "file,split") -> None:
    Path("photos/splits.csv").write_text("\n".join([header, *rows]) + "\n")


@pytest.mark.usefixtures("photos")
def test_splits_and_classes_of_a_csv_file() -> None:
    splits = ["train"] * 12 + ["val"] * 6 + ["test"] * 4
    write_csv(*(f"{name},{split}" for name, split in zip(NAMES, splits, strict=False)))
    images = load(splits="splits.csv", size=(10, 20))
    assert [len(part.labels) for part in (images.train, images.val, images.test)] == [12, 6, 4]
    expected = np.asarray(Image.open(Path("photos", NAMES[18])))
    assert any(np.array_equal(expected, image[0]) for image in images.test.pixels)
    [left_out] = [note for note in images.notes if "left out" in note]
    assert left_out == "2 images are not in splits.csv and left out: cars/6.png, cars/7.png"
    assert not any("no image and skipped" in note for note in images.notes)
    write_csv(
        *(
            f"{name},{split},{number % 2}"
            for number, (name, split) in enumerate(zip(NAMES, splits, strict=False))
        ),
        header="file,split,class",
    )
    images = load(splits="splits.csv")
    assert images.class_names == ("0", "1")
    assert np.bincount(images.train.labels).tolist() == [6, 6]


@pytest.mark.usefixtures("photos")
def test_spaces_in_a_csv_file_make_no_classes() -> None:
    write_csv(
        f"{NAMES[0]}, train, cat",
        f"{NAMES[1]},val,cat",
        f"{NAMES[2]},test,cat ",
        header="file,split,class",
    )
    assert load(splits="splits.csv").class_names == ("cat",)


@pytest.mark.usefixtures("photos")
def test_folders_of_splits_are_no_classes_beside_a_csv_file(photos: Path) -> None:
    """The file may divide the images in another way than the folders."""
    (photos / "cars").rename(photos / "test")
    (photos / "pets").rename(photos / "train")
    (photos / "test" / "dog").mkdir()
    rows = ["train/cat/0.png,train", "train/dog/0.png,test"]
    for number in range(8):
        (photos / "test" / f"{number}.png").rename(photos / "test" / "dog" / f"{number}.png")
        rows.append(f"test/dog/{number}.png,val")
    write_csv(*rows)
    images = load(splits="splits.csv")
    assert images.class_names == ("cat", "dog")
    assert images.val.labels.tolist() == [1] * 8


WRONG_CSV: dict[str, tuple[Callable[[], object], str]] = {
    "columns": (lambda: write_csv("a", header="name,part"), "should name the columns file and"),
    "split": (lambda: write_csv(f"{NAMES[0]},dev"), "line 2: split = 'dev': should be train"),
    "twice": (lambda: write_csv(*[f"{NAMES[0]},train"] * 2), "line 3: 'pets/cat/0.png' is listed"),
    "unknown": (lambda: write_csv("a.png,train"), "it lists 1 files that are not images in"),
    "no train": (lambda: write_csv(f"{NAMES[0]},test"), "no image is in the split train"),
    "class": (
        lambda: write_csv(f"{NAMES[0]},train,", header="file,split,class"),
        "has no class",
    ),
    "short row": (
        lambda: write_csv(f"{NAMES[0]},train", header="file,split,class"),
        "has no class",
    ),
    "bytes": (lambda: Path("photos/splits.csv").write_bytes(b"file,split\n\xff,train"), "read"),
    "missing": (lambda: None, "dataset.splits = 'splits.csv': there is no such file; searched"),
}


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("kind", WRONG_CSV)
def test_errors_of_a_csv_file(kind: str) -> None:
    write, expected = WRONG_CSV[kind]
    write()
    assert expected in error_of(splits="splits.csv")


# Import


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        ([], {"size": 64}),
        (["--size", "10x20"], {"size": (10, 20)}),
        (["--size", "8", "--fit", "pad"], {"size": 8, "fit": "pad"}),
        (["--size", "8", "--class-folders", "all"], {"size": 8, "class_folders": "all"}),
        (["--size", "8", "--splits", "splits.csv"], {"size": 8, "splits": "splits.csv"}),
    ],
)
def test_an_import_is_the_same_data_set_as_the_folder(
    words: list[str], parameters: dict[str, Any]
) -> None:
    write_csv(*(f"{name},{'train' if number % 3 else 'test'}" for number, name in enumerate(NAMES)))
    output = invoke("import", "photos", "mine", "--gray", *words)
    line = output.splitlines()[-1].removeprefix("use it as: ")
    assert line in invoke("list")
    imported = load_images(eval(line, {"ImageFolder": ImageFolder}), [Path("library")])
    assert imported.fingerprint == load(**parameters).fingerprint
    assert imported.class_names == load(**parameters).class_names


@pytest.mark.usefixtures("photos")
def test_an_import_of_16_bits_keeps_them() -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (10, 20), np.uint16)
    write_image(Path("photos/cars/deep.png"), Image.fromarray(deep))
    done = import_folder(Path("photos"), "deep", Path("library"), (10, 20), 1)
    images = load_images(done.dataset, [Path("library")])
    assert images.train.pixels.dtype == np.uint16
    assert images.value_range == (0, 65535)
    assert images.fingerprint == load(size=(10, 20)).fingerprint


@pytest.mark.usefixtures("photos")
def test_options_of_an_import_cannot_be_changed_afterwards() -> None:
    import_folder(Path("photos"), "mine", Path("."), 8, 1, fit="pad")
    assert "was imported with fit = 'pad'; use this value" in error_of(path="mine", size=8)
    load(path="mine", size=8, fit="pad")
    assert "is imported, with its splits" in error_of(
        path="mine", size=8, fit="pad", splits="splits.csv"
    )


def test_an_import_prints_what_the_files_are(photos: Path) -> None:
    write_image(photos / "cars" / "color.jpg", Image.new("RGB", (30, 40)))
    (photos / "cars" / "broken.jpg").write_bytes((photos / "cars" / "color.jpg").read_bytes()[:50])
    (photos / "notes.txt").touch()
    write_csv(
        *(f"{name},{'train' if number % 3 else 'test'}" for number, name in enumerate(NAMES)),
        "cars/color.jpg,train",
        "cars/broken.jpg,train",
    )
    lines = invoke(
        "import", "photos", "mine", "--splits", "splits.csv", "--skip-damaged", "--size", "8"
    ).splitlines()
    assert lines[:6] == [
        "mine: 25 images of 2 classes (cars 9, pets 16)",
        "  train: 17 (cars 7, pets 10)",
        "  test: 8 (cars 2, pets 6)",
        "  formats: PNG 24, JPEG 1",
        "  pixels: L 24, RGB 1 (L: gray, P: palette, A: with transparency, I;16: 16 bits)",
        "  width 20 to 30, height 10 to 40, 2 sizes; the most frequent, 20 x 10, 24 times",
    ]
    assert lines[6].startswith("  skipped: cars/broken.jpg: ")
    assert lines[7] == "  skipped: notes.txt: no image by its suffix"
    assert lines[-1] == 'use it as: ImageFolder(path="mine", size=8, channels=3)'


def test_a_wrong_size_is_an_error_and_writes_nothing(photos: Path) -> None:
    for size in ("8x", "0", "8x8x8", "a"):
        result = CliRunner().invoke(app, ["data", "import", str(photos), "mine", "--size", size])
        assert result.exit_code == 2
        assert f"--size {size}: should be a number of pixels" in result.stderr
    assert not Path("library").exists()
