"""Published numbers beside ours, each with a verdict.

    reproduced        |ours - published| <= tolerance, which is the larger of 2 standard deviations over our seeds and half a unit
                      of the last digit that was printed
    better, worse     outside the tolerance, on the side that the metric's direction calls so
    differs           outside the tolerance, for a quantity that has no better side (a parameter count)
    not comparable    ours was measured under other settings than the report's (fewer images, fewer epochs): said in words
    not run           no finished trial of this run measures it

A row without a column of ours (`metric`) is context: it is shown and not judged. A value in percent is compared with our share.
"""

from __future__ import annotations

import decimal
import math
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from cae.report import formatting
from cae.report.data import tables
from cae.run.metric_direction import guess_direction
from cae.run.sweep_json import PUBLISHED, SweepDescription

COMPARED = ("reproduced", "better", "worse", "differs", "not comparable", "not run")


class Ours(NamedTuple):
    """Our measurement of one published number: mean and standard deviation (n - 1) over n seeds of one configuration."""

    mean: float
    sd: float
    trials: list[int]
    matching: int
    """How many configurations matched; beyond one, the best of them by the sweep's metric was taken."""


def compare(results: tables.Results) -> list[dict[str, Any]]:
    """Every published row of the runs with `ours`, `sd`, `n`, `trials_used`, `tolerance`, `verdict`, `why` (a sentence) and `size`.

    A size is a number of the network itself (parameters): no seed, image or epoch changes it.
    """
    rows = []
    for run in results.runs:
        trials = results.ranked[results.ranked["run"] == run.name]
        asked = [
            number
            for number, record in run.records.items()
            if record.is_requested and not record.is_dependency
        ]
        every = results.trials[
            (results.trials["run"] == run.name) & results.trials["trial"].isin(asked)
        ]
        sizes = {name for record in run.records.values() for name in record.sizes}
        for row in run.sweep.published:
            size = row.get("metric") in sizes
            candidates = every if size else trials[trials["state"] == "finished"]
            if size:  # the best trial first, then those without a value
                candidates = pd.concat([trials, every.drop(trials.index)])
            row = dict.fromkeys(PUBLISHED, "") | row
            rows.append(
                {"run": run.name, **row, **_judge(row, candidates, size, run.sweep, results)}
            )
    return rows


def sentence(rows: list[dict[str, Any]], *, reasons: bool = True) -> str:
    """All verdicts in one sentence, and why some cannot be compared; "" where nothing was published."""
    counts = Counter(row["verdict"] for row in rows)
    said = [f"{counts[verdict]} {verdict}" for verdict in COMPARED if counts[verdict]]
    if not said:
        return "The sweep lists published numbers for context only." if rows else ""
    total = sum(counts[verdict] for verdict in COMPARED)
    causes = dict.fromkeys(
        row["why"].rstrip(".") for row in rows if row["verdict"] == "not comparable" and reasons
    )
    why = f" Not comparable: {formatting.listed(causes, 2)}." if causes else ""
    return f"Of {formatting.plural(total, 'published number')}: {formatting.listed(said)}.{why}"


def differences(overrides: dict[str, Any]) -> str:
    """In what this run differs from the report's own settings, in words: "epochs 4 instead of 10"."""
    return formatting.listed(
        f"{formatting.short(name)} {_typed(change.get('here'))} instead of {_typed(change.get('full'))}"
        for name, change in overrides.items()
    )


def _typed(value: Any) -> str:
    return "the default" if value is None else formatting.short(tables.typed(value))


def _judge(
    row: dict[str, Any],
    candidates: pd.DataFrame,
    size: bool,
    sweep: SweepDescription,
    results: tables.Results,
) -> dict[str, Any]:
    metric = str(row.get("metric") or "")
    blank: dict[str, Any] = {
        "size": size,
        "ours": None,
        "sd": None,
        "n": 0,
        "trials_used": [],
        "tolerance": None,
    }
    if not metric:
        return {**blank, "verdict": "context", "why": ""}
    ours = measure(candidates, metric, str(row.get("trials") or ""), results, sweep.overrides)
    if ours is None:
        return {
            **blank,
            "verdict": "not run",
            "why": _why_not_run(metric, size, str(row.get("trials") or "")),
        }
    scale = 100.0 if str(row.get("unit", "")).strip().lower() in ("percent", "%") else 1.0
    mean, sd, n = ours.mean * scale, ours.sd * scale, len(ours.trials)
    value, half_unit = printed(str(row.get("value", "")))
    tolerance = max(2 * sd if n > 1 else 0.0, half_unit)
    found = {
        "size": size,
        "ours": mean,
        "sd": sd if n > 1 else None,
        "n": n,
        "trials_used": ours.trials,
        "tolerance": tolerance,
    }
    if not math.isfinite(value):
        return {
            **found,
            "tolerance": None,
            "verdict": "not comparable",
            "why": f"“{formatting.short(str(row.get('value')))}” is not one number.",
        }
    overrides = sweep.overrides
    if overrides and not size:
        return {
            **found,
            "verdict": "not comparable",
            "why": f"this run has {differences(overrides)}.",
        }
    seeds = "" if size else "One seed. " if n == 1 else f"{n} seeds. "
    chosen = f" Best of {ours.matching} matching configurations." if ours.matching > 1 else ""
    gap = mean - value
    if abs(gap) <= tolerance * (1 + 1e-9):
        return {
            **found,
            "verdict": "reproduced",
            "why": f"{seeds}Within {formatting.parameter(tolerance)} of the published value.{chosen}",
        }
    side = "higher" if gap > 0 else "lower"
    share = f" ({formatting.percent(abs(gap), abs(value))})" if value else ""
    why = f"{seeds}{formatting.number(abs(gap), 3)}{share} {side} than published; tolerance {formatting.parameter(tolerance)}.{chosen}"
    return {
        **found,
        "verdict": _side(gap, None if size else direction(metric, results)),
        "why": why,
    }


