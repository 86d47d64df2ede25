"""Images per second of a training step: ours, the bare loop, the idiomatic script; five networks of the reports.

    python -m benchmarks.step                  # results/step.csv
    python -m benchmarks.step --rounds 3 --clock wall --networks '000 best'

ours        cae.trial.training.train, its own images_per_second: batches gathered, corrupted and cast, folded convolutions
bare        the same network unfolded (Upsample, Conv2d), channels last, one batch that is there already; forward, backward, step
idiomatic   the tutorial's script: torchvision data set, ToTensor, DataLoader with 2 workers, default layout, loss.item()

Each is a process of its own, as it would be used: ours keeps the memory that a step frees (cae/sweep/engine/worker_memory.py), and `kept` is
the bare loop with that too. All train on one thread. The clock is the processor's, of the thread and of the script's two workers: what
an image costs on the one core that a trial has, whatever else the machine does meanwhile. `--clock wall` has the workers on cores of
their own, where there are.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
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
from benchmarks.networks import NETWORKS, plain, trial_of
from cae.sweep.engine.worker_memory import keep_freed_memory
from cae.trial import training
from cae.trial.batches import Pairs, Resident
from cae.trial.config import Trial
from cae.trial.datasets.base import Images, data_folders
from cae.trial.networks.create import build
from cae.trial.training import train

Clock = Callable[[], float]
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy,
}
SETS = {
    "mnist": datasets.MNIST,
    "fashion_mnist": datasets.FashionMNIST,
    "cifar10": datasets.CIFAR10,
}


def processor() -> float:
    """Seconds of the processor that this process, and those that it has waited for, have had."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


CLOCKS: dict[str, Clock] = {"processor": processor, "wall": time.perf_counter}


class Asked(NamedTuple):
    """What a contender is given."""

    trial: Trial
    images: Images
    clock: Clock
    seconds: float
    """Of one turn, about."""
    folder: Path


def ours(asked: Asked) -> Callable[[], float]:
    """An epoch of the real loop, from a fresh trial that goes on for ever; its own images_per_second, by the clock."""
    endless = asked.trial.override({"epochs": 100_000})
    epochs = train(endless, Resident.of(asked.images, torch.device("cpu")), asked.folder)

    def epoch() -> float:
        with mock.patch.object(training, "time", SimpleNamespace(perf_counter=asked.clock)):
            return next(epochs).row["images_per_second"]

    epoch()
    return epoch


def bare(asked: Asked) -> Callable[[], float]:
    trial = asked.trial
    pairs = Pairs(trial.task, Resident.of(asked.images, torch.device("cpu")).train, 0, 0, "train")
    given, target = pairs.batch(torch.arange(trial.batch_size))
    network = plain(build(trial)).to(memory_format=torch.channels_last)
    optimizer, criterion = trial.optimizer.build(network.parameters()), LOSSES[trial.task.loss]

    def step() -> None:
        loss = criterion(network(given), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    timed = repeated(step, asked.seconds, asked.clock)
    return lambda: trial.batch_size / timed()


def idiomatic(asked: Asked) -> Callable[[], float]:
    trial, clock = asked.trial, asked.clock
    network = plain(build(trial))
    kind = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}[trial.optimizer.name]
    optimizer, criterion = (
        kind(network.parameters(), lr=trial.optimizer.lr),
        LOSSES[trial.task.loss],
    )
    loader = DataLoader(
        _torchvision(trial, asked.images),
        batch_size=trial.batch_size,
        shuffle=True,
        num_workers=2,
        multiprocessing_context="fork",  # as in a script of its own on Linux; this process was spawned, and would spawn too
    )

    def epoch() -> float:
        started, running, seen = clock(), 0.0, 0
        for batch, _ in loader:
            given, target = _pair(trial.task.name, batch)
            optimizer.zero_grad()
            loss = criterion(network(given), target)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(batch)
            seen += len(batch)
        return seen / (clock() - started)

    epoch()
    return epoch


