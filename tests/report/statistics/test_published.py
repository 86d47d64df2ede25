"""Published numbers: our measurement of each, and the verdict."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from cae.report.data import tables
from cae.report.statistics.published import compare_published
from cae.report.statistics.published_number import (
    Condition,
    NotComparable,
    PublishedComparison,
    PublishedNumber,
    PublishedVerdict,
    parse_printed,
)
from cae.report.wording.published import reason
from tests.report.synthetic_runs import MakeWriter

ROW = {
    "report": "000",
    "where": "table 1",
    "quantity": "loss",
    "value": "0.10",
    "unit": "",
    "definition": "",
    "metric": "val_loss",
    "trials": "",
    "comment": "",
}
FEWER_EPOCHS = {"epochs": {"full": 10, "here": 4}}
"""Overrides: the report's trials had 10 epochs, those of the run have 4 instead."""

Compare = Callable[..., PublishedComparison]


class TrialLoss(NamedTuple):
    kernel: int
    seed: int
    loss: float


@pytest.fixture
def compare(writer: MakeWriter) -> Compare:
    """Compare one row of published numbers with finished trials of one epoch.

    The accuracy is 1 - loss; test_error and val_odd are equal to the loss.
    """
    run_numbers = itertools.count(1)

    def compare_row(row: dict[str, str], *trials: TrialLoss, **sweep: Any) -> PublishedComparison:
        run = writer(
            f"run{next(run_numbers)}", **{"overrides": {}, **sweep}, published=[{**ROW, **row}]
        )
        run.session(list(range(1, len(trials) + 1)))
        for number, trial in enumerate(trials, start=1):
            run.trial(number, {"arch.kernel_size": trial.kernel}, seed=trial.seed)
            run.start(number)
            run.epoch(number, 1, trial.loss, val_accuracy=1 - trial.loss, val_odd=trial.loss)
            run.end(number, "finished", metrics={"test_error": trial.loss})
        (comparison,) = compare_published(tables.read([run.close()]))
        return comparison

    return compare_row


def numbers_of_trials(comparison: PublishedComparison) -> list[int]:
    assert comparison.measurement is not None
    return sorted(comparison.measurement.trials)


@pytest.mark.parametrize(
    ("value", "number", "half_unit"),
    [
        ("0.10", 0.1, 0.005),
        ("784", 784, 0.5),
        ("4,911", 4911, 0.5),
        ("1.5e-3", 0.0015, 0.00005),
        ("20.48%", 20.48, 0.005),
    ],
)
def test_a_printed_number_is_rounded_at_its_last_digit(
    value: str, number: float, half_unit: float
) -> None:
    assert parse_printed(value) == pytest.approx((number, half_unit))


@pytest.mark.parametrize(
    "text", ["32->16", "", "nan", "inf", "0,10", "1,23,456", "1e400", "1e-400"]
)
def test_a_text_that_is_not_one_number_is_nan(text: str) -> None:
    assert parse_printed(text) == pytest.approx((float("nan"), float("nan")), nan_ok=True)


@pytest.mark.parametrize(("value", "unit"), [("12%", ""), ("12 %", "loss"), ("12", "percent")])
def test_a_percent_sign_is_a_unit(value: str, unit: str) -> None:
    assert PublishedNumber(value=value, unit=unit).is_percent


def test_conditions_are_separated_by_semicolons() -> None:
    number = PublishedNumber(trials="arch.kernel_size = 3; seed=0;")
    assert number.conditions == [Condition("arch.kernel_size", "3"), Condition("seed", "0")]


@pytest.mark.parametrize("trials", ["", "best", " "])
def test_the_best_trial_has_no_conditions(trials: str) -> None:
    number = PublishedNumber(trials=trials)
    assert not number.has_conditions
    assert number.conditions == []


def test_within_half_a_unit_of_the_last_digit_is_reproduced(compare: Compare) -> None:
    comparison = compare({"value": "0.10"}, TrialLoss(3, 0, 0.1049))
    assert comparison.verdict == PublishedVerdict.REPRODUCED
    assert comparison.tolerance == pytest.approx(0.005)
    assert comparison.n == 1
    assert comparison.sd is None


def two_seeds(loss: float) -> list[TrialLoss]:
    return [TrialLoss(3, 0, loss - 1e-5), TrialLoss(3, 1, loss + 1e-5)]


