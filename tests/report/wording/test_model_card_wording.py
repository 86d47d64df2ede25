"""The verdicts of a sweep in the model card of one of its trials."""

from __future__ import annotations

from cae import BetterThan
from cae.report.data import tables
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.published import compare_published
from cae.report.wording.model_card import verdict_lines
from tests.report.statistics.test_published import ROW
from tests.report.synthetic_runs import MakeWriter

KERNEL = "arch.kernel_size"


def test_every_claim_is_listed_and_the_numbers_that_a_trial_measures(writer: MakeWriter) -> None:
    claim = BetterThan(
        id="C1",
        text="Kernel 3 is better\nthan kernel 5.",
        metric="val_loss",
        this={KERNEL: 3},
        that={KERNEL: 5},
    )
    rows = [
        {**ROW, "trials": f"{KERNEL}=3"},
        {**ROW, "trials": f"{KERNEL}=5", "value": "0.7", "quantity": "loss of kernel 5"},
    ]
    run = writer(overrides={}, published=rows, claims=[claim.described()])
    for number, kernel, seed, loss in (
        (1, 3, 0, 0.099),
        (2, 3, 1, 0.101),
        (3, 3, 2, 0.1),
        (4, 5, 0, 0.5),
        (5, 5, 1, 0.52),
        (6, 5, 2, 0.51),
    ):
        run.trial(number, {KERNEL: kernel}, seed=seed)
        run.start(number)
        run.epoch(number, 1, loss)
        run.end(number, "finished", metrics={})
    results = tables.read([run.close()])
    text = "\n".join(verdict_lines(2, judge_claims(results), compare_published(results)))
    assert text.splitlines() == [
        "Of 1 claim: 1 supported.",
        "- supported: Kernel 3 is better than kernel 5.",
        "Of 2 published numbers: 1 reproduced and 1 better.",
        "Measured with this trial:",
        "- reproduced: loss, published 0.10 (report 000, table 1); here 0.1000 (mean of 3 seeds)",
    ]


def test_a_sweep_without_claims_and_published_numbers_has_no_verdicts(writer: MakeWriter) -> None:
    run = writer()
    run.trial(1, {})
    run.start(1)
    run.epoch(1, 1, 0.1)
    run.end(1, "finished", metrics={})
    results = tables.read([run.close()])
    assert verdict_lines(1, judge_claims(results), compare_published(results)) == []
