"""Training on images that stay on the disk, beside images in memory.

    python -m benchmarks.streaming                    # results/streaming.csv
    python -m benchmarks.streaming large --gb 5       # results/streaming_large.csv: one epoch

The second command is for a process with little memory: a control group or container of 2 GB. The
images are random, 12 channels of 96 x 128 pixels in uint16; the network is small, so that reading
is a large part of the work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, interleaved, save, show
from cae import Adam, Arrays, ConvAutoencoder, Reconstruct, Trial
from cae.container_limits import memory_limit
from cae.trial.batches import DeviceImages
from cae.trial.datasets import Images, load_images
from cae.trial.datasets.image_memory import IMAGES_VARIABLE
from cae.trial.training import train

SHAPE = (12, 96, 128)
IMAGES = 1500
"""Images of the set that fits into memory: 0.44 GB."""
HELD_OUT = 50
ROUNDS = 5
BLOCK = 100


def write_images(path: Path, count: int) -> None:
    """Write random images to an npy file, a block at a time."""
    random = np.random.default_rng(0)
    images = np.lib.format.open_memmap(path, "w+", np.uint16, (count, *SHAPE))
    for start in range(0, count, BLOCK):
        end = min(count, start + BLOCK)
        images[start:end] = random.integers(0, 65536, (end - start, *SHAPE), np.uint16)
    images.flush()


def build_trial(path: Path) -> Trial:
    """A small network, one epoch."""
    return Trial(
        dataset=Arrays(path=str(path), shape=SHAPE, val_images=HELD_OUT, test_images=HELD_OUT),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(),
        epochs=1,
    )


def evict(path: Path) -> None:
    """Remove a file from the cache of the operating system."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds_of_an_epoch(trial: Trial, images: Images) -> float:
    """Train one epoch; return its seconds, without the final evaluation."""
    device = DeviceImages.load(images, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        [epoch] = train(trial, device, Path(folder))
    return epoch.row["seconds"]


def measure_fitting(path: Path) -> list[Row]:
    """Seconds per epoch of a set that fits into memory, in memory and from the disk."""
    trial = build_trial(path)
    loaded: dict[str, Images] = {}
    for mode in ("resident", "streamed"):
        os.environ[IMAGES_VARIABLE] = mode
        loaded[mode] = load_images(trial.dataset, [])

    def cold() -> float:
        evict(path)
        return seconds_of_an_epoch(trial, loaded["streamed"])

    contenders: dict[str, Callable[[], float]] = {
        "resident": lambda: seconds_of_an_epoch(trial, loaded["resident"]),
        "streamed, file in the cache": lambda: seconds_of_an_epoch(trial, loaded["streamed"]),
        "streamed, file on the disk": cold,
    }
    results = interleaved(contenders, ROUNDS)
    fastest = min(results["resident"])
    rows: list[Row] = []
    for name, seconds in results.items():
        rows.append(
            {
                "images": name,
                "set_gb": path.stat().st_size / 1e9,
                "memory_gb": memory_limit() / 1e9,
                "median_s": statistics.median(seconds),
                "fastest_s": min(seconds),
                "ratio": min(seconds) / fastest,
                "images_per_second": (IMAGES - 2 * HELD_OUT) / min(seconds),
            }
        )
    return rows


def measure_large(path: Path) -> Row:
    """One epoch of a set that does not fit into memory."""
    trial = build_trial(path)
    started = time.perf_counter()
    images = load_images(trial.dataset, [])
    print(*images.notes, f"examined in {time.perf_counter() - started:.0f} s", sep="\n")
    seconds = seconds_of_an_epoch(trial, images)
    return {
        "images": "streamed" if images.is_streamed else "resident",
        "set_gb": path.stat().st_size / 1e9,
        "memory_gb": memory_limit() / 1e9,
        "median_s": seconds,
        "fastest_s": seconds,
        "images_per_second": len(images.train.labels) / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="?", choices=["fits", "large"], default="fits")
    parser.add_argument("--gb", type=float, default=5.0, help="size of the large set")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder, "images.npy")
        if arguments.kind == "fits":
            write_images(path, IMAGES)
            rows = measure_fitting(path)
            name = "streaming"
        else:
            write_images(path, round(arguments.gb * 1e9 / (2 * np.prod(SHAPE))))
            evict(path)
            rows = [measure_large(path)]
            name = "streaming_large"
    show("seconds per epoch", rows)
    note = "one thread; ratio: fastest round over the fastest one in memory"
    print(save(name, rows, note))


if __name__ == "__main__":
    main()
