"""Files of image data sets: read exactly when they are whole, refused in words when they are not."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cae.trial.datasets import readers
from cae.trial.datasets.readers import DatasetDamaged, DatasetMissing
from cae.trial.datasets.splits import Split

N = 7


def idx(array: np.ndarray) -> bytes:
    return (
        bytes((0, 0, 8, array.ndim))
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


@pytest.fixture
def grey() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N, 28, 28), np.uint8)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "CIFAR_BATCH", N)


def refused(read: Callable[[], object], *words: str) -> str:
    with pytest.raises(DatasetDamaged) as caught:
        read()
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


# --- IDX


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_gives_pixels_and_labels_as_written(
    tmp_path: Path, grey: np.ndarray, suffix: str
) -> None:
    pack = gzip.compress if suffix else bytes
    images, labels = tmp_path / f"images{suffix}", tmp_path / f"labels{suffix}"
    images.write_bytes(pack(idx(grey)))
    labels.write_bytes(pack(idx(np.arange(N, dtype=np.uint8))))
    split = readers.read_idx_pair(images, labels)
    assert split.pixels.dtype == np.uint8
    assert split.pixels.shape == (N, 1, 28, 28)
    assert split.labels.dtype == np.int64
    np.testing.assert_array_equal(split.pixels[:, 0], grey)
    np.testing.assert_array_equal(split.labels, np.arange(N))
    assert readers.idx_images(images) == N


def test_idx_of_another_kind_or_length_is_damaged(tmp_path: Path, grey: np.ndarray) -> None:
    path = tmp_path / "images"
    whole = idx(grey)
    for damage, word in [
        (whole[:-1], f"found {len(whole) - 1:,} bytes"),
        (whole + b"\0", f"expected {len(whole):,} bytes"),
        (b"", "found ''"),
        (whole[:10], "bytes"),
        (b"<!DOCTYPE html>", "3c21444f"),
        (idx(grey.reshape(-1)), "00000801"),
    ]:
        path.write_bytes(damage)
        refused(lambda: readers.read_idx(path, 3), str(path), word)


def test_a_gzip_file_cut_short_or_changed_is_damaged(tmp_path: Path, grey: np.ndarray) -> None:
    path = tmp_path / "images.gz"
    packed = gzip.compress(idx(grey))
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    for damage in (
        packed[: len(packed) // 2],
        bytes(flipped),
        b"not gzip at all",
        packed[:-8] + bytes(8),
    ):
        path.write_bytes(damage)
        refused(lambda: readers.read_idx(path, 3), str(path), "whole gzip file")
    path.write_bytes(packed[:5])
    refused(lambda: readers.idx_images(path), str(path))


def test_idx_pairs_have_to_fit_each_other(tmp_path: Path, grey: np.ndarray) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx(grey))
    labels.write_bytes(idx(np.zeros(N - 1, np.uint8)))
    refused(lambda: readers.read_idx_pair(images, labels), f"expected {N} labels", f"found {N - 1}")
    labels.write_bytes(idx(np.full(N, 10, np.uint8)))
    refused(lambda: readers.read_idx_pair(images, labels), "from 0 to 9", "found 10 to 10")
    images.write_bytes(idx(grey[:, :27]))
    refused(lambda: readers.read_idx_pair(images, labels), "28 x 28", "27 x 28")


# --- CIFAR-10


def cifar() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    return generator.integers(0, 256, (N, 3072), np.uint8), generator.integers(0, 10, N)


@pytest.mark.usefixtures("small_batches")
def test_cifar_binary_and_python_versions_give_the_same(tmp_path: Path) -> None:
    data, labels = cifar()
    (tmp_path / "a.bin").write_bytes(
        np.concatenate([labels.astype(np.uint8)[:, None], data], axis=1).tobytes()
    )
    for protocol in (0, 2, 4):
        (tmp_path / f"p{protocol}").write_bytes(
            pickle.dumps({"data": data, "labels": labels.tolist()}, protocol=protocol)
        )
    (tmp_path / "bytes").write_bytes(
        pickle.dumps(
            {b"data": data, b"labels": labels.tolist(), b"batch_label": b"1 of 5"}, protocol=2
        )
    )
    old = pickle.dumps({"data": data, "labels": labels.tolist()}, protocol=2).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )
    (tmp_path / "old").write_bytes(old)  # as numpy 1 named it
    for name in ("a.bin", "p0", "p2", "p4", "bytes", "old"):
        split = readers.read_cifar([tmp_path / name, tmp_path / name])
        assert split.pixels.shape == (2 * N, 3, 32, 32)
        np.testing.assert_array_equal(split.pixels[N:].reshape(N, -1), data, err_msg=name)
        np.testing.assert_array_equal(split.labels, np.tile(labels, 2), err_msg=name)
        assert split.pixels.dtype == np.uint8
        assert split.labels.dtype == np.int64


@pytest.mark.usefixtures("small_batches")
def test_cifar_as_python_2_pickled_it(tmp_path: Path) -> None:
    """The published files were written by Python 2: strings are raw bytes, and the array's contents one of them."""
    data, labels = cifar()
    raw = data.tobytes()

    def text(value: bytes) -> bytes:  # opcode BINSTRING, which Python 3 never writes
        return b"T" + struct.pack("<i", len(value)) + value

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"tR"
        b"(K\x01" + b"K\x07M\x00\x0c\x86" + b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR"
        b"(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89"
        + text(raw)
        + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([int(label)]) for label in labels) + b"e"
    (tmp_path / "batch").write_bytes(
        b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."
    )
    split = readers.read_cifar([tmp_path / "batch"])
    np.testing.assert_array_equal(split.pixels.reshape(N, -1), data)
    np.testing.assert_array_equal(split.labels, labels)


