"""The comment that starts a section of the Markdown file, and what the file's top needs of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from cae.run.formatting import CONTROL_CHARACTERS

HEADER = re.compile(r"^<!-- run (\{.*\}) -->$", re.MULTILINE)
RULE = "2026-11-28"
"""Since when published numbers are judged by the present rule."""
OLD_RULE_NOTE = f"*Journal not archived; judged by the rule of before {RULE}.*"
"""The line below the header of a section that an earlier version wrote."""


class TestedClaim(NamedTuple):
    """A row of the table of tested claims."""

    claim: str
    verdict: str
    effect: str
    """With its 95 % interval."""
    p_value: float


class JudgedClaim(NamedTuple):
    """What the score of a report needs of a claim."""

    id: str
    provenance: str
    verdict: str
    p_value: float | None
    """None: not tested, or decided without a test."""
    seeds: int
    has_own_settings: bool
    """Whether the run has the settings of the report."""


class SectionHeader(NamedTuple):
    """What the tables at the top of the file need of a section; a comment before its text."""

    run: str
    report: str
    row: list[str]
    """The row of the table of runs, after report and run."""
    numbers: list[list[str]]
    """Rows of the table of comparable numbers: quantity, published, ours, seeds, verdict."""
    digest: str
    """Hash of the text, to notice changes by hand."""
    claims: Sequence[TestedClaim] = ()
    """Claims with a p value; none in sections that earlier versions wrote."""
    judged: Sequence[JudgedClaim] = ()
    """All claims; none in sections that earlier versions wrote."""
    rule: str = ""
    """Since when the rule applies by which the numbers were judged; empty: an earlier rule."""
    archive: str = ""
    """Name of the file that holds the run's journal; empty: the run was a folder."""

    @property
    def is_by_old_rule(self) -> bool:
        return not self.rule

    def to_comment(self) -> str:
        text = json.dumps(self._asdict(), ensure_ascii=False).replace(">", "\\u003e")
        text = CONTROL_CHARACTERS.sub(lambda match: json.dumps(match[0])[1:-1], text)
        return f"<!-- run {text} -->"


class RunSection(NamedTuple):
    header: SectionHeader
    text: str

    def to_markdown(self) -> str:
        """The header, a note if the section is old, and the text."""
        if self.header.is_by_old_rule:
            return f"{self.header.to_comment()}\n{OLD_RULE_NOTE}\n\n{self.text}"
        return f"{self.header.to_comment()}\n{self.text}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
