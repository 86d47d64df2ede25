"""What would decide a claim: the number of seeds has the power that it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cae import BetterThan, FallsWith, NoDifference, NotTestable, SmallestAt, Threshold
from cae.report.statistics.claims.need import NeedKind
from cae.report.statistics.claims.power import (
    POWER,
    difference_power,
    equivalence_power,
    sufficient_factor,
    sufficient_pairs_of_ranks,
)
from cae.report.statistics.claims.verdict import Verdict
from cae.report.statistics.inference import MeanDifference, paired_difference, welch_difference
from tests.report.statistics.claims.claim_runs import (
    FEWER_EPOCHS,
    HIGH,
    KERNEL,
    KERNEL_3,
    KERNEL_5,
    LOW,
    Judge,
    seeds,
)
from tests.report.synthetic_runs import EPOCH_SECONDS

BETTER = BetterThan(id="C1", text="x", metric="val_loss", this=KERNEL_3, that=KERNEL_5)
NOISY = (0.0100, 0.0130, 0.0110)
NOISY_HIGH = (0.0120, 0.0125, 0.0150)


def observed(count: int, effect: float) -> MeanDifference:
    """Differences of pairs with a mean of `effect` standard deviations."""
    values = np.linspace(-1, 1, count)
    values = values / values.std(ddof=1) + effect
    return paired_difference(values, np.zeros(count))


@pytest.mark.parametrize("effect", [0.5, 1.0, 2.0])
def test_the_number_of_pairs_has_the_promised_power(effect: float) -> None:
    difference = observed(4, effect)
    factor = sufficient_factor(difference_power(difference))
    assert factor is not None
    pairs = math.ceil(4 * factor)
    random = np.random.default_rng(0)
    samples = random.normal(effect, 1, (3000, pairs))
    t = samples.mean(1) / (samples.std(1, ddof=1) / math.sqrt(pairs))
    critical_value = stats.t.ppf(0.975, pairs - 1)
    power = float((np.abs(t) > critical_value).mean())
    assert POWER - 0.03 <= power <= 0.95  # few pairs cannot be divided: more than 0.8 with 4


def test_two_samples_need_what_welchs_test_needs() -> None:
    random = np.random.default_rng(1)
    first = np.array([0.0, 1.0, 2.0]) - 1
    difference = welch_difference(first + 1.5, first)
    factor = sufficient_factor(difference_power(difference))
    assert factor is not None
    count = math.ceil(3 * factor)
    a = random.normal(1.5, 1, (3000, count))
    b = random.normal(0, 1, (3000, count))
    p_values = stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue
    assert POWER - 0.03 <= float((p_values < 0.05).mean()) <= 0.9


def test_equality_needs_more_seeds_the_closer_the_margin_is() -> None:
    difference = observed(4, 0.1)
    wide = sufficient_factor(equivalence_power(difference, margin=2.0))
    narrow = sufficient_factor(equivalence_power(difference, margin=0.5))
    assert wide is not None
    assert narrow is not None
    assert narrow > 4 * wide


def test_stronger_correlations_need_fewer_trials() -> None:
    assert sufficient_pairs_of_ranks(1.0) == 3
    # n = 3 + 1.06 (1.96 + 0.8416)^2 / atanh(0.5)^2
    assert sufficient_pairs_of_ranks(-0.5) == 31


def test_a_decided_claim_needs_nothing(judge: Judge) -> None:
    result = judge(BETTER, [*seeds(3, *LOW), *seeds(5, *HIGH)])
    assert result.need.kind == NeedKind.NOTHING
    assert not result.need.is_by_seeds


def test_an_undecided_claim_has_a_number_of_seeds_and_the_time_of_the_same_trials(
    judge: Judge,
) -> None:
    result = judge(BETTER, [*seeds(3, *NOISY), *seeds(5, *NOISY_HIGH)])
    assert result.verdict == Verdict.UNDECIDED
    need = result.need
    assert need.kind == NeedKind.SEEDS
    assert need.seeds > 3
    assert need.more_seeds == need.seeds - 3
    assert list(need.trials) == [1, 4]
    assert need.first_seed == 3
    assert need.seconds == pytest.approx(2 * need.more_seeds * EPOCH_SECONDS)


def test_the_seeds_for_a_claimed_minimum_depend_on_the_distance_from_it(judge: Judge) -> None:
    trials = [*seeds(3, *NOISY), *seeds(5, *NOISY_HIGH)]  # 0.0018 better on average
    needed: dict[float, int] = {}
    for margin in (0.0, 0.001):
        claim = BetterThan(
            id="C1", text="x", metric="val_loss", this=KERNEL_3, that=KERNEL_5, margin=margin
        )
        result = judge(claim, trials)
        assert result.verdict == Verdict.UNDECIDED
        needed[margin] = result.need.seeds
    assert needed[0.001] > needed[0.0]


def test_a_small_effect_is_hardly_decided_by_seeds(judge: Judge) -> None:
    result = judge(BETTER, [*seeds(3, 0.010, 0.020, 0.031), *seeds(5, 0.020, 0.0101, 0.032)])
    assert result.need.kind == NeedKind.MANY_SEEDS
    assert result.need.seeds > 20


@pytest.mark.parametrize(
    "claim",
    [
        BETTER,
        NoDifference(id="C1", text="x", metric="val_loss", margin=1, this=KERNEL_3, that=KERNEL_5),
        SmallestAt(id="C1", text="x", metric="val_loss", axis=KERNEL, value=3),
        Threshold(id="C1", text="x", metric="val_loss", op="<", bound=0.5),
    ],
    ids=lambda claim: type(claim).__name__,
)
def test_with_one_seed_the_spread_is_unknown(judge: Judge, claim: BetterThan) -> None:
    result = judge(claim, [*seeds(3, 0.01), *seeds(5, 0.02)])
    assert result.need.kind == NeedKind.FIRST_SEEDS
    assert (result.need.seeds, result.need.more_seeds) == (3, 2)


def test_only_configurations_that_lack_seeds_get_more(judge: Judge) -> None:
    """Regression: a configuration with three seeds got two more, beside one with one seed."""
    result = judge(BETTER, [*seeds(3, *LOW), *seeds(5, HIGH[0])])
    need = result.need
    assert need.kind == NeedKind.FIRST_SEEDS
    assert (need.seeds, need.more_seeds, need.first_seed) == (3, 2, 1)
    assert list(need.trials) == [len(LOW) + 1]


def test_no_effect_is_decided_by_no_number_of_seeds(judge: Judge) -> None:
    result = judge(BETTER, [*seeds(3, 0.010, 0.020), *seeds(5, 0.020, 0.010)])
    assert result.need.kind == NeedKind.NO_EFFECT
    assert not result.need.is_by_seeds


def test_a_trend_needs_at_least_the_seeds_that_can_be_significant(judge: Judge) -> None:
    claim = FallsWith(id="C1", text="x", metric="val_loss", axis=KERNEL)
    result = judge(claim, [*seeds(3, 0.03), *seeds(5, 0.02), *seeds(7, 0.01)])
    assert result.verdict == Verdict.UNDECIDED
    assert (result.need.kind, result.need.seeds) == (NeedKind.SEEDS, 2)


def test_a_claim_without_its_trials_needs_them(judge: Judge) -> None:
    assert judge(BETTER, seeds(3, *LOW)).need.kind == NeedKind.TRIALS


def test_a_bound_of_the_report_needs_its_settings(judge: Judge) -> None:
    claim = Threshold(id="C1", text="x", metric="val_loss", op="<", bound=0.5, as_published=True)
    result = judge(claim, seeds(3, *LOW), overrides=FEWER_EPOCHS)
    assert result.need.kind == NeedKind.OWN_SETTINGS


def test_nothing_decides_a_claim_that_is_declared_as_not_testable(judge: Judge) -> None:
    claim = NotTestable(id="C1", text="x", reason="nothing measures it")
    assert judge(claim, seeds(3, *LOW)).need.kind == NeedKind.IMPOSSIBLE
