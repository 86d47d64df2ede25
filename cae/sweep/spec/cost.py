"""What a plan costs: a few of its networks are timed, the others interpolated by their
operations."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from cae.run.status import line
from cae.sweep.places.base import Resources
from cae.sweep.spec.plan import Plan
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.trial.networks.create import build_network, to_device

TIMED_NETWORKS = 3
SECONDS_PER_NETWORK = 0.25
START_SECONDS = 12.0
"""From the command to the first step: Ray, imports, images; and a little per trial."""


@dataclass(frozen=True)
class Cost:
    """Estimated times, in seconds."""

    seconds_per_epoch: list[float]
    """Training and validation of each trial that is known (`Plan.listed`)."""
    seconds: float
    """Of the remaining trials, with early stopping as it is on average."""
    seconds_without_stopping: float
    probed: int
    """How many networks were timed."""


def estimate(plan: Plan, resources: Resources) -> Cost:
    """Time a few networks on random images, on this machine's CPU or first GPU."""
    threads = torch.get_num_threads()
    try:
        return _estimate(plan, resources)
    finally:
        torch.set_num_threads(threads)


def _estimate(plan: Plan, resources: Resources) -> Cost:
    timed = _networks_to_time(plan)
    times: list[tuple[float, float]] = []
    for planned in timed:
        times.append((planned.sizes["megaflops"], _seconds_per_image(planned, resources)))
    seconds_per_image = line(times)
    per_epoch: list[float] = []
    total = 0.0
    total_with_stopping = 0.0
    listed = plan.listed
    for planned in listed:
        seconds = seconds_per_image(planned.sizes["megaflops"]) * images_of_an_epoch(planned)
        per_epoch.append(seconds)
        if not planned.finished:
            epochs = planned.trial.epochs
            remaining = epochs - planned.done_epochs
            total += seconds * remaining
            total_with_stopping += seconds * min(remaining, _expected_epochs(plan, epochs))
    unknown = plan.to_come - (len(listed) - len(plan.trials))
    if plan.search is not None and unknown:
        for planned in plan.search.candidates:  # each is expected with the same probability
            share = unknown / len(plan.search.candidates)
            seconds = seconds_per_image(planned.sizes["megaflops"]) * images_of_an_epoch(planned)
            epochs = planned.trial.epochs
            total += share * seconds * epochs
            total_with_stopping += share * seconds * _expected_epochs(plan, epochs)
    start = 0.0
    if plan.has_work:
        start = START_SECONDS
    return Cost(
        seconds_per_epoch=per_epoch,
        seconds=start + total_with_stopping / resources.slots,
        seconds_without_stopping=start + total / resources.slots,
        probed=len(timed),
    )


def _networks_to_time(plan: Plan) -> list[PlannedTrial]:
    """The trials with the cheapest and the most expensive network, and one between them."""
    trials = plan.trials
    if plan.search is not None:
        trials = [*trials, *plan.search.candidates]
    by_cost = sorted(trials, key=lambda planned: planned.sizes["megaflops"])
    if not by_cost:
        return []
    positions: set[int] = set()
    for index in range(TIMED_NETWORKS):
        positions.add(round(index * (len(by_cost) - 1) / (TIMED_NETWORKS - 1)))
    return [by_cost[position] for position in sorted(positions)]


def _expected_epochs(plan: Plan, epochs: int) -> float:
    """How many of its epochs a trial trains on average, with early stopping."""
    if plan.sweep.scheduler is None:
        return float(epochs)
    trials = len(plan.trials) + plan.to_come
    return plan.sweep.scheduler.expected_epochs(epochs, plan.rungs, trials)


def images_of_an_epoch(planned: PlannedTrial) -> float:
    """Images of an epoch, counted as training images.

    A validation image needs a forward pass only, a third of a training step.
    """
    return float(planned.sizes["train_images"] + planned.sizes["val_images"] / 3)


def _seconds_per_image(planned: PlannedTrial, resources: Resources) -> float:
    """Shortest time of a forward and a backward pass.

    Without the optimizer's step, which takes little time; PyTorch needs 2 s to import it.
    """
    trial = planned.trial
    device = torch.device("cpu")
    if resources.gpus_per_trial and torch.cuda.is_available():
        device = torch.device("cuda")
    torch.set_num_threads(max(1, int(resources.cpus_per_trial)))
    network = to_device(build_network(trial), device)
    image_shape = trial.dataset.image_shape
    inputs = torch.rand(trial.batch_size, *trial.task.input_shape(image_shape), device=device)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    targets = torch.rand(trial.batch_size, *trial.task.output_shape(image_shape), device=device)
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < 2 or time.perf_counter() - started < SECONDS_PER_NETWORK:
        step_started = time.perf_counter()
        trial.task.criterion(network(inputs), targets).backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - step_started)
    return min(times) / trial.batch_size
