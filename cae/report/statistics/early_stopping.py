"""Whether early stopping lost good trials, as far as a run can show it.

Rank correlation
    Spearman's, between the values at two epochs, over the trials that reached both. Trials stopped
    at the first one are missing, so it is biased towards 0: the survivors differ little.
Survival
    The share of trials that the scheduler had not stopped by an epoch (Kaplan-Meier; trials that
    ended for another reason are censored).
Regret
    Of the trials that ran all epochs: what keeping only the best few at an epoch would have lost.
Audit
    Audit trials are exempt from early stopping. They are drawn before the sweep, so those that
    would have been stopped give the only unbiased answer.
"""

from __future__ import annotations

import functools
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cae.report.data.axis import Floats, make_axis, settings_per_trial
from cae.report.data.parameters import varying_parameters
from cae.report.data.results import TRIAL_KEY, Results
from cae.run.trial_state import TrialState

ALPHA = 0.05
KEPT = (1, 3, 10)
"""Numbers of trials that are kept, for the regret."""
MAX_EPOCHS = 8
"""Of more rungs, this many evenly spaced ones are correlated, with the last epoch."""
MAX_GROUPS = 6
"""A parameter with more settings is not tested for its survival."""
MIN_GROUP = 3
"""Trials in a group whose survival is tested."""
MIN_TRIALS = 3
"""Trials for a rank correlation or a regret."""


@dataclass(frozen=True, eq=False)
class SurvivalCurve:
    """Survival of all trials, or of those with one setting of a parameter."""

    parameter: str
    """Empty for all trials."""
    setting: str
    steps: pd.DataFrame
    """epoch, share, low, high (95 % interval)."""


@dataclass(frozen=True)
class Separation:
    """The parameter whose settings differ most significantly in survival."""

    parameter: str
    p_value: float
    """Of the log-rank test, with Bonferroni's correction."""


@dataclass(frozen=True)
class Audit:
    """Audit trials: planned, and exempt from a stop that the scheduler would have ordered."""

    planned: int
    exempt: int
    """Finished trials that would have been stopped."""
    best: int
    """Exempt trials that are better than all other trials."""
    low: float
    """Wilson's 95 % interval of the share of the best among the exempt; NaN without any."""
    high: float


@dataclass(frozen=True, eq=False, kw_only=True)
class EarlyStoppingAnalysis:
    metric: str
    rank_correlations: pd.DataFrame
    """early_epoch, late_epoch, correlation (NaN for few trials or constant values), n (trials)."""
    survival: list[SurvivalCurve]
    """All trials first, then the settings of the separating parameter. Empty if no trial was
    stopped."""
    separation: Separation | None
    """None if no parameter separates the trials significantly."""
    regret: pd.DataFrame
    """epoch, kept, regret (of the best trial that is kept, against the best of all)."""
    complete_trials: int
    """How many trials ran all epochs: the regret is over these."""
    audit: Audit | None
    """None if no audit trials were planned."""


@functools.lru_cache(maxsize=2)
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
    """Return the epochs at which the scheduler judges trials."""
    return sorted({int(rung) for run in results.runs for rung in run.sweep.rungs})


def _values_by_epoch(results: Results) -> pd.DataFrame:
    """Return the metric by trial (rows of the table of trials) and epoch (columns)."""
    if results.metric not in results.epochs or not len(results.epochs):
        return pd.DataFrame(index=results.trials.index)
    values = results.epochs.pivot(index=TRIAL_KEY, columns="epoch", values=results.metric)
    values = values.reindex(pd.MultiIndex.from_frame(results.trials[TRIAL_KEY]))
    values = values.set_axis(results.trials.index, axis=0)
    return values.where(np.isfinite(values) & ~results.is_dependency.to_numpy()[:, None])


def _rank_correlations(results: Results, values: pd.DataFrame) -> pd.DataFrame:
    epochs = [epoch for epoch in rungs(results) if epoch in values]
    epochs = list(dict.fromkeys([*epochs, *values.columns[-1:]]))
    if len(epochs) > MAX_EPOCHS:
        chosen = np.linspace(0, len(epochs) - 1, MAX_EPOCHS).astype(int)
        epochs = [epochs[index] for index in chosen]
    rows = []
    for index, a in enumerate(epochs):
        for b in epochs[index + 1 :]:
            both = values[[a, b]].dropna()
            rows.append((a, b, _spearman(both[a], both[b]), len(both)))
    return pd.DataFrame(rows, columns=["early_epoch", "late_epoch", "correlation", "n"])


def _spearman(a: pd.Series[float], b: pd.Series[float]) -> float:
    """Return the rank correlation; NaN for few trials or constant values."""
    from scipy import stats

    if len(a) < MIN_TRIALS or a.nunique() < 2 or b.nunique() < 2:
        return math.nan
    return float(stats.spearmanr(a, b).statistic)


@dataclass(frozen=True, eq=False)
class _TestedParameter:
    """The most significant log-rank test of a parameter."""

    name: str
    positions: Floats
    settings: pd.Series[str]
    p_value: float


