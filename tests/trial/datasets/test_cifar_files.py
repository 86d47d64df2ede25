"""The files of CIFAR-10: both versions are read exactly; a pickle never runs code."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae.trial.datasets.cifar_files import read_cifar
from tests.trial.datasets.small_files import CIFAR_IMAGES, assert_damaged, binary_cifar_content

pytestmark = pytest.mark.usefixtures("_small_cifar_files")


@dataclass(frozen=True)
class Batch:
    """The content of one file."""

    pixels: np.ndarray
    """uint8, 12 x 3072."""
    labels: np.ndarray

    def pickled(self, protocol: int = 2, **extra: object) -> bytes:
        batch = {"data": self.pixels, "labels": self.labels.tolist()} | extra
        return pickle.dumps(batch, protocol=protocol)


@pytest.fixture
def batch() -> Batch:
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (CIFAR_IMAGES, 3072), np.uint8)
    return Batch(pixels, random.integers(0, 10, CIFAR_IMAGES))


def test_binary_and_python_version_give_the_same_images(tmp_path: Path, batch: Batch) -> None:
    keys_of_bytes = {b"data": batch.pixels, b"labels": batch.labels.tolist(), b"batch_label": b"1"}
    contents = {
        "binary.bin": binary_cifar_content(batch.pixels, batch.labels),
        "protocol_0": batch.pickled(protocol=0),
        "protocol_2": batch.pickled(protocol=2),
        "protocol_4": batch.pickled(protocol=4),
        "keys_of_bytes": pickle.dumps(keys_of_bytes, protocol=2),
        "numpy_1": batch.pickled().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"),
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        split = read_cifar([path, path])
        assert split.pixels.shape == (2 * CIFAR_IMAGES, 3, 32, 32)
        assert split.pixels.dtype == np.uint8
        assert split.labels.dtype == np.int64
        second = split.pixels[CIFAR_IMAGES:].reshape(CIFAR_IMAGES, -1)
        np.testing.assert_array_equal(second, batch.pixels, err_msg=name)
        np.testing.assert_array_equal(split.labels, np.tile(batch.labels, 2), err_msg=name)


def test_pickles_of_python_2_are_read(tmp_path: Path, batch: Batch) -> None:
    """Python 2 wrote the published files: strings, and the content of the array, are raw bytes."""

    def binstring(value: bytes) -> bytes:  # an opcode that Python 3 never writes
        return b"T" + struct.pack("<i", len(value)) + value

    empty_array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85"
    empty_array += binstring(b"b") + b"tR"
    shape = b"(K\x01K" + bytes([CIFAR_IMAGES]) + b"M\x00\x0c\x86"
    dtype = b"cnumpy\ndtype\n(" + binstring(b"u1") + b"K\x00K\x01tR"
    dtype += b"(K\x03" + binstring(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = empty_array + shape + dtype + b"\x89" + binstring(batch.pixels.tobytes()) + b"tb"
    numbers = b"".join(b"K" + bytes([int(label)]) for label in batch.labels)
    labels = b"](" + numbers + b"e"
    content = b"\x80\x02}(" + binstring(b"data") + array + binstring(b"labels") + labels + b"u."
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    split = read_cifar([path])
    np.testing.assert_array_equal(split.pixels.reshape(CIFAR_IMAGES, -1), batch.pixels)
    np.testing.assert_array_equal(split.labels, batch.labels)


def test_truncated_or_mislabeled_binary_files_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1.bin"
    complete = bytes(3073 * CIFAR_IMAGES)
    for content in (complete[:-1], complete[:3073], b"", complete + complete):
        path.write_bytes(content)
        expected = f"expected {len(complete):,} bytes"
        assert_damaged(lambda: read_cifar([path]), str(path), expected, f"found {len(content):,}")
    path.write_bytes(b"\x0a" + complete[1:])
    assert_damaged(lambda: read_cifar([path]), "labels from 0 to 9", "found 0 to 10")
    assert_damaged(lambda: read_cifar([tmp_path / "missing.bin"]), "missing.bin")


class Malicious:
    """Unpickling it would call a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_without_running_it(
    protocol: int, tmp_path: Path, batch: Batch
) -> None:
    path = tmp_path / "data_batch_1"
    trace = tmp_path / "trace"
    attacks = [
        Malicious(os.system, f"touch {trace}"),
        Malicious(os.mkdir, str(trace)),
        Malicious(eval, f"open({str(trace)!r}, 'w')"),
        Malicious(io.open, str(trace), "w"),
        Malicious(getattr, "", "join"),
        Malicious(np.load, str(trace)),
        Malicious(np.save, str(trace), batch.pixels),
    ]
    for attack in attacks:
        path.write_bytes(batch.pickled(protocol, extra=attack))
        assert_damaged(lambda: read_cifar([path]), str(path), "could run code; it was not run")
        assert os.listdir(tmp_path) == ["data_batch_1"]
    pickle.loads(pickle.dumps(Malicious(os.mkdir, str(trace))))  # the attack would work
    assert trace.exists()


def test_pickles_with_another_content_are_damaged(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "data_batch_1"
    pixels = batch.pixels
    labels = batch.labels.tolist()
    contents: list[tuple[object, str]] = [
        ([1, 2], "expected a dictionary, found list"),
        ({"labels": labels}, "found NoneType"),
        ({"data": pixels[:, 1:], "labels": labels}, f"({CIFAR_IMAGES}, 3071)"),
        ({"data": pixels.astype(np.float32), "labels": labels}, "float32"),
        ({"data": np.array([None] * CIFAR_IMAGES), "labels": labels}, "object"),
        ({"data": pixels, "labels": labels[1:]}, f"found {CIFAR_IMAGES - 1}"),
        ({"data": pixels, "labels": batch.labels.astype(str).tolist()}, "integers, found str"),
        ({"data": pixels, "labels": [10**30] * CIFAR_IMAGES}, "from 0 to 9"),
        ({"data": pixels, "labels": [-1] * CIFAR_IMAGES}, "from 0 to 9"),
    ]
    for content, part_of_message in contents:
        path.write_bytes(pickle.dumps(content, protocol=2))
        assert_damaged(lambda: read_cifar([path]), str(path), part_of_message)
    path.write_bytes(pickle.dumps(b"x" * 3, protocol=2).replace(b"latin1", b"rot_13"))
    assert_damaged(lambda: read_cifar([path]), "encoding 'rot_13' is not allowed")


def test_truncated_and_changed_pickles_are_damaged(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "data_batch_1"
    complete = batch.pickled()
    for size in (0, 1, 10, len(complete) // 2, len(complete) - 1):
        path.write_bytes(complete[:size])
        assert_damaged(lambda: read_cifar([path]), str(path), "expected a pickled dictionary")
    random = np.random.default_rng(2)
    for _ in range(200):
        changed = bytearray(complete[:400])
        for position in random.integers(0, len(changed), 3):
            changed[position] = random.integers(0, 256)
        path.write_bytes(bytes(changed))
        assert_damaged(lambda: read_cifar([path]), str(path))  # and no other exception
