"""Images that stay on the disk give the numbers of images in memory, and errors in words."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.numpy import save_file

from cae import Adam, Arrays, ConvAutoencoder, Denoise, ImageFolder, Reconstruct, Task, Trial
from cae.errors import UserError
from cae.trial import batches, streaming
from cae.trial.augmentation import Augment, Augmentation, NoAugmentation
from cae.trial.batches import DeviceImages, DeviceSplit, Pairs, drawn_batch
from cae.trial.datasets import (
    Dataset,
    DatasetDamaged,
    DatasetMissing,
    Images,
    image_memory,
    import_folder,
    load_images,
)
from cae.trial.datasets.image_memory import IMAGES_VARIABLE
from cae.trial.datasets.mapped import MappedPixels
from cae.trial.image_statistics import measure
from cae.trial.streaming import disk_tensor
from cae.trial.training import train
from tests.trial.datasets.small_files import write_image

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 65536, (60, 2, 6, 8), np.uint16)
LABELS = np.arange(60) % 3
SHAPE = (2, 6, 8)


def write_files() -> None:
    np.save("a.npy", PIXELS)
    np.save("last.npy", PIXELS.transpose(0, 2, 3, 1))
    np.save("big.npy", PIXELS.astype(">u2"))
    np.save("wide.npy", PIXELS.astype(np.int64))
    images = {"x_train": PIXELS[:40], "x_test": PIXELS[40:]}
    np.savez("a.npz", **images, y_train=LABELS[:40], y_test=LABELS[40:])  # type: ignore[arg-type]
    save_file({"images": PIXELS, "labels": LABELS}, "a.safetensors")
    tifffile.imwrite("a.tif", PIXELS, photometric="minisblack", metadata={"axes": "TCYX"})
    for number, image in enumerate(PIXELS[:30, 0]):
        write_image(Path(f"photos/{number:02d}.png"), Image.fromarray(image))
    import_folder(Path("photos"), "mine", Path("."), (6, 8), 1)


DATASETS: dict[str, dict[str, Any]] = {
    "a.npy": {},
    "last.npy": {},
    "big.npy": {},
    "wide.npy": {"value_range": (0, 65535)},
    "a.npz": {},
    "a.safetensors": {"classes": (0, 2)},
    "a.tif": {"split_seed": 3},
}


def load(dataset: Dataset, mode: str, monkeypatch: pytest.MonkeyPatch) -> Images:
    monkeypatch.setenv(IMAGES_VARIABLE, mode)
    return load_images(dataset, [])


def streamed(monkeypatch: pytest.MonkeyPatch, **parameters: Any) -> Images:
    write_files()
    return load(Arrays(path="a.npy", shape=SHAPE, **parameters), "streamed", monkeypatch)


@pytest.mark.parametrize("name", [*DATASETS, "mine"])
def test_streamed_images_are_those_in_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files()
    if name == "mine":
        dataset: Dataset = ImageFolder(path="mine", size=(6, 8), channels=1)
    else:
        dataset = Arrays(path=name, shape=SHAPE, **DATASETS[name])
    resident = load(dataset, "resident", monkeypatch)
    images = load(dataset, "streamed", monkeypatch)
    assert images.is_streamed
    assert not resident.is_streamed
    assert "streamed from the disk (CAE_SWEEP_IMAGES = streamed)" in " ".join(images.notes)
    assert images.fingerprint == resident.fingerprint
    assert images.value_range == resident.value_range
    for split in ("train", "val", "test"):
        expected = getattr(resident, split)
        found = getattr(images, split)
        assert found.pixels.shape == expected.pixels.shape
        assert found.pixels.dtype == expected.pixels.dtype
        np.testing.assert_array_equal(found.pixels[:], expected.pixels)
        np.testing.assert_array_equal(found.labels, expected.labels)
    assert measure(images.train.pixels, images.value_range) == measure(
        resident.train.pixels, resident.value_range
    )


@pytest.mark.parametrize(
    ("task", "augmentation"),
    [
        (Reconstruct(), NoAugmentation()),
        (Denoise(), NoAugmentation()),
        (Denoise(redraw_noise=True), NoAugmentation()),
        (Denoise(redraw_noise=True), Augment(shift=2, rotation=5.0)),
    ],
    ids=["reconstruct", "noise drawn once", "noise drawn in each epoch", "augmented"],
)
def test_training_is_equal_bit_for_bit(
    task: Task, augmentation: Augmentation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trial = Trial(
        dataset=Arrays(path="a.npy", shape=SHAPE),
        task=task,
        augmentation=augmentation,
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(lr=1e-2),
        batch_size=7,
        epochs=2,
    )
    results: list[list[dict[str, float]]] = []
    for mode in ("resident", "streamed"):
        images = DeviceImages.load(load(trial.dataset, mode, monkeypatch), CPU)
        folder = tmp_path / mode
        folder.mkdir()
        epochs = list(train(trial, images, folder))
        rows = [epoch.row for epoch in epochs] + [dict(epochs[-1].final or {})]
        for row in rows:
            row.pop("seconds", None)
            row.pop("images_per_second", None)
        results.append(rows)
    assert results[0] == results[1]
    assert "test_baseline_mean_image" in results[0][-1]
    assert not list(tmp_path.glob("cae-sweep-inputs-*"))


def test_noisy_inputs_that_do_not_fit_on_the_disk_are_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert disk_tensor((25,), torch.float32).shape == (25,)

    def fail(*arguments: object) -> None:
        del arguments
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(streaming, "reserve_space", fail)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(OSError, match=r"noisy inputs of 0\.0 GB do not fit into 0\.0 GB of free"):
        disk_tensor((26,), torch.float32)
    assert not list(tmp_path.glob("cae-sweep-inputs-*"))


def test_the_disk_space_of_noisy_inputs_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other trials write to the same disk."""
    reserved: list[int] = []

    def close(file: int) -> None:
        reserved.append(os.fstat(file).st_blocks * 512)
        close_file(file)

    close_file = os.close
    monkeypatch.setattr(os, "close", close)
    disk_tensor((1024, 1024), torch.float32)
    assert reserved[-1] >= 2**22


