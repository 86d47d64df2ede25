"""Tables and code blocks of Markdown, whose text cannot leave its place."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cae.run.markdown import escaped, one_line


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the text of the rows is escaped."""
    lines = [list(columns), ["---"] * len(columns)]
    for row in rows:
        lines.append([escaped(text) for text in row])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code_block(*commands: str) -> str:
    """Commands as a block of code. They cannot end the block, nor be the header of a section."""
    lines: list[str] = []
    longest = 0
    for command in commands:
        line = one_line(command)
        if line.startswith("<"):
            line = f" {line}"
        lines.append(line)
        for ticks in re.findall("`+", line):
            longest = max(longest, len(ticks))
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}sh", *lines, fence])


def table_without_empty_columns(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without columns in which every cell is empty or "none"."""
    used: list[int] = []
    for index in range(len(columns)):
        if any(row[index] not in ("", "none") for row in rows):
            used.append(index)
    kept_rows = [[row[index] for index in used] for row in rows]
    return table([columns[index] for index in used], kept_rows)
