"""Published numbers get the verdict that a careful reader would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cae.report.data import tables
from cae.report.statistics import published

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
def judged(writer: Writer) -> Callable[..., dict[str, Any]]:
    """Judges one published row against finished trials: (kernel size, seed, loss) each."""

    def judge(row: dict[str, str], *trials: tuple[int, int, float], **sweep: Any) -> dict[str, Any]:
        run = writer(**{"overrides": {}, **sweep}, published=[{**ROW, **row}])
        run.session(list(range(1, len(trials) + 1)))
        for number, (kernel, seed, loss) in enumerate(trials, start=1):
            run.trial(number, {"arch.kernel_size": kernel}, seed=seed)
            run.start(number)
            run.epoch(number, 1, loss, val_accuracy=1 - loss, val_odd=loss)
            run.end(number, "finished", metrics={"test_error": loss})
        return published.compare(tables.read([run.close()]))[0]

    return judge


Judge = Callable[..., dict[str, Any]]


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
def test_the_last_printed_digit_is_the_rounding(
    value: str, number: float, half_unit: float
) -> None:
    assert published.printed(value) == pytest.approx((number, half_unit))


def test_within_half_a_unit_of_the_last_digit_is_reproduced(judged: Judge) -> None:
    row = judged({"value": "0.10"}, (3, 0, 0.1049))
    assert (row["verdict"], row["n"], row["sd"]) == ("reproduced", 1, None)
    assert row["why"].startswith("One seed.")


@pytest.mark.parametrize(("loss", "verdict"), [(0.094, "better"), (0.106, "worse")])
def test_outside_the_tolerance_the_side_decides(judged: Judge, loss: float, verdict: str) -> None:
    assert judged({"value": "0.10"}, (3, 0, loss))["verdict"] == verdict


def test_a_metric_where_more_is_better_turns_the_sides(judged: Judge) -> None:
    assert judged({"metric": "val_accuracy", "value": "0.90"}, (3, 0, 0.2))["verdict"] == "worse"
    assert judged({"metric": "val_accuracy", "value": "0.70"}, (3, 0, 0.2))["verdict"] == "better"


def test_a_metric_of_unknown_direction_differs(judged: Judge) -> None:
    assert judged({"metric": "val_odd", "value": "0.90"}, (3, 0, 0.2))["verdict"] == "differs"


def test_seeds_give_mean_sd_and_a_tolerance_of_two_sd(judged: Judge) -> None:
    row = judged({"value": "0.100"}, (3, 0, 0.110), (3, 1, 0.120), (3, 2, 0.100), (5, 0, 0.5))
    assert row["ours"] == pytest.approx(0.11)
    assert row["sd"] == pytest.approx(0.01)
    assert row["tolerance"] == pytest.approx(0.02)
    assert (row["n"], sorted(row["trials_used"]), row["verdict"]) == (3, [1, 2, 3], "reproduced")


def test_conditions_choose_the_trials_and_compare_numbers_as_numbers(judged: Judge) -> None:
    row = judged(
        {"trials": "arch.kernel_size=5.0;seed=0", "value": "0.5"},
        (3, 0, 0.1),
        (5, 0, 0.5),
        (5, 1, 0.2),
    )
    assert (row["trials_used"], row["ours"]) == ([2], 0.5)


def test_the_best_of_several_matching_configurations_is_taken_and_said(judged: Judge) -> None:
    row = judged({"trials": "seed=0"}, (3, 0, 0.3), (5, 0, 0.1))
    assert row["trials_used"] == [2]
    assert row["why"].endswith("Best of 2 matching configurations.")


def test_fewer_epochs_make_it_not_comparable_in_words(judged: Judge) -> None:
    row = judged({}, (3, 0, 0.1), overrides={"epochs": {"full": 10, "here": 4}})
    assert (row["verdict"], row["why"]) == (
        "not comparable",
        "this run has epochs 4 instead of 10.",
    )
    assert row["ours"] == 0.1


def test_a_setting_of_the_whole_run_stands_for_the_report_s_own_and_does_not_compare(
    judged: Judge,
) -> None:
    changed = {"epochs": {"full": 10, "here": 4}}
    row = judged(
        {"trials": "epochs=10;arch.kernel_size=3"}, (3, 0, 0.1), (5, 0, 0.2), overrides=changed
    )
    assert (row["verdict"], row["ours"]) == ("not comparable", 0.1)
    assert "epochs 4 instead of 10" in row["why"]
    assert judged({"trials": "epochs=20"}, (3, 0, 0.1), overrides=changed)["verdict"] == "not run"


def test_a_size_of_the_network_is_compared_under_any_budget(judged: Judge) -> None:
    overrides = {"epochs": {"full": 10, "here": 4}}
    assert (
        judged({"metric": "latent_values", "value": "1024"}, (3, 0, 0.1), overrides=overrides)[
            "verdict"
        ]
        == "reproduced"
    )


def test_another_number_of_parameters_differs_neither_better_nor_worse(judged: Judge) -> None:
    assert judged({"metric": "parameters", "value": "4911"}, (3, 0, 0.1))["verdict"] == "differs"


def test_a_percentage_is_compared_with_our_share(judged: Judge) -> None:
    row = judged({"metric": "test_error", "unit": "percent", "value": "20.5"}, (3, 0, 0.2048))
    assert (row["verdict"], row["ours"]) == ("reproduced", pytest.approx(20.48))


@pytest.mark.parametrize(
    "change",
    [{"metric": "test_nothing"}, {"trials": "arch.kernel_size=9"}, {"trials": "no.such=1"}],
)
def test_what_no_finished_trial_measures_is_not_run(judged: Judge, change: dict[str, str]) -> None:
    row = judged(change, (3, 0, 0.1))
    assert (row["verdict"], row["ours"], row["n"]) == ("not run", None, 0)


def test_a_row_without_a_metric_is_context_and_not_judged(judged: Judge) -> None:
    row = judged({"metric": "", "value": "32->16"}, (3, 0, 0.1))
    assert row["verdict"] == "context"
    assert published.sentence([row]) == "The sweep lists published numbers for context only."


def test_a_value_that_is_no_number_is_not_comparable(judged: Judge) -> None:
    assert judged({"value": "32->16"}, (3, 0, 0.1))["verdict"] == "not comparable"


def test_stopped_trials_do_not_stand_beside_published_numbers(writer: Writer) -> None:
    run = writer(overrides={}, published=[ROW])
    run.session([1])
    run.trial(1, {})
    run.start(1)
    run.epoch(1, 1, 0.1)
    run.end(1, "stopped", rung=1, value=0.1, cutoff=0.05)
    assert published.compare(tables.read([run.close()]))[0]["verdict"] == "not run"


def test_the_sentence_counts_every_verdict() -> None:
    rows = [
        {"verdict": verdict, "why": "this run has epochs 4 instead of 10."}
        for verdict in ("reproduced", "worse", "not comparable", "context")
    ]
    assert published.sentence(rows) == (
        "Of 3 published numbers: 1 reproduced, 1 worse and 1 not comparable. Not comparable: this run has epochs 4 instead of 10."
    )