@pytest.mark.usefixtures("small_batches")
def test_cifar_binary_files_that_are_cut_or_mislabelled_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1.bin"
    whole = bytes(3073 * N)
    for damage in (whole[:-1], whole[: 3073 * (N - 1)], b"", whole + whole):
        path.write_bytes(damage)
        refused(
            lambda: readers.read_cifar([path]),
            str(path),
            f"expected {3073 * N:,} bytes",
            f"found {len(damage):,}",
        )
    path.write_bytes(b"\x0a" + whole[1:])
    refused(lambda: readers.read_cifar([path]), "labels from 0 to 9", "found 0 to 10")
    refused(lambda: readers.read_cifar([tmp_path / "absent.bin"]), "absent.bin")


class Malicious:
    """Unpickling one of these would create a file."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.usefixtures("small_batches")
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "data_batch_1", tmp_path / "trace"
    data, labels = cifar()
    for attack in (
        Malicious(os.system, f"touch {trace}"),
        Malicious(os.mkdir, str(trace)),
        Malicious(eval, f"open({str(trace)!r}, 'w')"),
        Malicious(io.open, str(trace), "w"),
        Malicious(getattr, "", "join"),
        Malicious(np.load, str(trace)),
        Malicious(np.save, str(trace), data),
    ):
        for protocol in (0, 2, 4):
            path.write_bytes(
                pickle.dumps(
                    {"data": data, "labels": labels.tolist(), "extra": attack}, protocol=protocol
                )
            )
            refused(lambda: readers.read_cifar([path]), str(path), "run code, and was not")
            assert os.listdir(tmp_path) == ["data_batch_1"]
    pickle.loads(pickle.dumps(Malicious(os.mkdir, str(trace))))  # the attack is a real one
    assert trace.exists()


@pytest.mark.usefixtures("small_batches")
def test_pickles_that_are_damaged_or_hold_something_else_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1"
    data, labels = cifar()
    whole = pickle.dumps({"data": data, "labels": labels.tolist()}, protocol=2)
    odd: list[tuple[Any, str]] = [
        ([1, 2], "expected a dictionary, found list"),
        ({"labels": labels.tolist()}, "found NoneType"),
        ({"data": data[:, 1:], "labels": labels.tolist()}, f"({N}, 3071)"),
        ({"data": data.astype(np.float32), "labels": labels.tolist()}, "float32"),
        ({"data": data, "labels": labels.tolist()[1:]}, f"found {N - 1} of them"),
        ({"data": data, "labels": labels.astype(str).tolist()}, "whole numbers"),
        ({"data": data, "labels": [10**30] * N}, "from 0 to 9"),
        ({"data": data, "labels": [-1] * N}, "from 0 to 9"),
        ({"data": np.array([None] * N), "labels": labels.tolist()}, "object"),
    ]
    for content, word in odd:
        path.write_bytes(pickle.dumps(content, protocol=2))
        refused(lambda: readers.read_cifar([path]), str(path), word)
    for cut in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refused(lambda: readers.read_cifar([path]), str(path), "expected a pickled dictionary")
    generator = np.random.default_rng(2)
    for _ in range(
        200
    ):  # whatever bytes change, it is read or refused in words: never another exception, never a call
        changed = bytearray(whole[:400])
        for place in generator.integers(0, len(changed), 3):
            changed[place] = generator.integers(0, 256)
        path.write_bytes(bytes(changed))
        refused(lambda: readers.read_cifar([path]), str(path))
    path.write_bytes(pickle.dumps(b"x" * 3, protocol=2).replace(b"latin1", b"rot_13"))
    refused(lambda: readers.read_cifar([path]), "encoding")


# --- folders of images


def write(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def test_a_folder_gives_every_image_sorted_with_its_class(tmp_path: Path) -> None:
    for index, name in enumerate(
        ["b/two.png", "a/one.bmp", "a/deep/er.webp", "b/Three.PNG", "loose.png"]
    ):
        write(tmp_path / name, Image.new("RGB", (20, 10), (index * 40, 0, 0)))
    for hidden in (".cache/x.png", "a/.y.png"):
        write(tmp_path / hidden, Image.new("RGB", (9, 9)))
    (tmp_path / "notes.txt").write_text("no image")
    found = readers.read_folder(tmp_path, 8, 3)
    assert found.class_names == tuple(sorted(["a", "b", tmp_path.name]))
    names = [found.class_names[label] for label in found.images.labels]
    assert names == ["a", "a", "b", "b", tmp_path.name]
    assert found.images.pixels.shape == (5, 3, 8, 8)
    reds = found.images.pixels[:, 0, 4, 4].astype(int)
    np.testing.assert_allclose(
        reds, [80, 40, 120, 0, 160], atol=6
    )  # a/deep/er (webp loses a little), a/one, b/Three, b/two, loose
    (tmp_path / "a" / "up").symlink_to(tmp_path)  # round in circles: passed over
    write(tmp_path / ".elsewhere" / "six.png", Image.new("RGB", (9, 9)))
    (tmp_path / "c").symlink_to(tmp_path / ".elsewhere")  # a class that lies elsewhere: followed
    assert [path.name for path in readers.image_files(tmp_path)] == [
        "er.webp",
        "one.bmp",
        "Three.PNG",
        "two.png",
        "six.png",
        "loose.png",
    ]


def test_shorter_side_is_resized_and_the_centre_cut_out(tmp_path: Path) -> None:
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 255  # the centre square is white, the rest black
    write(tmp_path / "wide.png", Image.fromarray(wide))
    write(tmp_path / "tall.png", Image.fromarray(wide.transpose(1, 0, 2)))
    for name in ("wide", "tall"):
        small = readers.read_image(tmp_path / f"{name}.png", 8, 1)
        assert small.shape == (1, 8, 8)
        assert small[:, 2:6, 2:6].min() > 240
        np.testing.assert_array_equal(readers.read_image(tmp_path / f"{name}.png", 16, 3), 255)
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    write(tmp_path / "stripes.png", Image.fromarray(stripes))
    assert (
        100 < readers.read_image(tmp_path / "stripes.png", 8, 1).mean() < 155
    )  # antialiased: grey, not black or white
    assert readers.read_image(tmp_path / "stripes.png", 128, 3).shape == (3, 128, 128)


def test_modes_of_images_become_one_or_three_channels(tmp_path: Path) -> None:
    gradient = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    write(tmp_path / "grey.png", Image.fromarray(gradient))
    np.testing.assert_array_equal(
        readers.read_image(tmp_path / "grey.png", 8, 3), np.stack([gradient] * 3)
    )
    write(tmp_path / "deep.png", Image.fromarray(gradient.astype(np.uint16) * 257))
    np.testing.assert_array_equal(readers.read_image(tmp_path / "deep.png", 8, 1)[0], gradient)
    write(tmp_path / "clear.png", Image.new("RGBA", (8, 8), (255, 0, 0, 0)))
    np.testing.assert_array_equal(
        readers.read_image(tmp_path / "clear.png", 8, 3), 255
    )  # all transparent: white
    palette = Image.fromarray(np.full((8, 8, 3), (0, 128, 255), np.uint8)).convert(
        "P", palette=Image.Palette.ADAPTIVE
    )
    write(tmp_path / "palette.png", palette)
    np.testing.assert_allclose(
        readers.read_image(tmp_path / "palette.png", 8, 3)[:, 0, 0], (0, 128, 255), atol=4
    )
    write(tmp_path / "bits.png", Image.new("1", (8, 8), 1))
    np.testing.assert_array_equal(readers.read_image(tmp_path / "bits.png", 8, 1), 255)
    turned = Image.fromarray(np.repeat(np.array([[0] * 8 + [255] * 8], np.uint8), 16, axis=0))
    exif = turned.getexif()
    exif[0x0112] = 6  # held upright, the camera lay on its side
    turned.save(tmp_path / "turned.png", exif=exif)
    upright = readers.read_image(tmp_path / "turned.png", 16, 1)[0]
    assert upright[0].max() == 0
    assert upright[-1].min() == 255


def test_images_that_cannot_be_decoded_are_all_told_of_at_once(tmp_path: Path) -> None:
    write(
        tmp_path / "good.png",
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)),
    )
    whole = (tmp_path / "good.png").read_bytes()
    for index in range(7):
        (tmp_path / f"bad{index}.png").write_bytes(
            (whole[: len(whole) // 2], b"", b"\x89PNG\r\n\x1a\n", whole[:100])[index % 4]
        )
    message = refused(
        lambda: readers.read_folder(tmp_path, 8, 3),
        "expected 8 images",
        "found 7 that cannot",
        "and 2 more",
    )
    assert sum(f"bad{index}.png" in message for index in range(7)) == 5
    assert "good.png" not in message


def test_an_imported_file_is_read_back_and_checked(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), np.uint8)
    folder = readers.Folder(Split(pixels, np.array([0, 1, 1, 0, 1])), ("cat", "dög"))
    path = tmp_path / readers.IMPORTED
    readers.write_imported(path, folder, Path("/somewhere"))
    assert os.listdir(tmp_path) == [readers.IMPORTED]  # nothing is left of the file aside
    back = readers.read_imported(path)
    np.testing.assert_array_equal(back.images.pixels, pixels)
    np.testing.assert_array_equal(back.images.labels, folder.images.labels)
    assert back.class_names == ("cat", "dög")
    assert readers.imported_shape(path) == (5, 3, 4, 4)
    whole = path.read_bytes()
    for damage in (whole[:-3], b"", b"garbage" * 9):
        path.write_bytes(damage)
        refused(lambda: readers.read_imported(path), str(path))
        refused(lambda: readers.imported_shape(path), str(path))
    for wrong in (
        readers.Folder(Split(pixels, np.array([0, 1, 2, 0, 1])), ("cat", "dog")),
        readers.Folder(Split(pixels, np.array([0, 1])), ("cat", "dog")),
        readers.Folder(Split(pixels[0], np.array([0, 1, 0])), ("cat", "dog")),
        readers.Folder(Split(pixels.astype(np.float32), np.zeros(5, np.int64)), ("cat",)),
    ):
        readers.write_imported(path, wrong, Path("/somewhere"))
        refused(lambda: readers.read_imported(path), str(path), "expected")


# --- where files lie


def test_files_are_found_in_the_first_place_that_has_them_all(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for path in (
        first / "set/raw/one",
        second / "set/raw/one",
        second / "set/raw/two.gz",
        third / "set/raw/one",
        third / "set/raw/two",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    files, layouts = [("one", "one.gz"), ("two", "two.gz")], ["set/raw", "set"]
    found = [second / "set/raw/one", second / "set/raw/two.gz"]
    assert readers.find_files(files, layouts, [first, second, third]) == found
    for inside in ("set", "set/raw"):  # a folder that is the layout's own
        assert readers.find_files(files, layouts, [second / inside]) == found
    with pytest.raises(
        DatasetMissing, match=r"looked in .*first\n.*first/set/raw is incomplete: it lacks two"
    ):
        readers.find_files(files, layouts, [first])
    with pytest.raises(DatasetMissing, match="no folder at all"):
        readers.find_files(files, layouts, [])


def test_data_folders_are_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("CAE_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert readers.data_folders() == [Path("/home/someone/.cache/cae-sweep")]
    monkeypatch.setenv("CAE_DATA", "~/data")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = [Path("/x"), Path("/home/someone/data"), tmp_path / "cae-sweep"]
    assert readers.data_folders(Path("/x")) == expected
    assert readers.data_folders(Path("~/data")) == expected[1:]
