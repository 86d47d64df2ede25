"""verdicts.json: what the report concludes, for other programs. Standard library only."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cae.errors import RunError
from cae.files import check_regular
from cae.run.fields import (
    TEXT,
    Count,
    Counts,
    Flag,
    InvalidField,
    Object,
    OptionalList,
    OptionalNumber,
    Text,
    TextsByName,
    list_of,
    object_of,
    parse_fields,
    parse_record,
    present_fields,
)
from cae.run.json_values import JsonObject
from cae.run.published_rows import PublishedRow

Texts = Annotated[list[str], list_of(TEXT, "a list of text")]


@dataclass(frozen=True, kw_only=True)
class PublishedVerdict(PublishedRow):
    """A published number beside the measurement of this run."""

    run: Text
    """Name of the run."""
    verdict: Text
    """"reproduced", "better", "worse", "differs", "inconclusive", "one seed", "equal", "not
    comparable", "not run" or "context"."""
    why: Text = ""
    """The reason of the verdict: a sentence."""
    size: Flag = False
    """Whether the number is a size of the network, which no seed, image or epoch changes."""
    setting: Flag = False
    """Whether it is a setting, or a metric that does not depend on training."""
    compared: Flag = False
    """Whether it counts among the numbers that are compared with the report's."""
    ours: OptionalNumber = None
    """The mean over the seeds of one configuration; None: not measured."""
    sd: OptionalNumber = None
    """Standard deviation (n - 1) over the seeds; None for a single seed."""
    n: Count = 0
    """Number of seeds."""
    trials_used: Counts = field(default_factory=list)
    tolerance: OptionalNumber = None
    """Half of the 95 % interval of the difference, rounding included: larger ones are
    significant."""


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict:
    """A claim, judged by a statistical test of this run's trials."""

    run: Text
    """Name of the run."""
    id: Text
    kind: Text = ""
    text: Text = ""
    """The claim as a sentence."""
    provenance: Text = ""
    """"stated", "repo" or "inferred"."""
    test: Text = ""
    """Name of the test; empty or "none" if there was none."""
    statistic: OptionalNumber = None
    p: OptionalNumber = None
    q: OptionalNumber = None
    """p, corrected for the number of claims that were judged together (Benjamini-Hochberg)."""
    effect: Text = ""
    """What `size` measures."""
    size: OptionalNumber = None
    """Size of the effect."""
    interval: OptionalList = None
    """Its 95 % interval: two numbers; None: not tested."""
    n: Count = 0
    """Number of trials."""
    seeds: Count = 0
    """Smallest number of seeds of a configuration."""
    verdict: Text
    """"supported", "contradicted", "undecided" or "not testable"."""
    why: Text = ""
    """The reason of the verdict: a sentence."""
    differs: Text = ""
    """Settings that differ from the publication's, in words."""
    trials_used: Counts = field(default_factory=list)
    groups: Texts = field(default_factory=list)
    """Labels of the comparability groups of these trials; empty if nothing was tested."""
    explanation: Text = ""
    """Why the runs contradict the claim; empty: unexplained."""
    need: Text = ""
    """What would decide the claim: "nothing" (it is decided), "seeds", "first seeds", "many seeds",
    "no effect", "no spread", "points", "trials", "own settings" or "impossible"."""
    more_seeds: Count = 0
    """An estimate of the seeds per configuration that the run lacks."""
    seeds_needed: Count = 0
    """The same with those that there are."""
    seconds_needed: OptionalNumber = None
    """Training time of the new trials; None: not known."""
    commands: Texts = field(default_factory=list)
    """Commands that add the seeds."""


_PUBLISHED_VERDICTS = list_of(
    object_of(PublishedVerdict, "a published number with `run` and `verdict`"),
    "a list of published numbers",
)
_CLAIM_VERDICTS = list_of(
    object_of(ClaimVerdict, "a claim with `run`, `id` and `verdict`"), "a list of claims"
)


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The content of verdicts.json."""

    sections: TextsByName = field(default_factory=dict)
    """The answer of each section of the page: a sentence, by the section's id."""
    counts: Object = field(default_factory=dict)
    """How many `numbers`, `sizes_and_settings` and `claims` have each verdict, and the `score` of
    the claims: counts, and a `value` from 0 to 1 (see docs/page.md)."""
    published: Annotated[list[PublishedVerdict], _PUBLISHED_VERDICTS] = field(default_factory=list)
    claims: Annotated[list[ClaimVerdict], _CLAIM_VERDICTS] = field(default_factory=list)

    def to_json(self) -> str:
        """The text of verdicts.json: numbers that are not finite become null.

        Raises InvalidField for a value that a reader would not accept.
        """
        content = {
            "sections": self.sections,
            "counts": self.counts,
            "published": [_published_fields(row) for row in self.published],
            "claims": [_finite_fields(dataclasses.asdict(claim)) for claim in self.claims],
        }
        parse_fields(Verdicts, content)
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _published_fields(row: PublishedVerdict) -> JsonObject:
    fields = dataclasses.asdict(row)
    other_columns: JsonObject = fields.pop("other_columns")
    return other_columns | _finite_fields(fields)


def _finite_fields(fields: JsonObject) -> JsonObject:
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            fields[name] = None
    return fields


def read_verdicts(path: Path) -> Verdicts:
    """The content of verdicts.json. Raises RunError if it is missing or damaged.

    Unknown fields come from a newer version and are ignored.
    """
    try:
        check_regular(path)
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise RunError(f"{path} cannot be read: it should hold one JSON object")
    try:
        fields = parse_fields(Verdicts, present_fields(content))
    except InvalidField as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    published = fields.get("published", [])
    claims = fields.get("claims", [])
    return Verdicts(
        sections=fields.get("sections", {}),
        counts=fields.get("counts", {}),
        published=[parse_record(PublishedVerdict, present_fields(row)) for row in published],
        claims=[parse_record(ClaimVerdict, present_fields(row)) for row in claims],
    )
