"""The early-stopping analysis, on runs with known curves."""

from __future__ import annotations

import math

import pytest

from cae.report.data import tables
from cae.report.statistics.early_stopping import analyze_early_stopping, audit, rungs
from tests.report.planted_runs import early_stopped
from tests.report.stopped_runs import PlantedTrial, planted
from tests.report.synthetic_runs import MakeWriter


def test_regret_is_how_much_worse_the_best_kept_trial_is(writer: MakeWriter) -> None:
    curves = {
        1: [0.5, 0.4, 0.30],
        2: [0.6, 0.5, 0.10],
        3: [0.7, 0.6, 0.50],
        4: [0.9, 0.8, 0.7],
        5: [1.0],
    }
    analysis = analyze_early_stopping(early_stopped(writer, curves))
    regret = {(row.epoch, row.kept): row.regret for row in analysis.regret.itertuples()}
    assert regret == {
        (1, 1): pytest.approx(0.2),
        (1, 3): 0,
        (2, 1): pytest.approx(0.2),
        (2, 3): 0,
        (3, 1): 0,
        (3, 3): 0,
    }
    assert analysis.complete_trials == 4


def test_rank_correlations_and_survival_are_computed_from_the_curves(writer: MakeWriter) -> None:
    curves: dict[int, list[float]] = {}
    for number in range(1, 9):
        curves[number] = [float(number)]
        if number < 5:
            curves[number].append(number + 0.5)
    analysis = analyze_early_stopping(early_stopped(writer, curves))
    columns = ["early_epoch", "late_epoch", "correlation", "n"]
    assert analysis.rank_correlations[columns].to_numpy().tolist() == [[1, 2, 1.0, 4]]
    all_trials = analysis.survival[0]
    assert all_trials.parameter == ""
    shares = dict(zip(all_trials.steps["epoch"], all_trials.steps["share"], strict=True))
    assert shares == {0: 1.0, 1: 0.5, 2: 0.5}


def test_a_parameter_that_decides_which_trials_are_stopped_separates_them(
    writer: MakeWriter,
) -> None:
    """Trials with an even number have the smaller kernel, and all of them are stopped."""
    curves: dict[int, list[float]] = {}
    for number in range(1, 21):
        curves[number] = [1.0]
        if number % 2:
            curves[number] = [1.0, 0.5, 0.4]
    analysis = analyze_early_stopping(early_stopped(writer, curves))
    assert analysis.separation is not None
    assert analysis.separation.parameter == "arch.kernel_size"
    assert analysis.separation.p_value < 0.001
    all_trials, small_kernel, large_kernel = analysis.survival
    assert all_trials.steps["share"].iloc[-1] == 0.5
    assert (small_kernel.setting, large_kernel.setting) == ("3", "5")
    assert small_kernel.steps["share"].iloc[-1] == 0
    assert large_kernel.steps["share"].iloc[-1] == 1


def test_a_parameter_without_effect_does_not_separate_trials(writer: MakeWriter) -> None:
    curves: dict[int, list[float]] = {}
    for number in range(1, 21):
        curves[number] = [1.0]
        if number <= 10:
            curves[number] = [1.0, 0.5]
    analysis = analyze_early_stopping(early_stopped(writer, curves))
    assert analysis.separation is None
    assert len(analysis.survival) == 1


def test_without_stopped_trials_there_is_no_survival(writer: MakeWriter) -> None:
    curves = {number: [1.0, 0.5 / number] for number in range(1, 5)}
    analysis = analyze_early_stopping(early_stopped(writer, curves))
    assert analysis.survival == []
    assert analysis.separation is None


def test_a_run_without_epochs_has_nothing_to_analyze(writer: MakeWriter) -> None:
    run = writer()
    run.session([1])
    run.trial(1, {})
    results = tables.read([run.close()])
    analysis = analyze_early_stopping(results)
    assert rungs(results) == [1, 3]
    assert len(analysis.rank_correlations) == 0
    assert len(analysis.regret) == 0
    assert analysis.complete_trials == 0


def test_the_audit_counts_would_be_stopped_trials_that_became_the_best(writer: MakeWriter) -> None:
    curves = {number: [1.0, 0.5 + 0.01 * number] for number in range(1, 21)}
    curves |= {21: [2.0, 0.1], 22: [2.0, 0.9], 23: [2.0, 0.95], 24: [2.0, 0.8]}
    result = audit(early_stopped(writer, curves, audited=frozenset(range(21, 25))))
    assert result is not None
    assert result.planned == 4
    assert result.would_be_stopped == 4
    assert result.best == 1
    # Wilson's interval of 1 in 4.
    assert result.low == pytest.approx(0.0456, abs=1e-3)
    assert result.high == pytest.approx(0.6994, abs=1e-3)


def test_audit_trials_that_would_not_have_been_stopped_are_not_counted(writer: MakeWriter) -> None:
    run = writer()
    run.session([1])
    run.trial(1, {}, is_audit=True)
    run.start(1)
    run.epoch(1, 1, 0.1)
    run.end(1, "finished")
    result = audit(tables.read([run.close()]))
    assert result is not None
    assert (result.planned, result.would_be_stopped, result.best) == (1, 0, None)
    assert math.isnan(result.low)


def test_an_audit_without_other_values_does_not_count_the_best(writer: MakeWriter) -> None:
    curves = {1: [1.0, 0.5], 2: [1.0, 0.4], 3: [math.nan, math.nan]}
    result = audit(early_stopped(writer, curves, audited=frozenset({1, 2})))
    assert result is not None
    assert (result.planned, result.would_be_stopped, result.best) == (2, 2, None)
    assert math.isnan(result.low)
    assert math.isnan(result.high)


def test_without_audit_trials_there_is_no_audit(writer: MakeWriter) -> None:
    assert audit(early_stopped(writer, {1: [1.0, 0.5], 2: [2.0]})) is None


def test_only_stops_of_the_scheduler_are_events_of_survival(writer: MakeWriter) -> None:
    """Trials that another rule ended are censored: the scheduler let them pass."""
    trials = [PlantedTrial(3, [0.5, 0.4, 0.3, 0.2]) for _ in range(2)]
    trials += [PlantedTrial(5, [0.9])]
    trials += [PlantedTrial(7, [0.5, 0.5], stopped_by="patience")]
    trials += [PlantedTrial(9, [9.0, 9.0], stopped_by="worst_value")]
    analysis = analyze_early_stopping(planted(writer, trials))
    shares = analysis.survival[0].steps.set_index("epoch")["share"]
    assert shares[1] == pytest.approx(4 / 5)
    assert shares.iloc[-1] == pytest.approx(4 / 5)
    without = analyze_early_stopping(planted(writer, [*trials[:2], *trials[3:]], "without"))
    assert without.survival == []


def test_an_audit_counts_the_stops_of_the_scheduler_alone(writer: MakeWriter) -> None:
    run = writer()
    run.session([1, 2, 3])
    for number, cause in ((1, "scheduler"), (2, "patience"), (3, "")):
        run.trial(number, {}, is_audit=bool(cause))
        run.start(number)
        run.epoch(number, 1, 0.1 * number)
        if cause:
            run.add("audit_stop", trial=number, reason="-", rung=1, stopped_by=cause)
        run.end(number, "finished")
    result = audit(tables.read([run.close()]))
    assert result is not None
    assert (result.planned, result.would_be_stopped, result.best) == (2, 1, 1)
