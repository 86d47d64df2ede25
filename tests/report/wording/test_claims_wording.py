"""Sentences about claims, from the run to the rows of verdicts.json."""

from __future__ import annotations

from typing import Any

import pytest

from cae import (
    BetterThan,
    MoreImportantThan,
    NoDifference,
    NotTestable,
    RisesWith,
    SmallestAt,
    SmallestRows,
    Threshold,
)
from cae.report.wording.claims import p_value_text, summary_sentence
from cae.report.wording.verdicts import claim_row
from cae.sweep.spec.claims import Claim
from tests.report.statistics.claims.claim_runs import (
    FEWER_EPOCHS,
    HIGH,
    KERNEL,
    KERNEL_3,
    KERNEL_5,
    LOW,
    TrialLoss,
    judge_importance,
    judge_with_losses,
    judge_with_stopped_trials,
    judge_with_tables,
    seeds,
)
from tests.report.synthetic_runs import MakeWriter

LOW_AND_HIGH = [*seeds(3, *LOW), *seeds(5, *HIGH)]
GROUPS: dict[str, Any] = {
    "id": "C1",
    "text": "Three against five.",
    "metric": "val_loss",
    "this": KERNEL_3,
    "that": KERNEL_5,
}


def row_of(
    writer: MakeWriter, claim: Claim, trials: list[TrialLoss], **sweep: Any
) -> dict[str, Any]:
    return claim_row(judge_with_losses(writer, claim, trials, **sweep))


