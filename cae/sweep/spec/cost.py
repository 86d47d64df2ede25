"""What a plan costs: a few of its networks are timed, the others interpolated by their operations.

The time of a step is a line over its operations: a small network takes as long as Python needs to
start its operations, however few images a batch has. On a GPU that is most of the time.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from cae.sweep.places.base import Resources
from cae.sweep.spec.plan import Plan
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.trial.batches import DeviceSplit, Pairs
from cae.trial.config import Trial
from cae.trial.evaluation import evaluate, evaluation_pairs
from cae.trial.networks.create import build_network, to_device
from cae.trial.steps import WARM_UP_STEPS, build_optimizer, create_step

TIMED_NETWORKS = 9
SECONDS_PER_NETWORK = 0.1
"""Up to this time, steps are repeated, and validation is timed at its second call: the first one
prepares the kernels, which takes milliseconds."""
MAX_TIMED_STEPS = 5
GPU_STEPS = 10
"""Steps between two waits for the GPU, which would otherwise be idle."""
EVALUATED_IMAGES = 100
START_SECONDS = 12.0
"""From the command to the first step: Ray, imports, images; and a little per trial."""


@dataclass(frozen=True)
class Cost:
    """Estimated times, in seconds."""

    seconds_per_epoch: list[float]
    """Training and validation of each trial that is known (`Plan.listed`); NaN if no network could
    be timed."""
    seconds: float
    """Of the remaining trials, with early stopping as it is on average; NaN like the epochs."""
    seconds_without_stopping: float
    probed: int
    """How many networks were timed."""
    errors: dict[int, str] = field(default_factory=dict)
    """Why networks could not be timed, by number of the trial (0: a candidate of a search): the
    error of the user's code, or of PyTorch."""


def estimate(plan: Plan, resources: Resources) -> Cost:
    """Time a few networks on random images, on this machine's CPU or first GPU."""
    threads = torch.get_num_threads()
    try:
        return _estimate(plan, resources)
    finally:
        torch.set_num_threads(threads)


def _estimate(plan: Plan, resources: Resources) -> Cost:
    timings: list[_Timing] = []
    errors: dict[int, str] = {}
    timed: dict[str, _Timing] = {}
    for planned in _networks_to_time(plan):
        key = _key_of_timing(planned.trial)
        try:
            if key not in timed:
                timed[key] = _time_network(planned, resources)
            timings.append(timed[key])
        except Exception as error:  # the network and the loss may be code of the user
            errors[planned.number] = f"{type(error).__name__}: {error}"
    seconds_per_epoch = _epoch_model(timings)
    per_epoch: list[float] = []
    total = 0.0
    total_with_stopping = 0.0
    listed = plan.listed
    for planned in listed:
        seconds = seconds_per_epoch(planned)
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
            seconds = seconds_per_epoch(planned)
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
        errors=errors,
    )


@dataclass(frozen=True)
class _Timing:
    """How long a network takes."""

    work: float
    """Millions of floating-point operations of the forward pass of a batch."""
    step_seconds: float
    image_work: float
    """The same of one image."""
    validation_seconds: float
    """Per image."""


def _epoch_model(timings: list[_Timing]) -> Callable[[PlannedTrial], float]:
    """The seconds of an epoch of a trial; NaN if no network could be timed."""
    if not timings:
        return lambda _: math.nan
    step_seconds = fit_line([(timing.work, timing.step_seconds) for timing in timings])
    validation_seconds = fit_line(
        [(timing.image_work, timing.validation_seconds) for timing in timings]
    )

    def seconds_per_epoch(planned: PlannedTrial) -> float:
        megaflops = planned.sizes["megaflops"]
        batch_size = planned.trial.batch_size
        steps = math.ceil(planned.sizes["train_images"] / batch_size)
        training = steps * step_seconds(megaflops * batch_size)
        validation = planned.sizes["val_images"] * validation_seconds(megaflops)
        return float(training + validation)

    return seconds_per_epoch


