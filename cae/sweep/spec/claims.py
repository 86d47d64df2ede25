"""Claims of a report, as declarations in a sweep file.

For example `claims=[SmallestAt(id="C002-3", text=..., metric="val_loss", ...)]`. A claim declares
what decides it, not its result: cae/report/statistics judges it from the run's trials with a
statistical test.

    metric              a column of trials.csv: `val_loss` at the best epoch, `last_val_loss`,
                        `test_loss`, `parameters`
    axis                a parameter by its dotted name, or another column of trials.csv
    where, this, that   conditions, values by dotted name:
                        {"arch.kernel_size": 3, "arch.encoder_filters.2": 16}
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
from typing_extensions import override

from cae.run.metric_direction import Mode
from cae.trial.component import INSTANCE_STATE, collect_error
from cae.trial.config import Trial


def _normalize_text(text: str) -> str:
    if not text.strip():
        raise ValueError("should not be empty")
    return " ".join(text.split())


def _tuple_to_list(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value


Text = Annotated[str, AfterValidator(_normalize_text)]
Names = Annotated[list[Text], BeforeValidator(_tuple_to_list)]
Conditions = dict[Text, bool | int | float | str | list[Any] | tuple[Any, ...] | None]
"""Dotted names and the values that a trial needs for all of them. A tuple is one value, of a
parameter that is a tuple."""


class Claim(BaseModel):
    """What all claims have."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
    )

    if not TYPE_CHECKING:  # type checkers see the fields

        def __init__(self, **parameters: Any) -> None:
            """Collect the errors of a sweep file that is being read; its other errors follow."""
            try:
                super().__init__(**parameters)
            except ValidationError as error:
                count = collect_error(error, sys._getframe(1).f_lineno)
                blank = type(self).model_construct(id=f"error {count}", text="")
                for name in INSTANCE_STATE:
                    object.__setattr__(self, name, getattr(blank, name))

    id: Text
    """Unique among the claims of the sweep."""
    text: Text
    """The claim in one sentence."""
    provenance: Literal["stated", "repo", "inferred"] = "stated"
    """`stated` in the report, shown by its author's code or logs (`repo`), or `inferred` from
    either."""
    explanation: str = ""
    """Why the runs contradict the claim, and what was tested for that. Reports show it if they do.
    Empty: unexplained."""

    @model_validator(mode="after")
    def _check(self) -> Claim:
        if type(self) is Claim:
            names = ", ".join(kind.__name__ for kind in KINDS)
            raise ValueError(f"Claim: should be one of {names}")
        error = self.invalid_combination()
        if error:
            raise ValueError(f"{type(self).__name__} {self.id}: {error}")
        return self

    def invalid_combination(self) -> str:
        """What is wrong between parameters that are valid one by one; empty if nothing is."""
        return ""

    def described(self) -> dict[str, Any]:
        """The claim as sweep.json contains it."""
        return {"kind": type(self).__name__, **self.model_dump(mode="json")}

    def parameters(self) -> list[str]:
        """The dotted names that the claim uses."""
        names: list[str] = []
        for field in ("axis", "other", "others", "where", "this", "that"):
            value = getattr(self, field, ())  # an invalid claim lacks some fields
            if isinstance(value, str):
                names.append(value)
            else:
                names += value
        return [name for name in dict.fromkeys(names) if "." in name]


class SmallestAt(Claim):
    """The mean of a metric is smaller at one value of an axis than at every other value."""

    metric: Text
    """A column of trials.csv."""
    axis: Text
    """Dotted name of the parameter."""
    value: bool | int | float | str | list[Any] | tuple[Any, ...]
    """The value at which the metric is smallest (or largest)."""
    where: Conditions = {}
    """Only trials with these values."""


class LargestAt(SmallestAt):
    """The mean of a metric is larger at one value of an axis than at every other value."""


class _OverTrials(Claim):
    at_epoch: PositiveInt | None = None
    """The metric at this epoch in every trial that reached it, whether it was stopped later or not.
    None: in finished trials at their best epoch. With early stopping few trials finish, and
    those are not a random sample."""


class RisesWith(_OverTrials):
    """A metric rises with a numeric axis."""

    metric: Text
    """A column of trials.csv."""
    axis: Text
    """Dotted name of the parameter."""
    where: Conditions = {}
    """Only trials with these values."""


class FallsWith(RisesWith):
    """A metric falls as a numeric axis rises."""


class _TwoGroups(Claim):
    metric: Text
    """A column of trials.csv."""
    this: Conditions
    """Conditions of the first group of trials."""
    that: Conditions
    """Conditions of the second group of trials."""
    where: Conditions = {}
    """Conditions of both groups."""

    @override
    def invalid_combination(self) -> str:
        if not self.this and not self.that:
            return "this and that should not both be empty"
        if self.this == self.that:
            return "this and that should differ"
        return ""


