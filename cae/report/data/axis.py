"""Where the values of a parameter stand on an axis: linear, logarithmic, or one place per category, as the space declares it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results, typed

Floats = npt.NDArray[np.float64]


class Axis(NamedTuple):
    name: str
    kind: str
    """linear, log or category."""
    positions: Floats
    """Per trial: the value, its log10, or the number of its category; NaN where the trial has none."""
    ticks: list[tuple[float, str]]
    low: float
    high: float


def varying(results: Results, trials: pd.DataFrame) -> list[str]:
    """Parameters that differ among these trials: the keys of the space, then other keys that joined runs differ in. Not the seed,
    and not among the trials that only others need: those differ in everything."""
    needed = [record.is_dependency for run in results.runs for record in run.records.values()]
    trials = trials.drop(results.trials.index[needed], errors="ignore")
    config = dict.fromkeys(
        name for run in results.runs for record in run.records.values() for name in record.config
    )
    names = [name for name in results.axes if name in trials]
    whole = {
        name.rpartition(".")[0] for name in names
    }  # a tuple whose elements are keys of the space
    names += [name for name in config if name not in names and name not in whole and name != "seed"]
    return [name for name in names if differs(trials[name])]


def independent(trials: pd.DataFrame, names: list[str]) -> list[str]:
    """Of these parameters those that do not follow from one named before: filters of a decoder that mirrors its encoder, say. One
    whose values hardly recur (a learning rate drawn at random) tells all others by chance alone, and does not count for that."""
    rows, kept = trials[names].map(lambda value: "" if missing(value) else str(value)), list[str]()
    for name in names:
        if not any(
            rows[other].nunique() <= len(rows) / 2
            and (rows.groupby(other)[name].nunique() == 1).all()
            for other in kept
        ):
            kept.append(name)
    return kept


def differs(values: pd.Series[Any]) -> bool:
    return (
        values.map(
            lambda value: "" if missing(value) else f"{type(value).__name__} {value}"
        ).nunique()
        > 1
    )


def missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def axis(name: str, values: pd.Series[Any], declared: dict[str, Any]) -> Axis:
    """The axis of one parameter. What is declared as numbers but holds text, or as log but holds zeros, becomes categories."""
    present = [value for value in values if not missing(value)]
    numeric = all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool)
        for value in present
    )
    kind = str(declared.get("scale") or "linear")
    if not numeric or not present or (kind == "log" and min(present) <= 0):
        kind = "category"
    if kind == "category":
        return _categories(name, values, present, declared)
    raw = np.array([np.nan if missing(value) else float(value) for value in values], dtype=float)
    positions = np.log10(raw) if kind == "log" else raw
    return Axis(
        name,
        kind,
        positions,
        ticks(sorted(set(map(float, present))), kind),
        float(np.nanmin(positions)),
        float(np.nanmax(positions)),
    )


def value_axis(name: str, values: Floats, *, log: bool) -> Axis:
    """The axis of a metric."""
    finite = values[np.isfinite(values)]
    positions = np.log10(values) if log else values
    low, high = (
        (float(np.nanmin(positions)), float(np.nanmax(positions))) if finite.size else (0.0, 1.0)
    )
    marks = ticks(sorted(set(finite.tolist())), "log" if log else "linear") if finite.size else []
    return Axis(name, "log" if log else "linear", positions, marks, low, high)


def fraction(scale: Axis) -> Floats:
    """Positions from 0 (low end) to 1 (high end); the middle where the ends meet."""
    span = scale.high - scale.low
    return (
        (scale.positions - scale.low) / span
        if span
        else np.where(np.isfinite(scale.positions), 0.5, np.nan)
    )


def ticks(values: list[float], kind: str) -> list[tuple[float, str]]:
    """The values themselves where they are few, else 5 round ones."""
    if len(values) > 8:
        values = _round_logs(values) if kind == "log" else _round_steps(values)
    return [
        (float(np.log10(value)) if kind == "log" else value, formatting.parameter(float(value)))
        for value in values
    ]


def fitting(texts: list[str], room: int = 34) -> list[int]:
    """Which of the texts under a panel can be printed beside one another: every second, third ... of those that are long."""
    longest = max(map(len, texts), default=0)
    return list(range(0, len(texts), max(1, -(-(longest + 2) * len(texts) // room))))


def _round_logs(values: list[float]) -> list[float]:
    low, high = np.log10(values[0]), np.log10(values[-1])
    decades = [
        10.0**power for power in range(int(np.ceil(low - 1e-9)), int(np.floor(high + 1e-9)) + 1)
    ]
    if len(decades) >= 3:
        return decades[:: -(-len(decades) // 6)]
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    for mantissas in ((1, 3), (1, 2, 5)):
        steps = [
            step
            for power in powers
            for step in (mantissa * 10.0**power for mantissa in mantissas)
            if values[0] <= step <= values[-1]
        ]
        if len(steps) >= 3:
            return steps
    return [float(f"{value:.2g}") for value in (values[0], values[-1])]


def _round_steps(values: list[float]) -> list[float]:
    span = (values[-1] - values[0]) / 4
    power = 10.0 ** np.floor(np.log10(span))
    step = power * min((1, 2, 2.5, 5, 10), key=lambda factor: abs(factor * power - span))
    first = np.ceil(values[0] / step - 1e-9)
    return [
        float(f"{(first + index) * step:.6g}")
        for index in range(12)
        if (first + index) * step <= values[-1] + 1e-9 * step
    ]


def _categories(
    name: str, values: pd.Series[Any], present: list[Any], declared: dict[str, Any]
) -> Axis:
    """In the order of the sweep file; what it does not list follows, numbers before text."""
    listed = [typed(value) for value in declared.get("values") or []]
    ordered = sorted(
        present,
        key=lambda value: (
            isinstance(value, str),
            value if isinstance(value, int | float) else 0,
            str(value),
        ),
    )
    seen = dict.fromkeys(formatting.parameter(value) for value in ordered)
    order = [text for text in dict.fromkeys(listed) if text in seen] + [
        text for text in seen if text not in listed
    ]
    place = {text: float(index) for index, text in enumerate(order)}
    positions = np.array(
        [np.nan if missing(value) else place[formatting.parameter(value)] for value in values],
        dtype=float,
    )
    return Axis(
        name,
        "category",
        positions,
        [(index, text) for text, index in place.items()],
        0.0,
        float(max(1, len(order) - 1)),
    )


def groups(axis: Axis) -> pd.Series[str]:
    """Per trial the setting it has: the value itself, or the quarter that holds it where values are many; missing without one."""
    positions = pd.Series(np.round(axis.positions, 9))
    names = {round(position, 9): text for position, text in axis.ticks}
    if axis.kind == "category" or positions.dropna().isin(list(names)).all():
        return positions.map(names)
    quarters = pd.qcut(positions, 4, duplicates="drop")
    return quarters.map(lambda part: _between(part, axis.kind)).astype(object)


def _between(part: pd.Interval, kind: str) -> str:
    low, high = (10**end if kind == "log" else end for end in (part.left, part.right))
    return f"{formatting.parameter(float(f'{low:.2g}'))} to {formatting.parameter(float(f'{high:.2g}'))}"
