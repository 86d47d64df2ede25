"""What a report claims, as declarations of a sweep file: `claims=[SmallestAt(id="C002-3", text=..., metric="val_loss", ...)]`.

A claim names what decides it, not how it came out: cae/report/statistics/claims.py judges it from the run's trials, by a statistical test.

    metric                  a column of trials.csv: `val_loss` at the best epoch, `last_val_loss`, `test_loss`, `parameters`
    axis                    a parameter by its dotted name, or another column of trials.csv
    where, this, that       conditions, dotted names to values: {"arch.kernel_size": 3, "arch.encoder_filters.2": 16}
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Len
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from cae.trial.component import collect_error
from cae.trial.config import Trial


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("should not be empty")
    return " ".join(text.split())


def _a_list(given: Any) -> Any:
    return list(given) if isinstance(given, tuple) else given


Words = Annotated[str, AfterValidator(_said)]
Names = Annotated[list[Words], BeforeValidator(_a_list)]
Conditions = dict[Words, bool | int | float | str | list[Any] | tuple[Any, ...] | None]
"""Dotted names and the values that a trial must have for all of them. A tuple is one value: that of a parameter which is a tuple."""


class Claim(BaseModel):
    """What all claims have. `text` is the claim in our words, one sentence; `provenance` says where it stands: the report states
    it, the author's code or logs show it (`repo`), or it is inferred from either."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers are to see the fields

        def __init__(self, **given: Any) -> None:
            try:
                super().__init__(**given)
            except ValidationError as error:
                count = collect_error(
                    error, sys._getframe(1).f_lineno
                )  # of the sweep file, which is read to its end for its other mistakes
                blank = type(self).model_construct(id=f"mistake {count}", text="")
                for name in (
                    "__dict__",
                    "__pydantic_fields_set__",
                    "__pydantic_extra__",
                    "__pydantic_private__",
                ):
                    object.__setattr__(self, name, getattr(blank, name))

    id: Words
    text: Words
    provenance: Literal["stated", "repo", "inferred"] = "stated"

    @model_validator(mode="after")
    def _rules(self) -> Claim:
        if type(self) is Claim:
            raise ValueError(
                f"Claim: a claim is of one of these kinds: {', '.join(kind.__name__ for kind in KINDS)}"
            )
        if mistake := self.mistake():
            raise ValueError(f"{type(self).__name__} {self.id}: {mistake}")
        return self

    def mistake(self) -> str:
        """What is wrong between parameters that are each right; "" where nothing is."""
        return ""

    def described(self) -> dict[str, Any]:
        """The claim as sweep.json has it."""
        return {"kind": type(self).__name__, **self.model_dump(mode="json")}

    def parameters(self) -> list[str]:
        """The dotted names that this claim speaks of."""
        names: list[str] = []
        for name in ("axis", "other", "others", "where", "this", "that"):
            given = getattr(self, name, ())  # a stand-in for a mistaken claim lacks some
            names += [given] if isinstance(given, str) else list(given)
        return [name for name in dict.fromkeys(names) if "." in name]


class SmallestAt(Claim):
    """The mean of a metric is smaller at one value of an axis than at every other value."""

    metric: Words
    axis: Words
    value: bool | int | float | str | list[Any] | tuple[Any, ...]
    where: Conditions = {}


class LargestAt(SmallestAt):
    """The mean of a metric is larger at one value of an axis than at every other value."""


class _OverTrials(Claim):
    at_epoch: PositiveInt | None = None
    """The metric at this epoch, in every trial that reached it, whether it was stopped later or not. None: in finished trials, at
    their best epoch. Under early stopping few trials finish, and those are not any trials."""


class RisesWith(_OverTrials):
    """A metric rises with an axis of numbers."""

    metric: Words
    axis: Words
    where: Conditions = {}


class FallsWith(RisesWith):
    """A metric falls as an axis of numbers rises."""


class _Arms(Claim):
    metric: Words
    this: Conditions
    that: Conditions
    where: Conditions = {}
    """Conditions of both sides."""

    def mistake(self) -> str:
        if not self.this and not self.that:
            return "this and that should not both be empty"
        return "this and that should differ" if self.this == self.that else ""


