"""The early-stopping analysis, on runs with known curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page.sections.early_stopping import evidence_sentences
from cae.report.statistics.early_stopping import analyze_early_stopping, audit
from cae.report.wording.early_stopping import audit_sentence

Writer = Callable[..., Any]


def run_with_curves(
    writer: Writer, curves: dict[int, list[float]], audited: frozenset[int] = frozenset()
) -> Results:
    """Trials with these curves; those with fewer epochs than the longest were stopped.

    `audited` trials would have been stopped at epoch 1.
    """
    run = writer()
    longest = max(len(curve) for curve in curves.values())
    run.session(list(curves))
    for number in curves:
        axes = {"arch.kernel_size": 3 + 2 * (number % 2)}
        run.add(
            "trial",
            trial=number,
            hash=f"{number:016x}",
            config={"epochs": longest, **axes},
            axes=axes,
            sizes={},
            is_audit=number in audited,
        )
    for number, curve in curves.items():
        run.start(number)
        for epoch, value in enumerate(curve, 1):
            run.epoch(number, epoch, value)
        if number in audited:
            stop = {"rung": 1, "value": 1.0, "cutoff": 0.5, "seen": 3}
            run.add("audit_stop", trial=number, reason="above", **stop)
        if len(curve) == longest:
            run.end(number, "finished")
        else:
            stop = {"rung": len(curve), "value": curve[-1], "cutoff": 0.1}
            run.end(number, "stopped", reason="above the cutoff", **stop)
    return tables.read([run.close()])


def test_regret_is_the_value_that_would_have_been_lost(writer: Writer) -> None:
    curves = {
        1: [0.5, 0.4, 0.30],
        2: [0.6, 0.5, 0.10],
        3: [0.7, 0.6, 0.50],
        4: [0.9, 0.8, 0.7],
        5: [1.0],
    }
    results = run_with_curves(writer, curves)
    analysis = analyze_early_stopping(results)
    regret = {(row.epoch, row.kept): row.regret for row in analysis.regret.itertuples()}
    assert regret == {
        (1, 1): pytest.approx(0.2),
        (1, 3): 0,
        (2, 1): pytest.approx(0.2),
        (2, 3): 0,
        (3, 1): 0,
        (3, 3): 0,
    }
    assert any("0.2" in sentence for sentence in evidence_sentences(results, analysis))


def test_rank_correlations_and_survival_are_those_of_the_curves(writer: Writer) -> None:
    curves: dict[int, list[float]] = {}
    for number in range(1, 9):
        curves[number] = [float(number)]
        if number < 5:
            curves[number].append(number + 0.5)
    analysis = analyze_early_stopping(run_with_curves(writer, curves))
    columns = ["a", "b", "rho", "n"]
    assert analysis.rank_correlations[columns].to_numpy().tolist() == [[1, 2, 1.0, 4]]
    steps = analysis.survival[0].steps
    assert dict(zip(steps["epoch"], steps["share"], strict=True)) == {0: 1.0, 1: 0.5, 2: 0.5}


def test_the_audit_counts_exempt_trials_that_became_the_best(writer: Writer) -> None:
    curves = {number: [1.0, 0.5 + 0.01 * number] for number in range(1, 21)}
    curves |= {21: [2.0, 0.1], 22: [2.0, 0.9], 23: [2.0, 0.95], 24: [2.0, 0.8]}
    result = audit(run_with_curves(writer, curves, frozenset(range(21, 25))))
    assert result is not None
    assert result.planned == 4
    assert result.exempt == 4
    assert result.best == 1
    # Wilson's interval of 1 in 4.
    assert result.low == pytest.approx(0.0456, abs=1e-3)
    assert result.high == pytest.approx(0.6994, abs=1e-3)
    sentence = audit_sentence(result, "val_loss")
    assert "4 trials that would have been stopped ran all epochs" in sentence
    assert "1 had a better val_loss than all other trials" in sentence
