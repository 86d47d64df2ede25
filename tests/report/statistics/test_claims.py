"""Claims and their verdicts, on runs whose values decide them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from cae import (
    BetterThan,
    Compares,
    CorrelatesWith,
    FallsWith,
    LargestAt,
    LargestRows,
    MoreImportantThan,
    NoDifference,
    NotTestable,
    RisesWith,
    SmallestAt,
    SmallestRows,
    Threshold,
)
from cae.report.data import tables
from cae.report.page import build as page
from cae.report.statistics.claims.judge import judge_claims
from cae.report.wording.verdicts import claim_row
from cae.sweep.spec.claims import Claim, check_claims

KERNEL = "arch.kernel_size"
THREE: dict[str, Any] = {KERNEL: 3}
FIVE: dict[str, Any] = {KERNEL: 5}
BETTER: dict[str, Any] = {
    "id": "C1",
    "text": "Three beats five.",
    "metric": "val_loss",
    "this": THREE,
    "that": FIVE,
}

Judge = Callable[..., dict[str, Any]]


@pytest.fixture
def judged(writer: Callable[..., Any]) -> Judge:
    """Judge one claim over trials of (kernel, seed, val_loss)."""

    def judge(claim: Claim, trials: list[tuple[int, int, float]], **sweep: Any) -> dict[str, Any]:
        run = writer(claims=[claim.described()], **({"overrides": {}} | sweep))
        run.session(list(range(1, len(trials) + 1)))
        for number, (kernel, seed, loss) in enumerate(trials, 1):
            run.trial(number, {KERNEL: kernel}, seed=seed)
            run.start(number)
            run.epoch(number, 1, loss)
            run.end(number, "finished", best_epoch=1, metrics={"test_loss": loss * 1.1})
        (result,) = judge_claims(tables.read([run.close()]))
        return claim_row(result)

    return judge


def seeds(kernel: int, *losses: float) -> list[tuple[int, int, float]]:
    return [(kernel, seed, loss) for seed, loss in enumerate(losses)]


LOW, HIGH = (0.0100, 0.0102, 0.0101), (0.0200, 0.0203, 0.0201)


@pytest.mark.parametrize(
    ("three", "five", "verdict"),
    [
        (LOW, HIGH, "supported"),
        (HIGH, LOW, "contradicted"),
        ((0.01, 0.02, 0.03), (0.02, 0.01, 0.031), "undecided"),
        (LOW, LOW, "undecided"),
        ((0.01,), (0.02,), "undecided"),
        (LOW, (), "not testable"),
    ],
)
def test_two_groups_are_compared_by_a_paired_test_over_seeds(
    three: Any, five: Any, verdict: str, judged: Judge
) -> None:
    row = judged(BetterThan(**BETTER), [*seeds(3, *three), *seeds(5, *five)])
    assert row["verdict"] == verdict, row
    if verdict in ("supported", "contradicted"):
        assert "paired t-test" in row["test"]
        assert row["p"] < 0.05
        assert row["seeds"] == 3
    if len(three) == 1:
        assert "One seed" in row["why"]


def test_one_seed_never_supports_a_claim(judged: Judge) -> None:
    assert judged(BetterThan(**BETTER), [*seeds(3, 1e-6), *seeds(5, 0.9)])["verdict"] == "undecided"


def test_a_difference_smaller_than_the_claimed_margin_is_not_supported(judged: Judge) -> None:
    assert (
        judged(BetterThan(**BETTER, margin=0.05), [*seeds(3, *LOW), *seeds(5, *HIGH)])["verdict"]
        != "supported"
    )


@pytest.mark.parametrize(("margin", "verdict"), [(0.005, "supported"), (1e-7, "undecided")])
def test_no_difference_is_an_equivalence_within_its_margin(
    margin: float, verdict: str, judged: Judge
) -> None:
    alike = (0.01001, 0.01019, 0.01012)
    claim = NoDifference(
        id="C2", text="They are alike.", metric="val_loss", this=THREE, that=FIVE, margin=margin
    )
    assert judged(claim, [*seeds(3, *LOW), *seeds(5, *alike)])["verdict"] == verdict


@pytest.mark.parametrize(
    ("kind", "value", "verdict"),
    [
        (SmallestAt, 3, "supported"),
        (SmallestAt, 7, "contradicted"),
        (LargestAt, 7, "supported"),
        (SmallestAt, 9, "not testable"),
    ],
)
def test_an_extreme_is_judged_against_every_other_value(
    kind: type[SmallestAt], value: int, verdict: str, judged: Judge
) -> None:
    trials = [*seeds(3, *LOW), *seeds(5, *HIGH), *seeds(7, 0.03, 0.0302, 0.0303)]
    claim = kind(id="C3", text="An extreme.", metric="val_loss", axis=KERNEL, value=value)
    assert judged(claim, trials)["verdict"] == verdict


@pytest.mark.parametrize(
    ("kind", "verdict"), [(RisesWith, "supported"), (FallsWith, "contradicted")]
)
def test_a_trend_is_judged_by_a_rank_correlation(
    kind: type[RisesWith], verdict: str, judged: Judge
) -> None:
    trials = []
    for kernel in (3, 5, 7, 9, 11):
        trials += seeds(kernel, kernel / 100, kernel / 99)
    row = judged(kind(id="C4", text="A trend.", metric="val_loss", axis=KERNEL), trials)
    assert row["verdict"] == verdict
    assert "permutation" in row["test"]


def test_a_trend_over_one_value_is_not_testable(judged: Judge) -> None:
    assert (
        judged(RisesWith(id="C4", text="A trend.", metric="val_loss", axis=KERNEL), seeds(3, *LOW))[
            "verdict"
        ]
        == "not testable"
    )


def test_metrics_that_rise_together_are_correlated(judged: Judge) -> None:
    trials = [(3 + 2 * step, 0, 0.01 + 0.001 * step) for step in range(8)]
    claim = CorrelatesWith(
        id="C5", text="They go together.", metric="val_loss", other="test_loss", sign="positive"
    )
    assert judged(claim, trials)["verdict"] == "supported"


@pytest.mark.parametrize(("op", "verdict"), [("<", "supported"), (">", "contradicted")])
def test_two_metrics_of_the_same_trials_are_compared_in_pairs(
    op: Any, verdict: str, judged: Judge
) -> None:
    trials = [(3, seed, 0.01 + 0.0013 * seed) for seed in range(8)]
    claim = Compares(id="C6", text="Training is lower.", left="train_loss", op=op, right="val_loss")
    assert judged(claim, trials)["verdict"] == verdict


@pytest.mark.parametrize(("bound", "verdict"), [(0.02, "supported"), (0.005, "contradicted")])
def test_a_threshold_is_judged_over_seeds(bound: float, verdict: str, judged: Judge) -> None:
    claim = Threshold(id="C7", text="It is small.", metric="val_loss", op="<", bound=bound)
    assert judged(claim, seeds(3, *LOW))["verdict"] == verdict


def test_a_size_of_the_network_needs_no_test(judged: Judge) -> None:
    row = judged(
        Threshold(id="C8", text="It is small.", metric="parameters", op="<", bound=1e6),
        seeds(3, *LOW),
    )
    assert row["verdict"] == "supported"
    assert row["test"].startswith("none")


def test_a_claim_that_is_declared_not_testable_has_its_reason(judged: Judge) -> None:
    row = judged(
        NotTestable(id="C9", text="It is blurry.", reason="nobody measured it"), seeds(3, *LOW)
    )
    assert (row["verdict"], row["why"]) == ("not testable", "Nobody measured it.")


def test_a_verdict_names_the_settings_that_differ_from_the_report(judged: Judge) -> None:
    overrides = {"epochs": {"full": 10, "here": 4}}
    row = judged(BetterThan(**BETTER), [*seeds(3, *LOW), *seeds(5, *HIGH)], overrides=overrides)
    assert row["verdict"] == "supported"
    assert "epochs 4 instead of 10" in row["why"]


def test_html_in_a_claim_is_text_on_the_page(writer: Callable[..., Any], evil: str) -> None:
    run = writer(claims=[NotTestable(id="C10", text=evil, reason=evil).described()])
    run.session([])
    html = page.build(run.close()).read_text()
    assert "<img src=x" not in html
    assert "Claims" in html
    assert '<span class="verdict verdict-not-testable">not testable</span>' in html
    verdicts = json.loads((run.run.path / "verdicts.json").read_text())
    assert [row["verdict"] for row in verdicts["claims"]] == ["not testable"]


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: BetterThan(**BETTER | {"that": THREE}), "this and that should differ"),
        (
            lambda: Compares(id="C", text="x", left="a", op="<", right="a"),
            "left and right are both a",
        ),
        (lambda: SmallestAt(id="", text="x", metric="val_loss", axis=KERNEL, value=3), "id"),
        (lambda: Threshold(id="C", text="x", metric="val_loss", op="=", bound=1.0), "op"),  # type: ignore[arg-type]
    ],
)
def test_an_invalid_claim_is_an_error(create: Callable[[], Claim], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create()


def test_duplicate_ids_and_unknown_names_are_errors() -> None:
    claim = SmallestAt(id="C1", text="x", metric="val_loss", axis="arch.kernel_sise", value=3)
    errors = check_claims([claim, claim], ["arch.kernel_size"])
    assert "claims: 2 of them have the id 'C1'" in errors
    assert any("did you mean arch.kernel_size?" in message for message in errors)


CLASSES = {
    "cat": (0.010, 0.011, 0.0105),
    "dog": (0.011, 0.012, 0.0118),
    "frog": (0.03, 0.031, 0.033),
}


@pytest.mark.parametrize(
    ("kind", "rows", "seeds", "verdict"),
    [
        (SmallestRows, ["cat", "dog"], 3, "supported"),
        (LargestRows, ["frog"], 3, "supported"),
        (SmallestRows, ["frog"], 3, "contradicted"),
        (SmallestRows, ["cat", "dog"], 1, "undecided"),
        (SmallestRows, ["cat", "cow"], 3, "not testable"),
        (SmallestRows, ["cat", "dog", "frog"], 3, "not testable"),
    ],
)
def test_rows_of_tables_are_compared_over_seeds(
    kind: Any, rows: list[str], seeds: int, verdict: str, writer: Callable[..., Any]
) -> None:
    claim = kind(
        id="C1", text="These classes are alike.", table="per_class", column="mse", rows=rows
    )
    run = writer(claims=[claim.described()], overrides={})
    run.session(list(range(1, seeds + 1)))
    for number in range(1, seeds + 1):
        run.trial(number, {KERNEL: 3}, seed=number)
        run.start(number)
        run.epoch(number, 1, 0.02)
        per_class = [
            {"class": name, "images": 10, "mse": values[number - 1]}
            for name, values in CLASSES.items()
        ]
        run.end(
            number,
            "finished",
            best_epoch=1,
            metrics={"test_loss": 0.02},
            tables={"per_class": per_class},
        )
    (result,) = judge_claims(tables.read([run.close()]))
    row = claim_row(result)
    assert row["verdict"] == verdict, row
    assert row["seeds"] == (seeds if verdict != "not testable" else 0)
    if verdict == "supported":
        assert "paired t-test (3 seeds)" in row["test"]
        assert "in the mean of 3 trials" in row["why"]


EARLY: dict[str, Any] = {"id": "C1", "text": "Early.", "metric": "val_loss"}


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (RisesWith(**EARLY, axis=KERNEL, at_epoch=1), "supported"),
        (RisesWith(**EARLY, axis=KERNEL), "not testable"),
        (CorrelatesWith(**EARLY, other=KERNEL, sign="negative", at_epoch=1), "contradicted"),
        (CorrelatesWith(**EARLY, other="val_psnr", sign="negative", at_epoch=1), "supported"),
        (RisesWith(**EARLY, axis=KERNEL, at_epoch=7), "not testable"),
    ],
)
def test_a_claim_at_an_epoch_counts_the_trials_that_were_stopped_later(
    claim: Claim, verdict: str, writer: Callable[..., Any]
) -> None:
    run = writer(claims=[claim.described()], overrides={})
    run.session(list(range(1, 11)))
    for number in range(1, 11):
        run.trial(number, {KERNEL: number})
        run.start(number)
        run.epoch(number, 1, 0.01 * number)
        if number == 1:
            run.epoch(number, 2, 0.9)
        run.end(
            number,
            "finished" if number == 1 else "stopped",
            best_epoch=1,
            metrics={"test_loss": 0.02},
        )
    (result,) = judge_claims(tables.read([run.close()]))
    row = claim_row(result)
    assert row["verdict"] == verdict, row
    if verdict != "not testable":
        assert row["n"] == 10
        assert row["why"].count("At epoch 1 of all trials") == 1


def test_importance_at_an_epoch_counts_stopped_trials(writer: Callable[..., Any]) -> None:
    run = writer(
        claims=[MoreImportantThan(**EARLY, axis=KERNEL, at_epoch=1).described()], overrides={}
    )
    run.session(list(range(1, 37)))
    for number in range(1, 37):
        kernel, filters = (3, 5, 7)[number % 3], (8, 16)[number % 2]
        run.trial(number, {KERNEL: kernel, "arch.encoder_filters.1": filters})
        run.start(number)
        run.epoch(number, 1, 0.01 * kernel + 1e-4 * filters + 1e-5 * number)
        run.end(number, "stopped", best_epoch=1)
    (result,) = judge_claims(tables.read([run.close()]))
    row = claim_row(result)
    assert (row["verdict"], row["n"]) == ("supported", 36), row
    assert "At epoch 1" in row["why"]


@pytest.mark.parametrize(
    ("epochs", "verdict"), [(10, "supported"), (4, "supported"), (20, "not testable")]
)
def test_an_overridden_setting_meets_the_condition_of_a_claim(
    epochs: int, verdict: str, judged: Judge
) -> None:
    """The report's trials had 10 epochs, those of this run have 4 instead."""
    changed = {"epochs": {"full": 10, "here": 4}}
    row = judged(
        BetterThan(**BETTER, where={"epochs": epochs}),
        [*seeds(3, *LOW), *seeds(5, *HIGH)],
        overrides=changed,
    )
    assert row["verdict"] == verdict, row
    if verdict == "supported":
        assert "epochs 4 instead of 10" in row["why"]


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [({}, "supported"), ({"epochs": {"full": 10, "here": 4}}, "not testable")],
)
def test_a_threshold_as_published_is_not_testable_under_other_settings(
    changed: dict[str, Any], verdict: str, judged: Judge
) -> None:
    claim = Threshold(
        id="C1", text="It comes to 0.02.", metric="val_loss", op="<", bound=0.02, as_published=True
    )
    row = judged(claim, seeds(3, *LOW), overrides=changed)
    assert row["verdict"] == verdict, row
    assert ("not comparable: this run has epochs 4 instead of 10" in row["why"]) == bool(changed)


def test_no_difference_with_one_seed_is_undecided(judged: Judge) -> None:
    row = judged(NoDifference(**BETTER, margin=0.001), [*seeds(3, 0.01), *seeds(5, 0.02)])
    assert row["verdict"] == "undecided"