@pytest.mark.parametrize(
    ("loss", "verdict"), [(0.094, PublishedVerdict.BETTER), (0.106, PublishedVerdict.WORSE)]
)
def test_outside_the_interval_a_number_is_better_or_worse(
    compare: Compare, loss: float, verdict: PublishedVerdict
) -> None:
    comparison = compare({"value": "0.10"}, *two_seeds(loss))
    assert comparison.verdict == verdict
    assert comparison.difference == pytest.approx(loss - 0.1)


def test_one_seed_with_other_digits_has_no_verdict(compare: Compare) -> None:
    comparison = compare({"value": "0.10"}, TrialLoss(3, 0, 0.106))
    assert comparison.verdict == PublishedVerdict.ONE_SEED


def test_a_margin_that_the_seeds_cannot_show_is_too_noisy(compare: Compare) -> None:
    row = {"value": "0.100", "margin": "0.01", "margin_reason": "a tenth of the loss"}
    noisy = [TrialLoss(3, 0, 0.09), TrialLoss(3, 1, 0.11), TrialLoss(3, 2, 0.10)]
    assert compare(row, *noisy).verdict == PublishedVerdict.INCONCLUSIVE
    assert compare(row, *two_seeds(0.1001)).verdict == PublishedVerdict.REPRODUCED


def test_a_published_mean_is_compared_with_its_deviation(compare: Compare) -> None:
    row = {"value": "0.100", "published_sd": "0.05", "published_runs": "10"}
    assert compare(row, *two_seeds(0.12)).verdict == PublishedVerdict.REPRODUCED
    assert compare(row, *two_seeds(0.2)).verdict == PublishedVerdict.WORSE


@pytest.mark.parametrize(
    ("value", "verdict"), [("0.90", PublishedVerdict.WORSE), ("0.70", PublishedVerdict.BETTER)]
)
def test_larger_values_of_an_accuracy_are_better(
    compare: Compare, value: str, verdict: PublishedVerdict
) -> None:
    row = {"metric": "val_accuracy", "value": value}
    assert compare(row, *two_seeds(0.2)).verdict == verdict


def test_a_metric_of_unknown_direction_differs(compare: Compare) -> None:
    comparison = compare({"metric": "val_odd", "value": "0.90"}, *two_seeds(0.2))
    assert comparison.verdict == PublishedVerdict.DIFFERS


def test_seeds_give_mean_sd_and_a_prediction_interval(compare: Compare) -> None:
    comparison = compare(
        {"value": "0.100"},
        TrialLoss(3, 0, 0.110),
        TrialLoss(3, 1, 0.120),
        TrialLoss(3, 2, 0.100),
        TrialLoss(5, 0, 0.5),
    )
    assert comparison.ours == pytest.approx(0.11)
    assert comparison.sd == pytest.approx(0.01)
    quantile = 4.302653  # of Student's t with 2 degrees of freedom at 0.975
    assert comparison.tolerance == pytest.approx(quantile * 0.01 * (4 / 3) ** 0.5 + 0.0005)
    assert comparison.n == 3
    assert comparison.verdict == PublishedVerdict.REPRODUCED
    assert numbers_of_trials(comparison) == [1, 2, 3]


def test_conditions_select_trials_and_compare_numbers_as_numbers(compare: Compare) -> None:
    row = {"trials": "arch.kernel_size=5.0;seed=0", "value": "0.5"}
    comparison = compare(row, TrialLoss(3, 0, 0.1), TrialLoss(5, 0, 0.5), TrialLoss(5, 1, 0.2))
    assert numbers_of_trials(comparison) == [2]
    assert comparison.ours == 0.5


def test_the_best_of_several_matching_configurations_is_used(compare: Compare) -> None:
    comparison = compare({"trials": "seed=0"}, TrialLoss(3, 0, 0.3), TrialLoss(5, 0, 0.1))
    assert numbers_of_trials(comparison) == [2]
    assert comparison.measurement is not None
    assert comparison.measurement.matching_configurations == 2


def test_a_run_with_fewer_epochs_is_not_comparable(compare: Compare) -> None:
    comparison = compare({}, TrialLoss(3, 0, 0.1), overrides=FEWER_EPOCHS)
    assert comparison.verdict == PublishedVerdict.NOT_COMPARABLE
    assert comparison.not_comparable == NotComparable.OTHER_SETTINGS
    assert comparison.overrides == FEWER_EPOCHS
    assert comparison.ours == 0.1


