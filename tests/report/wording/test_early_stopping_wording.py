"""Sentences about early stopping."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from cae.report.page.sections.early_stopping import evidence_sentences, prediction_of_ranks
from cae.report.statistics.early_stopping import Audit, SurvivalCurve, analyze_early_stopping
from cae.report.wording.early_stopping import audit_sentence, curve_name
from tests.report.planted_runs import early_stopped
from tests.report.synthetic_runs import MakeWriter


def test_the_audit_states_how_many_stopped_trials_would_have_been_the_best() -> None:
    audit = Audit(planned=4, would_be_stopped=4, best=1, low=0.0456, high=0.6994)
    assert audit_sentence(audit, "val_loss") == (
        "Audit: 4 trials that would have been stopped ran all epochs, and 1 had a better val_loss "
        "than all other trials; so 4.6\u00a0% to 70\u00a0% of the stopped trials would have been "
        "the best (95 % interval)."
    )


def test_an_audit_without_other_values_is_stated() -> None:
    audit = Audit(planned=2, would_be_stopped=2, best=None, low=math.nan, high=math.nan)
    assert audit_sentence(audit, "val_loss") == (
        "Audit: 2 trials that would have been stopped ran all epochs, but no other trial has a "
        "val_loss to compare with."
    )


def test_an_audit_in_which_no_trial_would_be_stopped_is_stated() -> None:
    audit = Audit(planned=1, would_be_stopped=0, best=None, low=math.nan, high=math.nan)
    assert audit_sentence(audit, "val_loss") == (
        "1 audit trial; none that would have been stopped has finished yet."
    )


def test_without_an_audit_there_is_no_sentence() -> None:
    assert audit_sentence(None, "val_loss") == ""


def test_the_regret_of_keeping_one_trial_is_stated(writer: MakeWriter) -> None:
    curves = {
        1: [0.5, 0.4, 0.30],
        2: [0.6, 0.5, 0.10],
        3: [0.7, 0.6, 0.50],
        4: [0.9, 0.8, 0.7],
        5: [1.0],
    }
    results = early_stopped(writer, curves)
    sentences = evidence_sentences(results, analyze_early_stopping(results))
    assert any("lost 0.2" in sentence for sentence in sentences)


def test_curves_are_named_by_their_setting() -> None:
    steps = pd.DataFrame()
    assert curve_name(SurvivalCurve("", "", steps)) == "all trials"
    assert curve_name(SurvivalCurve("optimizer.lr", "0.1", steps)) == "optimizer.lr 0.1"


@pytest.mark.parametrize(
    ("correlation", "trials", "meaning"),
    [
        (1.0, 3, "too few trials to know how well early ranks predict late ranks"),
        (0.8, 5, "too few trials to know how well early ranks predict late ranks"),
        (1.0, 6, "early ranks predict late ranks well"),
        (0.8, 20, "early ranks predict late ranks well"),
        (0.3, 20, "early ranks predict late ranks poorly"),
        (0.6, 10, "too few trials to know how well early ranks predict late ranks"),
    ],
)
def test_a_rank_correlation_of_few_trials_is_no_prediction(
    correlation: float, trials: int, meaning: str
) -> None:
    """Regression: a correlation of 1 over three survivors "predicts well"."""
    assert prediction_of_ranks(correlation, trials) == meaning
