"""Sentences about published numbers."""

from __future__ import annotations

from dataclasses import replace

from cae.report.statistics.published_number import (
    Measurement,
    NotComparable,
    PublishedComparison,
    PublishedNumber,
    PublishedVerdict,
)
from cae.report.wording.published import differences, reason, summary_sentence
from cae.report.wording.verdicts import published_row

REPRODUCED = PublishedComparison(
    run="run",
    published=PublishedNumber(report="000", value="0.10", metric="val_loss"),
    is_size=False,
    verdict=PublishedVerdict.REPRODUCED,
    published_value=0.1,
    measurement=Measurement(mean=0.11, sd=0.01, trials=[1, 2, 3], matching_configurations=0),
    tolerance=0.02,
)
WORSE_MEASUREMENT = Measurement(mean=0.15, sd=0.001, trials=[4, 5], matching_configurations=2)
WORSE = replace(REPRODUCED, verdict=PublishedVerdict.WORSE, measurement=WORSE_MEASUREMENT)
OTHER_SETTINGS = replace(
    REPRODUCED,
    verdict=PublishedVerdict.NOT_COMPARABLE,
    not_comparable=NotComparable.OTHER_SETTINGS,
    overrides={"epochs": {"full": 10, "here": 4}},
)
NO_NUMBER = replace(
    REPRODUCED,
    published=PublishedNumber(value="32->16", metric="val_loss"),
    verdict=PublishedVerdict.NOT_COMPARABLE,
    not_comparable=NotComparable.NO_NUMBER,
)
NOT_RUN = replace(
    REPRODUCED,
    published=PublishedNumber(metric="val_loss", trials="arch.kernel_size=9"),
    verdict=PublishedVerdict.NOT_RUN,
    measurement=None,
)
CONTEXT = replace(REPRODUCED, verdict=PublishedVerdict.CONTEXT, measurement=None)


def test_a_reproduced_number_states_the_seeds_and_the_interval() -> None:
    assert reason(REPRODUCED) == (
        "3 seeds. Within the 95 % interval, ± 0.0200 (20\u00a0% of the published value)."
    )


def inconclusive(sd: float, published_sd: str = "", published_runs: str = "") -> str:
    """The reason of an inconclusive number with a margin of 0.01 and three seeds."""
    published = PublishedNumber(
        value="0.100",
        metric="val_loss",
        margin="0.01",
        margin_reason="a tenth",
        published_sd=published_sd,
        published_runs=published_runs,
    )
    measurement = Measurement(mean=0.1, sd=sd, trials=[1, 2, 3], matching_configurations=0)
    comparison = replace(
        REPRODUCED,
        published=published,
        verdict=PublishedVerdict.INCONCLUSIVE,
        measurement=measurement,
    )
    return reason(comparison)


def test_more_seeds_are_suggested_only_if_they_can_decide() -> None:
    assert "more seeds may" in inconclusive(0.005)
    assert "no number of seeds would, the runs differ too much" in inconclusive(0.0065)
    assert "more seeds may" in inconclusive(0.0065, published_sd="0.01", published_runs="10")


def test_a_number_outside_the_interval_states_the_difference() -> None:
    assert reason(WORSE) == (
        "2 seeds. 0.0500 (50\u00a0%) higher than published; the 95 % interval is ± 0.0200. "
        "Best of 2 matching configurations. Unexplained."
    )


def test_a_difference_has_the_explanation_of_its_row() -> None:
    published = replace(WORSE.published, explanation="another split was tested: no change")
    text = reason(replace(WORSE, published=published))
    assert text.endswith("Explanation: another split was tested: no change.")


def test_one_seed_states_what_a_comparison_needs() -> None:
    measurement = replace(WORSE_MEASUREMENT, trials=[4])
    comparison = replace(REPRODUCED, verdict=PublishedVerdict.ONE_SEED, measurement=measurement)
    assert reason(comparison) == (
        "One seed. 0.0500 (50\u00a0%) higher than published; a comparison needs at least 2 seeds. "
        "Best of 2 matching configurations."
    )


def test_sizes_and_settings_are_counted_apart() -> None:
    size = replace(REPRODUCED, is_size=True, verdict=PublishedVerdict.EQUAL)
    setting = replace(REPRODUCED, is_setting=True, verdict=PublishedVerdict.EQUAL)
    assert summary_sentence([REPRODUCED, size, setting]) == (
        "Of 1 published number: 1 reproduced. Of 2 sizes and settings: 2 equal."
    )


def test_other_settings_are_named() -> None:
    assert reason(OTHER_SETTINGS) == "This run has epochs 4 instead of 10."


def test_a_text_that_is_not_a_number_is_quoted() -> None:
    assert reason(NO_NUMBER) == "“32->16” is not one number."


def test_a_number_that_is_not_run_names_its_conditions() -> None:
    assert reason(NOT_RUN) == "No finished trial with arch.kernel_size=9 has val_loss."


def test_context_has_no_reason() -> None:
    assert reason(CONTEXT) == ""


def test_a_setting_without_a_value_is_the_default() -> None:
    assert differences({"dataset.limit": {"full": None, "here": 6000}}) == (
        "dataset.limit 6000 instead of the default"
    )


def test_the_summary_counts_every_verdict() -> None:
    assert summary_sentence([REPRODUCED, WORSE, OTHER_SETTINGS, CONTEXT]) == (
        "Of 3 published numbers: 1 reproduced, 1 worse and 1 not comparable. "
        "Not comparable: this run has epochs 4 instead of 10."
    )


def test_the_summary_can_leave_out_the_reasons() -> None:
    assert summary_sentence([OTHER_SETTINGS], reasons=False) == (
        "Of 1 published number: 1 not comparable."
    )


def test_the_summary_of_context_alone_states_so() -> None:
    sentence = "The sweep lists published numbers for context only."
    assert summary_sentence([CONTEXT]) == sentence
    assert summary_sentence([]) == ""


def test_the_row_of_verdicts_json_has_the_measurement() -> None:
    row = published_row(REPRODUCED)
    assert (row["report"], row["value"], row["metric"]) == ("000", "0.10", "val_loss")
    assert (row["ours"], row["sd"], row["n"], row["trials_used"]) == (0.11, 0.01, 3, [1, 2, 3])
    assert (row["tolerance"], row["verdict"], row["size"]) == (0.02, "reproduced", False)


def test_the_row_of_a_number_that_is_not_run_has_no_measurement() -> None:
    row = published_row(replace(NOT_RUN, tolerance=float("nan")))
    assert (row["ours"], row["sd"], row["n"], row["trials_used"]) == (None, None, 0, [])
    assert row["tolerance"] is None
