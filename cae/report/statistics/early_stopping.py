"""Whether early stopping lost good trials: four analyses of a run.

Rank correlation
    Spearman's, between the values at two epochs, over the trials that reached both. It is biased
    towards 0: trials that were stopped before the later epoch are missing, and the surviving trials
    differ little.
Survival
    The share of trials that the scheduler had not stopped by an epoch (Kaplan-Meier; trials that
    ended for another reason, `patience` and `worst_value` included, are censored).
Regret
    How much worse the best trial would be if only the best few at an epoch had been kept. Computed
    over the trials that ran all epochs.
Audit
    How many trials that would have been stopped became the best. Audit trials are exempt from early
    stopping and are drawn before the sweep, so only this analysis is unbiased.
"""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cae.report.data.axis import Floats, make_axis, settings_per_trial
from cae.report.data.parameters import varying_parameters
from cae.report.data.results import CACHED_RESULTS, TRIAL_KEY, Results
from cae.run.events import stop_cause
from cae.run.trial_state import StopCause, TrialState

ALPHA = 0.05
"""Significance level of the log-rank tests."""
KEPT = (1, 3, 10)
"""The regret is computed for keeping this many trials."""
MAX_EPOCHS = 8
"""At most this many epochs are correlated: evenly spaced rungs, and the last epoch."""
MAX_SETTINGS = 6
"""The survival of a parameter with more settings is not tested."""
MIN_TRIALS_PER_SETTING = 3
"""The survival of a setting with fewer trials is not tested."""
MIN_TRIALS = 3
"""With fewer trials, there is no rank correlation and no regret."""


@dataclass(frozen=True, eq=False)
class SurvivalCurve:
    """Survival of all trials, or of those with one setting of a parameter."""

    parameter: str
    """Empty for all trials."""
    setting: str
    steps: pd.DataFrame
    """One row per step: epoch, share of trials not stopped, low and high (95 % interval)."""


@dataclass(frozen=True)
class Separation:
    """The parameter whose settings differ most significantly in survival."""

    parameter: str
    p_value: float
    """p value of the log-rank test, with Bonferroni's correction."""


@dataclass(frozen=True)
class Audit:
    """How many audit trials the scheduler would have stopped, and how many became the best."""

    planned: int
    """All audit trials."""
    would_be_stopped: int
    """Audit trials that finished, and would have been stopped if they were not exempt."""
    best: int | None
    """Of `would_be_stopped`, those that are better than all other trials. None if no other trial
    has a value to compare with, or if `would_be_stopped` is 0."""
    low: float
    """Lower end of Wilson's 95 % interval of `best` / `would_be_stopped`; NaN if `best` is None."""
    high: float


@dataclass(frozen=True, eq=False, kw_only=True)
class EarlyStoppingAnalysis:
    metric: str
    rank_correlations: pd.DataFrame
    """One row per pair of epochs: early_epoch, late_epoch, correlation (NaN for few trials or
    constant values), n (number of trials)."""
    survival: list[SurvivalCurve]
    """All trials first, then the settings of the separating parameter. Empty if the scheduler
    stopped no trial."""
    separation: Separation | None
    """None if no parameter separates the trials significantly."""
    regret: pd.DataFrame
    """One row per epoch and number of kept trials: epoch, kept, regret (by how much the best kept
    trial is worse than the best of all)."""
    complete_trials: int
    """How many trials ran all epochs; the regret is computed over these."""
    audit: Audit | None
    """None if no audit trials were planned."""


@functools.lru_cache(maxsize=CACHED_RESULTS)
def analyze_early_stopping(results: Results) -> EarlyStoppingAnalysis:
    values = _values_by_epoch(results)
    survival, separation = _survival(results)
    regret, complete_trials = _regret(results, values)
    return EarlyStoppingAnalysis(
        metric=results.metric,
        rank_correlations=_rank_correlations(results, values),
        survival=survival,
        separation=separation,
        regret=regret,
        complete_trials=complete_trials,
        audit=audit(results),
    )


def rungs(results: Results) -> list[int]:
    """Return the epochs at which the scheduler compares trials, in all runs."""
    return sorted({int(rung) for run in results.runs for rung in run.sweep.rungs})


