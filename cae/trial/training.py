"""The training loop of one trial, top to bottom: `train` yields once per epoch and can be left and taken up anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import nn

from cae.trial import checkpoint
from cae.trial.batches import Pairs, Resident, derive, generator
from cae.trial.checkpoint import Checkpoint, weights
from cae.trial.config import Trial
from cae.trial.evaluation import best_of, conclude, finite, measure, pairs_of
from cae.trial.networks.create import build, trained
from cae.trial.optimizers import step
from cae.trial.tasks.base import Table

SAMPLES = 8
"""How many validation images every trial shows in its samples: the first ones, the same for all."""


class Epoch(NamedTuple):
    """What `train` yields: epochs 1, 2, ... as they are done; with the last one, what was measured at the end."""

    epoch: int
    row: dict[str, float]
    """Metrics: train_loss (running mean over the epoch's batches), val_*, lr, seconds, images_per_second (training)."""
    best_epoch: int
    """The best one so far; 0 where none was finite."""
    final: dict[str, float] | None = None
    """test_* with the best epoch's weights; with the last epoch only."""
    tables: Mapping[str, Table] = MappingProxyType({})
    """What the task found at the end beyond numbers; with the last epoch only."""
    restored: bool = False
    """Whether it was trained before, and comes from the checkpoint."""


Needs = Mapping[str, Path]
"""The folders of the trials that a trial needs, by the task's parameter."""


def train(
    config: Trial,
    images: Resident,
    folder: Path,
    *,
    metric: str = "val_loss",
    mode: str = "min",
    dependencies: Needs = MappingProxyType({}),
) -> Iterator[Epoch]:
    """Trains from the newest whole checkpoint in `folder` (or from nothing) to the last epoch.

    Yields every epoch from 1, those of the checkpoint without training them again. Writes the checkpoints, and the samples
    whenever `metric` is better (by `mode`, min or max) than in all epochs before. An epoch whose losses are not finite is
    yielded and is the last one.
    """
    device, task = images.train.pixels.device, config.task
    dependency_networks = {
        name: trained(trial, dependencies[name], device)
        for name, trial in config.dependencies().items()
    }
    torch.manual_seed(derive(config.seed, 0, "weights"))
    network = build(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    task.start_from(network, dependency_networks)
    optimizer = config.optimizer.build(network.parameters())
    rows: list[dict[str, float]] = []
    saved = checkpoint.load_newest(folder)
    if saved and not checkpoint.holds_best(
        folder, best_of(saved.rows, metric, mode), len(saved.rows)
    ):
        saved = (
            None  # only training gives its best weights again: the same ones, and the same numbers
        )
    if saved:
        network.load_state_dict(saved.network)
        checkpoint.restore_optimizer(optimizer, saved.optimizer)
        rows = saved.rows
    done, best_epoch = len(rows), best_of(rows, metric, mode)
    for epoch in range(1, done + 1):
        last = epoch == config.epochs or not finite(rows[epoch - 1])
        best_so_far = best_of(rows[:epoch], metric, mode)
        ending = (
            _conclude(config, network, images, folder, best_so_far, dependency_networks)
            if last
            else ()
        )
        yield Epoch(epoch, rows[epoch - 1], best_so_far, *ending)._replace(restored=True)
        if last:
            return

    val_pairs = pairs_of(task, images.val, "val")
    train_pairs = Pairs(task, images.train, config.seed, 0, "train")
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    for epoch in range(done + 1, config.epochs + 1):
        started = time.perf_counter()
        if (
            task.redraws or not task.corrupts
        ):  # what is drawn per batch is drawn from the epoch's own generator
            train_pairs = Pairs(task, images.train, config.seed, epoch, "train")
        lr = config.schedule.next_lr(config.optimizer.lr, [row["val_loss"] for row in rows])
        if (stage := task.stage(epoch, config.epochs)) != task.stage(
            epoch - 1, config.epochs
        ) and epoch > 1:
            optimizer = config.optimizer.build(network.parameters())
        for group in optimizer.param_groups:
            group["lr"] = lr
        torch.manual_seed(derive(config.seed, epoch, "layers"))
        order = torch.randperm(
            len(images.train.pixels), generator=generator(config.seed, epoch, "order", "cpu")
        ).to(device)
        network.train()
        task.prepare(network, stage)
        total = torch.zeros(
            (), device=device
        )  # summed on the device: reading it in each step would wait for the step
        for chosen in order.split(config.batch_size):
            given, target = train_pairs.batch(chosen)
            with mixed:
                output = network(given)
            loss = task.criterion(output.float(), target)
            for term in task.terms(network).values():
                loss = loss + term.float().mean()
            optimizer.zero_grad()
            loss.backward()
            step(optimizer)
            total += loss.detach() * len(chosen)
        row = {"train_loss": total.item() / len(order)}
        stepped = time.perf_counter()
        row |= {f"val_{name}": value for name, value in measure(network, val_pairs).items()}
        row |= {
            "lr": lr,
            "seconds": time.perf_counter() - started,
            "images_per_second": len(order) / (stepped - started),
        }
        rows.append(row)
        if (new_best := best_of(rows, metric, mode)) != best_epoch:
            best_epoch = new_best
            Checkpoint(weights(network), epoch, config.flat(), [row]).save(folder / checkpoint.BEST)
            given, target = val_pairs.batch(
                torch.arange(min(SAMPLES, len(images.val.pixels)), device=device)
            )
            with torch.inference_mode():
                pictures = [task.picture(given, image) for image in (target, network(given))]
            checkpoint.save_samples(folder, given, pictures[0], pictures[1], epoch)
        state = checkpoint.optimizer_tensors(optimizer)
        checkpoint.save_last(
            folder, Checkpoint(weights(network), epoch, config.flat(), rows, state)
        )
        last = epoch == config.epochs or not finite(row)
        yield Epoch(
            epoch,
            row,
            best_epoch,
            *(
                _conclude(config, network, images, folder, best_epoch, dependency_networks)
                if last
                else ()
            ),
        )
        if last:
            return


def _conclude(
    config: Trial,
    network: nn.Module,
    images: Resident,
    folder: Path,
    best_epoch: int,
    dependency_networks: Mapping[str, nn.Module],
) -> tuple[dict[str, float], dict[str, Table]]:
    """test_* and the tables of the best epoch's weights; empty where no epoch was finite."""
    if not best_epoch:
        return {}, {}
    best = checkpoint.load(folder / checkpoint.BEST)
    if best.epoch != best_epoch:
        raise RuntimeError(
            f"{checkpoint.BEST} holds epoch {best.epoch}, and the best one is {best_epoch}"
        )
    network.load_state_dict(best.network)
    metrics, tables, galleries = conclude(network, config.task, images, dependency_networks)
    if galleries:
        checkpoint.save_galleries(folder, galleries)
    return {f"test_{name}": value for name, value in metrics.items()}, tables
