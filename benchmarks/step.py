"""Images per second of a training step: this package, the bare loop and the usual script.

    python -m benchmarks.step                  # results/step.csv
    python -m benchmarks.step --rounds 3 --clock wall --networks '000 best'

ours        cae.trial.training.train, its own images_per_second: batches are gathered, corrupted
            and converted; convolutions are merged with the upsampling before them
bare        the same network with separate Upsample and Conv2d layers, channels last, one batch that
            is made in advance; forward pass, backward pass, step
kept        bare, in a process that keeps the memory that a step frees, as ours does
            (cae/sweep/engine/worker_memory.py)
idiomatic   the script of the tutorials: torchvision data set, ToTensor, DataLoader with 2 workers,
            default memory layout, loss.item()

Each runs in a process of its own, on one thread. The clock is the processor's time of the thread
and of the script's two workers: what an image costs on the one core of a trial, whatever else the
machine does. With `--clock wall`, the workers have cores of their own, if there are any.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from benchmarks.measure import Row, interleaved, repeated, save, show, spread
from benchmarks.networks import NETWORKS, trial_of, unmerged
from cae.sweep.engine.worker_memory import keep_freed_memory
from cae.trial import training
from cae.trial.batches import DeviceImages, Pairs
from cae.trial.config import Trial
from cae.trial.datasets import Images, data_folders
from cae.trial.networks.create import build_network
from cae.trial.training import train

Clock = Callable[[], float]
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy,
}
TORCHVISION_DATASETS = {
    "mnist": datasets.MNIST,
    "fashion_mnist": datasets.FashionMNIST,
    "cifar10": datasets.CIFAR10,
}
NOISE = 0.5
"""Standard deviation of the noise in the script's denoising task: the default of Denoise."""
ASSUMED_OPERATIONS_PER_SECOND = 2e10
"""From which the number of images is derived that fill a round."""
MIN_BATCHES = 4
TRAINING_OPERATIONS = 3e6
"""Operations of a training step per megaflop of the forward pass: the backward pass takes two."""


