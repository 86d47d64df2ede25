"""Arrays of the user's own: every format, type and layout; what is refused, and with which line."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from pydantic import ValidationError
from safetensors.numpy import save_file
from typer.testing import CliRunner

from cae.cli.app import app
from cae.errors import UserError
from cae.trial.batches import DeviceImages, Pairs
from cae.trial.datasets import Arrays, Images, array_files, load_images
from cae.trial.tasks import Reconstruct

SHAPE = (5, 6, 8)
COUNT = 40
RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 65536, (COUNT, *SHAPE), np.uint16)
LABELS = np.arange(COUNT) % 3


def load(path: str | Path, shape: tuple[int, int, int] = SHAPE, **parameters: Any) -> Images:
    return load_images(Arrays(path=str(path), shape=shape, **parameters), [])


def error_of(path: str | Path, shape: tuple[int, int, int] = SHAPE, **parameters: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(path, shape, **parameters)
    return str(caught.value)


def all_of(images: Images) -> np.ndarray:
    """The images of all splits in the order of the file."""
    order = np.random.RandomState(0).permutation(COUNT)
    parts = [images.val.pixels[:], images.test.pixels[:], images.train.pixels[:]]
    result = np.empty((COUNT, *parts[0].shape[1:]), parts[0].dtype)
    result[order] = np.concatenate(parts)
    return result


# Formats


def write_npy(pixels: np.ndarray) -> str:
    np.save("cells.npy", pixels)
    return "cells.npy"


def write_npz(pixels: np.ndarray) -> str:
    np.savez("cells.npz", images=pixels, labels=LABELS)
    return "cells.npz"


def write_compressed(pixels: np.ndarray) -> str:
    np.savez_compressed("packed.npz", x=pixels, y=LABELS[:, None])
    return "packed.npz"


def write_safetensors(pixels: np.ndarray) -> str:
    save_file(
        {"images": np.ascontiguousarray(pixels), "labels": LABELS},
        "cells.safetensors",
        {"class_names": '["a", "b", "c"]'},
    )
    return "cells.safetensors"


def write_tiff(pixels: np.ndarray) -> str:
    tifffile.imwrite("cells.tif", pixels, photometric="minisblack", metadata={"axes": "TCYX"})
    return "cells.tif"


def write_packed_tiff(pixels: np.ndarray) -> str:
    tifffile.imwrite("packed.tif", pixels, photometric="minisblack", compression="zlib")
    return "packed.tif"


def write_folder(pixels: np.ndarray) -> str:
    Path("folder").mkdir()
    np.save("folder/images.npy", pixels)
    np.save("folder/labels.npy", LABELS)
    return "folder"


WRITERS: list[Callable[[np.ndarray], str]] = [
    write_npy,
    write_npz,
    write_compressed,
    write_safetensors,
    write_tiff,
    write_packed_tiff,
    write_folder,
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("dtype", ["uint16", "float32", ">u2"])
def test_every_format_gives_the_values_of_the_file(
    write: Callable[[np.ndarray], str], dtype: str
) -> None:
    if dtype == ">u2" and write is write_safetensors:
        return  # the format is little-endian
    pixels = DEEP.astype(dtype)
    parameters: dict[str, Any] = {}
    if dtype == "float32":
        parameters["value_range"] = (0, 65535)
    images = load(write(pixels), **parameters)
    assert images.train.pixels.dtype == np.dtype(dtype).newbyteorder("=")
    assert images.value_range == (0, 65535)
    np.testing.assert_array_equal(all_of(images), pixels)
    if write in (write_npz, write_compressed, write_safetensors, write_folder):
        assert images.class_names in (("0", "1", "2"), ("a", "b", "c"))
        order = np.random.RandomState(0).permutation(COUNT)
        np.testing.assert_array_equal(images.val.labels, LABELS[order[:4]])
    else:
        assert images.class_names == ()
        assert "there are no labels: all images are of class 0" in images.notes


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32", "float64"])
def test_batches_are_floats_from_black_to_white(dtype: str) -> None:
    np.save("cells.npy", (DEEP // 300).astype(dtype))
    images = load("cells.npy", value_range=(-20, 300))
    device = DeviceImages.load(images, torch.device("cpu"))
    assert device.train.pixels.dtype == getattr(torch, images.train.pixels.dtype.name)
    pairs = Pairs(Reconstruct(), device.train, 0, 0, "train")
    inputs, targets = pairs.at(torch.tensor([3, 0]))
    expected = (images.train.pixels[[3, 0]].astype(np.float32) + np.float32(20)) / np.float32(320)
    np.testing.assert_array_equal(inputs.numpy(), expected)
    np.testing.assert_array_equal(targets.numpy(), expected)


def test_arrays_of_splits_keep_their_images() -> None:
    for names in (("train", "val", "test"), ("x_train", "x_valid", "x_test")):
        parts = {names[0]: DEEP[:20], names[1]: DEEP[20:30], names[2]: DEEP[30:]}
        np.savez("cells.npz", **parts)  # type: ignore[arg-type]
        images = load("cells.npz")
        np.testing.assert_array_equal(images.val.pixels, DEEP[20:30])
        np.testing.assert_array_equal(images.test.pixels, DEEP[30:])
        assert len(images.train.labels) == 20
    medical = {
        "train_images": DEEP[:20],
        "train_labels": LABELS[:20, None],
        "test_images": DEEP[20:],
        "test_labels": LABELS[20:, None],
    }
    np.savez("cells.npz", **medical)  # type: ignore[arg-type]
    images = load("cells.npz")
    assert [len(part.labels) for part in (images.train, images.val, images.test)] == [18, 2, 20]
    np.testing.assert_array_equal(images.test.labels, LABELS[20:])
    del medical["test_labels"]
    np.savez("cells.npz", **medical)  # type: ignore[arg-type]
    assert "train has labels, and test has none: give all of them" in error_of("cells.npz")


# Layouts


@pytest.mark.parametrize(
    ("axes", "shape", "layout"),
    [
        ((0, 1, 2, 3), SHAPE, None),
        ((0, 2, 3, 1), SHAPE, None),
        ((0, 2, 3, 1), SHAPE, "NHWC"),
    ],
)
def test_the_layout_follows_from_the_shape(
    axes: tuple[int, ...], shape: tuple[int, int, int], layout: str | None
) -> None:
    np.save("cells.npy", DEEP.transpose(axes))
    np.testing.assert_array_equal(all_of(load("cells.npy", shape, layout=layout)), DEEP)
    np.save("cells.npy", np.asfortranarray(DEEP.transpose(axes)))
    np.testing.assert_array_equal(all_of(load("cells.npy", shape, layout=layout)), DEEP)


def test_an_ambiguous_layout_has_to_be_stated() -> None:
    cubes = RANDOM.integers(0, 256, (COUNT, 4, 4, 4), np.uint8)
    np.save("cubes.npy", cubes)
    assert "fits dataset.shape = (4, 4, 4) as NCHW and as NHWC: set layout" in error_of(
        "cubes.npy", (4, 4, 4)
    )
    images = load("cubes.npy", (4, 4, 4), layout="NHWC")
    np.testing.assert_array_equal(all_of(images), cubes.transpose(0, 3, 1, 2))


def test_gray_images_need_no_axis_of_channels() -> None:
    np.save("gray.npy", DEEP[:, 0])
    np.testing.assert_array_equal(all_of(load("gray.npy", (1, 6, 8)))[:, 0], DEEP[:, 0])


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ((40, 3, 9, 8), "write shape=(3, 9, 8)"),
        ((40, 9, 8, 3), "write shape=(3, 9, 8)"),
        ((40, 9, 8), "write shape=(1, 9, 8)"),
        ((40, 12, 9, 8), "shape=(12, 9, 8) for N x C x H x W or shape=(8, 12, 9) for N x H x W"),
        ((40,), "should be N x C x H x W, N x H x W x C, or N x H x W for one channel"),
    ],
)
def test_a_wrong_shape_is_an_error_with_the_line_to_write(
    stored: tuple[int, ...], expected: str
) -> None:
    np.save("cells.npy", np.zeros(stored, np.uint8))
    assert expected in error_of("cells.npy")


# Ranges


def test_floats_without_a_range_are_refused_with_the_line_to_write() -> None:
    np.save("cells.npy", np.linspace(-3.5, 7.25, DEEP.size, dtype=np.float32).reshape(DEEP.shape))
    error = error_of("cells.npy")
    assert "float32 from -3.5 to 7.25: the values of black and white are not known" in error
    assert "write value_range=(-3.5, 7.25)" in error
    load("cells.npy", value_range=(-3.5, 7.25))  # the line that the error suggests
    np.save("cells.npy", (DEEP / 65535).astype(np.float32))
    assert "write value_range=(0, 1), or value_range=(4.57" in error_of("cells.npy")


def test_bits_that_are_not_used_are_refused() -> None:
    np.save("cells.npy", DEEP // 16)
    assert "nearly black in (0, 65535); write value_range=(0, 4095) if they have 12 bits" in (
        error_of("cells.npy")
    )
    assert load("cells.npy", value_range=(0, 4095)).value_range == (0, 4095)
    assert load("cells.npy", value_range=(0, 65535)).value_range == (0, 65535)


def test_17_levels_are_refused_with_their_white() -> None:
    """Regression: the digits of scikit-learn, 0 to 16 in uint8, were nearly black, in silence."""
    np.save("digits.npy", np.rint(DEEP / 65535 * 16).astype(np.uint8))
    assert "write value_range=(0, 16) if 16 is white" in error_of("digits.npy")
    assert load("digits.npy", value_range=(0, 16)).value_range == (0, 16)


def test_masks_of_bools_are_black_and_white() -> None:
    np.save("masks.npy", DEEP > 30000)
    images = load("masks.npy")
    assert images.train.pixels.dtype == np.uint8
    assert images.value_range == (0, 1)
    np.testing.assert_array_equal(all_of(images), DEEP > 30000)


def test_a_range_that_clips_is_refused_with_the_number_of_values() -> None:
    np.save("cells.npy", DEEP)
    below = int((DEEP < 100).sum())
    above = int((DEEP > 60000).sum())
    error = error_of("cells.npy", value_range=(100, 60000))
    assert f"{below:,} values are below and {above:,} above dataset.value_range = (100, 60000)" in (
        error
    )
    assert f"write value_range=({float(DEEP.min())!r}, {float(DEEP.max())!r})" in error


def test_values_that_are_not_finite_are_refused() -> None:
    pixels = (DEEP / 65535).astype(np.float32)
    pixels[7, 0, 0, 0] = np.nan
    pixels[9, 0, 0, 0] = np.inf
    np.save("cells.npy", pixels)
    assert "NaN or infinite values in 2 of 40 images, first in image 7" in error_of(
        "cells.npy", value_range=(0, 1)
    )


# Files that are refused


def write_objects() -> None:
    np.save("cells.npy", np.array([{"a": 1}, None]))


def write_object_member() -> None:
    np.savez("cells.npz", images=np.array([{"a": 1}]))


def write_texts() -> None:
    np.save("cells.npy", np.full((40, 5, 6, 8), "a"))


def write_truncated(name: str) -> Callable[[], None]:
    def write() -> None:
        {".npy": write_npy, ".npz": write_npz, ".safetensors": write_safetensors}.get(
            Path(name).suffix, write_tiff
        )(DEEP)
        content = Path(name).read_bytes()
        Path(name).write_bytes(content[: len(content) * 2 // 3])

    return write


def write_bomb() -> None:
    """A header of 8 TB in a file of a few bytes: what the archive states has to agree."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 5, 1000, 1600)}
    with (
        zipfile.ZipFile("cells.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(10**6))


def write_damaged_member() -> None:
    write_compressed(DEEP)
    content = bytearray(Path("packed.npz").read_bytes())
    content[2000:2100] = bytes(100)
    Path("cells.npz").write_bytes(content)


def write_negative_shape() -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (-40, 5, 6, 8)}
    with open("cells.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(40 * 240))


def write_link_out() -> None:
    np.save("secret.npy", DEEP)
    Path("folder").mkdir()
    Path("folder/images.npy").symlink_to(Path("secret.npy").absolute())


REFUSED: dict[str, tuple[Callable[[], object], str, str]] = {
    "objects": (write_objects, "cells.npy", "contains Python objects, which are never read"),
    "objects in npz": (write_object_member, "cells.npz", "images: it contains Python objects"),
    "texts": (write_texts, "cells.npy", "should be whole numbers or floats"),
    "truncated npy": (write_truncated("cells.npy"), "cells.npy", "expected 19,328 bytes"),
    "truncated npz": (write_truncated("cells.npz"), "cells.npz", "that numpy.savez wrote"),
    "truncated safetensors": (
        write_truncated("cells.safetensors"),
        "cells.safetensors",
        "expected a safetensors file",
    ),
    "truncated tif": (write_truncated("cells.tif"), "cells.tif", "expected a complete TIFF file"),
    "negative shape": (write_negative_shape, "cells.npy", "the shape (-40, 5, 6, 8)"),
    "link": (write_link_out, "folder", "is a link out of its folder: copy the file instead"),
    "labels of floats": (
        lambda: np.savez("a.npz", images=DEEP, labels=LABELS / 2),
        "a.npz",
        "should be 40 whole numbers from 0",
    ),
    "bomb": (write_bomb, "cells.npz", "expected 8,000,000,000,128 bytes for the header's"),
    "damaged": (write_damaged_member, "cells.npz", "x: the file is damaged"),
    "text": (lambda: Path("cells.npy").write_text("hello"), "cells.npy", "numpy.save wrote"),
    "suffix": (lambda: Path("cells.mat").touch(), "cells.mat", "with the suffix .npy, .npz"),
    "missing": (lambda: None, "cells.npy", "there is no such file or folder; searched"),
    "empty folder": (lambda: Path("d").mkdir(), "d", "use ImageFolder(path=...)"),
    "no images": (lambda: np.save("a.npy", DEEP[:0]), "a.npy", "there are no images"),
    "labels": (
        lambda: np.savez("a.npz", images=DEEP, labels=LABELS[:9]),
        "a.npz",
        "9 labels for 40 images",
    ),
    "several": (
        lambda: np.savez("a.npz", one=DEEP, two=DEEP),
        "a.npz",
        "it is not clear which array contains the images: set images",
    ),
    "test only": (lambda: np.savez("a.npz", test=DEEP), "a.npz", "none for training"),
    "mixed shapes": (
        lambda: np.savez("a.npz", train=DEEP, test=DEEP[:, :3]),
        "a.npz",
        "test: uint16 40 x 3 x 6 x 8: does not fit dataset.shape = (5, 6, 8)",
    ),
    "mixed types": (
        lambda: np.savez("a.npz", train=DEEP, test=DEEP.astype(np.uint8)),
        "a.npz",
        "the splits are of several types, uint16 and uint8",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_files_are_errors_in_one_sentence(kind: str) -> None:
    write, path, expected = REFUSED[kind]
    write()
    error = error_of(path)
    assert expected in error
    assert "\n" not in error


def test_an_array_larger_than_the_memory_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed("cells.npz", images=np.zeros((COUNT, *SHAPE), np.uint8))
    monkeypatch.setattr(array_files, "memory_limit", lambda: 1000)
    assert "uint8 40 x 5 x 6 x 8, 0.0 GB: more than the 0.0 GB of memory" in error_of("cells.npz")


def test_arrays_are_stated_by_name_and_labels_by_file() -> None:
    np.savez("a.npz", one=DEEP, two=DEEP + 1, three=LABELS)
    images = load("a.npz", images="two", labels="three")
    np.testing.assert_array_equal(all_of(images), DEEP + 1)
    assert "a.npz: arrays that are not used: one" in images.notes
    unlabeled = load("a.npz", images="two").notes
    assert (
        'a.npz: arrays that are not used: one, three; labels="three" uses it as class numbers'
        in unlabeled
    )
    assert "has no such array; there are one: uint16" in error_of("a.npz", images="four")
    np.save("cells.npy", DEEP)
    np.save("classes.npy", LABELS)
    assert load("cells.npy", labels="classes.npy").class_names == ("0", "1", "2")
    assert "does not exist" in error_of("cells.npy", labels="absent.npy")
    assert error_of("cells.npy", labels="absent").startswith("dataset.labels = 'absent'")


def test_tiff_stacks_name_the_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiff(DEEP)
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    assert "pip install 'cae-sweep[tiff]'" in error_of("cells.tif")


def test_the_line_that_is_shown_is_the_one_to_write() -> None:
    floats = np.random.default_rng(0).normal(5, 2, (COUNT, *SHAPE)).astype(np.float32)
    np.save("cells.npy", floats)
    np.savez_compressed("packed.npz", x_train=DEEP // 16, x_test=DEEP // 16)
    for name in ("cells.npy", "packed.npz"):
        result = CliRunner().invoke(app, ["data", "show", name])
        assert result.exit_code == 0, result.output
        line = result.stdout.splitlines()[-2].removeprefix("use it as: ").partition("  #")[0]
        images = load_images(eval(line, {"Arrays": Arrays}), [])
        assert images.train.pixels.shape[1:] == SHAPE


def test_nothing_is_shown_of_files_that_are_not_there() -> None:
    result = CliRunner().invoke(app, ["data", "show", "absent.npy"])
    assert result.exit_code == 2
    assert "absent.npy does not exist" in result.stderr


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "cae-sweep data show FILE"),
        ({"shape": (12, 96)}, "channels, height and width, such as"),
        ({"shape": (1, 9, 0)}, "three whole numbers above 0"),
        ({"shape": SHAPE, "value_range": (1, 0)}, "the values of black and white, such as"),
        ({"shape": SHAPE, "value_range": "a"}, "the values of black and white, such as"),
        ({"shape": SHAPE, "layout": "HWC"}, "Input should be 'NCHW', 'NHWC' or 'NHW'"),
    ],
)
def test_a_wrong_parameter_has_one_error(parameters: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected) as caught:
        Arrays(path="cells.npy", **parameters)
    assert caught.value.error_count() == 1
