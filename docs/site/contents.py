"""The pages of the site and their order: the links of docs/README.md."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

HEADING = re.compile(r"## (?P<text>.+)")
PAGE = re.compile(r"- \[(?P<title>[^\]]+)\]\((?P<path>[^)#]+\.(?:md|ipynb))\)")


@dataclass(frozen=True)
class Entry:
    """A page: its title in the navigation, and its file, relative to the root of the repository."""

    title: str
    file: str


def sections(contents: Path) -> dict[str, list[Entry]]:
    """Return the pages of each section."""
    entries: dict[str, list[Entry]] = {}
    heading = ""
    for line in contents.read_text().splitlines():
        section = HEADING.fullmatch(line)
        if section:
            heading = section["text"]
            entries[heading] = []
        page = PAGE.match(line)
        if page:
            file = posixpath.normpath(posixpath.join("docs", page["path"]))
            entries[heading].append(Entry(page["title"], file))
    return entries


def pages(contents: Path) -> list[str]:
    """Return all files of the contents."""
    files: list[str] = []
    for entries in sections(contents).values():
        files += [entry.file for entry in entries]
    return files


def toctrees(contents: Path) -> str:
    """Return directives that make the contents the navigation of the site."""
    parts = ["\n```{toctree}\n:hidden:\n\n/docs/README\n```\n"]
    for heading, entries in sections(contents).items():
        lines = [f"{entry.title} </{posixpath.splitext(entry.file)[0]}>" for entry in entries]
        listed = "\n".join(lines)
        parts.append(f"\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{listed}\n```\n")
    return "".join(parts)
