"""What a plan will cost: a few of its networks are timed for a moment, the others lie on the line through them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from cae.run.status import line
from cae.sweep.places.base import Resources
from cae.sweep.spec.plan import Plan, PlannedTrial
from cae.trial.networks.create import build

PROBES = 3
PROBE_SECONDS = 0.25
START_SECONDS = 12.0
"""From the command to the first step, and a little per trial: Ray, imports, the images."""


@dataclass(frozen=True)
class Cost:
    """Seconds, estimated."""

    seconds_per_epoch: list[float]
    """Of each trial of the plan, training and validation."""
    seconds: float
    """Of what remains, with early stopping as it does on average."""
    seconds_without_stopping: float
    probed: int


def estimate(plan: Plan, resources: Resources) -> Cost:
    """Times the smallest, the largest and a network between them on random images, on this machine's CPU or first GPU."""
    threads = torch.get_num_threads()
    try:
        return _estimate(plan, resources)
    finally:
        torch.set_num_threads(threads)


def _estimate(plan: Plan, resources: Resources) -> Cost:
    by_work = sorted(plan.trials, key=lambda planned: planned.sizes["megaflops"])
    chosen = (
        {
            by_work[round(index * (len(by_work) - 1) / (PROBES - 1))].number
            for index in range(PROBES)
        }
        if by_work
        else set()
    )
    measured = [
        (p.sizes["megaflops"], _seconds_per_image(p, resources))
        for p in by_work
        if p.number in chosen
    ]
    seconds_of = line(measured)
    per_epoch = [
        seconds_of(planned.sizes["megaflops"]) * images_of_an_epoch(planned)
        for planned in plan.trials
    ]
    whole = stopped = 0.0
    for planned, seconds in zip(plan.trials, per_epoch, strict=True):
        if not planned.finished:
            left = planned.trial.epochs - planned.done_epochs
            whole += seconds * left
            stopped += seconds * min(left, _expected_epochs(plan, planned.trial.epochs))
    start = START_SECONDS if plan.remaining else 0.0
    return Cost(
        per_epoch, start + stopped / resources.slots, start + whole / resources.slots, len(chosen)
    )


def _expected_epochs(plan: Plan, epochs: int) -> float:
    """How many of its epochs a trial trains on average, with early stopping."""
    if plan.sweep.scheduler is None:
        return float(epochs)
    return plan.sweep.scheduler.expected_epochs(epochs, plan.rungs)


def images_of_an_epoch(planned: PlannedTrial) -> float:
    """Images of an epoch, in training images: a validation image costs a forward pass, a third of a training step."""
    return float(planned.sizes["train_images"] + planned.sizes["val_images"] / 3)


def _seconds_per_image(planned: PlannedTrial, resources: Resources) -> float:
    trial = planned.trial
    device = torch.device(
        "cuda" if resources.gpus_per_trial and torch.cuda.is_available() else "cpu"
    )
    torch.set_num_threads(max(1, int(resources.cpus_per_trial)))
    network = build(trial).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    given = torch.rand(
        trial.batch_size, *trial.task.input_shape(trial.dataset.image_shape), device=device
    )
    given = given.contiguous(memory_format=torch.channels_last)
    target = torch.rand(
        trial.batch_size, *trial.task.output_shape(trial.dataset.image_shape), device=device
    )
    times: list[
        float
    ] = []  # without the optimizer's step: it is a small part, and torch takes 2 s to import what it needs
    started = time.perf_counter()
    while len(times) < 2 or time.perf_counter() - started < PROBE_SECONDS:
        begun = time.perf_counter()
        trial.task.criterion(network(given), target).backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return min(times) / trial.batch_size
