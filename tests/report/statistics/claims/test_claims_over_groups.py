"""Claims over several comparability groups: what is compared, what is not, and what is stated."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from cae.report.data import tables
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.claims.verdict import ClaimResult, Obstacle, ObstacleKind, Verdict
from cae.report.statistics.published import compare_published
from cae.report.statistics.published_number import NotComparable, PublishedVerdict
from cae.report.wording import claims as wording
from cae.sweep.spec.claims import (
    BetterThan,
    Claim,
    Compares,
    CorrelatesWith,
    RisesWith,
    SmallestAt,
    Threshold,
)
from tests.report.grouped_runs import (
    KERNEL,
    NOISE,
    GroupedTrial,
    denoised,
    results_of,
    with_loss,
)
from tests.report.synthetic_runs import MakeWriter

RUN_NUMBERS = itertools.count(1)
LEVELS = (0.3, 0.5, 0.9)


def judge(writer: MakeWriter, claim: Claim, *trials: GroupedTrial) -> ClaimResult:
    name = f"run{next(RUN_NUMBERS)}"
    (result,) = judge_claims(results_of(writer, *trials, name=name, claims=[claim.described()]))
    return result


def obstacle(result: ClaimResult) -> Obstacle:
    assert isinstance(result.judgment.evidence, Obstacle)
    return result.judgment.evidence


def seeds(noise: float, kernel: int, *losses: float) -> list[GroupedTrial]:
    return [denoised(noise, kernel, loss, seed=seed) for seed, loss in enumerate(losses)]


def both_losses(first: tuple[float, ...], second: tuple[float, ...]) -> list[GroupedTrial]:
    """Kernels 3 and 5 with two losses, of which the second has values ten times as large."""
    trials: list[GroupedTrial] = []
    for kernel, losses in ((3, first), (5, second)):
        for seed, loss in enumerate(losses):
            trials.append(with_loss("mse", kernel, loss, seed=seed))
            trials.append(with_loss("l1", kernel, 10 * loss, seed=seed))
    return trials


LOW = (0.010, 0.011, 0.012)
HIGH = (0.020, 0.022, 0.021)


def test_a_claim_about_groups_compares_a_metric_with_one_definition(writer: MakeWriter) -> None:
    claim = RisesWith(id="1", text="It rises.", metric="val_loss", axis=NOISE)
    trials = [trial for noise in LEVELS for trial in seeds(noise, 3, noise, noise + 0.01)]
    result = judge(writer, claim, *trials)
    assert result.verdict == Verdict.SUPPORTED
    assert list(result.groups) == [f"{NOISE} = {level}" for level in LEVELS]
    assert result.group_differences == NOISE
    reason = wording.reason(result)
    assert f"Over 3 groups of trials, which differ in {NOISE}" in reason
    assert "has the same formula in all of them" in reason


@pytest.mark.parametrize(
    "claim",
    [
        BetterThan(
            id="1", text=".", metric="val_loss", mode="min", this={KERNEL: 3}, that={KERNEL: 5}
        ),
        SmallestAt(id="1", text=".", metric="val_loss", axis=KERNEL, value=3),
        RisesWith(id="1", text=".", metric="val_loss", axis=KERNEL),
        BetterThan(
            id="1",
            text=".",
            metric="val_loss",
            mode="min",
            this={"task.loss": "mse"},
            that={"task.loss": "l1"},
        ),
    ],
)
def test_values_with_different_definitions_are_not_compared(
    writer: MakeWriter, claim: Claim
) -> None:
    result = judge(writer, claim, *both_losses(LOW, HIGH))
    assert result.verdict == Verdict.NOT_TESTABLE
    found = obstacle(result)
    assert (found.kind, list(found.names)) == (ObstacleKind.OTHER_DEFINITION, ["val_loss"])
    assert found.text == "task.loss"
    assert "val_loss is not defined in the same way" in wording.reason(result)


def test_a_metric_with_one_definition_is_compared_within_groups(writer: MakeWriter) -> None:
    claim = BetterThan(
        id="1", text=".", metric="val_psnr", mode="max", this={KERNEL: 3}, that={KERNEL: 5}
    )
    result = judge(writer, claim, *both_losses(LOW, HIGH))
    assert result.verdict == Verdict.SUPPORTED
    assert len(result.trials) == 12
    assert len(result.groups) == 2


def test_sides_that_differ_in_their_group_as_well_are_not_compared(writer: MakeWriter) -> None:
    claim = BetterThan(
        id="1", text=".", metric="val_loss", mode="min", this={KERNEL: 3}, that={KERNEL: 5}
    )
    easy = seeds(0.3, 3, *LOW)
    hard = seeds(0.9, 5, *HIGH)
    result = judge(writer, claim, *easy, *hard)
    assert result.verdict == Verdict.NOT_TESTABLE
    assert obstacle(result).kind == ObstacleKind.NO_COMMON_GROUP
    assert wording.reason(result)
    # Trials of a group that only one side has are left out.
    result = judge(writer, claim, *easy, *seeds(0.3, 5, *HIGH), *hard)
    assert result.verdict == Verdict.SUPPORTED
    assert list(result.trials) == [1, 2, 3, 4, 5, 6]


def test_a_correlation_is_within_groups(writer: MakeWriter) -> None:
    """Within each level the loss falls with the kernel size, over all trials it rises."""
    trials = [
        denoised(noise, int(10 * noise) + step, noise - 0.02 * step)
        for noise in LEVELS
        for step in range(5)
    ]
    claim = CorrelatesWith(id="1", text=".", metric="val_loss", other=KERNEL, sign="negative")
    result = judge(writer, claim, *trials)
    assert result.judgment.effect == pytest.approx(-1)
    assert result.verdict == Verdict.SUPPORTED
    rises = RisesWith(id="1", text=".", metric="val_loss", axis=KERNEL)
    assert judge(writer, rises, *trials).verdict == Verdict.CONTRADICTED


def threshold(bound: float, **more: Any) -> Threshold:
    return Threshold(id="1", text=".", metric="val_loss", op="<", bound=bound, **more)


NOISE_SEEDS = [*seeds(0.3, 3, 0.10, 0.11, 0.12), *seeds(0.9, 3, 0.30, 0.31, 0.32)]


@pytest.mark.parametrize(
    ("bound", "verdict", "deciding"),
    [
        (0.5, Verdict.SUPPORTED, 0.9),
        (0.2, Verdict.CONTRADICTED, 0.9),
        (0.31, Verdict.UNDECIDED, 0.9),
    ],
)
def test_a_claim_about_the_best_holds_in_each_group(
    writer: MakeWriter, bound: float, verdict: Verdict, deciding: float
) -> None:
    """The best trial of all is at the easiest level, and would support every one of these."""
    result = judge(writer, threshold(bound), *NOISE_SEEDS)
    assert result.verdict == verdict
    assert result.judgment.deciding_group == f"{NOISE} = {deciding}"
    assert len(result.trials) == 6
    assert f"the numbers are those of {NOISE} = {deciding}" in wording.reason(result)


def test_a_condition_chooses_one_group(writer: MakeWriter) -> None:
    result = judge(writer, threshold(0.2, where={NOISE: 0.3}), *NOISE_SEEDS)
    assert result.verdict == Verdict.SUPPORTED
    assert result.judgment.deciding_group == ""
    assert list(result.trials) == [1, 2, 3]


def test_a_contradiction_in_one_of_many_groups_is_corrected(writer: MakeWriter) -> None:
    claim = threshold(0.11)
    alone = judge(writer, claim, *seeds(0.3, 3, 0.112, 0.113, 0.116))
    assert alone.verdict == Verdict.UNDECIDED
    p_value = judge(writer, threshold(0.108), *seeds(0.3, 3, 0.112, 0.113, 0.116)).judgment.p_value
    assert p_value is not None
    assert p_value < 0.05
    many = [trial for noise in LEVELS for trial in seeds(noise, 3, 0.112, 0.113, 0.116)]
    corrected = judge(writer, threshold(0.108), *many).judgment.p_value
    assert corrected == pytest.approx(3 * p_value)


def test_a_claim_within_trials_is_judged_in_each_group_if_definitions_differ(
    writer: MakeWriter,
) -> None:
    claim = Compares(id="1", text=".", left="train_loss", op="<", right="val_loss")
    different = judge(writer, claim, *both_losses(LOW, HIGH))
    assert different.verdict == Verdict.SUPPORTED
    assert different.judgment.deciding_group.startswith("task.loss = ")
    equal = judge(writer, claim, *NOISE_SEEDS)
    assert equal.verdict == Verdict.SUPPORTED
    assert equal.judgment.deciding_group == ""
    assert len(equal.trials) == 6


def test_a_published_number_is_not_compared_with_the_best_of_several_groups(
    writer: MakeWriter,
) -> None:
    rows = [
        {"quantity": "loss", "value": "0.11", "metric": "val_loss", "trials": trials}
        for trials in ("best", f"{NOISE}=0.3")
    ]
    rows.append({"quantity": "size", "value": "5008", "metric": "parameters", "trials": ""})
    results = results_of(writer, *NOISE_SEEDS, published=rows)
    best, chosen, size = compare_published(results)
    assert best.verdict == PublishedVerdict.NOT_COMPARABLE
    assert best.not_comparable == NotComparable.SEVERAL_GROUPS
    assert chosen.verdict == PublishedVerdict.REPRODUCED
    assert size.verdict == PublishedVerdict.EQUAL
    assert tables.csv_text(results, results.trials).count(f"{NOISE} = 0.3") == 3