def test_an_overridden_setting_meets_the_condition_but_is_not_comparable(
    compare: Compare,
) -> None:
    row = {"trials": "epochs=10;arch.kernel_size=3"}
    trials = [TrialLoss(3, 0, 0.1), TrialLoss(5, 0, 0.2)]
    comparison = compare(row, *trials, overrides=FEWER_EPOCHS)
    assert comparison.verdict == PublishedVerdict.NOT_COMPARABLE
    assert comparison.ours == 0.1


def test_a_setting_that_no_trial_has_does_not_meet_the_condition(compare: Compare) -> None:
    comparison = compare({"trials": "epochs=20"}, TrialLoss(3, 0, 0.1), overrides=FEWER_EPOCHS)
    assert comparison.verdict == PublishedVerdict.NOT_RUN


def test_a_size_of_the_network_is_comparable_under_any_settings(compare: Compare) -> None:
    row = {"metric": "latent_values", "value": "1024"}
    comparison = compare(row, TrialLoss(3, 0, 0.1), overrides=FEWER_EPOCHS)
    assert comparison.is_size
    assert comparison.verdict == PublishedVerdict.EQUAL


def test_a_setting_is_no_measurement(compare: Compare) -> None:
    comparison = compare({"metric": "epochs", "value": "10"}, TrialLoss(3, 0, 0.1))
    assert not comparison.is_measurement
    assert comparison.verdict in (PublishedVerdict.EQUAL, PublishedVerdict.DIFFERS)


def test_another_number_of_parameters_is_neither_better_nor_worse(compare: Compare) -> None:
    comparison = compare({"metric": "parameters", "value": "4911"}, TrialLoss(3, 0, 0.1))
    assert comparison.verdict == PublishedVerdict.DIFFERS


def test_a_percentage_is_compared_with_a_share(compare: Compare) -> None:
    row = {"metric": "test_error", "unit": "percent", "value": "20.5"}
    comparison = compare(row, TrialLoss(3, 0, 0.2048))
    assert comparison.verdict == PublishedVerdict.REPRODUCED
    assert comparison.ours == pytest.approx(20.48)


@pytest.mark.parametrize(
    "row",
    [{"metric": "test_nothing"}, {"trials": "arch.kernel_size=9"}, {"trials": "no.such=1"}],
)
def test_a_number_that_no_finished_trial_measures_is_not_run(
    compare: Compare, row: dict[str, str]
) -> None:
    comparison = compare(row, TrialLoss(3, 0, 0.1))
    assert comparison.verdict == PublishedVerdict.NOT_RUN
    assert comparison.ours is None
    assert comparison.n == 0


def test_a_row_without_a_metric_is_context(compare: Compare) -> None:
    comparison = compare({"metric": "", "value": "32->16"}, TrialLoss(3, 0, 0.1))
    assert comparison.verdict == PublishedVerdict.CONTEXT
    assert not comparison.verdict.is_judged


def test_a_value_that_is_not_a_number_is_not_comparable(compare: Compare) -> None:
    comparison = compare({"value": "32->16"}, TrialLoss(3, 0, 0.1))
    assert comparison.verdict == PublishedVerdict.NOT_COMPARABLE
    assert comparison.not_comparable == NotComparable.NO_NUMBER


def test_stopped_trials_are_not_compared_with_published_numbers(writer: MakeWriter) -> None:
    run = writer(overrides={}, published=[ROW])
    run.session([1])
    run.trial(1, {})
    run.start(1)
    run.epoch(1, 1, 0.1)
    run.end(1, "stopped", rung=1, value=0.1, cutoff=0.05)
    (comparison,) = compare_published(tables.read([run.close()]))
    assert comparison.verdict == PublishedVerdict.NOT_RUN


@pytest.fixture
def compare_cell(writer: MakeWriter) -> Compare:
    """Compare a number with cells of trials whose class 3 has recalls 0.98, 0.985, 0.99."""

    def compare_row(row: dict[str, str], **sweep: Any) -> PublishedComparison:
        run = writer("cells", **{"overrides": {}, **sweep}, published=[{**ROW, **row}])
        run.session([1, 2, 3])
        for number, recall in enumerate((0.98, 0.985, 0.99), start=1):
            run.trial(number, {"arch.kernel_size": 3}, seed=number)
            run.start(number)
            run.epoch(number, 1, 0.1)
            rows = [
                {"class": "3", "recall": recall, "support": 1010},
                {"class": "4", "recall": 0.1, "support": 982},
            ]
            run.end(number, "finished", metrics={}, tables={"per_class": rows})
        (comparison,) = compare_published(tables.read([run.close()]))
        return comparison

    return compare_row


