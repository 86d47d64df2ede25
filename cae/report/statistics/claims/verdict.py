"""What judging a claim results in: a verdict, the numbers behind it, or why it is not testable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cae.report.statistics.claims.need import NOTHING, Need

ALPHA = 0.05
"""Significance level."""

Claim = Mapping[str, Any]
"""A claim as sweep.json contains it: `kind` is the name of a class of cae/sweep/spec/claims.py, the
other keys are its fields."""


class Verdict(StrEnum):
    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_TESTABLE = "not testable"


class Direction(StrEnum):
    """The sign of an effect, compared with the claimed one."""

    AS_CLAIMED = "as claimed"
    OPPOSITE = "opposite"
    ZERO = "zero"


class Method(StrEnum):
    """The statistical test."""

    NONE = "none"
    """Too few trials."""
    NOT_NEEDED = "none: sizes of networks are not random"
    PAIRED_T = "paired t-test"
    ONE_SAMPLE_T = "one-sample t-test"
    WELCH_T = "Welch's t-test"
    PERMUTATION = "exact permutation test"
    """Instead of a t-test of values that do not vary."""
    WILCOXON = "Wilcoxon's signed-rank test"
    SPEARMAN = "Spearman's rank correlation"
    FOREST = "random forest, permutation importance"


class Unit(StrEnum):
    """What a test counts as one observation."""

    SEEDS = "seeds"
    TRIALS = "trials"
    EQUAL_SEEDS = "pairs of equal seeds"
    EQUAL_SETTINGS = "pairs, equal in all other settings"
    CONFIGURATIONS = "pairs of means per configuration"
    MEANS = "means per configuration"
    BOOTSTRAPS = "bootstraps over configurations"


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """How a claim was tested."""

    method: Method = Method.NONE
    unit: Unit | None = None
    count: int = 0
    """Number of units."""
    comparisons: int = 1
    """P values are corrected by Holm's procedure for this many comparisons."""
    is_equivalence: bool = False
    """Two one-sided tests (TOST) of the method."""
    is_within_configurations: bool = False
    """Of a rank correlation: between trials that are equal in all other settings."""
    is_exact: bool = False
    """Of a permutation test: all permutations, not random ones."""


NOT_TESTED = Procedure()


@dataclass(frozen=True, kw_only=True)
class Judgment:
    """The verdict on a claim, with its numbers."""

    verdict: Verdict
    evidence: object
    """The numbers of this kind of claim; the modules of `kinds` and `Obstacle` define the types."""
    procedure: Procedure = NOT_TESTED
    trials: Sequence[int] = ()
    """Rows of the table of trials that were used."""
    effect: float | None = None
    """Size of the effect, in the unit of the metric (or a correlation, or a share of variance)."""
    direction: Direction = Direction.ZERO
    statistic: float | None = None
    p_value: float | None = None
    deciding_group: str = ""
    """If the claim was judged in each comparability group: the label of the one that decides, of
    which the numbers are."""

    @property
    def is_tested(self) -> bool:
        """Whether the verdict is on trials, and could differ with other seeds."""
        return bool(self.trials) and self.procedure.method != Method.NOT_NEEDED


class LeftOutReason(StrEnum):
    """Why a trial to which a claim applies is not used."""

    STATE = "state"
    NO_METRIC = "no metric"
    NO_EPOCH = "no epoch"
    NO_ROWS = "no rows"


@dataclass(frozen=True)
class LeftOut:
    """Why one trial is not used, and the state, metric, epoch or table that is the reason."""

    reason: LeftOutReason
    name: str
    column: str = ""
    """Of the table, if it lacks rows."""


class ObstacleKind(StrEnum):
    """Why a claim is not testable."""

    DECLARED = "declared"
    """The sweep file states that no run can decide it: `text`."""
    UNKNOWN_KIND = "unknown kind"
    """Of a newer version: `text`."""
    NO_TRIAL = "no trial"
    """No finished trial meets `conditions`, if there are any."""
    NO_VALUE = "no value"
    """Trials meet `conditions`, and none has the metric `names[0]`."""
    NOT_A_NUMBER = "not a number"
    """`names[0]` is not a number in every trial."""
    OVERLAPPING_GROUPS = "overlapping groups"
    UNKNOWN_DIRECTION = "unknown direction"
    """It is unknown whether lower or higher values of `names[0]` are better."""
    NO_TRIAL_AT_VALUE = "no trial at value"
    """No finished trial meets `conditions`."""
    ONLY_TRIALS_AT_VALUE = "only trials at value"
    """All finished trials meet `conditions`."""
    CONSTANT = "constant"
    """`names[0]` is equal in all `count` trials."""
    NOTHING_ELSE_VARIES = "nothing else varies"
    """Only `names[0]` differs between the trials."""
    CONFOUNDED = "confounded"
    """The parameters `names` change together, so that their effects cannot be separated."""
    NO_COMMON_TRIAL = "no common trial"
    """No finished trial has both metrics `names`, in `epochs` if they are stated."""
    OTHER_SETTINGS = "other settings"
    """The bound is the report's, and the run has other settings: `overrides`."""
    NO_COMMON_GROUP = "no common group"
    """The two sides differ in the data, the task or the loss, and not only in `names`."""
    OTHER_DEFINITION = "other definition"
    """`names[0]` is defined differently in the groups of trials, which differ in `text`."""
    NO_TABLE = "no table"
    """No finished trial has a table `names[0]` with column `names[1]` of `rows` and of others."""


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why a claim is not testable; which fields are set depends on the kind."""

    kind: ObstacleKind
    names: Sequence[str] = ()
    """Metrics, parameters, tables and columns."""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """Required settings by name."""
    count: int = 0
    epochs: tuple[int, int] | None = None
    rows: Sequence[str] = ()
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    text: str = ""


class NotTestable(Exception):
    """Raised while a claim is judged if the run lacks what it needs."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(obstacle.kind)
        self.obstacle = obstacle


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """A claim of a run with its judgment."""

    run: str
    id: str
    kind: str
    text: str
    provenance: str
    judgment: Judgment
    trials: Sequence[int]
    """Numbers of the trials that were used."""
    seeds: int
    """Of the configuration with the fewest seeds; 0 if nothing was tested."""
    left_out: Sequence[LeftOut]
    """One entry per trial to which the claim applies and that is not used."""
    overrides: Mapping[str, Mapping[str, Any]]
    """Settings of the run that differ from the report's; empty if nothing was tested."""
    groups: Sequence[str] = ()
    """Labels of the comparability groups of the used trials."""
    group_differences: str = ""
    """The parameters in which these groups differ; empty if there is one."""
    q_value: float | None = None
    """The p value, corrected for the number of claims that were judged together: the false
    discovery rate (Benjamini-Hochberg). None: not tested."""
    need: Need = NOTHING
    """What would decide the claim."""
    shared_dependencies: Sequence[int] = ()
    """Numbers of the trials from whose weights several seeds of a configuration start."""
    explanation: str = ""
    """Why the runs contradict the claim, with what was tested; empty: not known."""
    is_published: bool = False
    """Whether it is a claim of a publication: its sweep has published numbers."""

    @property
    def verdict(self) -> Verdict:
        return self.judgment.verdict