def test_batches_may_be_taken_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    images = DeviceImages.load(streamed(monkeypatch), CPU)
    pairs = Pairs(Reconstruct(), images.train, 0, 0, "train")
    batches = torch.randperm(48, generator=torch.Generator().manual_seed(0)).split(5)
    expected = [pairs.at(batch)[0] for batch in batches]
    threads = threading.active_count()
    with pairs.prefetch(batches):
        assert threading.active_count() == threads + 1
        torch.testing.assert_close(pairs.at(batches[4])[0], expected[4], rtol=0, atol=0)
        for batch, images_of_batch in zip(batches[:3], expected[:3], strict=True):
            torch.testing.assert_close(pairs.at(batch)[0], images_of_batch, rtol=0, atol=0)
    assert threading.active_count() == threads, "the thread ends, although batches are left"


def test_streamed_images_are_sent_without_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    images = streamed(monkeypatch)
    images.train.pixels[:3]
    content = pickle.dumps(images)
    assert len(content) < PIXELS.nbytes / 2
    np.testing.assert_array_equal(pickle.loads(content).train.pixels[:], images.train.pixels[:])


# Which images are streamed


def test_images_larger_than_a_quarter_of_the_memory_are_streamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_files()
    monkeypatch.setattr(image_memory, "check_test_images", lambda *_: None)
    dataset = Arrays(path="a.npy", shape=SHAPE, test_images=1)
    for memory, is_streamed in ((4 * PIXELS.nbytes - 4, True), (4 * PIXELS.nbytes, False)):
        monkeypatch.setattr(image_memory, "memory_limit", lambda memory=memory: memory)
        images = load(dataset, "auto", monkeypatch)
        assert images.is_streamed is is_streamed
        assert (len(images.notes) == 2) is is_streamed
    note = load(dataset, "streamed", monkeypatch).notes[0]
    assert note == (
        "0.0115 MB of images with 0.0461 MB of memory: streamed from the disk "
        "(CAE_SWEEP_IMAGES = streamed), with the same results"
    )


def test_compressed_images_are_not_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed("packed.npz", images=PIXELS)
    dataset = Arrays(path="packed.npz", shape=SHAPE)
    with pytest.raises(UserError, match="cannot be streamed; save them uncompressed"):
        load(dataset, "streamed", monkeypatch)
    monkeypatch.setattr(image_memory, "memory_limit", lambda: PIXELS.nbytes)
    with pytest.raises(UserError, match=r"too many to be kept in memory.*numpy\.save"):
        load(dataset, "auto", monkeypatch)
    note = load(dataset, "resident", monkeypatch).notes[0]
    assert "kept in memory, because CAE_SWEEP_IMAGES = resident" in note
    for number in range(4):
        write_image(Path(f"photos/{number}.png"), Image.new("L", (64, 64)))
    with pytest.raises(UserError, match="import the folder first: cae-sweep data import"):
        load(ImageFolder(path="photos", channels=1), "auto", monkeypatch)


