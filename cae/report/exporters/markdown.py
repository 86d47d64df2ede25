"""Published numbers and claims beside ours, of many runs, in one file: docs/reproduction.md.

`write` writes the sections of the runs it gets, and keeps the sections of other runs that the file
contains, so that results of many days and machines are collected. Nothing in the file is written
by hand: the tables at its top are made from the comments that start the sections.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cae.errors import UserError
from cae.files import check_output, write_output
from cae.report.data import tables
from cae.report.exporters.markdown_header import (
    HEADER,
    OLD_RULE_NOTE,
    JudgedClaim,
    RunSection,
    SectionHeader,
    TestedClaim,
    digest,
)
from cae.report.exporters.markdown_section import make_section
from cae.report.exporters.markdown_top import OWN_TITLE, TITLE, top
from cae.run.paths import RunDir

OLD_TITLE = "# What the reports say, and what came out"
"""Files with this title were written by earlier versions."""
NO_ARCHIVES: Mapping[str, str] = {}


def write(runs: list[RunDir], path: Path, archives: Mapping[str, str] = NO_ARCHIVES) -> Path:
    """Write the file, completely or not at all.

    Raises RunError if a folder is not a run, UserError if the file was not written by this command.

    Args:
        runs: The runs whose sections are written anew.
        path: The file.
        archives: Names of the files from which runs were unpacked, by location.
    """
    check_output(path)
    sections: dict[str, RunSection] = {}
    if path.exists():
        sections = _read_sections(path)
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"--markdown {path}: two runs are named {name}, and each name has one section: "
                "leave one out"
            )
    for run in runs:
        section = make_section(tables.read([run]), archives.get(run.location(), ""))
        sections[section.header.run] = section
    ordered = sorted(sections.values(), key=_sort_key)
    blocks = top([section.header for section in ordered])
    blocks += [section.to_markdown() for section in ordered]
    write_output(path, "\n\n".join(blocks) + "\n")
    return path


def _sort_key(section: RunSection) -> tuple[str, str]:
    """Sort by report, then by run; runs without a report are last."""
    return section.header.report or "~", section.header.run


def _read_sections(path: Path) -> dict[str, RunSection]:
    """Return the sections of a file by the names of their runs. Raises UserError."""
    text = path.read_text(encoding="utf-8")
    if not text.startswith((TITLE, OWN_TITLE, OLD_TITLE)):
        raise UserError(
            f"--markdown {path}: the file exists and was not written by this command; choose "
            "another name"
        )
    _, *parts = HEADER.split(text)
    sections: dict[str, RunSection] = {}
    for comment, body in zip(parts[::2], parts[1::2], strict=True):
        try:
            header = _parse_header(comment)
        except (ValueError, TypeError) as error:
            raise UserError(
                f"--markdown {path}: the comment before a section cannot be read ({error}); delete "
                "the file and name all runs again"
            ) from None
        section = body.strip().removeprefix(OLD_RULE_NOTE).strip()
        if header.digest != digest(section):
            raise UserError(
                f"--markdown {path}: the section of {header.run} was changed by hand; delete the "
                "file and name all runs again"
            )
        sections[header.run] = RunSection(header, section)
    return sections


def _parse_header(comment: str) -> SectionHeader:
    """Return the header that a comment holds. Raises ValueError or TypeError."""
    header = SectionHeader(**json.loads(comment))
    return header._replace(
        claims=[TestedClaim(*claim) for claim in header.claims],
        judged=[JudgedClaim(*claim) for claim in header.judged],
    )