def _torchvision(trial: Trial, images: Images) -> torch.utils.data.Dataset[tuple[Tensor, int]]:
    """torchvision's own class, with the images that the others train on."""
    kind = SETS[trial.dataset.name]
    made: Any = kind.__new__(kind)
    pixels = images.train.pixels
    made.data = (
        torch.from_numpy(pixels[:, 0].copy())
        if pixels.shape[1] == 1
        else pixels.transpose(0, 2, 3, 1).copy()
    )
    made.targets, made.transform, made.target_transform = (
        images.train.labels.tolist(),
        transforms.ToTensor(),
        None,
    )
    found: torch.utils.data.Dataset[tuple[Tensor, int]] = made
    return found


def _pair(task: str, batch: Tensor) -> tuple[Tensor, Tensor]:
    if task == "denoise":
        return (batch + 0.5 * torch.randn_like(batch)).clamp(0, 1), batch
    if task == "complete":
        half = batch.shape[3] // 2
        return batch[..., :half], batch[..., half:]
    return batch, batch


def matrix_rate() -> float:
    """Floating-point operations per second of a product of two 1024 x 1024 matrices."""
    left = torch.randn(1024, 1024)
    seconds = repeated(lambda: left @ left, 0.5, time.process_time)
    return 2 * 1024**3 / min(seconds() for _ in range(5))


KINDS = {"ours": ours, "bare": bare, "kept": bare, "idiomatic": idiomatic}


class Apart:
    """A contender in a process of its own, which waits between its turns."""

    def __init__(self, *asked: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, *asked))
        self.process.start()
        other.close()
        self.pipe.recv()

    def __call__(self) -> float:
        self.pipe.send(None)
        found: float = self.pipe.recv()
        return found

    def end(self) -> None:
        self.pipe.close()
        self.process.join()


def _serve(pipe: Connection, kind: str, name: str, count: int, seconds: float, clock: str) -> None:
    torch.set_num_threads(1)
    if kind in ("ours", "kept"):
        keep_freed_memory()
    trial = trial_of(
        name, dataset__train_images=count, dataset__val_images=trial_of(name).batch_size
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(EOFError):
        run = KINDS[kind](
            Asked(
                trial, trial.dataset.load(data_folders(None)), CLOCKS[clock], seconds, Path(folder)
            )
        )
        pipe.send(None)
        while True:
            pipe.recv()
            pipe.send(run())


def measured(name: str, rounds: int, seconds: float, rate: float, clock: str) -> Row:
    sizes, batch = trial_of(name).sizes(), trial_of(name).batch_size
    count = batch * max(4, round(seconds * 2e10 / (3e6 * sizes["megaflops"]) / batch))
    contenders = {kind: Apart(kind, name, count, seconds, clock) for kind in KINDS}
    found = interleaved(contenders, rounds)
    for contender in contenders.values():
        contender.end()
    middle = {kind: statistics.median(values) for kind, values in found.items()}
    row: Row = {"network": name, "parameters": sizes["parameters"], "batch": batch, "images": count}
    row |= {f"{kind}_images_per_s": value for kind, value in middle.items()}
    for other in list(KINDS)[1:]:
        row[f"over_{other}"] = middle["ours"] / middle[other]
        row[f"rounds_over_{other}"] = spread(
            [a / b for a, b in zip(found["ours"], found[other], strict=True)]
        )
    return row | {"share_of_matrix_rate": 3e6 * sizes["megaflops"] * middle["ours"] / rate}


def chosen(names: list[str]) -> Iterator[str]:
    return (name for name in NETWORKS if not names or name in names)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of each contender in each round, about"
    )
    parser.add_argument("--clock", default="processor", choices=list(CLOCKS))
    parser.add_argument(
        "--networks", nargs="*", default=[], metavar="NAME", help=f"of {', '.join(NETWORKS)}"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    rate = matrix_rate()
    rows = [
        measured(name, options.rounds, options.seconds, rate, options.clock)
        for name in chosen(options.networks)
    ]
    brief = [{name: value for name, value in row.items() if "rounds" not in name} for row in rows]
    show(f"training on one thread; a matrix product: {rate / 1e9:.0f} GFLOP/s", brief)
    note = f"clock: {options.clock}; share_of_matrix_rate: 3 x the plain forward pass, of {rate / 1e9:.1f} GFLOP/s (a 1024 x 1024 product)"
    if not options.networks:
        print(save("step" if options.clock == "processor" else f"step_{options.clock}", rows, note))


if __name__ == "__main__":
    main()
