"""Numbers and phrases as the page prints them: 4 significant digits, plain words, nothing cut without a mark."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd


def number(value: Any, digits: int = 4) -> str:
    """A number with `digits` significant digits: 0.01234, 48,000, 1.2e-05. "NaN" where it is none, "" where it is missing.

    Whole numbers are printed whole; text comes back as it is.
    """
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, str | bool):
        return str(value)
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if not isinstance(value, numbers.Real):
        return str(value)
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value.is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if 1e-4 <= abs(value) < 10**digits:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:.{decimals}f}"
    return f"{value:.{digits - 1}e}" if abs(value) < 1e-4 else f"{value:,.0f}"


def parameter(value: Any) -> str:
    """A parameter's value as people type it: 0.001, 1e-05, 32 (never 1,000 or 0.00100); sampled ones to 4 significant digits."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral | bool):
        return f"{float(value):.4g}"
    return str(value)


def plural(count: int, noun: str, many: str = "") -> str:
    """1 trial, 2 trials."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def listed(items: Iterable[str], most: int = 6) -> str:
    """a, b and c; the rest beyond `most` is counted."""
    words = list(items)
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return (
        words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
    )


def rows(frame: pd.DataFrame) -> list[Any]:
    """The rows of a table, with its columns as attributes and `Index`."""
    return list(frame.itertuples())


def short(text: str, most: int = 40) -> str:
    """Text cut to `most` characters, the cut marked by an ellipsis."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def duration(seconds: float) -> str:
    """42 s, 3 min 20 s, 5 h 12 min, 2 d 4 h."""
    if not math.isfinite(seconds):
        return "unknown"
    total = round(seconds)
    if total < 60:
        return f"{total} s" if seconds >= 10 or total == seconds else f"{seconds:.1f} s"
    for size, unit, below, part in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if total >= size:
            rest = (total % size) // below
            return f"{total // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{total} s"


def percent(part: float, whole: float) -> str:
    """A share in percent with 2 significant digits: 3.2 %, 52 %. The space does not break."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:,.0f}\u00a0%" if share >= 10 or share == 0 else f"{share:.2g}\u00a0%"


def sentences(parts: Sequence[str]) -> str:
    """Non-empty parts joined as one paragraph."""
    return " ".join(part for part in parts if part)