def processor_time() -> float:
    """Return the processor's seconds of this process and of the processes it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + (children.ru_utime + children.ru_stime)


CLOCKS: dict[str, Clock] = {"processor": processor_time, "wall": time.perf_counter}


class Workload(NamedTuple):
    """What a contender trains."""

    trial: Trial
    images: Images
    clock: Clock
    seconds: float
    """Approximate duration of one round."""
    folder: Path


def ours(workload: Workload) -> Callable[[], float]:
    """An epoch of the training loop of this package per call; returns its images_per_second."""
    endless = workload.trial.override({"epochs": 100_000})
    images = DeviceImages.load(workload.images, torch.device("cpu"))
    epochs = train(endless, images, workload.folder)

    def epoch() -> float:
        clock = SimpleNamespace(perf_counter=workload.clock)
        with mock.patch.object(training, "time", clock):
            return next(epochs).row["images_per_second"]

    epoch()
    return epoch


def bare(workload: Workload) -> Callable[[], float]:
    """Steps with the same batch, as many as fill a round."""
    trial = workload.trial
    images = DeviceImages.load(workload.images, torch.device("cpu"))
    pairs = Pairs(trial.task, images.train, 0, 0, "train")
    inputs, targets = pairs.at(torch.arange(trial.batch_size))
    network = unmerged(build_network(trial)).to(memory_format=torch.channels_last)
    optimizer = trial.optimizer.build(network.parameters())
    criterion = LOSSES[trial.task.loss]

    def step() -> None:
        loss = criterion(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    seconds_per_step = repeated(step, workload.seconds, workload.clock)
    return lambda: trial.batch_size / seconds_per_step()


def idiomatic(workload: Workload) -> Callable[[], float]:
    """An epoch of the usual script per call."""
    trial = workload.trial
    clock = workload.clock
    network = unmerged(build_network(trial))
    optimizers = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
    optimizer = optimizers[trial.optimizer.name](network.parameters(), lr=trial.optimizer.lr)
    criterion = LOSSES[trial.task.loss]
    loader = DataLoader(
        _torchvision_dataset(trial, workload.images),
        batch_size=trial.batch_size,
        shuffle=True,
        num_workers=2,
        # As in a script on Linux. This process was spawned, and would spawn the workers too.
        multiprocessing_context="fork",
    )

    def epoch() -> float:
        started = clock()
        running_loss = 0.0
        count = 0
        for batch, _ in loader:
            inputs, targets = _pair(trial.task.name, batch)
            optimizer.zero_grad()
            loss = criterion(network(inputs), targets)
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * len(batch)
            count += len(batch)
        return count / (clock() - started)

    epoch()
    return epoch


def _torchvision_dataset(
    trial: Trial, images: Images
) -> torch.utils.data.Dataset[tuple[Tensor, int]]:
    """The class of torchvision with the images on which the others train."""
    kind = TORCHVISION_DATASETS[trial.dataset.name]
    dataset: Any = kind.__new__(kind)
    pixels = images.train.pixels
    if pixels.shape[1] == 1:
        dataset.data = torch.from_numpy(pixels[:, 0].copy())
    else:
        dataset.data = pixels.transpose(0, 2, 3, 1).copy()
    dataset.targets = images.train.labels.tolist()
    dataset.transform = transforms.ToTensor()
    dataset.target_transform = None
    result: torch.utils.data.Dataset[tuple[Tensor, int]] = dataset
    return result


def _pair(task: str, batch: Tensor) -> tuple[Tensor, Tensor]:
    """The inputs and targets that the usual script makes from a batch of images."""
    if task == "denoise":
        return (batch + NOISE * torch.randn_like(batch)).clamp(0, 1), batch
    if task == "complete":
        half = batch.shape[3] // 2
        return batch[..., :half], batch[..., half:]
    return batch, batch


def matrix_rate() -> float:
    """Return the floating-point operations per second of a product of 1024 x 1024 matrices."""
    matrix = torch.randn(1024, 1024)
    seconds = repeated(lambda: matrix @ matrix, 0.5, time.process_time)
    return 2 * 1024**3 / min(seconds() for _ in range(5))


CONTENDERS = {"ours": ours, "bare": bare, "kept": bare, "idiomatic": idiomatic}
KEEP_MEMORY = ("ours", "kept")


class ContenderProcess:
    """A contender in a process of its own, which waits between the rounds."""

    def __init__(
        self, contender: str, network: str, images: int, seconds: float, clock: str
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other_end = context.Pipe()
        arguments = (other_end, contender, network, images, seconds, clock)
        self.process = context.Process(target=_serve, args=arguments)
        self.process.start()
        other_end.close()
        self.pipe.recv()

    def __call__(self) -> float:
        """Run a round; return its images per second."""
        self.pipe.send(None)
        images_per_second: float = self.pipe.recv()
        return images_per_second

    def end(self) -> None:
        self.pipe.close()
        self.process.join()


def _serve(
    pipe: Connection, contender: str, network: str, images: int, seconds: float, clock: str
) -> None:
    """Run a round for each message, until the other end of the pipe is closed."""
    torch.set_num_threads(1)
    if contender in KEEP_MEMORY:
        keep_freed_memory()
    batch = trial_of(network).batch_size
    trial = trial_of(network, {"dataset.train_images": images, "dataset.val_images": batch})
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(EOFError):
        loaded = trial.dataset.load(data_folders(None))
        workload = Workload(trial, loaded, CLOCKS[clock], seconds, Path(folder))
        run = CONTENDERS[contender](workload)
        pipe.send(None)
        while True:
            pipe.recv()
            pipe.send(run())


def measure(network: str, rounds: int, seconds: float, rate: float, clock: str) -> Row:
    """Return a row of the results; `rate`: operations per second of a matrix product."""
    trial = trial_of(network)
    sizes = trial.sizes()
    operations = TRAINING_OPERATIONS * sizes["megaflops"]
    batches = seconds * ASSUMED_OPERATIONS_PER_SECOND / operations / trial.batch_size
    images = trial.batch_size * max(MIN_BATCHES, round(batches))
    contenders = {
        name: ContenderProcess(name, network, images, seconds, clock) for name in CONTENDERS
    }
    rates = interleaved(contenders, rounds)
    for contender in contenders.values():
        contender.end()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    row: Row = {
        "network": network,
        "parameters": sizes["parameters"],
        "batch": trial.batch_size,
        "images": images,
    }
    for name, median in medians.items():
        row[f"{name}_images_per_s"] = median
    for other in CONTENDERS:
        if other == "ours":
            continue
        pairs = zip(rates["ours"], rates[other], strict=True)
        ratios = [our_rate / other_rate for our_rate, other_rate in pairs]
        row[f"over_{other}"] = medians["ours"] / medians[other]
        row[f"rounds_over_{other}"] = spread(ratios)
    row["share_of_matrix_rate"] = operations * medians["ours"] / rate
    return row


def without_rounds(row: Row) -> Row:
    """Return a row without the spread of its rounds, which is only saved."""
    return {name: value for name, value in row.items() if "rounds" not in name}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each contender")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="approximate duration of a contender's round"
    )
    parser.add_argument(
        "--clock",
        default="processor",
        choices=list(CLOCKS),
        help="processor time of a contender (default), or wall time",
    )
    parser.add_argument(
        "--networks",
        nargs="*",
        default=list(NETWORKS),
        metavar="NAME",
        help=f"networks to measure, without saving the results: {', '.join(NETWORKS)}",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    rate = matrix_rate()
    rows = [
        measure(network, options.rounds, options.seconds, rate, options.clock)
        for network in NETWORKS
        if network in options.networks
    ]
    title = f"training on one thread; a matrix product: {rate / 1e9:.0f} GFLOP/s"
    show(title, [without_rounds(row) for row in rows])
    if len(rows) < len(NETWORKS):
        return
    file = "step"
    if options.clock != "processor":
        file = f"step_{options.clock}"
    note = (
        f"clock: {options.clock}; share_of_matrix_rate: 3 x the plain forward pass, "
        f"of {rate / 1e9:.1f} GFLOP/s (a 1024 x 1024 product)"
    )
    print(save(file, rows, note))


if __name__ == "__main__":
    main()