def _survival(results: Results) -> tuple[list[SurvivalCurve], Separation | None]:
    if not (results.trials["state"] == TrialState.STOPPED).any():
        return [], None
    trials = results.trials[results.is_requested & (results.trials["epochs_done"] > 0)]
    is_stopped = trials["state"] == TrialState.STOPPED
    epochs = trials["epochs_done"].astype(float)
    curves = [SurvivalCurve("", "", _kaplan_meier(epochs, is_stopped))]
    tested, tests = _most_significant_parameter(results, trials, epochs, is_stopped)
    if tested is None:
        return curves, None
    p_value = min(1.0, tested.p_value * tests)
    if not p_value < ALPHA:
        return curves, None
    for setting in _ordered_settings(tested):
        inside = tested.settings == setting
        steps = _kaplan_meier(epochs[inside], is_stopped[inside])
        curves.append(SurvivalCurve(tested.name, setting, steps))
    return curves, Separation(tested.name, p_value)


def _most_significant_parameter(
    results: Results, trials: pd.DataFrame, epochs: pd.Series[float], is_stopped: pd.Series[bool]
) -> tuple[_TestedParameter | None, int]:
    """Return the parameter with the smallest p value, and the number of tests to correct for."""
    best: _TestedParameter | None = None
    tests = 0
    for name in varying_parameters(results, trials):
        axis = make_axis(name, trials[name], results.axes.get(name, {}))
        settings = settings_per_trial(axis).set_axis(trials.index)
        sizes = settings.value_counts()
        if not 2 <= len(sizes) <= MAX_GROUPS:
            continue
        tests += len(sizes)
        for setting in sizes.index[sizes >= MIN_GROUP]:
            inside = settings == setting
            if (~inside).sum() < MIN_GROUP or not is_stopped[inside | is_stopped].any():
                continue
            p_value = _logrank_p_value(epochs, is_stopped, inside)
            if p_value < 1 and (best is None or p_value < best.p_value):
                best = _TestedParameter(name, axis.positions, settings, p_value)
    return best, tests


def _logrank_p_value(
    epochs: pd.Series[float], is_stopped: pd.Series[bool], inside: pd.Series[bool]
) -> float:
    """Test whether the trials inside a group survive as long as those outside."""
    from scipy import stats

    group = _censored(epochs[inside], is_stopped[inside])
    others = _censored(epochs[~inside], is_stopped[~inside])
    return float(stats.logrank(group, others).pvalue)


def _ordered_settings(tested: _TestedParameter) -> list[str]:
    """Return the settings in the order of the axis."""
    first_positions = {}
    for setting in tested.settings.dropna().unique():
        inside = (tested.settings == setting).to_numpy()
        first_positions[setting] = float(tested.positions[inside].min())
    return sorted(first_positions, key=lambda setting: first_positions[setting])


def _censored(epochs: pd.Series[float], is_stopped: pd.Series[bool]) -> Any:
    from scipy import stats

    return stats.CensoredData(
        uncensored=epochs[is_stopped].to_numpy(), right=epochs[~is_stopped].to_numpy()
    )


def _kaplan_meier(epochs: pd.Series[float], is_stopped: pd.Series[bool]) -> pd.DataFrame:
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
    """Return the regret, and over how many trials: those that finished the last epoch."""
    columns = ["epoch", "kept", "regret"]
    if not len(values.columns):
        return pd.DataFrame(columns=columns), 0
    sign = _sign(results)
    is_finished = results.trials["state"] == TrialState.FINISHED
    best_values = results.values[is_finished].dropna()
    complete = sign * values.reindex(best_values.index).dropna(subset=[values.columns.max()])
    if len(complete) < MIN_TRIALS:
        return pd.DataFrame(columns=columns), len(complete)
    best = sign * best_values[complete.index]
    rows = []
    for epoch in complete.columns:
        order = complete[epoch].dropna().sort_values(kind="stable").index
        for kept in KEPT:
            if kept < len(complete):
                rows.append((epoch, kept, float(best[order[:kept]].min() - best.min())))
    return pd.DataFrame(rows, columns=columns), len(complete)


def _sign(results: Results) -> int:
    """Return the factor that makes lower values better."""
    if results.mode == "min":
        return 1
    return -1


def audit(results: Results) -> Audit | None:
    """Count the audit trials; None if none were planned."""
    from scipy import stats

    planned = sum(record.is_audit for record in results.records)
    if not planned:
        return None
    would_stop = np.array([record.audit_stop is not None for record in results.records])
    is_exempt = would_stop & (results.trials["state"] == TrialState.FINISHED)
    exempt = int(is_exempt.sum())
    if not exempt:
        return Audit(planned, exempt=0, best=0, low=math.nan, high=math.nan)
    values = _sign(results) * results.values
    best = int((values[is_exempt] < values[~is_exempt].min()).sum())
    interval = stats.binomtest(best, exempt).proportion_ci(method="wilson")
    return Audit(planned, exempt, best, float(interval.low), float(interval.high))
