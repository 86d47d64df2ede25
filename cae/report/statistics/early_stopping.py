"""Did early stopping end something good? What a run can say of that, from its epochs and the reasons of its scheduler.

agreement   Spearman's rank correlation between the values at two epochs, over the trials that reached both. Those that were
            stopped at the first did not, so it reads low: the survivors differ little
survival    the share of trials that the scheduler had not stopped by an epoch (Kaplan-Meier: trials that ended otherwise are
            censored)
regret      of the trials that ran to their end: what would be lost by keeping only the best few at an epoch
audit       trials that the scheduler would have stopped and that a share of the sweep, drawn beforehand, lets run on: the only
            unbiased answer
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import KEY, Results

KEPT = (1, 3, 10)
"""Of so many kept, the regret."""
MOST_EPOCHS = 8
"""Rows of the agreement; of more rungs an even choice, the last epoch among them."""
MOST_GROUPS = 6


class Halving(NamedTuple):
    metric: str
    agreement: pd.DataFrame
    """a, b, rho, n: pairs of epochs, a < b; rho is NaN for fewer than 3 trials or a constant."""
    survival: dict[str, pd.DataFrame]
    """Group -> epoch, share, low, high; "all trials" first, then the settings of the parameter that parts them most surely."""
    parted: tuple[str, float] | None
    """That parameter, and the p value of its log-rank test after Bonferroni's correction; None where none is below 0.05."""
    regret: pd.DataFrame
    """epoch, kept, regret (of the best that is kept, against the best of all), over `complete` trials."""
    complete: int
    audit: dict[str, Any]
    """spared (that ran to their end), won (of them), low, high (Wilson's 95 % interval of the share), planned; empty without any."""


@functools.lru_cache(maxsize=2)
def halving(results: Results) -> Halving:
    at, final = _by_epoch(results)
    groups, parted = _survival(results)
    regret, complete = _regret(results, at, final)
    return Halving(
        results.metric, _agreement(results, at), groups, parted, regret, complete, audit(results)
    )


def declared(results: Results) -> list[int]:
    rungs = [rung for run in results.runs for rung in run.sweep.rungs]
    return sorted({int(rung) for rung in rungs})


def _by_epoch(results: Results) -> tuple[pd.DataFrame, pd.Series[float]]:
    """The metric by trial (rows, as in the table of trials) and epoch; and each finished trial's best value."""
    if results.metric not in results.epochs or not len(results.epochs):
        return pd.DataFrame(index=results.trials.index), pd.Series(dtype=float)
    wide = results.epochs.pivot(index=KEY, columns="epoch", values=results.metric)
    at = wide.reindex(pd.MultiIndex.from_frame(results.trials[KEY])).set_axis(
        results.trials.index, axis=0
    )
    at = at.where(np.isfinite(at) & results.counted.to_numpy()[:, None])
    return at, results.values[results.trials["state"] == "finished"].dropna()


def _agreement(results: Results, at: pd.DataFrame) -> pd.DataFrame:
    from scipy import stats

    epochs = [
        epoch for epoch in dict.fromkeys([*declared(results), *at.columns[-1:]]) if epoch in at
    ]
    if len(epochs) > MOST_EPOCHS:
        epochs = [
            epochs[place] for place in np.linspace(0, len(epochs) - 1, MOST_EPOCHS).astype(int)
        ]
    rows = []
    for place, a in enumerate(epochs):
        for b in epochs[place + 1 :]:
            both = at[[a, b]].dropna()
            varied = len(both) > 2 and both.nunique().min() > 1
            rows.append(
                (
                    a,
                    b,
                    float(stats.spearmanr(both[a], both[b]).statistic) if varied else math.nan,
                    len(both),
                )
            )
    return pd.DataFrame(rows, columns=["a", "b", "rho", "n"])


