"""The rule by which printed numbers are reproduced: exact cases, and simulations of its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cae.report.statistics.agreement import Agreement, Printed, Sample, compare

RUNS = 4_000


TRUTH = 1e5
"""Far from 0: an interval that is larger than the number shows nothing."""


def sample(values: np.ndarray) -> Sample:
    return Sample(mean=float(values.mean()), sd=float(values.std(ddof=1)), count=len(values))


def share_of(
    agreement: Agreement, seeds: int, *, shift: float = 0.0, margin: float = math.nan
) -> float:
    """How often the verdict is `agreement`, for normal runs of mean TRUTH and deviation 1.

    `shift`: difference of the publication's true mean from ours.
    """
    generator = np.random.default_rng(seeds)
    count = 0
    for _ in range(RUNS):
        value = float(generator.normal(TRUTH + shift))
        ours = sample(generator.normal(TRUTH, size=seeds))
        if compare(ours, Printed(value=value, margin=margin)).agreement == agreement:
            count += 1
    return count / RUNS


def old_share_reproduced(seeds: int) -> float:
    """The share with the earlier rule: a difference of at most 2 standard deviations."""
    generator = np.random.default_rng(seeds)
    count = 0
    for _ in range(RUNS):
        value = generator.normal()
        ours = generator.normal(size=seeds)
        if abs(ours.mean() - value) <= 2 * ours.std(ddof=1):
            count += 1
    return count / RUNS


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_equal_truth_is_reproduced_with_the_stated_probability(seeds: int) -> None:
    assert share_of(Agreement.AGREES, seeds) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("seeds", "share"), [(2, 0.65), (3, 0.775), (5, 0.857)])
def test_the_earlier_rule_rejected_too_often(seeds: int, share: float) -> None:
    assert old_share_reproduced(seeds) == pytest.approx(share, abs=0.025)


def test_more_seeds_detect_a_real_difference_more_often() -> None:
    shares = [share_of(Agreement.DIFFERS, seeds, shift=6.0) for seeds in (2, 3, 5, 10)]
    assert shares == sorted(shares)
    assert shares[0] < 0.5
    assert shares[-1] > 0.99


@pytest.mark.parametrize("seeds", [3, 10])
def test_a_margin_is_rarely_met_by_runs_that_differ_by_it(seeds: int) -> None:
    """The error of TOST: the truth is at the margin."""
    assert share_of(Agreement.AGREES, seeds, shift=4.0, margin=4.0) < 0.05


def test_noisy_runs_do_not_agree_with_a_narrow_margin() -> None:
    assert share_of(Agreement.AGREES, 3, margin=1.0) < 0.03
    assert share_of(Agreement.INCONCLUSIVE, 3, margin=1.0) > 0.9


@pytest.mark.parametrize(
    ("sd", "agreement"), [(0.02, Agreement.AGREES), (0.2, Agreement.INCONCLUSIVE)]
)
def test_an_interval_larger_than_the_number_shows_nothing(sd: float, agreement: Agreement) -> None:
    """Regression: 0.0000625 was reproduced by 0.00055, +- 0.00083."""
    ours = Sample(mean=0.11, sd=sd, count=5)
    assert compare(ours, Printed(value=0.1)).agreement == agreement


def test_the_interval_of_a_single_run_is_a_prediction_interval() -> None:
    ours = Sample(mean=1.0, sd=0.1, count=4)
    tolerance = compare(ours, Printed(value=1.0, half_unit=0.005)).tolerance
    expected = float(stats.t.ppf(0.975, 3)) * 0.1 * math.sqrt(1 + 1 / 4) + 0.005
    assert tolerance == pytest.approx(expected, rel=1e-12)


def test_a_printed_mean_is_compared_by_welchs_test() -> None:
    generator = np.random.default_rng(0)
    ours = generator.normal(0.0, 1.0, 6)
    theirs = generator.normal(0.9, 3.0, 10)
    printed = Printed(value=float(theirs.mean()), sd=float(theirs.std(ddof=1)), count=10)
    tolerance = compare(sample(ours), printed).tolerance
    interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert tolerance == pytest.approx((interval.high - interval.low) / 2, rel=1e-9)


def test_printed_means_agree_with_the_stated_probability() -> None:
    generator = np.random.default_rng(1)
    count = 0
    for _ in range(RUNS):
        theirs = generator.normal(TRUTH, size=10)
        printed = Printed(value=float(theirs.mean()), sd=float(theirs.std(ddof=1)), count=10)
        ours = sample(generator.normal(TRUTH, size=3))
        if compare(ours, printed).agreement == Agreement.AGREES:
            count += 1
    assert count / RUNS > 0.93


@pytest.mark.parametrize(
    ("mean", "agreement"), [(0.1049, Agreement.AGREES), (0.1051, Agreement.ONE_SEED)]
)
def test_one_seed_agrees_with_equal_digits_only(mean: float, agreement: Agreement) -> None:
    ours = Sample(mean=mean, sd=math.nan, count=1)
    assert compare(ours, Printed(value=0.10, half_unit=0.005)).agreement == agreement


def test_equal_seeds_have_the_tolerance_of_the_printed_digits() -> None:
    ours = Sample(mean=1024.0, sd=0.0, count=3)
    assert compare(ours, Printed(value=1024, half_unit=0.5)).tolerance == 0.5
    assert compare(ours, Printed(value=1025, half_unit=0.5)).agreement == Agreement.DIFFERS
    exact = Printed(value=1024, sd=0.0, count=3)
    assert compare(ours, exact).agreement == Agreement.AGREES


def test_false_verdicts_of_a_thousand_reports() -> None:
    """Half of the reports are equal to the truth, half differ by 8 deviations; 3 seeds each."""
    generator = np.random.default_rng(2)
    false_differences = 0
    false_agreements = 0
    for number in range(1_000):
        shift = 8.0 * (number % 2)
        ours = sample(generator.normal(size=3))
        value = float(generator.normal(shift))
        agreement = compare(ours, Printed(value=value, margin=8.0)).agreement
        if shift == 0 and agreement == Agreement.DIFFERS:
            false_differences += 1
        if shift > 0 and agreement == Agreement.AGREES:
            false_agreements += 1
    assert false_differences / 500 < 0.07
    assert false_agreements / 500 < 0.07