def test_a_number_is_compared_with_a_cell_of_a_table(compare_cell: Compare) -> None:
    comparison = compare_cell({"value": "0.985", "metric": "per_class:3:recall"})
    assert comparison.verdict == PublishedVerdict.REPRODUCED
    assert comparison.is_counted
    assert comparison.n == 3
    assert comparison.ours == pytest.approx(0.985)
    assert comparison.sd == pytest.approx(0.005)


def test_the_declaration_of_a_column_says_which_side_is_better(compare_cell: Compare) -> None:
    row = {"value": "0.5", "metric": "per_class:3:recall"}
    assert compare_cell(row).verdict == PublishedVerdict.DIFFERS
    directions = {"per_class:recall": "max"}
    assert compare_cell(row, directions=directions).verdict == PublishedVerdict.BETTER


def test_a_cell_that_no_trial_has_is_not_run(compare_cell: Compare) -> None:
    for metric in ("per_class:5:recall", "per_class:3:f1", "other:3:recall", "a:b"):
        comparison = compare_cell({"value": "0.5", "metric": metric})
        assert comparison.verdict == PublishedVerdict.NOT_RUN


@pytest.mark.parametrize("declared", [[], ["per_class:support"]])
def test_a_metric_that_does_not_depend_on_training_is_counted_with_the_settings(
    compare_cell: Compare, declared: list[str]
) -> None:
    row = {"value": "1010", "metric": "per_class:3:support"}
    comparison = compare_cell(row, untrained_metrics=declared)
    assert comparison.verdict == PublishedVerdict.EQUAL
    assert not comparison.is_counted


def test_the_declaration_decides_not_the_name(compare_cell: Compare) -> None:
    row = {"value": "1010", "metric": "per_class:3:support"}
    comparison = compare_cell(row, untrained_metrics=["floor"])
    assert comparison.verdict == PublishedVerdict.REPRODUCED
    assert comparison.is_counted


def test_trials_of_earlier_commands_do_not_measure_the_numbers_of_the_report(
    writer: MakeWriter,
) -> None:
    """Regression: a trial of `--set epochs=40` was "better" than the report with 4 epochs."""
    run = writer(overrides={}, published=[ROW, {**ROW, "trials": "arch.kernel_size=5"}])
    run.session([1, 2, 3])
    trials = [(3, 0.08, 40), (3, 0.10, 4), (5, 0.05, 40)]
    for number, (kernel, loss, epochs) in enumerate(trials, start=1):
        run.trial(number, {"arch.kernel_size": kernel}, epochs=epochs)
        run.start(number)
        run.epoch(number, 1, loss)
        run.end(number, "finished", metrics={})
    best, of_five = compare_published(tables.read([run.close()]))
    assert numbers_of_trials(best) == [2]
    assert best.verdict == PublishedVerdict.REPRODUCED
    assert numbers_of_trials(of_five) == [3]
    assert of_five.verdict == PublishedVerdict.NOT_COMPARABLE
    assert of_five.not_comparable == NotComparable.OTHER_SETTINGS
    assert of_five.overrides == {"epochs": {"full": "4", "here": "40"}}


def test_a_condition_may_ask_for_another_setting_than_the_sweep_has(writer: MakeWriter) -> None:
    run = writer(overrides={}, published=[{**ROW, "trials": "epochs=40"}])
    run.session([1])
    run.trial(1, {"arch.kernel_size": 3}, epochs=40)
    run.start(1)
    run.epoch(1, 1, 0.10)
    run.end(1, "finished", metrics={})
    (comparison,) = compare_published(tables.read([run.close()]))
    assert comparison.verdict == PublishedVerdict.REPRODUCED


def test_seeds_without_a_value_are_counted(writer: MakeWriter) -> None:
    """Regression: two of three seeds "reproduced" a number, without a word about the third."""
    run = writer(overrides={}, published=[ROW])
    run.session([1, 2, 3])
    for seed, loss in enumerate((0.100, 0.102)):
        run.trial(seed + 1, {"arch.kernel_size": 3}, seed=seed)
        run.start(seed + 1)
        run.epoch(seed + 1, 1, loss)
        run.end(seed + 1, "finished", metrics={})
    run.trial(3, {"arch.kernel_size": 3}, seed=2)
    run.start(3)
    run.end(3, "diverged")
    (comparison,) = compare_published(tables.read([run.close()]))
    assert comparison.measurement is not None
    assert comparison.measurement.missing_seeds == 1
    assert reason(comparison).startswith(
        "2 seeds. 1 seed of this configuration without a value left out."
    )
