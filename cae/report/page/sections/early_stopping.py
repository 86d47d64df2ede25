"""Which trials were stopped early and why, and whether the scheduler lost good trials."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.early_stopping import (
    draw_rank_correlation,
    draw_regret,
    draw_survival,
)
from cae.report.page.section import SectionContent, section
from cae.report.page.table import Table, make_table
from cae.report.statistics import early_stopping
from cae.report.statistics.early_stopping import EarlyStoppingAnalysis, analyze_early_stopping
from cae.report.statistics.inference import correlation_interval
from cae.report.wording.early_stopping import audit_sentence
from cae.run.trial_state import StopCause, TrialState

STRONG_CORRELATION = 0.7
"""At this rank correlation or above it, early ranks predict late ranks well (limit of DeepCAVE)."""
MIN_RANKED_TRIALS = 6
"""Equal ranks of fewer trials may be chance: p is 2 / n!."""
MAX_OPEN_ROWS = 15
"""A table of stopped trials with more rows is collapsed at first."""
FAILED_STATES = [
    TrialState.FAILED,
    TrialState.DIVERGED,
    TrialState.OUT_OF_MEMORY,
    TrialState.KILLED,
]
"""States of trials that ended before their last epoch without being stopped by the scheduler."""


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingContent(SectionContent):
    rungs: Table | None = None
    stopped: Table | None = None
    stopped_is_open: bool = False


@section(
    "early_stopping",
    title="Early stopping",
    order=120,
    figures=[
        Figure("rank_correlation", analyze_early_stopping, draw_rank_correlation),
        Figure("survival", analyze_early_stopping, draw_survival),
        Figure("regret", analyze_early_stopping, draw_regret),
    ],
)
def early_stopping_section(results: Results) -> SectionContent:
    stopped = results.trials[results.trials["state"] == TrialState.STOPPED]
    if not len(stopped):
        audit = audit_sentence(early_stopping.audit(results), results.metric)
        return EarlyStoppingContent(
            verdict=formatting.sentences([stopped_sentence(results), audit]), is_empty=True
        )
    columns = ["trial", "rung", "value", "cutoff", "reason"]
    if results.joined:
        columns.insert(0, "run")
    frame = stopped[columns].sort_values(["rung", "trial"], kind="stable")
    table = make_table("Stopped trials", frame, parameters=["trial"], rows_are_trials=True)
    is_open = len(stopped) <= MAX_OPEN_ROWS
    if not len(_stopped_by_scheduler(results)):
        verdict = stopped_sentence(results)
        return EarlyStoppingContent(verdict=verdict, stopped=table, stopped_is_open=is_open)
    analysis = analyze_early_stopping(results)
    return EarlyStoppingContent(
        verdict=formatting.sentences(
            [stopped_sentence(results), *evidence_sentences(results, analysis)]
        ),
        method=_method(analysis),
        captions=_captions(results, analysis),
        rungs=_rungs_table(results),
        stopped=table,
        stopped_is_open=is_open,
    )


def _stopped_by_scheduler(results: Results) -> pd.DataFrame:
    return results.trials[results.is_stopped_by(StopCause.SCHEDULER)]


def stopped_sentence(results: Results) -> str:
    """Return how many trials were stopped for which cause, and what the scheduler saved."""
    sentence = formatting.sentences(
        [
            _scheduler_sentence(results),
            _patience_sentence(results),
            _worst_value_sentence(results),
        ]
    )
    if sentence:
        return sentence
    if results.sweep.patience is not None or results.sweep.worst_value is not None:
        return "No trial has been stopped early so far."
    return "No early stopping: every trial runs all its epochs."


def _patience_sentence(results: Results) -> str:
    """Return how many trials were stopped by their patience; empty without any."""
    count = int(results.is_stopped_by(StopCause.PATIENCE).sum())
    if not count:
        return ""
    trials = formatting.plural(count, "trial")
    verb = "was" if count == 1 else "were"
    return (
        f"{trials} {verb} stopped by patience, because {results.metric} did not improve any more; "
        "all statistics count such trials as finished."
    )


def _worst_value_sentence(results: Results) -> str:
    """Return how many trials were stopped at the limit of the sweep; empty without any."""
    count = int(results.is_stopped_by(StopCause.WORST_VALUE).sum())
    if not count:
        return ""
    trials = formatting.plural(count, "trial")
    verb = "was" if count == 1 else "were"
    return f"{trials} {verb} stopped because {results.metric} was worse than worst_value."


def _scheduler_sentence(results: Results) -> str:
    """Return how many trials the scheduler stopped, at which epochs, and what this saved.

    Empty if it stopped none and the sweep has no scheduler.
    """
    stopped = _stopped_by_scheduler(results)
    scheduler = results.sweep.scheduler
    if not len(stopped):
        if scheduler is None:
            return ""
        scheduler_name = str(scheduler.get("name", "")).upper()
        return f"{scheduler_name} has not stopped any trial so far."
    count = formatting.plural(len(stopped), "trial")
    counts = f"{count} of {len(results.trials):,} stopped early{_counts_by_rung(stopped)}"
    return f"{counts}{_saved_epochs(stopped)}."


def _counts_by_rung(stopped: pd.DataFrame) -> str:
    """Return how many trials were stopped at each rung, in parentheses; empty if unknown."""
    counts = _rung_per_trial(stopped).value_counts().sort_index()
    if not len(counts):
        return ""
    parts = [f"{count} at epoch {rung}" for rung, count in counts.items()]
    return f" ({formatting.listed(parts)})"


def _saved_epochs(stopped: pd.DataFrame) -> str:
    """Return how many epochs the stopped trials did not train, as a clause; empty if none."""
    if "epochs" not in stopped:  # in old runs
        return ""
    requested_epochs = float(pd.to_numeric(stopped["epochs"], errors="coerce").sum())
    saved_epochs = requested_epochs - float(stopped["epochs_done"].sum())
    if math.isnan(saved_epochs) or saved_epochs <= 0:
        return ""
    share = formatting.percent(saved_epochs, requested_epochs)
    return f", which saved {saved_epochs:,.0f} of their {requested_epochs:,.0f} epochs ({share})"


def _rung_per_trial(stopped: pd.DataFrame) -> pd.Series[int]:
    """Return the rung at which each trial was stopped, without trials whose rung is unknown."""
    return pd.to_numeric(stopped["rung"], errors="coerce").dropna().astype(int)


def evidence_sentences(results: Results, analysis: EarlyStoppingAnalysis) -> list[str]:
    """Return what the run shows about whether early stopping lost good trials."""
    sentences = [
        audit_sentence(analysis.audit, results.metric),
        _correlation_sentence(analysis),
        _regret_sentence(results, analysis),
    ]
    separation = analysis.separation
    if separation is not None:
        sentences.append(
            f"Survival depends most on {separation.parameter} "
            f"(p\u00a0=\u00a0{separation.p_value:.1g})."
        )
    if analysis.audit is None:
        sentences.append(
            "There are no audit trials, so it is unknown whether a stopped trial would have been "
            "the best; ASHA(audit=0.05) exempts 5 % of the trials from early stopping."
        )
    return sentences


def _correlation_sentence(analysis: EarlyStoppingAnalysis) -> str:
    """Describe the correlation of the first rung with the last epoch."""
    pairs = analysis.rank_correlations.dropna(subset=["correlation"])
    if not len(pairs):
        return ""
    by_epochs = pairs.sort_values(
        ["early_epoch", "late_epoch"], ascending=[True, False], kind="stable"
    )
    pair = by_epochs.iloc[0]
    meaning = prediction_of_ranks(float(pair["correlation"]), int(pair["n"]))
    correlation = formatting.number(pair["correlation"], 2)
    survivors = formatting.plural(int(pair["n"]), "surviving trial")
    return (
        f"The ranks at epochs {pair['early_epoch']:g} and {pair['late_epoch']:g} have a "
        f"correlation of {correlation} over {survivors}: {meaning}."
    )


def prediction_of_ranks(correlation: float, trials: int) -> str:
    """State how well early ranks predict late ranks, as far as the number of trials shows it."""
    interval = correlation_interval(correlation, trials)
    if interval is None and trials >= MIN_RANKED_TRIALS:
        interval = (correlation, correlation)  # all ranks are equal, or the opposite
    if interval is not None and correlation >= STRONG_CORRELATION and interval[0] > 0:
        return "early ranks predict late ranks well"
    if interval is not None and interval[1] < STRONG_CORRELATION:
        return "early ranks predict late ranks poorly"
    return "too few trials to know how well early ranks predict late ranks"


def _regret_sentence(results: Results, analysis: EarlyStoppingAnalysis) -> str:
    """Describe what keeping only the best trial at the first rung would have lost."""
    rungs = early_stopping.rungs(results)
    if not rungs:
        return ""
    first_rung = min(rungs)
    regret = analysis.regret
    rows = regret[(regret["epoch"] == first_rung) & (regret["kept"] == 1)]
    if not len(rows):
        return ""
    lost = float(rows["regret"].iloc[0])
    loss = "nothing"
    if lost > 0:
        loss = f"{formatting.number(lost, 3)} of {results.metric}"
    return (
        f"Keeping only the best trial at the first rung would have lost {loss} (computed over the "
        f"{analysis.complete_trials} trials that ran all epochs)."
    )


def _captions(results: Results, analysis: EarlyStoppingAnalysis) -> dict[str, str]:
    """Return a caption for each figure that has data; the others are left out."""
    captions = {}
    if analysis.rank_correlations["correlation"].notna().any():
        captions["rank_correlation"] = "Rank correlation of the trials between two epochs"
    if analysis.survival:
        captions["survival"] = "Share of the trials that were not stopped, by epoch"
    if analysis.regret["regret"].any():
        captions["regret"] = f"{results.metric} lost by keeping only the best trials at an epoch"
    return captions


def _method(analysis: EarlyStoppingAnalysis) -> str:
    sentences = [
        "Entered: trials that reported the epoch of the rung.",
        "Stopped: trials that the scheduler ended there.",
        "Failed: trials that failed, diverged or were killed from that epoch up to the next rung.",
        "Early trials of asynchronous successive halving pass a rung with few or no trials to "
        "compare with.",
        "The rank correlation is Spearman's over the trials that reached both epochs: only "
        "surviving trials reach the later one, and they differ little, so it is biased towards 0.",
        "Survival is the Kaplan-Meier estimate; failed trials are censored.",
        "Groups are shown for the parameter with the most significant difference (log-rank test "
        "with Bonferroni correction).",
        f"Regret is computed over the {analysis.complete_trials} trials that ran all epochs.",
    ]
    if analysis.audit is not None:
        audit = formatting.plural(analysis.audit.planned, "audit trial")
        sentences.append(f"{audit}, chosen by their hash, are exempt from early stopping.")
    return formatting.sentences(sentences)


def _rungs_table(results: Results) -> Table | None:
    """Return a row per rung: trials that entered, stopped, failed, continued, and the cutoffs."""
    stopped = _stopped_by_scheduler(results)
    rung_per_trial = _rung_per_trial(stopped)
    rungs = sorted({*early_stopping.rungs(results), *rung_per_trial})
    if not rungs:
        return None
    trials_per_epoch = results.epochs["epoch"].value_counts()
    is_failed = results.trials["state"].isin(FAILED_STATES)
    failed_at = results.trials.loc[is_failed, "epochs_done"].astype(float)
    rows = []
    for rung, next_rung in itertools.pairwise([*rungs, math.inf]):
        stopped_here = stopped.loc[rung_per_trial.index[rung_per_trial == rung]]
        cutoffs = pd.to_numeric(stopped_here["cutoff"], errors="coerce").dropna()
        lowest_cutoff = None
        highest_cutoff = None
        if len(cutoffs):
            lowest_cutoff = cutoffs.min()
            highest_cutoff = cutoffs.max()
        entered = int(trials_per_epoch.get(rung, 0))
        failed = int(failed_at.between(rung, next_rung, inclusive="left").sum())
        rows.append(
            {
                "rung (epoch)": rung,
                "entered": entered,
                "stopped": len(stopped_here),
                "share stopped": formatting.percent(len(stopped_here), entered),
                "failed": failed,
                "continued": entered - len(stopped_here) - failed,
                "lowest cutoff": lowest_cutoff,
                "highest cutoff": highest_cutoff,
            }
        )
    return make_table("Rungs", pd.DataFrame(rows))
