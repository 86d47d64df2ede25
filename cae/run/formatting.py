"""Text for values and durations in the terminal. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Those that terminals obey, except line feeds and tabs, and those that reverse the order of the
text after them."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t")
"""Of a text that spreadsheets compute."""


def format_duration(seconds: float | None) -> str:
    """A duration as text: `42 s`, `3 min 20 s`, `2 h 05 min`; `unknown` if it is None."""
    if seconds is None:
        return "unknown"
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"


def format_value(value: object) -> str:
    """A value as text: floats with four significant digits, lists and tuples as `16-32-64`."""
    if isinstance(value, list | tuple):
        return "-".join(map(format_value, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def format_axes(axes: Mapping[str, object]) -> str:
    """The values of a trial's axes as text: `kernel_size=3 padding=same`."""
    return " ".join(f"{key.split('.', 1)[-1]}={format_value(value)}" for key, value in axes.items())


def visible(text: str) -> str:
    r"""Show control characters as `\x1b`: names, reasons and logs of others may contain commands
    for the terminal."""
    return CONTROL_CHARACTERS.sub(lambda match: ascii(match[0])[1:-1], text)


def spreadsheet_text(text: str) -> str:
    """Text for a cell of a CSV file.

    A text that a spreadsheet would take for a formula starts with an apostrophe, as spreadsheets
    show text; control characters are shown.
    """
    shown = visible(text)
    if shown.startswith(FORMULA_STARTS) and not _is_number(shown):
        return f"'{shown}"
    return shown


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def count_of(count: int, noun: str) -> str:
    """ "1 trial", "12 trials"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}s"