def _values_by_epoch(results: Results) -> pd.DataFrame:
    """Return a table of the metric: a row per trial, as in `results.trials`, a column per epoch.

    It is NaN where a trial has no finite value, and for trials that the sweep does not request.
    """
    if results.metric not in results.epochs or not len(results.epochs):
        return pd.DataFrame(index=results.trials.index)
    values = results.epochs.pivot(index=TRIAL_KEY, columns="epoch", values=results.metric)
    values = values.reindex(pd.MultiIndex.from_frame(results.trials[TRIAL_KEY]))
    values = values.set_axis(results.trials.index, axis=0)
    return values.where(np.isfinite(values) & ~results.is_dependency.to_numpy()[:, None])


def _rank_correlations(results: Results, values: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for early, late in itertools.combinations(_correlated_epochs(results, values), 2):
        both = values[[early, late]].dropna()
        rows.append((early, late, _spearman(both[early], both[late]), len(both)))
    return pd.DataFrame(rows, columns=["early_epoch", "late_epoch", "correlation", "n"])


def _correlated_epochs(results: Results, values: pd.DataFrame) -> list[int]:
    """Return the rungs that trials reached and the last epoch, at most `MAX_EPOCHS` of them."""
    if not len(values.columns):
        return []
    reached = [rung for rung in rungs(results) if rung in values]
    last_epoch = int(values.columns[-1])
    epochs = sorted({*reached, last_epoch})
    if len(epochs) <= MAX_EPOCHS:
        return epochs
    evenly_spaced = np.linspace(0, len(epochs) - 1, MAX_EPOCHS).astype(int)
    return [epochs[index] for index in evenly_spaced]


def _spearman(a: pd.Series[float], b: pd.Series[float]) -> float:
    """Return the rank correlation; NaN for few trials or constant values."""
    from scipy import stats

    if len(a) < MIN_TRIALS or a.nunique() < 2 or b.nunique() < 2:
        return math.nan
    return float(stats.spearmanr(a, b).statistic)


@dataclass(frozen=True, eq=False)
class _TestedParameter:
    """A parameter, with the most significant log-rank test of one of its settings."""

    name: str
    positions: Floats
    """Per trial: the position of its setting on the axis of the parameter."""
    settings: pd.Series[str]
    """Per trial: its setting."""
    p_value: float
    """Smallest p value, without correction."""


def _survival(results: Results) -> tuple[list[SurvivalCurve], Separation | None]:
    stopped = results.is_stopped_by(StopCause.SCHEDULER)
    if not stopped.any():
        return [], None
    trials = results.trials[results.is_requested & (results.trials["epochs_done"] > 0)]
    is_stopped = stopped[trials.index]
    epochs = trials["epochs_done"].astype(float)
    curves = [SurvivalCurve("", "", _kaplan_meier(epochs, is_stopped))]
    tested, tests = _most_significant_parameter(results, trials, epochs, is_stopped)
    if tested is None:
        return curves, None
    corrected_p_value = min(1.0, tested.p_value * tests)
    if corrected_p_value >= ALPHA:
        return curves, None
    for setting in _ordered_settings(tested):
        has_setting = tested.settings == setting
        steps = _kaplan_meier(epochs[has_setting], is_stopped[has_setting])
        curves.append(SurvivalCurve(tested.name, setting, steps))
    return curves, Separation(tested.name, corrected_p_value)


def _most_significant_parameter(
    results: Results, trials: pd.DataFrame, epochs: pd.Series[float], is_stopped: pd.Series[bool]
) -> tuple[_TestedParameter | None, int]:
    """Return the parameter with the smallest p value, and the number of tests to correct for.

    Each setting is tested against all other settings of its parameter. Returns None if nothing can
    be tested.
    """
    best: _TestedParameter | None = None
    tests = 0
    if not is_stopped.any():
        return best, tests
    for name in varying_parameters(results, trials):
        axis = make_axis(name, trials[name], results.axes.get(name, {}))
        settings = settings_per_trial(axis).set_axis(trials.index)
        trials_per_setting = settings.value_counts()
        if not 2 <= len(trials_per_setting) <= MAX_SETTINGS:
            continue
        # Settings with too few trials for a test are counted too: the correction is conservative.
        tests += len(trials_per_setting)
        for setting, count in trials_per_setting.items():
            if min(count, len(trials) - count) < MIN_TRIALS_PER_SETTING:
                continue
            p_value = _logrank_p_value(epochs, is_stopped, settings == setting)
            if math.isnan(p_value):
                continue
            if best is None or p_value < best.p_value:
                best = _TestedParameter(name, axis.positions, settings, p_value)
    return best, tests


def _logrank_p_value(
    epochs: pd.Series[float], is_stopped: pd.Series[bool], in_group: pd.Series[bool]
) -> float:
    """Test whether the trials of a group survive as long as all others."""
    from scipy import stats

    group = _censored(epochs[in_group], is_stopped[in_group])
    others = _censored(epochs[~in_group], is_stopped[~in_group])
    return float(stats.logrank(group, others).pvalue)


def _ordered_settings(tested: _TestedParameter) -> list[str]:
    """Return the settings in the order of the axis."""
    first_positions = {}
    for setting in tested.settings.dropna().unique():
        has_setting = (tested.settings == setting).to_numpy()
        first_positions[setting] = float(tested.positions[has_setting].min())
    return sorted(first_positions, key=lambda setting: first_positions[setting])


def _censored(epochs: pd.Series[float], is_stopped: pd.Series[bool]) -> Any:
    """Return the epochs of trials as scipy's CensoredData: only a stop is an event."""
    from scipy import stats

    return stats.CensoredData(
        uncensored=epochs[is_stopped].to_numpy(), right=epochs[~is_stopped].to_numpy()
    )


def _kaplan_meier(epochs: pd.Series[float], is_stopped: pd.Series[bool]) -> pd.DataFrame:
    """Return the steps of a `SurvivalCurve`."""
    from scipy import stats

    survival: Any = stats.ecdf(_censored(epochs, is_stopped)).sf
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # The interval is undefined (NaN) while all trials or no trials are left.
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = survival.confidence_interval(method="log-log")
    start = pd.DataFrame({"epoch": [0.0], "share": [1.0], "low": [1.0], "high": [1.0]})
    steps = pd.DataFrame(
        {
            "epoch": survival.quantiles,
            "share": survival.probabilities,
            "low": interval.low.probabilities,
            "high": interval.high.probabilities,
        }
    )
    return pd.concat([start, steps], ignore_index=True)


def _regret(results: Results, values: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the regret, and how many trials it is computed over: those that ran all epochs."""
    columns = ["epoch", "kept", "regret"]
    if not len(values.columns):
        return pd.DataFrame(columns=columns), 0
    is_finished = results.trials["state"] == TrialState.FINISHED
    final_values = results.values[is_finished].dropna()
    last_epoch = values.columns.max()
    complete = values.reindex(final_values.index).dropna(subset=[last_epoch])
    if len(complete) < MIN_TRIALS:
        return pd.DataFrame(columns=columns), len(complete)
    sign = _sign(results)
    final_losses = sign * final_values[complete.index]
    rows = []
    for epoch in complete.columns:
        losses_at_epoch = sign * complete[epoch].dropna()
        best_first = losses_at_epoch.sort_values(kind="stable").index
        for kept in KEPT:
            if kept < len(complete):
                best_kept_loss = final_losses[best_first[:kept]].min()
                rows.append((epoch, kept, float(best_kept_loss - final_losses.min())))
    return pd.DataFrame(rows, columns=columns), len(complete)


def _sign(results: Results) -> int:
    """Return the factor that turns values of the metric into losses: lower ones are better."""
    if results.mode == "min":
        return 1
    return -1


def audit(results: Results) -> Audit | None:
    """Return what the audit trials show; None if none were planned."""
    from scipy import stats

    planned = sum(record.is_audit for record in results.records)
    if not planned:
        return None
    has_audit_stop: list[bool] = []
    for record in results.records:
        stop = record.audit_stop
        has_audit_stop.append(stop is not None and stop_cause(stop) == StopCause.SCHEDULER)
    is_finished = results.trials["state"] == TrialState.FINISHED
    would_be_stopped = np.array(has_audit_stop) & is_finished
    count = int(would_be_stopped.sum())
    losses = _sign(results) * results.values
    best_other_loss = losses[~would_be_stopped].min()
    if not count or math.isnan(best_other_loss):
        return Audit(planned, count, best=None, low=math.nan, high=math.nan)
    best = int((losses[would_be_stopped] < best_other_loss).sum())
    interval = stats.binomtest(best, count).proportion_ci(method="wilson")
    return Audit(planned, count, best, float(interval.low), float(interval.high))
