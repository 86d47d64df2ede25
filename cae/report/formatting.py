"""Numbers and phrases as reports print them.

Numbers have 4 significant digits, and text that is cut ends with an ellipsis.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from cae.report.data.cells import is_missing, to_cell

MINUTE_SECONDS = 60
HOUR_SECONDS = 3600
DAY_SECONDS = 86400


def number(value: object, digits: int = 4) -> str:
    """A number with `digits` significant digits: 0.01234, 48,000, 1.2e-05.

    Integers are printed completely. A missing value is empty, NaN is "NaN", and text is returned
    unchanged.
    """
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, str | bool):
        return str(value)
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if isinstance(value, numbers.Real):
        return _real_number(float(value), digits)
    return str(value)


def _real_number(value: float, digits: int) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        if value > 0:
            return "∞"
        return "-∞"
    size = abs(value)
    if value.is_integer() and size < 1e15:
        return f"{int(value):,}"
    if size < 1e-4:
        return f"{value:.{digits - 1}e}"
    if size >= 10**digits:
        return f"{value:,.0f}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    return f"{value:.{decimals}f}"


def parameter(value: object) -> str:
    """The value of a parameter as a user would type it: 0.001, 1e-05, 32, 16-32.

    Integers have no thousands separator, other numbers at most 4 significant digits and no
    trailing zeros. A missing value is "none".
    """
    cell = to_cell(value)
    if is_missing(cell):
        return "none"
    if isinstance(cell, numbers.Real) and not isinstance(cell, numbers.Integral | bool):
        return f"{float(cell):.4g}"
    return str(cell)


def plural(count: int, noun: str, plural_noun: str = "") -> str:
    """A count with its noun: 1 trial, 2 trials."""
    if count != 1:
        noun = plural_noun or f"{noun}s"
    return f"{count:,} {noun}"


def listed(items: Iterable[str], max_items: int = 6) -> str:
    """An enumeration: a, b and c. Items beyond `max_items` are counted: a, b and 7 more."""
    words = list(items)
    if len(words) > max_items:
        shown = max_items - 1
        words = [*words[:shown], f"{len(words) - shown} more"]
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def rows(frame: pd.DataFrame) -> list[Any]:
    """The rows of a table, with its columns as attributes and `Index`."""
    return list(frame.itertuples())


def short(text: str, max_length: int = 40) -> str:
    """Text on one line, cut to `max_length` characters; an ellipsis marks the cut."""
    text = " ".join(text.split())
    if len(text) <= max_length:
        return text
    return text[: max_length - 1] + "…"


def duration(seconds: float) -> str:
    """A duration in its two largest units: 42 s, 3 min 20 s, 5 h 12 min, 2 d 4 h."""
    if not math.isfinite(seconds):
        return "unknown"
    total = round(seconds)
    if total >= DAY_SECONDS:
        return _two_units(total, DAY_SECONDS, "d", HOUR_SECONDS, "h")
    if total >= HOUR_SECONDS:
        return _two_units(total, HOUR_SECONDS, "h", MINUTE_SECONDS, "min")
    if total >= MINUTE_SECONDS:
        return _two_units(total, MINUTE_SECONDS, "min", 1, "s")
    if seconds >= 10 or total == seconds:
        return f"{total} s"
    return f"{seconds:.1f} s"


def _two_units(seconds: int, size: int, unit: str, small_size: int, small_unit: str) -> str:
    text = f"{seconds // size} {unit}"
    rest = (seconds % size) // small_size
    if rest:
        text += f" {rest} {small_unit}"
    return text


def percent(part: float, total: float) -> str:
    """A share in percent with 2 significant digits and a non-breaking space: 3.2 %, 52 %."""
    share = 0.0
    if total:
        share = 100 * part / total
    if share >= 10 or share == 0:
        return f"{share:,.0f}\u00a0%"
    return f"{share:.2g}\u00a0%"


def sentences(parts: Sequence[str]) -> str:
    """Non-empty parts joined to one paragraph."""
    return " ".join(part for part in parts if part)