def _side(gap: float, mode: str | None) -> str:
    if mode is None:
        return "differs"
    return "better" if (gap < 0) == (mode == "min") else "worse"


def direction(metric: str, results: tables.Results) -> str | None:
    """Whether less ("min") or more ("max") of a metric is better: as the sweep says of its own, else by the words in its name."""
    parts = metric.removeprefix("last_").split("_")
    if parts[1:] and parts[1:] == results.metric.split("_")[1:]:
        return results.mode
    return guess_direction(metric)


def measure(
    candidates: pd.DataFrame,
    metric: str,
    conditions: str,
    results: tables.Results,
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> Ours | None:
    """Mean, sd and seeds of `metric` over the best configuration among the candidates (the best first) that meet the conditions."""
    if metric not in candidates:
        return None
    met = candidates[_meets(candidates, conditions, overrides)]
    values = pd.to_numeric(met[metric], errors="coerce").astype(float)
    values = values[values.map(math.isfinite)]
    if values.empty:
        return None
    mates = values[results.mates(values.index)]
    sd = float(mates.std(ddof=1)) if len(mates) > 1 else math.nan
    return Ours(
        float(mates.mean()),
        sd,
        [int(number) for number in met.loc[mates.index, "trial"]],
        0
        if conditions.strip() in ("", "best")
        else int(results.configurations.loc[values.index].nunique()),
    )


def printed(text: str) -> tuple[float, float]:
    """A printed number and half a unit of its last digit: "0.10" -> (0.1, 0.005). NaN where the text is not one number."""
    try:
        number = decimal.Decimal(text.strip().removesuffix("%").strip().replace(",", ""))
    except decimal.InvalidOperation:
        return math.nan, math.nan
    exponent = number.as_tuple().exponent
    return (
        (float(number), 0.5 * 10.0**exponent) if isinstance(exponent, int) else (math.nan, math.nan)
    )


def _meets(trials: pd.DataFrame, conditions: str, overrides: Mapping[str, Any]) -> pd.Series[bool]:
    """Which trials meet every one of "name=value;name=value"; "" and "best" ask for nothing. What a run sets for all its trials in
    the place of the report's own value stands for that: such numbers are measured, and not comparable."""
    met = pd.Series(True, index=trials.index)
    for condition in conditions.split(";") if conditions.strip() not in ("", "best") else []:
        name, _, wanted = (part.strip() for part in condition.partition("="))
        wanted = str(tables.cell(stand_in(name, wanted, overrides)))
        if name:
            met &= (
                trials[name].map(lambda value, wanted=wanted: _equal(value, wanted))
                if name in trials
                else False
            )
    return met


def stand_in(name: str, wanted: Any, overrides: Mapping[str, Any]) -> Any:
    """What a run has for all its trials in the place of the report's own value; `wanted` itself where it changes nothing."""
    change = overrides.get(name)
    if not change:
        return wanted
    full, asked = tables.cell(change.get("full")), tables.cell(wanted)
    return change.get("here") if full == asked or _equal(full, str(asked)) else wanted


def _equal(value: Any, wanted: str) -> bool:
    """Compared as numbers when both are numbers."""
    if value is None or value is pd.NA:
        return False
    try:
        return float(value) == float(wanted)
    except (TypeError, ValueError):
        return str(value) == wanted


def _why_not_run(metric: str, size: bool, conditions: str) -> str:
    which = "" if conditions.strip() in ("", "best") else f" with {conditions}"
    return f"no {'' if size else 'finished '}trial{which} has {metric}."
