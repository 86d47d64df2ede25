"""A section of the page, and the tables inside it."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results


@dataclass
class Section:
    """`verdict` is one short paragraph of plain text, and all there is where `empty`. `data` is what the template of this id prints."""

    id: str
    title: str
    verdict: str
    empty: bool = False
    how: str = ""
    """How the section was computed: what went in, what was left out and why."""
    charts: dict[str, str] = field(default_factory=dict)
    """Accessible names, by the names of `figures.FIGURES`."""
    data: dict[str, Any] = field(default_factory=dict)


class Cell(NamedTuple):
    text: str
    exact: str
    """The number behind a rounded text, to sort by; "" where the text says all."""
    number: bool


class Table(NamedTuple):
    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    constant: list[bool]
    """Columns that hold one value in all rows; the page hides them until asked."""
    numeric: list[bool]
    keys: Sequence[int] = ()
    """Of each row the trial that it is about, as the charts and the address know it; empty where rows are no trials."""


def cell(value: Any, *, typed: bool = False) -> Cell:
    """A value as the page prints it. `typed` values are parameters: printed as people write them, not rounded for reading."""
    if value is None or value is pd.NA or value is pd.NaT:
        return Cell("", "", False)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        text = (
            formatting.parameter(value)
            if typed and not math.isnan(float(value))
            else formatting.number(value)
        )
        finite = math.isfinite(float(value))
        return Cell(
            text if finite else "" if math.isnan(float(value)) else text,
            _exact(value, text) if finite else "",
            True,
        )
    return Cell(formatting.short(str(value), 160), "", False)


def _exact(value: Any, text: str) -> str:
    """The number in full, where the text rounds it."""
    full = str(value) if isinstance(value, numbers.Integral) else repr(float(value))
    return "" if float(text.replace(",", "").replace("e", "E")) == float(full) else full


def table(
    caption: str,
    frame: pd.DataFrame,
    *,
    typed: Sequence[str] = (),
    names: dict[str, str] | None = None,
    keyed: bool = False,
) -> Table:
    """A frame as a table of the page. `names` gives some columns a heading of their own; the index of one that is `keyed` is that of
    the table of trials."""
    columns = [
        [cell(value, typed=name in typed) for value in frame[name].tolist()] for name in frame
    ]
    headings = [(names or {}).get(str(name), str(name)) for name in frame]
    constant = [
        len(frame) > 1 and len({(item.text, item.exact) for item in column}) == 1
        for column in columns
    ]
    numeric = [
        any(item.number for item in column) and all(item.number or not item.text for item in column)
        for column in columns
    ]
    keys = [int(index) for index in frame.index] if keyed else []
    return Table(
        caption,
        headings,
        [list(row) for row in zip(*columns, strict=True)],
        constant,
        numeric,
        keys,
    )


def typed_columns(results: Results) -> list[str]:
    """Columns that hold what people typed (parameters of the configuration), and numbers that name something (a seed)."""
    config = {
        name for run in results.runs for record in run.records.values() for name in record.config
    }
    return [*config, *results.axes, "trial", "seed"]


def better(results: Results) -> str:
    return "lower" if results.mode == "min" else "higher"
