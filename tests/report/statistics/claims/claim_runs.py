"""Runs that decide a claim: some kernel sizes, each with several seeds and known losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cae.report.data import tables
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.claims.verdict import ClaimResult
from cae.run.paths import RunDir
from cae.sweep.spec.claims import Claim
from tests.report.synthetic_runs import MakeWriter

KERNEL = "arch.kernel_size"
KERNEL_3: dict[str, Any] = {KERNEL: 3}
KERNEL_5: dict[str, Any] = {KERNEL: 5}
LOW = (0.0100, 0.0102, 0.0101)
HIGH = (0.0200, 0.0203, 0.0201)
FEWER_EPOCHS = {"epochs": {"full": 10, "here": 4}}
"""Overrides: the report's trials had 10 epochs, those of the run have 4 instead."""

Judge = Callable[..., ClaimResult]
"""The fixture `judge`: takes a claim, trials, and keys of sweep.json that differ."""


@dataclass(frozen=True)
class TrialLoss:
    kernel: int
    seed: int
    loss: float


def seeds(kernel: int, *losses: float) -> list[TrialLoss]:
    """Return one trial per loss, with the seeds 0, 1, ..."""
    return [TrialLoss(kernel, seed, loss) for seed, loss in enumerate(losses)]


def judge_with_losses(
    writer: MakeWriter, claim: Claim, trials: list[TrialLoss], **sweep: Any
) -> ClaimResult:
    """Judge a claim on finished trials of one epoch. The test loss is 1.1 times the loss."""
    run = writer(claims=[claim.described()], **{"overrides": {}, **sweep})
    run.session(list(range(1, len(trials) + 1)))
    for number, trial in enumerate(trials, 1):
        run.trial(number, {KERNEL: trial.kernel}, seed=trial.seed)
        run.start(number)
        run.epoch(number, 1, trial.loss)
        run.end(number, "finished", best_epoch=1, metrics={"test_loss": trial.loss * 1.1})
    return judge_only_claim(run.close())


def judge_only_claim(run: RunDir) -> ClaimResult:
    (result,) = judge_claims(tables.read([run]))
    return result


def judge_with_stopped_trials(writer: MakeWriter, claim: Claim) -> ClaimResult:
    """Judge a claim on ten trials whose loss at epoch 1 rises with the kernel size.

    All but the first were stopped at epoch 1.
    """
    run = writer(claims=[claim.described()], overrides={})
    run.session(list(range(1, 11)))
    for number in range(1, 11):
        run.trial(number, {KERNEL: number})
        run.start(number)
        run.epoch(number, 1, 0.01 * number)
        if number == 1:
            run.epoch(number, 2, 0.9)
            run.end(number, "finished", best_epoch=1, metrics={"test_loss": 0.02})
        else:
            run.end(number, "stopped", best_epoch=1, metrics={"test_loss": 0.02})
    return judge_only_claim(run.close())


CLASSES = {
    "cat": (0.010, 0.011, 0.0105),
    "dog": (0.011, 0.012, 0.0118),
    "frog": (0.03, 0.031, 0.033),
}
"""Error of each class with the seeds 1, 2 and 3."""


def judge_with_tables(
    writer: MakeWriter,
    claim: Claim,
    seeds: int,
    classes: Mapping[str, Sequence[float]] = CLASSES,
) -> ClaimResult:
    """Judge a claim on trials with a table `per_class` of these errors, one per seed."""
    run = writer(claims=[claim.described()], overrides={})
    run.session(list(range(1, seeds + 1)))
    for number in range(1, seeds + 1):
        run.trial(number, KERNEL_3, seed=number)
        run.start(number)
        run.epoch(number, 1, 0.02)
        rows = []
        for name, errors in classes.items():
            rows.append({"class": name, "images": 10, "mse": errors[number - 1]})
        run.end(
            number,
            "finished",
            best_epoch=1,
            metrics={"test_loss": 0.02},
            tables={"per_class": rows},
        )
    return judge_only_claim(run.close())


def judge_importance(writer: MakeWriter, claim: Claim, trials: int = 36) -> ClaimResult:
    """Judge a claim on stopped trials of different configurations.

    The loss depends on the kernel size, hardly on the filters, and not on the batch size.
    """
    run = writer(claims=[claim.described()], overrides={})
    run.session(list(range(1, trials + 1)))
    for number in range(1, trials + 1):
        kernel = (3, 5, 7)[number % 3]
        filters = (8, 16)[number % 2]
        axes = {KERNEL: kernel, "arch.encoder_filters.1": filters}
        run.trial(number, axes, batch_size=number)
        run.start(number)
        run.epoch(number, 1, 0.01 * kernel + 1e-4 * filters + 1e-5 * number)
        run.end(number, "stopped", best_epoch=1)
    return judge_only_claim(run.close())