def test_an_unknown_choice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    write_files()
    with pytest.raises(UserError, match="CAE_SWEEP_IMAGES = 'disk': should be auto, resident or"):
        load(Arrays(path="a.npy", shape=SHAPE), "disk", monkeypatch)


def test_test_images_that_do_not_fit_into_memory_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_files()
    monkeypatch.setattr(image_memory, "memory_limit", lambda: 10 * 3 * 4 * 96 * 5)
    with pytest.raises(UserError, match=r"keeps 6 test images .* set test_images to at most 5"):
        load(Arrays(path="a.npy", shape=SHAPE), "streamed", monkeypatch)
    images = load(Arrays(path="a.npy", shape=SHAPE, test_images=5), "streamed", monkeypatch)
    assert len(images.test.labels) == 5


def test_a_large_folder_is_imported_through_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_files()
    (Path("photos") / "05.png").write_bytes(b"damaged")
    import_folder(Path("photos"), "small", Path("."), (6, 8), 1, skip_damaged=True)
    monkeypatch.setattr(image_memory, "memory_limit", lambda: 1000)
    import_folder(Path("photos"), "large", Path("."), (6, 8), 1, skip_damaged=True)
    assert os.listdir("large") == ["images.safetensors"]
    small, large = (Path(name, "images.safetensors").read_bytes() for name in ("small", "large"))
    assert small == large


# Errors


def test_another_file_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    images = streamed(monkeypatch)
    np.save("a.npy", PIXELS[::-1])
    with pytest.raises(DatasetDamaged, match="was changed since the trials were planned"):
        pickle.loads(pickle.dumps(images)).train.pixels[:2]
    Path("a.npy").unlink()
    with pytest.raises(DatasetMissing, match="need it at the same path on every host"):
        pickle.loads(pickle.dumps(images)).train.pixels[:2]


def test_pixels_that_are_changed_in_their_file_meanwhile_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = streamed(monkeypatch)
    pixels = images.train.pixels
    pixels[:2]  # the file is open
    with open("a.npy", "r+b") as file:
        file.seek(500)
        file.write(b"other")
    status = Path("a.npy").stat()
    os.utime("a.npy", ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    with pytest.raises(DatasetDamaged, match="was changed since the trials were planned"):
        pixels[:2]


def test_a_file_that_is_truncated_meanwhile_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    images = streamed(monkeypatch)
    device = DeviceImages.load(images, CPU)
    pairs = Pairs(Reconstruct(), device.train, 0, 0, "train")
    pairs.at(torch.tensor([0]))  # the file is open
    with open("a.npy", "r+b") as file:
        file.truncate(2000)
    batches = torch.arange(48).split(8)

    def read_all() -> None:
        with pairs.prefetch(batches):
            for batch in batches:
                pairs.at(batch)

    with pytest.raises(DatasetDamaged, match="it ends too early: it was changed"):
        read_all()


def test_reading_in_any_order_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    images = streamed(monkeypatch)
    pixels = images.train.pixels
    assert isinstance(pixels, MappedPixels)
    everything = pixels[:]
    for positions in ([], [5], [3, 3, 3], list(range(48)), [47, 0, 1, 2, 30, 29]):
        found = pixels[np.array(positions, np.int64)]
        np.testing.assert_array_equal(found, everything[positions])
    np.testing.assert_array_equal(pixels.select(np.array([9, 2]))[:], everything[[9, 2]])


def test_large_images_are_corrupted_a_few_at_a_time_with_the_same_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """500 images of 512 x 512 with their noise would need 5 GB."""
    assert drawn_batch((3, 512, 512)) == 80
    assert drawn_batch((3, 4096, 4096)) == 16
    assert drawn_batch((3, 32, 32)) == 500
    pixels = torch.from_numpy(PIXELS[:, :1].astype(np.uint8))
    split = DeviceSplit(pixels, torch.from_numpy(LABELS))
    together = Pairs(Denoise(), split, 0, 0, "train").inputs
    monkeypatch.setattr(batches, "DRAWN_BYTES", 1)
    divided = Pairs(Denoise(), split, 0, 0, "train").inputs
    assert together is not None
    assert divided is not None
    assert torch.equal(together, divided)
