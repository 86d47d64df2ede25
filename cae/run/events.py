"""What the files of a run look like when they are whole: one that a disk or a hand has changed is known before it is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

FINAL_STATES = ("finished", "stopped", "diverged", "failed", "oom", "killed")
"""States that `run` leaves alone unless asked to retry them."""


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


REAL = (int, float)

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NAMES: dict[tuple[str, ...], tuple[str, ...]] = {}
"""Names of metrics, each set of them once: half a million epochs would hold as many copies."""


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _number(value: Any) -> bool:
    return (
        isinstance(value, REAL) and not isinstance(value, bool) and abs(value) < 2**53
    )  # NaN and infinity are none


def _table(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) and row for row in value)


SHAPES: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("trial", "epoch", "best_epoch", "rung", "seen"), _count),
    **dict.fromkeys(("time", "value", "cutoff"), _number),
    "asked": lambda value: isinstance(value, list) and all(map(_count, value)),
    "state": lambda value: value in FINAL_STATES,
    "audit": lambda value: isinstance(value, bool),
    "needed": lambda value: isinstance(value, bool),
    "needs": lambda value: isinstance(value, dict) and all(map(_count, value.values())),
    "config": lambda value: (
        isinstance(value, dict) and _count(value.get("epochs")) and value["epochs"] > 0
    ),
    "sizes": lambda value: (
        isinstance(value, dict)
        and all(_number(size) or isinstance(size, list) for size in value.values())
    ),
    "tables": lambda value: isinstance(value, dict) and all(map(_table, value.values())),
    **dict.fromkeys(("axes", "metrics"), lambda value: isinstance(value, dict)),
    **dict.fromkeys(
        ("hash", "reason", "error", "host", "device", "gpu_ids"),
        lambda value: isinstance(value, str),
    ),
}
"""What the fields of events look like, where they are there."""
FIELDS = {
    "session": ("asked",),
    "trial": ("trial", "hash", "config", "axes", "sizes"),
    "start": ("trial", "epoch"),
    "epoch": ("trial", "epoch", "metrics"),
    "end": ("trial", "state", "reason"),
    "retry": ("trial", "epoch"),
    "spared": ("trial", "reason", "rung"),
    "alone": ("trial",),
    "close": (),
}
"""What an event of each kind has to have; `time` too."""
PLAIN_EPOCH = {"event", "time", *FIELDS["epoch"]}


def _rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _axes(value: Any) -> bool:
    lists = ("values", "origins")
    return isinstance(value, dict) and all(
        isinstance(axis, dict)
        and isinstance(axis.get("scale", ""), str)
        and all(axis.get(name) is None or isinstance(axis[name], list) for name in lists)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in axis.get("origins") or [])
        and all(axis.get(name) is None or _number(axis[name]) for name in ("low", "high"))
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
    **dict.fromkeys(("bound", "margin"), _number),
    "at_epoch": lambda value: value is None or _count(value),
    "mode": lambda value: value in (None, "min", "max"),
    "epochs": lambda value: (
        value is None or (isinstance(value, list) and len(value) == 2 and all(map(_count, value)))
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
    **dict.fromkeys(("seeds", "epochs", "slots", "trials", "space"), (_count, "a whole number")),
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


def is_event(event: Any) -> bool:
    """Whether it is an event as a journal has them."""
    if (
        isinstance(event, dict) and event.get("event") == "epoch" and event.keys() == PLAIN_EPOCH
    ):  # nearly all are: no loop for them
        return (
            _count(event["trial"])
            and _count(event["epoch"])
            and _number(event["time"])
            and isinstance(event["metrics"], dict)
        )
    if (
        not isinstance(event, dict)
        or not isinstance(kind := event.get("event"), str)
        or kind not in FIELDS
    ):
        return False
    return all(name in event for name in ("time", *FIELDS[kind])) and all(
        SHAPES[name](event[name]) for name in event if name in SHAPES
    )


def finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as they were before they were written: "NaN" and its kin are floats again."""
    if set(map(type, metrics.values())) <= {int, float}:
        names = tuple(metrics)
        return dict(zip(_NAMES.setdefault(names, names), metrics.values(), strict=True))
    return {
        name: value if isinstance(value, int | float) else NON_FINITE.get(str(value), math.nan)
        for name, value in metrics.items()
    }
