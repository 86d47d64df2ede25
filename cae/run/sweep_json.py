"""sweep.json: the resolved sweep of a run, and what its parts have to look like. Standard library only."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cae.errors import RunError
from cae.run.json_values import is_count, is_finite_number

PUBLISHED = (
    "report",
    "where",
    "quantity",
    "value",
    "unit",
    "definition",
    "provenance",
    "metric",
    "trials",
    "comment",
)
"""Columns of a file of published numbers; `quantity` and `value` have to be there. README and cae/report say what each means."""


def _rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _axes(value: Any) -> bool:
    lists = ("values", "origins")
    return isinstance(value, dict) and all(
        isinstance(axis, dict)
        and isinstance(axis.get("scale", ""), str)
        and all(axis.get(name) is None or isinstance(axis[name], list) for name in lists)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in axis.get("origins") or [])
        and all(axis.get(name) is None or is_finite_number(axis[name]) for name in ("low", "high"))
        for axis in value.values()
    )


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


CLAIMS = {
    **dict.fromkeys(("SmallestAt", "LargestAt"), ("metric", "axis", "value")),
    **dict.fromkeys(("RisesWith", "FallsWith", "MoreImportantThan"), ("metric", "axis")),
    **dict.fromkeys(("BetterThan", "NoDifference"), ("metric", "this", "that")),
    **dict.fromkeys(("SmallestRows", "LargestRows"), ("table", "column", "rows")),
    "CorrelatesWith": ("metric", "other", "sign"),
    "Compares": ("left", "op", "right"),
    "Threshold": ("metric", "op", "bound"),
}
"""What a claim of each kind has to have."""
CLAIM: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("metric", "axis", "other", "left", "right", "table", "column", "sign", "op"),
        lambda value: isinstance(value, str),
    ),
    **dict.fromkeys(
        ("this", "that", "where"), lambda value: value is None or isinstance(value, dict)
    ),
    **dict.fromkeys(
        ("rows", "others"),
        lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    ),
    **dict.fromkeys(("bound", "margin"), is_finite_number),
    "at_epoch": lambda value: value is None or is_count(value),
    "mode": lambda value: value in (None, "min", "max"),
    "epochs": lambda value: (
        value is None or (isinstance(value, list) and len(value) == 2 and all(map(is_count, value)))
    ),
}


def _claim(value: Any) -> bool:
    """A kind that is not known here is one of another version, and is said to be so."""
    needed = CLAIMS.get(value.get("kind"), ()) if isinstance(value.get("kind"), str) else ()
    return all(name in value for name in needed) and all(
        CLAIM[name](value[name]) for name in value if name in CLAIM
    )


SWEEP: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        (
            "name",
            "sweep",
            "title",
            "description",
            "file",
            "path",
            "source",
            "metric",
            "budget",
            "git_commit",
            "device",
            "command",
            "host",
        ),
        (lambda value: isinstance(value, str), "text"),
    ),
    **dict.fromkeys(("seeds", "epochs", "slots", "trials", "space"), (is_count, "a whole number")),
    "mode": (lambda value: value in ("min", "max"), "min or max"),
    "overrides": (
        lambda value: isinstance(value, dict) and _rows(list(value.values())),
        "a dictionary of dictionaries",
    ),
    "axes": (_axes, "a dictionary of axes"),
    "base": (lambda value: isinstance(value, dict), "a dictionary"),
    "scheduler": (
        lambda value: isinstance(value, dict) and isinstance(value.get("rungs", []), list),
        "a dictionary",
    ),
    "published": (
        lambda value: _rows(value) and all(map(_texts, value)),
        "a list of dictionaries of text",
    ),
    "claims": (lambda value: _rows(value) and all(map(_claim, value)), "a list of claims"),
    "versions": (_texts, "a dictionary of text"),
}
"""What the parts of sweep.json look like, and how that is said."""


@dataclass(frozen=True, kw_only=True)
class SweepDescription:
    """The resolved sweep of a run, as sweep.json holds it."""

    name: str = ""
    """Name of the run."""
    sweep: str = ""
    """Name of the sweep file without its suffix."""
    title: str = ""
    description: str = ""
    """Docstring of the sweep file."""
    file: str = ""
    """The sweep file as the command named it."""
    path: str = ""
    """Absolute path of the sweep file."""
    source: str = ""
    metric: str = "val_loss"
    """The metric by which trials are ranked."""
    mode: str = "min"
    """"min" or "max"."""
    budget: str = ""
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings that differ from the sweep's own: {key: {"full": ..., "here": ...}}."""
    axes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Keys of the search space, with their values and scale."""
    base: dict[str, Any] = field(default_factory=dict)
    """The base trial by dotted name."""
    seeds: int = 1
    epochs: int | None = None
    scheduler: dict[str, Any] | None = None
    """Name, parameters and rungs of the scheduler; None: no early stopping."""
    trials: int | None = None
    """How many trials the newest `run` requested."""
    space: int | None = None
    """How many points the search space has."""
    published: list[dict[str, str]] = field(default_factory=list)
    """Published numbers, one row each."""
    claims: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str = ""
    device: str = ""
    slots: int = 1
    """How many trials ran at the same time."""
    command: str = ""
    host: str = ""

    @property
    def rungs(self) -> list[int]:
        """The epochs at which the scheduler judges trials; empty without a scheduler."""
        if self.scheduler is None:
            return []
        return list(self.scheduler.get("rungs") or [])

    def to_json(self) -> str:
        """The text of sweep.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=str) + "\n"


def read_sweep_json(path: Path) -> SweepDescription:
    """The resolved sweep of a run. Raises RunError if it is missing or damaged.

    Missing and unknown names come from another version: missing ones have their default value,
    unknown ones are ignored.
    """
    try:
        sweep = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"{path.parent} is not a run: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    if not isinstance(sweep, dict):
        raise RunError(f"{path} cannot be read: it should hold one JSON object")
    for name, (is_valid, rule) in SWEEP.items():
        if sweep.get(name) is not None and not is_valid(sweep[name]):
            raise RunError(f"{path} cannot be read: {name} should be {rule}")
    names = {item.name for item in dataclasses.fields(SweepDescription)}
    values = {name: value for name, value in sweep.items() if name in names and value is not None}
    return SweepDescription(**values)