class BetterThan(_Arms):
    """A metric is better (by more than `margin`, in its own unit) in the trials of `this` than in those of `that`."""

    margin: NonNegativeFloat = 0.0
    mode: Literal["min", "max"] | None = None
    """Whether less or more is better. None: as the sweep says of its own metric, or as the metric's name says (loss, accuracy)."""


class NoDifference(_Arms):
    """The means of two sides are closer to each other than `margin`, in the metric's own unit."""

    margin: PositiveFloat


class CorrelatesWith(_OverTrials):
    """A metric goes along with another metric or with an axis, over trials."""

    metric: Words
    other: Words
    sign: Literal["positive", "negative"]
    where: Conditions = {}

    def mistake(self) -> str:
        return (
            f"other should not be {self.other}, which is the metric itself"
            if self.metric == self.other
            else ""
        )


class MoreImportantThan(_OverTrials):
    """An axis explains more of a metric than each of the others does; without `others`, than every other one that varies."""

    axis: Words
    metric: Words
    others: Names = []
    where: Conditions = {}

    def mistake(self) -> str:
        return (
            f"others should not name {self.axis}, the axis itself"
            if self.axis in self.others
            else ""
        )


class Compares(Claim):
    """One metric is below or above another one in the same trial, at its best epoch or over `epochs` (the first and the last of them)."""

    left: Words
    op: Literal["<", ">"]
    right: Words
    epochs: tuple[PositiveInt, PositiveInt] | None = None
    where: Conditions = {}

    def mistake(self) -> str:
        if self.left == self.right:
            return f"left and right are both {self.left}"
        return (
            "epochs should be the first and the last one, as (1, 8)"
            if self.epochs and self.epochs[0] > self.epochs[1]
            else ""
        )


class Threshold(Claim):
    """A metric is beyond a bound, in the best configuration that meets `where`."""

    metric: Words
    op: Literal["<", "<=", ">", ">="]
    bound: float
    as_published: bool = False
    """The bound is a number that the report measured: under other settings than the report's, nothing is compared with it."""
    where: Conditions = {}


class SmallestRows(Claim):
    """In a table of every trial (`per_class`, say), a column is smaller in each of some rows than in every other row.

    Seeds are what repeats: within one trial the rows of a table are one observation, however many images are behind each.
    """

    table: Words
    column: Words
    rows: Annotated[Names, Len(1)]
    """What stands in the first column of the table, in these rows."""
    where: Conditions = {}


class LargestRows(SmallestRows):
    """In a table of every trial, a column is larger in each of some rows than in every other row."""


class NotTestable(Claim):
    """Nothing in a run can decide it, for a reason that is given."""

    reason: Words


KINDS: tuple[type[Claim], ...] = (
    SmallestAt,
    LargestAt,
    RisesWith,
    FallsWith,
    BetterThan,
    NoDifference,
    CorrelatesWith,
    MoreImportantThan,
    Compares,
    Threshold,
    SmallestRows,
    LargestRows,
    NotTestable,
)


def mistakes(claims: Sequence[Claim], names: Iterable[str]) -> list[str]:
    """What is wrong among the claims of a sweep: ids that stand twice, dotted names that no part has. `names`: those of its own."""
    ids = [claim.id for claim in claims]
    told = [
        f"claims: {ids.count(one)} of them have the id {one!r}"
        for one in dict.fromkeys(ids)
        if ids.count(one) > 1
    ]
    known = {
        *names,
        *(
            f"{kind}.{name}"
            for kind, part in Trial.COMPONENTS.items()
            for one in part.registry.values()
            for name in one.model_fields
        ),
    }
    for claim in claims:
        for name in claim.parameters():
            parent, _, element = name.rpartition(".")
            if not (element.isdecimal() and parent in known) and (mistake := unknown(name, known)):
                told.append(f"claims: {claim.id}: {mistake}")
    return told


def unknown(name: str, known: Iterable[str]) -> str:
    """What is wrong with the name of a parameter; "" where nothing is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return (
        ""
        if name in names
        else f"{name} is no parameter" + (f"; did you mean {close[0]}?" if close else "")
    )
