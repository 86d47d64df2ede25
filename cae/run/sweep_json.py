"""sweep.json: the resolved sweep of a run. Standard library only."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cae.errors import RunError
from cae.files import check_regular
from cae.run.fields import (
    TEXT,
    Check,
    Count,
    Counts,
    InvalidField,
    Object,
    OptionalCount,
    OptionalList,
    OptionalNumber,
    Text,
    TextsByName,
    is_object,
    list_of,
    mapping_of,
    object_of,
    optional,
    parse_fields,
    present_fields,
)
from cae.run.json_values import JsonObject, is_count, without_surrogates
from cae.run.left_out import LeftOutPoints
from cae.run.metric_direction import Mode
from cae.run.published_rows import PUBLISHED_COLUMNS, PublishedRow

MAX_BYTES = 2**28
"""Size of a sweep.json that is read."""
PUBLISHED = PUBLISHED_COLUMNS
"""The columns of published numbers."""


def _is_provenance_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


def _is_epoch_range(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_count, value))


def _is_mode(value: object) -> bool:
    return value in ("min", "max")


CheckedMode = Annotated[Mode, Check('"min" or "max"', _is_mode)]


class ValueProvenance(NamedTuple):
    """Where a value of an axis comes from."""

    value: Any
    provenance: str
    """"stated" in the publication, found in its "repo", or "inferred"."""


ValueProvenances = Annotated[
    list[ValueProvenance],
    list_of(Check("a pair of a value and its provenance", _is_provenance_pair), "a list of pairs"),
]


@dataclass(frozen=True, kw_only=True)
class AxisDescription:
    """A key of the search space."""

    values: OptionalList = None
    """All values in the order of the sweep file; None for an interval."""
    low: OptionalNumber = None
    """Lower end of an interval."""
    high: OptionalNumber = None
    scale: Text = ""
    """"linear", "log" or "category"; empty: unknown."""
    origins: ValueProvenances = field(default_factory=list)
    """The provenance of each value; empty: not declared."""

    @classmethod
    def from_json(cls, axis: JsonObject) -> AxisDescription:
        """The axis that an entry of `SweepDescription.axes` describes."""
        fields = parse_fields(cls, present_fields(axis))
        pairs = fields.pop("origins", [])
        return cls(**fields, origins=[ValueProvenance(*pair) for pair in pairs])


@dataclass(frozen=True, kw_only=True)
class SchedulerDescription:
    """The scheduler of a sweep; its parameters are further fields."""

    name: Text = ""
    rungs: Counts = field(default_factory=list)
    """The epochs at which trials are judged."""


@dataclass(frozen=True, kw_only=True)
class SearchDescription:
    """The search of a sweep; its parameters are further fields."""

    name: Text = ""


@dataclass(frozen=True, kw_only=True)
class ClaimDescription:
    """The fields of claims that are checked.

    Which of them a claim has depends on its kind (see REQUIRED_CLAIM_FIELDS).
    """

    kind: Text = ""
    id: Text = ""
    text: Text = ""
    provenance: Text = ""
    metric: Text = ""
    axis: Text = ""
    other: Text = ""
    left: Text = ""
    right: Text = ""
    table: Text = ""
    column: Text = ""
    sign: Text = ""
    op: Text = ""
    this: Object = field(default_factory=dict)
    that: Object = field(default_factory=dict)
    where: Object = field(default_factory=dict)
    rows: Annotated[list[str], list_of(TEXT, "a list of text")] = field(default_factory=list)
    others: Annotated[list[str], list_of(TEXT, "a list of text")] = field(default_factory=list)
    bound: OptionalNumber = None
    margin: OptionalNumber = None
    at_epoch: OptionalCount = None
    mode: CheckedMode = "min"
    epochs: Annotated[
        tuple[int, int] | None, optional(Check("a pair of epochs", _is_epoch_range))
    ] = None


REQUIRED_CLAIM_FIELDS = {
    "SmallestAt": ("metric", "axis", "value"),
    "LargestAt": ("metric", "axis", "value"),
    "RisesWith": ("metric", "axis"),
    "FallsWith": ("metric", "axis"),
    "MoreImportantThan": ("metric", "axis"),
    "BetterThan": ("metric", "this", "that"),
    "NoDifference": ("metric", "this", "that"),
    "SmallestRows": ("table", "column", "rows"),
    "LargestRows": ("table", "column", "rows"),
    "CorrelatesWith": ("metric", "other", "sign"),
    "Compares": ("left", "op", "right"),
    "Threshold": ("metric", "op", "bound"),
}
"""Fields that a claim of each kind must have. Claims of other kinds come from another version."""


def _has_claim_fields(claim: object) -> bool:
    if not isinstance(claim, dict):
        return False
    required = REQUIRED_CLAIM_FIELDS.get(str(claim.get("kind")), ())
    return all(claim.get(name) is not None for name in required)


CLAIM = dataclasses.replace(
    object_of(ClaimDescription, "a claim with all fields of its kind"), predicate=_has_claim_fields
)
AXIS = object_of(AxisDescription, "an axis of the search space")
SEARCH = object_of(SearchDescription, "a search")
SCHEDULER = object_of(SchedulerDescription, "a scheduler")
LEFT_OUT = object_of(LeftOutPoints, "points that were left out")
OVERRIDE = Check('a dictionary with "full" and "here"', is_object)
PUBLISHED_ROW = mapping_of(TEXT, "a dictionary of text")


@dataclass(frozen=True, kw_only=True)
class SweepDescription:
    """The resolved sweep of a run, as sweep.json holds it."""

    name: Text = ""
    """Name of the run."""
    sweep: Text = ""
    """Name of the sweep file without its suffix."""
    title: Text = ""
    description: Text = ""
    """Docstring of the sweep file."""
    file: Text = ""
    """The sweep file as the command named it: a path, or the name of a sweep of the package."""
    path: Text = ""
    """Absolute path of the sweep file, to which the run belongs. Empty in a Ray job, where it is a
    temporary copy."""
    relative_path: Text = ""
    """The path of the sweep file from the folder of the run; empty for a run in a bucket."""
    source: Text = ""
    """Content of the sweep file."""
    metric: Text = "val_loss"
    """The metric by which trials are ranked."""
    mode: CheckedMode = "min"
    """Whether a smaller ("min") or a larger ("max") value of the metric is better."""
    directions: TextsByName = field(default_factory=dict)
    """"min", "max" or "none" by metric, without the split: which values are better. Empty in runs
    of versions that did not record it."""
    untrained_metrics: Annotated[list[str], list_of(TEXT, "a list of text")] = field(
        default_factory=list
    )
    """Metrics without the split, and columns of tables (`per_class:support`), that do not depend on
    training. Empty in runs of versions that did not record it."""
    budget: Text = ""
    overrides: Annotated[
        dict[str, JsonObject], mapping_of(OVERRIDE, "a dictionary of overrides")
    ] = field(default_factory=dict)
    """Settings that differ from the sweep's own: {key: {"full": ..., "here": ...}}."""
    axes: Annotated[dict[str, JsonObject], mapping_of(AXIS, "a dictionary of axes")] = field(
        default_factory=dict
    )
    """Keys of the search space; `axis_descriptions` returns them as dataclasses."""
    base: Object = field(default_factory=dict)
    """The base trial by dotted name."""
    defaults: Object = field(default_factory=dict)
    """Defaults of parameters that configurations leave out while they have them, by dotted name."""
    seeds: Count = 1
    """Number of seeds of each configuration."""
    epochs: OptionalCount = None
    """Epochs of the longest trial."""
    scheduler: Annotated[JsonObject | None, optional(SCHEDULER)] = None
    """Name, parameters and rungs of the scheduler; None: trials are not compared."""
    patience: OptionalCount = None
    """Number of epochs without an improvement after which a trial is stopped; None: never, or the
    run is of a version that did not record it."""
    worst_value: OptionalNumber = None
    """The value of the metric at which a trial is stopped if its own is worse; None as above."""
    search: Annotated[JsonObject | None, optional(SEARCH)] = None
    """Name and parameters of the search; None: all points, or some in random order."""
    trials: OptionalCount = None
    """Number of trials that the newest `run` requested."""
    space: OptionalCount = None
    """Number of points of the search space."""
    left_out: Annotated[list[JsonObject], list_of(LEFT_OUT, "a list of left out points")] = field(
        default_factory=list
    )
    """Points of the search space whose combination of values is impossible (see left_out.py)."""
    examined: OptionalCount = None
    """Number of points of the search space that were examined."""
    published: Annotated[
        list[dict[str, str]], list_of(PUBLISHED_ROW, "a list of published numbers")
    ] = field(default_factory=list)
    """Published numbers; `published_rows` returns them as dataclasses."""
    claims: Annotated[list[JsonObject], list_of(CLAIM, "a list of claims")] = field(
        default_factory=list
    )
    image_notes: Annotated[list[str], list_of(TEXT, "a list of text")] = field(default_factory=list)
    """What was done to the images: skipped files, cropping, rounding. Empty in older runs."""
    versions: TextsByName = field(default_factory=dict)
    """Versions of Python and of the libraries."""
    git_commit: Text = ""
    device: Text = ""
    slots: Count = 1
    """Number of trials that ran at the same time."""
    command: Text = ""
    session_end: Text = ""
    """Why the newest session ended: `complete`, or what ended it before; empty while it runs, after
    it was killed, and in older runs."""
    host: Text = ""
    unknown_fields: JsonObject = field(default_factory=dict)
    """Fields of a newer version: they are written back unchanged."""

    @property
    def file_name(self) -> str:
        """The name of the sweep file, with its suffix."""
        name = Path(self.file).name
        return f"{name.removesuffix('.py')}.py"

    @property
    def trials_with_suggestions(self) -> int | None:
        """Number of trials if a search suggests some of them while the sweep runs."""
        if self.search is None or not self.search.get("learns"):
            return None
        return self.trials

    @property
    def rungs(self) -> list[int]:
        """The epochs at which the scheduler judges trials; empty without a scheduler."""
        if self.scheduler is None:
            return []
        return list(self.scheduler.get("rungs") or [])

    def axis_descriptions(self) -> dict[str, AxisDescription]:
        """The axes of the search space by key, in the order of the sweep file."""
        return {key: AxisDescription.from_json(axis) for key, axis in self.axes.items()}

    def published_rows(self) -> list[PublishedRow]:
        """The published numbers, in the order of their file."""
        return [PublishedRow.from_columns(columns) for columns in self.published]

    def to_json(self) -> str:
        """The text of sweep.json.

        Raises RunError for a value that a reader would not accept.
        """
        values = dataclasses.asdict(self)
        unknown_fields = values.pop("unknown_fields")
        text = json.dumps(unknown_fields | values, indent=2, default=str) + "\n"
        try:
            parse_fields(SweepDescription, present_fields(json.loads(text)))
        except InvalidField as error:
            raise RunError(f"sweep.json cannot be written: {error}") from None
        return text


class LostSweepJson(RunError):
    """sweep.json is missing or damaged, as after a power cut. `run` writes it again."""


def read_sweep_json(path: Path) -> SweepDescription:
    """The resolved sweep of a run.

    Missing and unknown names come from another version: missing ones have their default value,
    unknown ones are kept in `unknown_fields`.

    Raises LostSweepJson if the file is missing or damaged, and RunError for one with an invalid
    value.
    """
    try:
        check_regular(path, MAX_BYTES)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise LostSweepJson(f"{path} is missing") from None
    except UnicodeDecodeError:
        raise LostSweepJson(f"{path} is damaged: it is not text") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None
    if not text.strip("\0 \r\n"):
        raise LostSweepJson(f"{path} is empty")
    try:
        values = without_surrogates(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise LostSweepJson(f"{path} is damaged: {error}") from None
    if not isinstance(values, dict):
        raise LostSweepJson(f"{path} is damaged: it should hold one JSON object")
    try:
        fields = parse_fields(SweepDescription, present_fields(values))
    except InvalidField as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    known = {item.name for item in dataclasses.fields(SweepDescription)}
    unknown_fields = {name: value for name, value in values.items() if name not in known}
    return SweepDescription(**fields, unknown_fields=unknown_fields)
