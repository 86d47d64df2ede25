"""Text inside Markdown, so that it is shown as it is. Standard library only."""

from __future__ import annotations

import re

from cae.run.formatting import visible

SPECIAL = re.compile(r"[\\|\[\]*]")
"""Characters with a meaning in text, and the end of a cell."""


class Markdown(str):
    """Text that is Markdown already: `escaped` leaves it as it is."""

    __slots__ = ()


def escaped(text: str) -> str:
    """Escape text of a sweep file, so that it is no link, no emphasis, no HTML, and stays in its
    cell. Code between backticks remains code."""
    if isinstance(text, Markdown):
        return text
    line = one_line(text)
    parts = line.split("`")
    code = parts[1::2]
    # With runs of several backticks, other parts would be code.
    if len(parts) % 2 == 0 or "``" in line or any("\\" in part for part in code):
        return _escape(line).replace("`", "\\`")
    for index, part in enumerate(parts):
        if index % 2:
            parts[index] = part.replace("|", "\\|")
        else:
            parts[index] = _escape(part)
    return "`".join(parts)


def _escape(text: str) -> str:
    return SPECIAL.sub(r"\\\g<0>", text).replace("<", "&lt;")


def one_line(text: str) -> str:
    """Text in one line, with visible control characters."""
    return visible(" ".join(text.split()))
