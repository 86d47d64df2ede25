"""Published numbers and their verdicts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from cae.report.data import tables
from cae.report.statistics.published import (
    NotComparable,
    PublishedComparison,
    compare_published,
    parse_printed,
)
from cae.report.wording.published import reason, summary_sentence

Writer = Callable[..., Any]
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


@pytest.fixture
def judged(writer: Writer) -> Callable[..., PublishedComparison]:
    """Compare one published row with finished trials: (kernel size, seed, loss) each."""

    numbers = itertools.count()

    def judge(
        row: dict[str, str], *trials: tuple[int, int, float], **sweep: Any
    ) -> PublishedComparison:
        run = writer(
            f"run{next(numbers)}", **{"overrides": {}, **sweep}, published=[{**ROW, **row}]
        )
        run.session(list(range(1, len(trials) + 1)))
        for number, (kernel, seed, loss) in enumerate(trials, start=1):
            run.trial(number, {"arch.kernel_size": kernel}, seed=seed)
            run.start(number)
            run.epoch(number, 1, loss, val_accuracy=1 - loss, val_odd=loss)
            run.end(number, "finished", metrics={"test_error": loss})
        return compare_published(tables.read([run.close()]))[0]

    return judge


Judge = Callable[..., PublishedComparison]


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


def test_within_half_a_unit_of_the_last_digit_is_reproduced(judged: Judge) -> None:
    comparison = judged({"value": "0.10"}, (3, 0, 0.1049))
    assert comparison.verdict == "reproduced"
    assert comparison.n == 1
    assert comparison.sd is None
    assert reason(comparison).startswith("One seed.")


@pytest.mark.parametrize(("loss", "verdict"), [(0.094, "better"), (0.106, "worse")])
def test_outside_the_tolerance_the_side_decides(judged: Judge, loss: float, verdict: str) -> None:
    assert judged({"value": "0.10"}, (3, 0, loss)).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [("0.90", "worse"), ("0.70", "better")])
def test_larger_values_of_an_accuracy_are_better(judged: Judge, value: str, verdict: str) -> None:
    row = {"metric": "val_accuracy", "value": value}
    assert judged(row, (3, 0, 0.2)).verdict == verdict


def test_a_metric_of_unknown_direction_differs(judged: Judge) -> None:
    assert judged({"metric": "val_odd", "value": "0.90"}, (3, 0, 0.2)).verdict == "differs"


def test_seeds_give_mean_sd_and_a_tolerance_of_two_sd(judged: Judge) -> None:
    trials = [(3, 0, 0.110), (3, 1, 0.120), (3, 2, 0.100), (5, 0, 0.5)]
    comparison = judged({"value": "0.100"}, *trials)
    assert comparison.ours == pytest.approx(0.11)
    assert comparison.sd == pytest.approx(0.01)
    assert comparison.tolerance == pytest.approx(0.02)
    assert comparison.verdict == "reproduced"
    assert trials_of(comparison) == [1, 2, 3]


def trials_of(comparison: PublishedComparison) -> list[int]:
    assert comparison.measurement is not None
    return sorted(comparison.measurement.trials)


def test_conditions_select_trials_and_compare_numbers_as_numbers(judged: Judge) -> None:
    row = {"trials": "arch.kernel_size=5.0;seed=0", "value": "0.5"}
    comparison = judged(row, (3, 0, 0.1), (5, 0, 0.5), (5, 1, 0.2))
    assert trials_of(comparison) == [2]
    assert comparison.ours == 0.5


def test_the_best_of_several_matching_configurations_is_used(judged: Judge) -> None:
    comparison = judged({"trials": "seed=0"}, (3, 0, 0.3), (5, 0, 0.1))
    assert trials_of(comparison) == [2]
    assert comparison.measurement is not None
    assert comparison.measurement.matching_configurations == 2
    assert reason(comparison).endswith("Best of 2 matching configurations.")


FEWER_EPOCHS = {"epochs": {"full": 10, "here": 4}}


def test_a_run_with_fewer_epochs_is_not_comparable(judged: Judge) -> None:
    comparison = judged({}, (3, 0, 0.1), overrides=FEWER_EPOCHS)
    assert comparison.verdict == "not comparable"
    assert comparison.not_comparable == NotComparable.OTHER_SETTINGS
    assert comparison.ours == 0.1
    assert "epochs 4 instead of 10" in reason(comparison)


def test_an_overridden_setting_meets_the_condition_but_is_not_comparable(judged: Judge) -> None:
    row = {"trials": "epochs=10;arch.kernel_size=3"}
    comparison = judged(row, (3, 0, 0.1), (5, 0, 0.2), overrides=FEWER_EPOCHS)
    assert comparison.verdict == "not comparable"
    assert comparison.ours == 0.1
    other_epochs = judged({"trials": "epochs=20"}, (3, 0, 0.1), overrides=FEWER_EPOCHS)
    assert other_epochs.verdict == "not run"


def test_a_size_of_the_network_is_comparable_under_any_settings(judged: Judge) -> None:
    row = {"metric": "latent_values", "value": "1024"}
    assert judged(row, (3, 0, 0.1), overrides=FEWER_EPOCHS).verdict == "reproduced"


def test_another_number_of_parameters_is_neither_better_nor_worse(judged: Judge) -> None:
    assert judged({"metric": "parameters", "value": "4911"}, (3, 0, 0.1)).verdict == "differs"


def test_a_percentage_is_compared_with_a_share(judged: Judge) -> None:
    row = {"metric": "test_error", "unit": "percent", "value": "20.5"}
    comparison = judged(row, (3, 0, 0.2048))
    assert comparison.verdict == "reproduced"
    assert comparison.ours == pytest.approx(20.48)


@pytest.mark.parametrize(
    "change",
    [{"metric": "test_nothing"}, {"trials": "arch.kernel_size=9"}, {"trials": "no.such=1"}],
)
def test_a_number_that_no_finished_trial_measures_is_not_run(
    judged: Judge, change: dict[str, str]
) -> None:
    comparison = judged(change, (3, 0, 0.1))
    assert comparison.verdict == "not run"
    assert comparison.ours is None
    assert comparison.n == 0


def test_a_row_without_a_metric_is_context(judged: Judge) -> None:
    comparison = judged({"metric": "", "value": "32->16"}, (3, 0, 0.1))
    assert comparison.verdict == "context"
    expected = "The sweep lists published numbers for context only."
    assert summary_sentence([comparison]) == expected


def test_a_value_that_is_not_a_number_is_not_comparable(judged: Judge) -> None:
    comparison = judged({"value": "32->16"}, (3, 0, 0.1))
    assert comparison.verdict == "not comparable"
    assert comparison.not_comparable == NotComparable.NO_NUMBER


def test_stopped_trials_are_not_compared_with_published_numbers(writer: Writer) -> None:
    run = writer(overrides={}, published=[ROW])
    run.session([1])
    run.trial(1, {})
    run.start(1)
    run.epoch(1, 1, 0.1)
    run.end(1, "stopped", rung=1, value=0.1, cutoff=0.05)
    (comparison,) = compare_published(tables.read([run.close()]))
    assert comparison.verdict == "not run"


def test_the_summary_counts_every_verdict(judged: Judge) -> None:
    reproduced = judged({}, (3, 0, 0.1))
    worse = judged({}, (3, 0, 0.2))
    other_settings = judged({}, (3, 0, 0.1), overrides=FEWER_EPOCHS)
    context = judged({"metric": ""}, (3, 0, 0.1))
    assert summary_sentence([reproduced, worse, other_settings, context]) == (
        "Of 3 published numbers: 1 reproduced, 1 worse and 1 not comparable. "
        "Not comparable: this run has epochs 4 instead of 10."
    )
