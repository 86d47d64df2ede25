"""`cae-sweep plan`: what a trial needs of a GPU, and how many trials can share one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cae.run.formatting import count_of

if TYPE_CHECKING:  # these import torch, and `status` has to be quick
    from cae.sweep.engine.session import Prepared
    from cae.sweep.places.base import Resources
    from cae.sweep.spec.gpu_need import GpuNeed

GB = 1e9


def gpu_line(prepared: Prepared, resources: Resources) -> str:
    """The memory of a trial and the proposed share of a GPU; empty if trials use no GPU."""
    from cae.sweep.places.devices import gpu_memory
    from cae.sweep.spec.gpu_need import PredictionFailed

    if not resources.gpus_per_trial or not prepared.plan.has_work:
        return ""
    try:
        need = _need(prepared)
    except PredictionFailed as error:
        return f"GPU memory of a trial: unknown, because it cannot be predicted: {error}"
    return describe_need(need, gpu_memory(), resources.gpus_per_trial)


def _need(prepared: Prepared) -> GpuNeed:
    """The measured need, or the predicted one of a larger trial that was not measured.

    Raises PredictionFailed if nothing was measured and the prediction fails.
    """
    from cae.sweep.spec.gpu_need import (
        PredictionFailed,
        are_largest_measured,
        measured_need,
        predicted_need,
    )

    measured = measured_need(prepared.records.values())
    if measured is not None and are_largest_measured(prepared.plan, prepared.records):
        return measured
    try:
        predicted = predicted_need(prepared.plan, prepared.file.path)
    except PredictionFailed:
        if measured is None:
            raise
        return measured
    if measured is None:
        return predicted
    if predicted.process_bytes > measured.process_bytes:
        return replace(predicted, busy=measured.busy)
    return measured


def describe_need(need: GpuNeed, gpu_bytes: int | None, gpus_per_trial: float) -> str:
    """The need of a trial in words, and the share that is proposed for it.

    Args:
        need: The need.
        gpu_bytes: Memory of the GPU; None: not known.
        gpus_per_trial: The share that the command requests.
    """
    from cae.sweep.spec.gpu_need import trials_per_gpu

    origin = "predicted"
    busy = "how busy a trial keeps the GPU is not known before one has run"
    if need.measured:
        origin = f"measured, {count_of(need.measured, 'trial')}"
        busy = "how busy a trial keeps the GPU was not measured"
    if need.busy is not None:
        busy = f"a trial keeps the GPU busy {100 * need.busy:.0f} % of the time"
    trial = "a candidate"
    if need.trial:
        trial = f"trial {need.trial}"
    memory = f"GPU memory: up to {need.process_bytes / GB:.1f} GB for {trial} ({origin})"
    if gpu_bytes is None:
        return f"{memory}; {busy}"
    memory += f" of {gpu_bytes / GB:.1f} GB"
    count = trials_per_gpu(need, gpu_bytes)
    if count == 0:
        return f"{memory}: more than the GPU has; smaller batches need less"
    proposed = f"--gpus-per-trial {1 / count:g}"
    if gpus_per_trial == 1 / count:
        return f"{memory}; {busy}; {proposed} is as proposed"
    trials = "trials"
    if count == 1:
        trials = "trial"
    return f"{memory}; {busy}; proposed: {proposed}, {count} {trials} per GPU"
