"""How well the slots were used, and where the rest of their time went."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.figures.worker_utilization import hardware_data
from cae.report.page.sections.base import Section, table
from cae.report.statistics import worker_utilization as slots

IDLE = ("around", "start-up", "between", "tail")


def hardware(results: Results, _rows: list[dict[str, Any]]) -> Section:
    found, _ = hardware_data(results)
    if not len(found.spans) or math.isnan(found.busy):
        return Section(
            "hardware", "Use of the hardware", "No trial has held a slot yet.", empty=True
        )
    frame = pd.DataFrame(
        [
            (
                slots.KINDS[kind],
                formatting.duration(seconds),
                formatting.percent(seconds, found.total),
            )
            for kind, seconds in found.seconds.items()
        ],
        columns=["slot time", "spent", "share"],
    )
    return Section(
        "hardware",
        "Use of the hardware",
        _verdict(results, found),
        how="From the journal's clock. A slot is room for one trial at a time; its time runs from a session's first event to its last one, "
        "and what lies between two sessions is left out. Training is the sum of the epochs' own seconds. Memory and the load of the "
        "processors are not sampled.",
        charts={"hardware": "Which trial held which slot when"},
        data={"tables": [table("Where the slots' time went", frame)], "id": "hardware"},
    )


def _verdict(results: Results, found: slots.Slots) -> str:
    hosts = results.trials["host"].dropna().nunique()
    where = f" on {formatting.plural(int(hosts), 'host')}" if hosts else ""
    in_sessions = f" in {found.sessions} sessions" if found.sessions > 1 else ""
    slot, wall = formatting.plural(found.slots, "slot"), formatting.duration(found.wall)
    text = f"{slot}{where} trained for {formatting.percent(found.busy, 1)} of {wall}{in_sessions}"
    most = max(IDLE, key=lambda kind: found.seconds[kind])
    rest = (
        f"; most of the rest ({formatting.percent(found.seconds[most], found.total)}) went {_said(most)}"
        if found.seconds[most]
        else ""
    )
    ended = found.seconds["stopped"] + found.seconds["lost"]
    early = (
        f" {formatting.percent(ended, found.total)} went to trials that did not finish."
        if ended
        else ""
    )
    return f"{text}{rest}.{early}"


def _said(kind: str) -> str:
    text = slots.KINDS[kind]
    return (
        text
        if kind in ("around", "start-up", "between")
        else "by at the end, with nothing left to begin"
    )