def fit_line(measured: list[tuple[float, float]]) -> Callable[[float], float]:
    """Fit seconds as a function of work to pairs of work and seconds.

    A line by least squares, at least half of the smallest measured time. With one value of work:
    the mean.
    """
    works = [pair[0] for pair in measured]
    seconds = [pair[1] for pair in measured]
    if len(set(works)) < 2:
        mean_seconds = statistics.fmean(seconds)
        return lambda _: mean_seconds
    slope, intercept = statistics.linear_regression(works, seconds)
    least_seconds = min(seconds) / 2
    return lambda work: max(intercept + slope * work, least_seconds)


def _networks_to_time(plan: Plan) -> list[PlannedTrial]:
    """The trials with the cheapest and the most expensive network, and some between them."""
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


def _key_of_timing(trial: Trial) -> str:
    """A text that is equal for trials whose steps and validation take the same time."""
    first_stage = trial.task.stage(1, trial.epochs)  # the one that is timed
    parts = [trial.arch, trial.task, first_stage, trial.dataset.image_shape, trial.batch_size]
    parts += [trial.optimizer, trial.augmentation, trial.precision]
    return repr([*parts, trial.clip_norm, trial.clip_value])


def images_of_an_epoch(planned: PlannedTrial) -> float:
    """Images of an epoch, counted as training images.

    A validation image needs a forward pass only, a third of a training step.
    """
    return float(planned.sizes["train_images"] + planned.sizes["val_images"] / 3)


def _time_network(planned: PlannedTrial, resources: Resources) -> _Timing:
    """Time steps and validation of a trial, on random images."""
    trial = planned.trial
    device = torch.device("cpu")
    if resources.gpus_per_trial and torch.cuda.is_available():
        device = torch.device("cuda")
    torch.set_num_threads(max(1, int(resources.cpus_per_trial)))
    network = to_device(build_network(trial), device, trial.precision)
    step_seconds = _seconds_per_step(trial, network, device)
    pairs = evaluation_pairs(trial.task, _random_split(trial, EVALUATED_IMAGES, device), "val")
    started = time.perf_counter()
    evaluate(network, pairs)  # it waits for the GPU
    seconds = time.perf_counter() - started
    if seconds < SECONDS_PER_NETWORK or device.type == "cuda":
        started = time.perf_counter()
        evaluate(network, pairs)
        seconds = time.perf_counter() - started
    megaflops = planned.sizes["megaflops"]
    work = megaflops * trial.batch_size
    return _Timing(work, step_seconds, megaflops, seconds / EVALUATED_IMAGES)


def _seconds_per_step(trial: Trial, network: torch.nn.Module, device: torch.device) -> float:
    """Median time of a training step, replayed as a CUDA graph where training does so."""
    images = _random_split(trial, trial.batch_size * (WARM_UP_STEPS + 1), device)
    pairs = Pairs(trial.task, images, trial.seed, 0, "train")
    optimizer = build_optimizer(trial.optimizer, network)
    network.train()
    trial.task.prepare(network, trial.task.stage(1, trial.epochs))
    step, _ = create_step(trial, network, optimizer, pairs)
    batches = torch.randperm(len(images.pixels)).to(device).split(trial.batch_size)
    next_batch = itertools.cycle(batches)
    warm_up_steps = 1
    timed_steps = 1
    if device.type == "cuda":
        warm_up_steps = WARM_UP_STEPS + 1
        timed_steps = GPU_STEPS
    for _ in range(warm_up_steps):
        step(next(next_batch))
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < MAX_TIMED_STEPS:
        if times and time.perf_counter() - started >= SECONDS_PER_NETWORK:
            break
        _wait(device)
        group_started = time.perf_counter()
        for _ in range(timed_steps):
            step(next(next_batch))
        _wait(device)
        times.append((time.perf_counter() - group_started) / timed_steps)
    return statistics.median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _random_split(trial: Trial, count: int, device: torch.device) -> DeviceSplit:
    classes = max(1, len(trial.dataset.class_names))
    pixels = torch.randint(256, (count, *trial.dataset.image_shape), dtype=torch.uint8)
    labels = torch.randint(classes, (count,))
    return DeviceSplit(pixels.to(device), labels.to(device))
