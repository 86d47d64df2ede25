"""Which trials the scheduler stopped, at which rung and why, and whether this lost good trials."""

from __future__ import annotations

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
from cae.report.wording.early_stopping import audit_sentence
from cae.run.trial_state import TrialState

STRONG_CORRELATION = 0.7
"""From this rank correlation on, early ranks predict late ranks (as in DeepCAVE)."""
MAX_OPEN_ROWS = 15
"""A longer table of stopped trials is folded away."""
FAILED_STATES = [
    TrialState.FAILED,
    TrialState.DIVERGED,
    TrialState.OUT_OF_MEMORY,
    TrialState.KILLED,
]


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
    stopped = _stopped_trials(results)
    if not len(stopped):
        audit = audit_sentence(early_stopping.audit(results), results.metric)
        return EarlyStoppingContent(
            verdict=formatting.sentences([stopped_sentence(results), audit]), is_empty=True
        )
    analysis = analyze_early_stopping(results)
    columns = ["trial", "rung", "value", "cutoff", "reason"]
    if results.joined:
        columns.insert(0, "run")
    frame = stopped[columns].sort_values(["rung", "trial"], kind="stable")
    return EarlyStoppingContent(
        verdict=formatting.sentences(
            [stopped_sentence(results), *evidence_sentences(results, analysis)]
        ),
        method=_method(analysis),
        captions=_captions(results, analysis),
        rungs=_rungs_table(results),
        stopped=make_table("Stopped trials", frame, parameters=["trial"], rows_are_trials=True),
        stopped_is_open=len(stopped) <= MAX_OPEN_ROWS,
    )


def _stopped_trials(results: Results) -> pd.DataFrame:
    return results.trials[results.trials["state"] == TrialState.STOPPED]


def stopped_sentence(results: Results) -> str:
    """Return how many trials were stopped, at which epochs, and what this saved."""
    stopped = _stopped_trials(results)
    scheduler = results.sweep.scheduler
    if not len(stopped):
        if scheduler is None:
            return "No early stopping: every trial runs all its epochs."
        return f"{str(scheduler.get('name', '')).upper()} has stopped no trial so far."
    count = formatting.plural(len(stopped), "trial")
    sentence = f"{count} of {len(results.trials):,} stopped early"
    rungs = pd.to_numeric(stopped["rung"], errors="coerce").dropna().astype(int)
    by_rung = [f"{n} at epoch {rung}" for rung, n in rungs.value_counts().sort_index().items()]
    if by_rung:
        sentence += f" ({formatting.listed(by_rung)})"
    if "epochs" not in stopped:
        return f"{sentence}."
    requested = float(pd.to_numeric(stopped["epochs"], errors="coerce").sum())
    saved = requested - float(stopped["epochs_done"].sum())
    if not (math.isfinite(saved) and saved > 0):
        return f"{sentence}."
    share = formatting.percent(saved, requested)
    return f"{sentence}, which saved {saved:,.0f} of their {requested:,.0f} epochs ({share})."


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
    pairs = analysis.rank_correlations.dropna(subset=["rho"])
    if not len(pairs):
        return ""
    pair = pairs.sort_values(["a", "b"], ascending=[True, False], kind="stable").iloc[0]
    meaning = "early ranks predict late ranks poorly"
    if pair["rho"] >= STRONG_CORRELATION:
        meaning = "early ranks predict late ranks well"
    rho = formatting.number(pair["rho"], 2)
    survivors = formatting.plural(int(pair["n"]), "surviving trial")
    return (
        f"The ranks at epochs {pair['a']:g} and {pair['b']:g} have a correlation of {rho} over "
        f"{survivors}: {meaning}."
    )


def _regret_sentence(results: Results, analysis: EarlyStoppingAnalysis) -> str:
    """Describe what keeping only the best trial at the first rung would have lost."""
    first_rung = min(early_stopping.rungs(results), default=0)
    regret = analysis.regret
    rows = regret[(regret["epoch"] == first_rung) & (regret["kept"] == 1)]
    if not len(rows):
        return ""
    lost = float(rows["regret"].iloc[0])
    loss = "nothing"
    if lost:
        loss = f"{formatting.number(lost, 3)} of {results.metric}"
    return (
        f"Keeping only the best trial at the first rung would have lost {loss}, among the "
        f"{analysis.complete_trials} that ran to the end."
    )


def _captions(results: Results, analysis: EarlyStoppingAnalysis) -> dict[str, str]:
    captions = {}
    if analysis.rank_correlations["rho"].notna().any():
        captions["rank_correlation"] = "Rank correlation of the trials between two epochs"
    if analysis.survival:
        captions["survival"] = "Share of the trials that were not stopped, by epoch"
    if analysis.regret["regret"].any():
        captions["regret"] = f"{results.metric} lost by keeping only the best trials at an epoch"
    return captions


def _method(analysis: EarlyStoppingAnalysis) -> str:
    sentences = [
        "Entered: trials that reported the epoch of the rung. Stopped: trials that the scheduler "
        "ended there. Failed: trials that failed, diverged or were killed from that epoch up to "
        "the next rung. Early trials of asynchronous successive halving pass a rung with few or no "
        "trials to compare with. The rank correlation is Spearman's over the trials that reached "
        "both epochs: only surviving trials reach the later one, and they differ little, so it is "
        "biased towards 0. Survival is the Kaplan-Meier estimate; failed trials are censored. "
        "Groups are shown for the parameter with the most significant difference (log-rank test, "
        "Bonferroni's correction). Regret is computed over the "
        f"{analysis.complete_trials} trials that ran all epochs."
    ]
    if analysis.audit is not None:
        audit = formatting.plural(analysis.audit.planned, "audit trial")
        sentences.append(f"{audit}, chosen by their hash, are exempt from early stopping.")
    return formatting.sentences(sentences)


def _rungs_table(results: Results) -> Table | None:
    """Return per rung how many trials entered it and how they left it, and its cutoffs."""
    stopped = _stopped_trials(results)
    rung_of = pd.to_numeric(stopped["rung"], errors="coerce").dropna().astype(int)
    rungs = sorted({*early_stopping.rungs(results), *rung_of})
    if not rungs:
        return None
    reported = results.epochs["epoch"].value_counts()
    is_failed = results.trials["state"].isin(FAILED_STATES)
    failed_at = results.trials.loc[is_failed, "epochs_done"].astype(float)
    rows = []
    for rung, next_rung in zip(rungs, [*rungs[1:], math.inf], strict=True):
        stopped_here = stopped.loc[rung_of.index[rung_of == rung]]
        cutoffs = pd.to_numeric(stopped_here["cutoff"], errors="coerce").dropna()
        first_cutoff = None
        last_cutoff = None
        if len(cutoffs):
            first_cutoff = cutoffs.iloc[0]
            last_cutoff = cutoffs.iloc[-1]
        entered = int(reported.get(rung, 0))
        failed = int(failed_at.between(rung, next_rung, inclusive="left").sum())
        rows.append(
            {
                "rung (epoch)": rung,
                "entered": entered,
                "stopped": len(stopped_here),
                "share stopped": formatting.percent(len(stopped_here), entered),
                "failed": failed,
                "continued": entered - len(stopped_here) - failed,
                "first cutoff": first_cutoff,
                "last cutoff": last_cutoff,
            }
        )
    return make_table("Rungs", pd.DataFrame(rows))