class BetterThan(_TwoGroups):
    """A metric is better in the trials of `this` than in those of `that`."""

    margin: NonNegativeFloat = 0.0
    """By more than this, in the unit of the metric."""
    mode: Mode | None = None
    """Whether smaller or larger values are better. None: as declared for the metric."""


class NoDifference(_TwoGroups):
    """The means of two groups are closer to each other than `margin`."""

    margin: PositiveFloat
    """In the unit of the metric."""


class CorrelatesWith(_OverTrials):
    """A metric correlates with another metric or with an axis, over trials."""

    metric: Text
    """A column of trials.csv."""
    other: Text
    """A column of trials.csv or a dotted name."""
    sign: Literal["positive", "negative"]
    """Sign of the correlation."""
    where: Conditions = {}
    """Only trials with these values."""

    @override
    def invalid_combination(self) -> str:
        if self.metric == self.other:
            return f"other should not be {self.other}, which is the metric itself"
        return ""


class MoreImportantThan(_OverTrials):
    """An axis explains more of a metric than each of the others."""

    axis: Text
    """Dotted name of the parameter."""
    metric: Text
    """A column of trials.csv."""
    others: Names = []
    """Dotted names; empty: all other axes that vary."""
    where: Conditions = {}
    """Only trials with these values."""

    @override
    def invalid_combination(self) -> str:
        if self.axis in self.others:
            return f"others should not name {self.axis}, the axis itself"
        return ""


class Compares(Claim):
    """One metric is smaller or larger than another one in the same trial."""

    left: Text
    """A metric."""
    op: Literal["<", ">"]
    """How `left` compares with `right`."""
    right: Text
    """A metric."""
    epochs: tuple[PositiveInt, PositiveInt] | None = None
    """First and last epoch of the comparison. None: at the best epoch."""
    where: Conditions = {}
    """Only trials with these values."""

    @override
    def invalid_combination(self) -> str:
        if self.left == self.right:
            return f"left and right are both {self.left}"
        if self.epochs is not None and self.epochs[0] > self.epochs[1]:
            return "epochs should be the first and the last one, as (1, 8)"
        return ""


class Threshold(Claim):
    """A metric of the best configuration that meets `where` is beyond a bound.

    If trials that meet `where` are in several comparability groups, it is so in each of them.
    """

    metric: Text
    """A column of trials.csv."""
    op: Literal["<", "<=", ">", ">="]
    """How the metric compares with the bound."""
    bound: float
    """In the unit of the metric."""
    as_published: bool = False
    """Whether the report measured the bound: it is not compared under other settings than the
    report's."""
    where: Conditions = {}
    """Only trials with these values."""


class SmallestRows(Claim):
    """In a table of every trial, a column is smaller in each of some rows than in every other row.

    Seeds are the repetitions: the rows of one trial's table are one observation, however many
    images are behind each.
    """

    table: Text
    """Name of a table, for example `per_class`."""
    column: Text
    """Column of the table."""
    rows: Annotated[Names, Len(1)]
    """Values of the table's first column in these rows."""
    where: Conditions = {}
    """Only trials with these values."""


class LargestRows(SmallestRows):
    """In a table of every trial, a column is larger in each of some rows than in every other
    row."""


class NotTestable(Claim):
    """No run can decide the claim."""

    reason: Text
    """Why not."""


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


def check_claims(claims: Sequence[Claim], names: Iterable[str]) -> list[str]:
    """Errors among the claims of a sweep: repeated ids, dotted names that no component has.

    `names`: the parameters of the sweep's base trial and search space.
    """
    ids = [claim.id for claim in claims]
    errors: list[str] = []
    for claim_id in dict.fromkeys(ids):
        count = ids.count(claim_id)
        if count > 1:
            errors.append(f"claims: {count} of them have the id {claim_id!r}")
    known = set(names) | _registered_parameters()
    for claim in claims:
        for name in claim.parameters():
            parent, _, element = name.rpartition(".")
            is_element = element.isdecimal() and parent in known
            error = unknown_parameter(name, known)
            if error and not is_element:
                errors.append(f"claims: {claim.id}: {error}")
    return errors


def _registered_parameters() -> set[str]:
    """Dotted names of the parameters of all registered components."""
    names: set[str] = set()
    for kind_name, kind in Trial.COMPONENTS.items():
        for component in kind.registry.values():
            names |= {f"{kind_name}.{name}" for name in component.parameter_names()}
    return names


def unknown_parameter(name: str, known: Iterable[str]) -> str:
    """An error with the nearest name if the parameter is unknown; otherwise empty."""
    names = sorted(known)
    if name in names:
        return ""
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = ""
    if nearest:
        hint = f"; did you mean {nearest[0]}?"
    return f"{name} is not a parameter{hint}"
