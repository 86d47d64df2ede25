"""What a trial needs of a GPU, measured or predicted, and how many trials can share one."""

from __future__ import annotations

import math
import multiprocessing
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae.run.events import TrialEnded
from cae.run.records import Record
from cae.sweep.spec.candidates import dataset_key
from cae.sweep.spec.code_snapshot import CodeSnapshot, build_trial
from cae.sweep.spec.plan import Plan
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.trial.batches import EVALUATION_BATCH
from cae.trial.datasets import Images
from cae.trial.datasets.mapped import MappedPixels
from cae.trial.datasets.pixel_values import ValueRange
from cae.trial.memory import predict_memory

CUDA_BYTES = 600 * 2**20
"""What a process with CUDA and its libraries needs of a GPU beside its tensors: an assumption."""
RESERVED_FACTOR = 1.2
"""PyTorch reserves memory in blocks, more than it allocates: an assumption."""
USABLE_SHARE = 0.9
"""The part of a GPU's memory that is divided among the trials."""
TRIALS_PER_GPU = (8, 4, 2, 1)
"""What is proposed. More trials do not help: each also needs a CPU core."""
PREDICTION_SECONDS = 120


class PredictionFailed(Exception):
    """The memory of a trial cannot be predicted; the message says why."""


@dataclass(frozen=True)
class GpuNeed:
    """What a trial needs of a GPU: the one that needs the most, of those that are known."""

    trial: int
    """Its number; 0: a candidate of a search that is no trial yet."""
    process_bytes: int
    """Memory, with that of CUDA itself."""
    busy: float | None = None
    """Share of the time, in [0, 1], in which a trial keeps the GPU busy, mean of the trials that
    were measured; None: not known."""
    measured: int = 0
    """How many trials were measured; 0: the memory is predicted."""


def measured_need(records: Iterable[Record]) -> GpuNeed | None:
    """The need of the trials of a run that ended on a GPU; None if there is none."""
    bytes_by_trial: dict[int, int] = {}
    busy: list[float] = []
    for record in records:
        end = _measured_end(record)
        if end is None:
            continue
        bytes_by_trial[record.number] = _process_bytes(end)
        if end.gpu_busy is not None and end.gpus_per_trial:
            # With several trials on the GPU, its busy time is that of all of them.
            busy.append(end.gpu_busy * end.gpus_per_trial)
    if not bytes_by_trial:
        return None
    largest = max(bytes_by_trial, key=lambda number: bytes_by_trial[number])
    mean_busy = None
    if busy:
        mean_busy = statistics.fmean(busy)
    return GpuNeed(largest, bytes_by_trial[largest], mean_busy, len(bytes_by_trial))


def are_largest_measured(plan: Plan, records: Mapping[int, Record]) -> bool:
    """Whether the trials of a plan that may need the most memory have been measured."""
    for planned in largest_trials(plan):
        record = records.get(planned.number)
        if record is None or _measured_end(record) is None:
            return False
    return True


def _measured_end(record: Record) -> TrialEnded | None:
    """The end of a trial with its GPU memory; while it is extended, the end before; None without
    one."""
    for end in (record.end, record.earlier_end):
        if end is not None and end.peak_gpu_bytes is not None:
            return end
    return None


def _process_bytes(end: TrialEnded) -> int:
    assert end.peak_gpu_bytes is not None
    if end.peak_gpu_process_bytes is not None:
        return max(end.peak_gpu_process_bytes, end.peak_gpu_bytes)
    return end.peak_gpu_bytes + CUDA_BYTES


def predicted_need(plan: Plan, sweep_file: Path) -> GpuNeed:
    """The predicted need of the plan's trials.

    The result is that of the trial that needs the most. Raises PredictionFailed.
    """
    trials = largest_trials(plan)
    if not trials:
        raise PredictionFailed("the plan has no trials")
    inputs: list[PredictionInput] = []
    for planned in trials:
        images = plan.images[dataset_key(planned.trial.dataset)]
        inputs.append(_input_of(planned, images))
    peaks = _predict_in_a_process(inputs, plan.code, sweep_file)
    largest = max(range(len(trials)), key=lambda index: peaks[index])
    process_bytes = round(peaks[largest] * RESERVED_FACTOR) + CUDA_BYTES
    return GpuNeed(trials[largest].number, process_bytes)


@dataclass(frozen=True)
class PredictionInput:
    """A trial and its images, as another process gets them."""

    config: dict[str, Any]
    images_per_split: dict[str, int]
    pixel_type: str
    value_range: ValueRange


def _input_of(planned: PlannedTrial, images: Images) -> PredictionInput:
    counts: dict[str, int] = {}
    for split in ("train", "val", "test"):
        pixels = getattr(images, split).pixels
        counts[split] = len(pixels)
        if isinstance(pixels, MappedPixels):  # the device has a batch at a time
            counts[split] = min(len(pixels), EVALUATION_BATCH)
    pixel_type = str(images.train.pixels.dtype)
    return PredictionInput(planned.trial.flat(), counts, pixel_type, images.value_range)


def largest_trials(plan: Plan) -> list[PlannedTrial]:
    """The trials that may need the most memory: with the most parameters, the most operations per
    batch, and the largest batch."""
    trials = list(plan.trials)
    if plan.search is not None:
        trials += plan.search.candidates
    if not trials:
        return []

    def operations_per_batch(planned: PlannedTrial) -> float:
        return float(planned.sizes["megaflops"] * planned.trial.batch_size)

    largest = [
        max(trials, key=lambda planned: planned.sizes["parameters"]),
        max(trials, key=operations_per_batch),
        max(trials, key=lambda planned: planned.trial.batch_size),
    ]
    distinct: dict[int, PlannedTrial] = {}
    for planned in largest:
        distinct[id(planned)] = planned
    return list(distinct.values())


def _predict_in_a_process(
    inputs: list[PredictionInput], code: CodeSnapshot, sweep_file: Path
) -> list[int]:
    """Predict in a new process: what components cache meanwhile is of no use afterwards."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # terminated at the end
        result = pool.apply_async(predict_peaks, (inputs, code, sweep_file))
        try:
            peaks = result.get(PREDICTION_SECONDS)
        except multiprocessing.TimeoutError:
            raise PredictionFailed(f"no result in {PREDICTION_SECONDS} s") from None
    if isinstance(peaks, str):
        raise PredictionFailed(peaks)
    return peaks


def predict_peaks(
    inputs: list[PredictionInput], code: CodeSnapshot, sweep_file: Path
) -> list[int] | str:
    """The predicted bytes of trials, from their configurations and images per split.

    A text if a trial cannot be predicted: why.
    """
    peaks: list[int] = []
    try:
        for item in inputs:
            trial = build_trial(item.config, code, sweep_file)
            predicted = predict_memory(
                trial, item.images_per_split, item.pixel_type, item.value_range
            )
            peaks.append(predicted.with_graph)
    except Exception as error:  # the components may be code of the user
        return f"{type(error).__name__}: {error}"
    return peaks


def trials_per_gpu(need: GpuNeed, gpu_bytes: int) -> int:
    """How many trials can share a GPU, by memory and, if it is known, by its busy time.

    0: not even one fits.
    """
    by_memory = int(USABLE_SHARE * gpu_bytes // need.process_bytes)
    by_busy = math.inf
    if need.busy:
        by_busy = max(1.0, 1 / need.busy)
    for count in TRIALS_PER_GPU:
        if count <= min(by_memory, by_busy):
            return count
    return 0