def test_two_groups_are_described_by_their_means_and_the_test(writer: MakeWriter) -> None:
    row = row_of(writer, BetterThan(**GROUPS), LOW_AND_HIGH)
    assert row["verdict"] == "supported"
    assert row["test"] == "paired t-test (3 pairs of equal seeds)"
    assert row["effect"] == "0.0100 lower val_loss"
    assert row["why"] == (
        "Mean val_loss 0.01010 against 0.02013: 0.0100 lower val_loss. "
        "The difference has the claimed sign (p\u00a0<\u00a00.0001)."
    )
    assert (row["n"], row["seeds"], row["trials_used"]) == (6, 3, [1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("margin", "trials", "conclusion"),
    [
        (0.005, LOW_AND_HIGH, "The difference has the claimed sign (p"),
        (0.02, LOW_AND_HIGH, "has the claimed sign, but is smaller than claimed."),
        (0.02, [*seeds(3, *HIGH), *seeds(5, *LOW)], "The difference has the opposite sign (p"),
    ],
)
def test_a_difference_below_the_claimed_one_has_the_claimed_sign(
    writer: MakeWriter, margin: float, trials: list[TrialLoss], conclusion: str
) -> None:
    row = row_of(writer, BetterThan(**GROUPS, margin=margin), trials)
    assert conclusion in row["why"]


def test_one_seed_is_stated_as_the_reason_for_no_test(writer: MakeWriter) -> None:
    row = row_of(writer, BetterThan(**GROUPS), [*seeds(3, 0.01), *seeds(5, 0.02)])
    assert row["test"] == "none"
    assert "The difference has the claimed sign." in row["why"]
    assert row["why"].endswith("One seed each; a test needs at least 2 seeds.")


def test_no_difference_with_one_seed_is_not_described_as_zero(writer: MakeWriter) -> None:
    row = row_of(writer, NoDifference(**GROUPS, margin=0.001), [*seeds(3, 0.01), *seeds(5, 0.02)])
    assert "Claimed margin 0.001." in row["why"]
    assert "zero" not in row["why"]


def test_an_equivalence_test_names_its_margin(writer: MakeWriter) -> None:
    row = row_of(writer, NoDifference(**GROUPS, margin=0.05), LOW_AND_HIGH)
    assert row["test"].startswith("two one-sided tests (TOST), paired t-test")
    assert "The difference is within the margin of 0.05" in row["why"]


def test_a_verdict_names_the_settings_that_differ_from_the_report(writer: MakeWriter) -> None:
    row = row_of(writer, BetterThan(**GROUPS), LOW_AND_HIGH, overrides=FEWER_EPOCHS)
    assert row["why"].endswith("Under epochs 4 instead of 10.")
    assert row["differs"] == "epochs 4 instead of 10"


def test_an_extreme_names_the_closest_value_and_the_correction(writer: MakeWriter) -> None:
    claim = SmallestAt(id="C3", text="Smallest.", metric="val_loss", axis=KERNEL, value=3)
    trials = [*LOW_AND_HIGH, *seeds(7, 0.03, 0.0302, 0.0303)]
    row = row_of(writer, claim, trials)
    assert row["test"].endswith("Holm over 2 comparisons")
    assert row["why"].startswith(
        "Mean val_loss 0.01010 at arch.kernel_size 3 against 0.02013 at 5 (closest of 2 others)."
    )


def test_a_trend_at_an_epoch_states_that_stopped_trials_are_included(writer: MakeWriter) -> None:
    claim = RisesWith(id="C4", text="A trend.", metric="val_loss", axis=KERNEL, at_epoch=1)
    row = claim_row(judge_with_stopped_trials(writer, claim))
    assert row["test"] == "Spearman's rank correlation (9,999 permutations)"
    assert row["effect"] == "Spearman correlation 1"
    sentence = "At epoch 1 of all trials that reached it, also those that were stopped later."
    assert row["why"].count(sentence) == 1


def test_too_few_seeds_for_a_trend_are_stated(writer: MakeWriter) -> None:
    claim = RisesWith(id="C4", text="A trend.", metric="val_loss", axis=KERNEL)
    row = row_of(writer, claim, [*seeds(3, 0.01), *seeds(5, 0.02), *seeds(7, 0.03)])
    assert row["test"] == "Spearman's rank correlation (exact permutation)"
    assert row["why"].endswith("At least 2 seeds of each of these 3 values are needed.")


def test_stopped_trials_that_are_left_out_are_counted(writer: MakeWriter) -> None:
    claim = RisesWith(id="C4", text="A trend.", metric="val_loss", axis=KERNEL)
    row = claim_row(judge_with_stopped_trials(writer, claim))
    assert row["test"] == ""
    assert row["why"].endswith(
        "Left out: 9 stopped. The trials that are compared are survivors: they were better at a "
        "rung."
    )


def test_importance_names_the_most_important_other_parameter(writer: MakeWriter) -> None:
    claim = MoreImportantThan(id="C1", text="x", metric="val_loss", axis=KERNEL, at_epoch=1)
    row = claim_row(judge_importance(writer, claim))
    assert row["test"] == (
        "random forest, permutation importance (199 bootstraps over configurations)"
    )
    assert "that of arch.encoder_filters.1, the most important of 2 others, is" in row["why"]


def test_rows_of_tables_are_described_by_the_pair_that_decides(writer: MakeWriter) -> None:
    claim = SmallestRows(id="C1", text="x", table="per_class", column="mse", rows=["cat", "dog"])
    row = claim_row(judge_with_tables(writer, claim, seeds=3))
    assert row["test"] == "paired t-test (3 seeds), Holm over 2 comparisons"
    assert row["why"].startswith(
        "Mean mse over 3 trials: 0.01160 of dog against 0.03133 of frog (closest of 2 pairs)."
    )


def test_a_size_of_the_network_is_compared_without_a_test(writer: MakeWriter) -> None:
    claim = Threshold(id="C8", text="Small.", metric="parameters", op="<", bound=1e6)
    row = row_of(writer, claim, seeds(3, *LOW))
    assert row["test"] == "none: sizes of networks are not random"
    assert row["why"].endswith("The difference has the claimed sign. Sizes need no test.")


def test_a_published_bound_under_other_settings_names_them(writer: MakeWriter) -> None:
    claim = Threshold(id="C1", text="x", metric="val_loss", op="<", bound=0.02, as_published=True)
    row = row_of(writer, claim, seeds(3, *LOW), overrides=FEWER_EPOCHS)
    assert "measured with other settings: this run has epochs 4 instead of 10" in row["why"]


def test_the_declared_reason_is_a_sentence(writer: MakeWriter) -> None:
    claim = NotTestable(id="C9", text="It is blurry.", reason="nobody measured it")
    assert row_of(writer, claim, seeds(3, *LOW))["why"] == "Nobody measured it."


def test_the_summary_counts_the_verdicts(writer: MakeWriter) -> None:
    supported = judge_with_losses(writer, BetterThan(**GROUPS), LOW_AND_HIGH)
    not_testable = judge_with_stopped_trials(
        lambda **sweep: writer("stopped", **sweep),
        RisesWith(id="C4", text="A trend.", metric="val_loss", axis=KERNEL),
    )
    results = [supported, not_testable, not_testable]
    assert summary_sentence(results) == "Of 3 claims: 1 supported, 2 not testable."
    assert summary_sentence([]) == ""


@pytest.mark.parametrize(
    ("p_value", "text"),
    [(0.01234, "p\u00a0=\u00a00.012"), (1.0, "p\u00a0=\u00a01"), (1e-5, "p\u00a0<\u00a00.0001")],
)
def test_p_values_have_two_digits(p_value: float, text: str) -> None:
    assert p_value_text(p_value) == text