def _survival(results: Results) -> tuple[dict[str, pd.DataFrame], tuple[str, float] | None]:
    from scipy import stats

    if not (results.trials["state"] == "stopped").any():
        return {}, None
    trials = results.trials[results.counted & (results.trials["epochs_done"] > 0)]
    stopped = trials["state"] == "stopped"
    lives = trials["epochs_done"].astype(float)
    groups, tests, best = (
        {"all trials": _kaplan_meier(lives, stopped)},
        0,
        ("", 1.0, pd.Series(dtype=object)),
    )
    for name in scales.varying(results, trials):
        settings = scales.groups(
            scales.axis(name, trials[name], results.axes.get(name, {}))
        ).set_axis(trials.index)
        sizes = settings.value_counts()
        if not 2 <= len(sizes) <= MOST_GROUPS:
            continue
        tests += len(sizes)
        for setting in sizes.index[sizes >= 3]:
            inside = settings == setting
            if (~inside).sum() < 3 or not stopped[inside | stopped].any():
                continue
            p = float(
                stats.logrank(
                    _censored(lives[inside], stopped[inside]),
                    _censored(lives[~inside], stopped[~inside]),
                ).pvalue
            )
            if p < best[1]:
                best = (name, p, settings)
    name, p, settings = best
    p = min(1.0, p * tests)
    if not p < 0.05:
        return groups, None
    for setting in sorted(
        settings.dropna().unique(), key=lambda text: _place(results, trials, name, settings, text)
    ):
        inside = settings == setting
        groups[f"{name} {setting}"] = _kaplan_meier(lives[inside], stopped[inside])
    return groups, (name, p)


def _place(
    results: Results, trials: pd.DataFrame, name: str, settings: pd.Series[Any], text: str
) -> float:
    axis = scales.axis(name, trials[name], results.axes.get(name, {}))
    return float(axis.positions[(settings == text).to_numpy()].min())


def _censored(lives: pd.Series[float], stopped: pd.Series[bool]) -> Any:
    from scipy import stats

    return stats.CensoredData(
        uncensored=lives[stopped].to_numpy(), right=lives[~stopped].to_numpy()
    )


def _kaplan_meier(lives: pd.Series[float], stopped: pd.Series[bool]) -> pd.DataFrame:
    from scipy import stats

    sf: Any = stats.ecdf(_censored(lives, stopped)).sf
    with np.errstate(divide="ignore", invalid="ignore"):  # the interval where none or all are left
        low, high = (side.probabilities for side in sf.confidence_interval(method="log-log"))
    rows = {"epoch": sf.quantiles, "share": sf.probabilities, "low": low, "high": high}
    return pd.concat(
        [
            pd.DataFrame({"epoch": [0.0], "share": [1.0], "low": [1.0], "high": [1.0]}),
            pd.DataFrame(rows),
        ],
        ignore_index=True,
    )


def _regret(
    results: Results, at: pd.DataFrame, final: pd.Series[float]
) -> tuple[pd.DataFrame, int]:
    """Trials of the most epochs that finished all of them."""
    sign = 1 if results.mode == "min" else -1
    last = at.columns.max() if len(at.columns) else 0
    whole = sign * at.reindex(final.index).dropna(subset=[last]) if last else pd.DataFrame()
    if len(whole) < 3:
        return pd.DataFrame(columns=["epoch", "kept", "regret"]), len(whole)
    best = sign * final[whole.index]
    rows = []
    for epoch in whole.columns:
        order = whole[epoch].dropna().sort_values(kind="stable").index
        rows += [
            (epoch, kept, float(best[order[:kept]].min() - best.min()))
            for kept in KEPT
            if kept < len(whole)
        ]
    return pd.DataFrame(rows, columns=["epoch", "kept", "regret"]), len(whole)


def audit(results: Results) -> dict[str, Any]:
    from scipy import stats

    records = [record for run in results.runs for record in run.records.values()]
    planned = sum(record.is_audit for record in records)
    if not planned:
        return {}
    spared = np.array([bool(record.audit_stop) for record in records]) & (
        results.trials["state"] == "finished"
    )
    found: dict[str, Any] = {
        "planned": planned,
        "spared": int(spared.sum()),
        "won": 0,
        "low": math.nan,
        "high": math.nan,
    }
    if not found["spared"]:
        return found
    sign = 1 if results.mode == "min" else -1
    rest = sign * results.values[~spared]
    found["won"] = int((sign * results.values[spared] < rest.min()).sum())
    interval = stats.binomtest(found["won"], found["spared"]).proportion_ci(method="wilson")
    return {**found, "low": float(interval.low), "high": float(interval.high)}


def audit_sentence(found: dict[str, Any], metric: str) -> str:
    if not found:
        return ""
    if not found["spared"]:
        return f"{formatting.plural(found['planned'], 'trial')} drawn for the audit; none that would have been stopped has finished yet."
    low, high = (formatting.percent(found[side], 1) for side in ("low", "high"))
    return (
        f"Audit: {formatting.plural(found['spared'], 'trial')} that would have been stopped ran on, and {found['won']} came to the best "
        f"{metric} of all; so {low} to {high} of the stopped ones would have won (95 % interval)."
    )
