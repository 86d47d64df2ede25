"""Positions of values on an axis: linear, logarithmic, or one position per category."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cae.report import formatting
from cae.report.data.cells import is_missing

Floats = npt.NDArray[np.float64]

MAX_TICKS = 8
"""Of more values than these, round ones are labeled instead."""
MAX_DECADE_TICKS = 6


class AxisKind(StrEnum):
    LINEAR = "linear"
    LOG = "log"
    CATEGORY = "category"


PANEL_CHARACTERS = 34
"""Characters of tick labels that fit below a panel of a figure."""


class Tick(NamedTuple):
    position: float
    text: str


@dataclass(frozen=True)
class Axis:
    """The values of one parameter or metric, as positions on an axis."""

    name: str
    kind: AxisKind
    positions: Floats
    """Per trial: the value, its log10, or the number of its category; NaN if it is missing."""
    ticks: list[Tick]
    low: float
    high: float


def make_axis(name: str, values: pd.Series[Any], declared: Mapping[str, Any]) -> Axis:
    """Return the axis of a parameter with the scale that the search space declares.

    Values that do not fit the scale make it an axis of categories: text on a numeric scale, zeros
    on a logarithmic one, None among the declared values.
    """
    present = [value for value in values if not is_missing(value)]
    kind = _kind(present, declared)
    if kind == AxisKind.CATEGORY:
        return _category_axis(name, values, declared)
    raw = np.array([np.nan if is_missing(value) else float(value) for value in values], dtype=float)
    positions = raw
    if kind == AxisKind.LOG:
        positions = np.log10(raw)
    return Axis(
        name,
        kind,
        positions,
        ticks=ticks(sorted({float(value) for value in present}), kind),
        low=float(np.nanmin(positions)),
        high=float(np.nanmax(positions)),
    )


def has_none(declared: Mapping[str, Any]) -> bool:
    """Whether None is one of the declared values, as in clip_norm=[None, 1.0].

    Then an empty cell is a setting; otherwise the trial does not have the parameter.
    """
    return None in (declared.get("values") or ())


def _kind(present: list[Any], declared: Mapping[str, Any]) -> AxisKind:
    """Return the declared scale if all values fit it, otherwise categories."""
    scale = str(declared.get("scale") or "linear")
    if not present or scale == "category" or not all(_is_number(value) for value in present):
        return AxisKind.CATEGORY
    if has_none(declared):
        return AxisKind.CATEGORY
    if scale != "log":
        return AxisKind.LINEAR
    if min(present) <= 0:
        return AxisKind.CATEGORY
    return AxisKind.LOG


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def value_axis(name: str, values: Floats, *, log: bool) -> Axis:
    """Return the axis of a metric."""
    kind = AxisKind.LINEAR
    positions = values
    if log:
        kind = AxisKind.LOG
        positions = np.log10(values)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Axis(name, kind, positions, ticks=[], low=0.0, high=1.0)
    return Axis(
        name,
        kind,
        positions,
        ticks=ticks(sorted(set(finite.tolist())), kind),
        low=float(np.nanmin(positions)),
        high=float(np.nanmax(positions)),
    )


def relative_positions(axis: Axis) -> Floats:
    """Return positions from 0 (low end) to 1 (high end); 0.5 if both ends are equal."""
    span = axis.high - axis.low
    if span:
        return (axis.positions - axis.low) / span
    return np.where(np.isfinite(axis.positions), 0.5, np.nan)


def ticks(values: list[float], kind: AxisKind) -> list[Tick]:
    """Return a tick for each of the sorted values; of many values, for about 5 round ones."""
    labeled = values
    if len(values) > MAX_TICKS:
        if kind == AxisKind.LOG:
            labeled = _round_values_log(values[0], values[-1])
        else:
            labeled = _round_values(values[0], values[-1])
    marks = []
    for value in labeled:
        position = value
        if kind == AxisKind.LOG:
            position = float(np.log10(value))
        marks.append(Tick(position, formatting.parameter(float(value))))
    return marks


def spaced_ticks(marks: list[Tick], span: float, sizes: list[float]) -> list[Tick]:
    """Return the ticks whose labels do not overlap; the first and the last are kept if they fit.

    Args:
        marks: The ticks, by position.
        span: The length of the axis in units of the positions.
        sizes: The size of each label along the axis, with its margin, as a share of the axis.
    """

    def overlap(first: int, second: int) -> bool:
        distance = marks[second].position - marks[first].position
        return distance < span * (sizes[first] + sizes[second]) / 2

    shown: list[int] = []
    for index in range(len(marks)):
        if not shown or not overlap(shown[-1], index):
            shown.append(index)
    last = len(marks) - 1
    if shown and shown[-1] != last:
        while len(shown) > 1 and overlap(shown[-1], last):
            shown.pop()
        if not overlap(shown[-1], last):
            shown.append(last)
    return [marks[index] for index in shown]


def spaced_labels(texts: list[str], width: int = PANEL_CHARACTERS) -> list[int]:
    """Return the indices of the labels that fit side by side under a panel `width` characters wide.

    Of long labels, this is every second or third one.
    """
    longest = max((len(text) for text in texts), default=0)
    needed_width = (longest + 2) * len(texts)
    step = max(1, math.ceil(needed_width / width))
    return list(range(0, len(texts), step))


def _round_values_log(low: float, high: float) -> list[float]:
    """Return powers of ten, or multiples of them if fewer than three powers are in the range."""
    low_power = np.log10(low)
    high_power = np.log10(high)
    first_decade = math.ceil(low_power - 1e-9)
    last_decade = math.floor(high_power + 1e-9)
    decades = [10.0**power for power in range(first_decade, last_decade + 1)]
    if len(decades) >= 3:
        return decades[:: math.ceil(len(decades) / MAX_DECADE_TICKS)]
    powers = range(math.floor(low_power), math.ceil(high_power) + 1)
    for multiples in ((1, 3), (1, 2, 5)):
        values = [multiple * 10.0**power for power in powers for multiple in multiples]
        inside = [value for value in values if low <= value <= high]
        if len(inside) >= 3:
            return inside
    return [float(f"{value:.2g}") for value in (low, high)]


def _round_values(low: float, high: float) -> list[float]:
    """Return multiples of the round step that is closest to a quarter of the range."""
    quarter = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(quarter))
    factors = (1, 2, 2.5, 5, 10)
    step = power * min(factors, key=lambda factor: abs(factor * power - quarter))
    first = np.ceil(low / step - 1e-9)
    values = []
    for index in range(12):
        value = (first + index) * step
        if value <= high + 1e-9 * step:
            values.append(float(f"{value:.6g}"))
    return values


def _category_axis(name: str, values: pd.Series[Any], declared: Mapping[str, Any]) -> Axis:
    keeps_none = has_none(declared)
    present: list[Any] = []
    for value in values:
        if not is_missing(value):
            present.append(value)
        elif keeps_none:
            present.append(None)
    positions_by_text: dict[str, float] = {}
    for index, text in enumerate(_ordered_categories(present, declared)):
        positions_by_text[text] = float(index)
    positions = []
    for value in values:
        if is_missing(value) and not keeps_none:
            positions.append(np.nan)
        else:
            positions.append(positions_by_text[formatting.parameter(value)])
    return Axis(
        name,
        AxisKind.CATEGORY,
        np.array(positions, dtype=float),
        ticks=[Tick(position, text) for text, position in positions_by_text.items()],
        low=0.0,
        high=float(max(1, len(positions_by_text) - 1)),
    )


def _ordered_categories(present: list[Any], declared: Mapping[str, Any]) -> list[str]:
    """Return the categories in the order of the sweep file, then others: numbers before text."""
    categories = {formatting.parameter(value): None for value in sorted(present, key=_sort_key)}
    ordered: dict[str, None] = {}
    for value in declared.get("values") or []:
        text = formatting.parameter(value)
        if text in categories:
            ordered[text] = None
    return list(ordered | categories)


def _sort_key(value: Any) -> tuple[bool, float, str]:
    number = 0.0
    if isinstance(value, int | float):
        number = value
    return isinstance(value, str), number, str(value)


def settings_per_trial(axis: Axis) -> pd.Series[str]:
    """Return the setting of each trial as text, missing if it has none.

    This is the value itself, or the quarter of the trials that contains it if there are too many
    values for the ticks of the axis.
    """
    positions = pd.Series(np.round(axis.positions, 9))
    texts = {round(tick.position, 9): tick.text for tick in axis.ticks}
    if axis.kind == AxisKind.CATEGORY or positions.dropna().isin(list(texts)).all():
        return positions.map(texts)
    quarters = pd.qcut(positions, 4, duplicates="drop")
    return quarters.map(lambda interval: _interval_text(interval, axis.kind)).astype(object)


def _interval_text(interval: pd.Interval, kind: AxisKind) -> str:
    low = interval.left
    high = interval.right
    if kind == AxisKind.LOG:
        low = 10**low
        high = 10**high
    return f"{_two_digits(low)} to {_two_digits(high)}"


def _two_digits(value: float) -> str:
    return formatting.parameter(float(f"{value:.2g}"))
