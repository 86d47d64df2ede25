"""Tests and intervals, compared with known results and with scipy."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from cae.report.statistics.inference import (
    false_discovery_rates,
    holm,
    paired_difference,
    permutation_importance,
    rank_correlation,
    t_interval,
    welch_difference,
    wilcoxon,
)

FIRST = np.array([0.011, 0.013, 0.012, 0.017])
SECOND = np.array([0.010, 0.011, 0.009, 0.013])


def test_a_paired_difference_is_that_of_the_paired_t_test() -> None:
    difference = paired_difference(FIRST, SECOND)
    expected = stats.ttest_rel(FIRST, SECOND)
    assert difference.value == pytest.approx(0.0025)
    assert difference.t() == pytest.approx(expected.statistic)
    assert difference.p_value() == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert difference.interval() == pytest.approx((interval.low, interval.high))


def test_a_welch_difference_is_that_of_welchs_t_test() -> None:
    difference = welch_difference(FIRST, SECOND[:3])
    expected = stats.ttest_ind(FIRST, SECOND[:3], equal_var=False)
    assert difference.t() == pytest.approx(expected.statistic)
    assert difference.degrees_of_freedom == pytest.approx(expected.df)
    assert difference.p_value() == pytest.approx(expected.pvalue)


def test_a_shift_is_subtracted_from_the_difference() -> None:
    difference = paired_difference(FIRST, SECOND)
    expected = stats.ttest_1samp(FIRST - SECOND, 0.002)
    assert difference.t(0.002) == pytest.approx(expected.statistic)
    assert difference.p_value(0.002) == pytest.approx(expected.pvalue)


def test_one_value_is_not_testable() -> None:
    assert not paired_difference(FIRST[:1], SECOND[:1]).is_testable
    difference = welch_difference(FIRST, SECOND[:1])
    assert not difference.is_testable
    assert math.isnan(difference.standard_error)
    assert math.isnan(difference.interval()[0])


def test_a_rounding_error_is_no_difference() -> None:
    difference = paired_difference(np.array([0.1 + 0.2, 0.3]), np.array([0.3, 0.1 + 0.2]))
    assert difference.value == 0
    assert difference.p_value() == 1


def test_equal_differences_are_no_certainty() -> None:
    """Regression: three equal accuracies of a hundred images each had p = 0."""
    pairs = paired_difference(np.full(3, 0.97), np.full(3, 0.96))
    assert not pairs.varies
    assert pairs.t() == math.inf
    assert pairs.p_value() == 2 / 2**3  # of 8 combinations of signs, 2 are as extreme
    groups = welch_difference(np.full(3, 0.97), np.full(4, 0.96))
    assert groups.p_value() == 2 / 35  # of 35 divisions of 7 values into 3 and 4
    assert groups.p_above(0) == 1 / 35
    assert groups.p_below(0) == 1


def test_one_sided_p_values_are_those_of_scipy() -> None:
    first = np.array([0.97, 0.95, 0.99, 0.93])
    second = np.array([0.96, 0.93, 0.93, 0.95])
    difference = paired_difference(first, second)
    for shift in (-0.02, 0.0, 0.02):
        above = stats.ttest_1samp(first - second, shift, alternative="greater")
        assert difference.p_above(shift) == pytest.approx(above.pvalue)
        assert difference.p_below(shift) == pytest.approx(1 - above.pvalue)


def test_an_interval_without_spread_is_the_mean() -> None:
    assert t_interval(2.0, 0.0, 3) == (2.0, 2.0)


def test_the_best_of_equal_configurations_is_rarely_declared_significantly_better() -> None:
    """Of twelve, a hundred times: selecting the best with the same data does not bias the test."""
    random = np.random.default_rng(0)
    significant = 0
    for _ in range(100):
        samples = [random.normal(size=4) for _ in range(12)]
        samples.sort(key=lambda sample: float(sample.mean()))
        if welch_difference(samples[1], samples[0]).p_value() < 0.05:
            significant += 1
    assert significant <= 8


def test_holms_correction_multiplies_each_p_value_by_the_number_of_remaining_ones() -> None:
    corrected = holm({"a": 0.03, "b": 0.01, "c": 0.04, "d": 0.9})
    assert corrected == pytest.approx({"b": 0.04, "a": 0.09, "c": 0.09, "d": 0.9})


def test_a_rank_correlation_of_few_values_is_tested_exactly() -> None:
    x = np.arange(5.0)
    correlation = rank_correlation(x, x**2, [""] * 5)
    assert correlation.coefficient == pytest.approx(1)
    assert correlation.is_exact
    assert correlation.p_value == pytest.approx(2 / math.factorial(5))
    assert correlation.min_p_value == pytest.approx(2 / math.factorial(5))


def test_a_rank_correlation_of_many_values_is_tested_with_random_permutations() -> None:
    x = np.arange(20.0)
    random = np.random.default_rng(0)
    y = x + 10 * random.normal(size=20)
    correlation = rank_correlation(x, y, [""] * 20)
    expected = stats.spearmanr(x, y)
    assert not correlation.is_exact
    assert correlation.coefficient == pytest.approx(expected.statistic)
    assert correlation.p_value == pytest.approx(expected.pvalue, abs=0.01)


def test_differences_between_blocks_do_not_correlate() -> None:
    """Within each block, y falls as x rises; the second block is larger in both."""
    x = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0])
    y = np.array([3.0, 2.0, 1.0, 33.0, 32.0, 31.0])
    correlation = rank_correlation(x, y, ["a", "a", "a", "b", "b", "b"])
    assert correlation.coefficient == pytest.approx(-1)
    assert correlation.p_value == pytest.approx(2 / 36)


def test_constant_values_have_no_rank_correlation() -> None:
    correlation = rank_correlation(np.ones(4), np.arange(4.0), [""] * 4)
    assert correlation.coefficient == 0
    assert correlation.p_value == 1


def test_permutation_importance_is_that_of_the_column_with_an_effect() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3))
    y = np.sign(x[:, 1])
    importance = permutation_importance(x, y, random)
    assert importance[1] > 1
    assert np.abs(importance[[0, 2]]).max() < 0.05


def test_the_signed_rank_test_agrees_with_scipy_and_has_a_direction() -> None:
    first = np.array([3.0, 2.0, 5.0, 1.0, 4.0, 9.0, -40.0])
    second = np.array([1.0, 1.5, 2.0, 1.0, 1.0, 4.0, 0.0])
    test = wilcoxon(first, second)
    expected = stats.wilcoxon(first, second)
    assert test.p_value == pytest.approx(float(expected.pvalue))
    # Ranks 1 to 6 without the pair of equal values; the largest belongs to the negative difference.
    assert test.statistic == (1 + 2 + 3.5 + 3.5 + 5) - 6
    assert min(21 - (21 + test.statistic) / 2, (21 + test.statistic) / 2) == expected.statistic
    assert test.pseudomedian > 0


def test_the_signed_rank_test_has_the_stated_error_rate_and_power() -> None:
    """1,000 null data sets with heavy tails: 5 % are significant, in both directions alike."""
    random = np.random.default_rng(0)
    false = Counter[float]()
    true = Counter[float]()
    for _ in range(1000):
        noise = random.standard_t(2, 12)
        null = wilcoxon(noise, np.zeros(12))
        if null.p_value < 0.05:
            false[np.sign(null.statistic)] += 1
        planted = wilcoxon(noise + 2.0, np.zeros(12))
        if planted.p_value < 0.05:
            true[np.sign(planted.statistic)] += 1
    assert 25 <= false.total() <= 75
    assert min(false[1.0], false[-1.0]) >= 8
    assert true[1.0] > 850
    assert true[-1.0] == 0


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    # Their example (1995), of which the four smallest are discoveries at 5 %.
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p_values += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    found = [rate for rate in false_discovery_rates(p_values) if rate < 0.05]
    assert len(found) == 4
    assert found[0] == pytest.approx(0.0001 * 15)


def test_nothing_tested_has_no_q_value() -> None:
    assert false_discovery_rates([]) == []
