"""How well the slots were used, and how the rest of their time was spent."""

from __future__ import annotations

import math

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.worker_utilization import (
    draw_worker_utilization,
    worker_utilization_data,
)
from cae.report.page.section import Scope, SectionContent, section
from cae.report.page.table import Table, make_table
from cae.report.statistics.usage import usage_by_device
from cae.report.statistics.worker_utilization import (
    SlotTime,
    WorkerUtilization,
    measure_utilization,
)

DESCRIPTIONS = {
    SlotTime.FINISHED: (
        "training of trials that finished, were stopped by their patience, are running or can be "
        "resumed"
    ),
    SlotTime.STOPPED: "training of trials that were stopped for their values",
    SlotTime.LOST: (
        "training of trials that failed, diverged, ran out of memory, or were killed or withdrawn"
    ),
    SlotTime.OVERHEAD: "overhead around the epochs: workers, checkpoints, final evaluation",
    SlotTime.START: "waiting for the first trial",
    SlotTime.BETWEEN: "waiting between trials",
    SlotTime.END: "waiting at the end, without remaining trials",
}
GB = 1e9
IDLE_KINDS = (SlotTime.OVERHEAD, SlotTime.START, SlotTime.BETWEEN, SlotTime.END)


@section(
    "worker_utilization",
    title="Worker utilization",
    order=180,
    figures=[
        Figure("worker_utilization", worker_utilization_data, draw_worker_utilization),
    ],
    scope=Scope.ALL,
)
def worker_utilization_section(results: Results) -> SectionContent:
    utilization = measure_utilization(results)
    if not len(utilization.spans) or math.isnan(utilization.training_share):
        return SectionContent(verdict="No trial has run in a slot yet.", is_empty=True)
    rows = []
    for kind, seconds in utilization.seconds.items():
        share = formatting.percent(seconds, utilization.total_seconds)
        rows.append(
            {
                "slot time": DESCRIPTIONS[kind],
                "duration": formatting.duration(seconds),
                "share": share,
            }
        )
    return SectionContent(
        verdict=_verdict(results, utilization),
        method=(
            "Computed from the times in the journal. A slot runs one trial at a time. Its time is "
            "from the first to the last event of a session; the time between two sessions is not "
            "included. Training is the sum of the seconds of the epochs. Memory and the share of "
            "time in which a GPU is busy are measured from the start or the resumption of a trial "
            "to its end; the load of the processor is not measured."
        ),
        captions={"worker_utilization": "Which trial ran in which slot, over time"},
        tables=[make_table("Time of the slots", pd.DataFrame(rows)), *_usage_tables(results)],
    )


def _usage_tables(results: Results) -> list[Table]:
    """Memory and GPU load by device; empty if nothing was measured."""
    rows: list[dict[str, str]] = []
    for usage in usage_by_device(results):
        rows.append(
            {
                "device": usage.device,
                "measured trials": formatting.number(usage.trials),
                "peak memory of a worker": _gigabytes(usage.peak_host_bytes),
                "peak GPU memory of a trial": _gigabytes(usage.peak_gpu_bytes),
                "GPU busy, mean": _share(usage.gpu_busy),
            }
        )
    if not rows:
        return []
    return [make_table("Memory and GPU load", pd.DataFrame(rows))]


def _gigabytes(size: float) -> str:
    if math.isnan(size):
        return "not measured"
    return f"{size / GB:.2f}\u00a0GB"


def _share(share: float) -> str:
    if math.isnan(share):
        return "not measured"
    return formatting.percent(share, 1)


def _verdict(results: Results, utilization: WorkerUtilization) -> str:
    sentence = formatting.plural(utilization.slots, "slot")
    hosts = results.trials["host"].dropna().nunique()
    if hosts:
        sentence += f" on {formatting.plural(int(hosts), 'host')}"
    busy = formatting.percent(utilization.training_share, 1)
    sentence += f" trained for {busy} of {formatting.duration(utilization.running_seconds)}"
    if utilization.sessions > 1:
        sentence += f" in {utilization.sessions} sessions"
    largest = max(IDLE_KINDS, key=lambda kind: utilization.seconds[kind])
    if utilization.seconds[largest]:
        share = formatting.percent(utilization.seconds[largest], utilization.total_seconds)
        sentence += f"; the largest other part ({share}) is {DESCRIPTIONS[largest]}"
    unfinished = utilization.seconds[SlotTime.STOPPED] + utilization.seconds[SlotTime.LOST]
    if not unfinished:
        return f"{sentence}."
    share = formatting.percent(unfinished, utilization.total_seconds)
    return f"{sentence}. {share} of the time was for trials that did not finish."
