"""What the scheduler stopped, at which rung, and why; and whether that ended something good."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.sections.base import Section, table
from cae.report.statistics import early_stopping as halving

TRUSTED = 0.7
"""From this rank correlation on, early ranks are called late ranks (the reading of DeepCAVE's authors)."""
FEW = 15
"""So many stopped trials are listed openly; more are folded away."""


def stopping(results: Results, _rows: list[dict[str, Any]]) -> Section:
    trials = results.trials[results.trials["state"] == "stopped"]
    if not len(trials):
        spared = halving.audit_sentence(halving.audit(results), results.metric)
        return Section(
            "stopping", "Early stopping", formatting.sentences([short(results), spared]), empty=True
        )
    columns = ["run"] * results.joined + ["trial", "rung", "value", "cutoff", "reason"]
    frame = trials[columns].sort_values(["rung", "trial"], kind="stable")
    found = halving.halving(results)
    charts = {}
    if found.agreement["rho"].notna().any():
        charts["agreement"] = "Rank correlation of the trials between two epochs"
    if found.survival:
        charts["survival"] = "Share of the trials that were not stopped, by epoch"
    if found.regret["regret"].any():
        charts["regret"] = (
            f"{results.metric} that keeping only the best few at an epoch would have lost"
        )
    return Section(
        "stopping",
        "Early stopping",
        formatting.sentences([short(results), answer(results, found)]),
        how="Entered counts trials that reported the rung's epoch; stopped, those that ended there by the scheduler; ended otherwise, "
        "those that failed, diverged or were killed at that epoch or before the next rung. Asynchronous halving lets early arrivals "
        "pass a rung with few or no trials to be compared with. The rank correlation is Spearman's over the trials that reached both "
        "epochs: only survivors reach the later one, and they differ little, so it reads low. Survival is Kaplan and Meier's estimate; "
        "trials that ended otherwise are censored; groups are shown for the parameter that parts them most surely (log-rank test, "
        f"Bonferroni). Regret is over the {found.complete} trials that ran all epochs. {_how_audited(found.audit)}",
        charts=charts,
        data={
            "table": table("Stopped trials", frame, typed=["trial"], keyed=True),
            "rungs": rung_table(results, trials),
            "open": len(trials) <= FEW,
        },
    )


def answer(results: Results, found: halving.Halving) -> str:
    """Whether stopping early ended something good, as far as the run can say."""
    said = [halving.audit_sentence(found.audit, results.metric)]
    pairs = found.agreement.dropna(subset=["rho"])
    if len(pairs):
        first = pairs.sort_values(["a", "b"], ascending=[True, False], kind="stable").iloc[0]
        trust = (
            "early ranks are late ranks"
            if first["rho"] >= TRUSTED
            else "early ranks say little of late ones"
        )
        said.append(
            f"Ranks at epoch {first['a']:g} and at epoch {first['b']:g} correlate by {formatting.number(first['rho'], 2)} over the "
            f"{formatting.plural(int(first['n']), 'survivor')}: {trust}."
        )
    rungs = halving.declared(results)
    at = found.regret[
        (found.regret["epoch"] == min(rungs, default=0)) & (found.regret["kept"] == 1)
    ]
    if len(at):
        lost = float(at["regret"].iloc[0])
        what = (
            f"would have lost {formatting.number(lost, 3)} of {results.metric}"
            if lost
            else "would have lost nothing"
        )
        said.append(
            f"Keeping only the best at the first rung {what}, among the {found.complete} that ran to the end."
        )
    if found.parted:
        said.append(
            f"Who survives differs most surely with {found.parted[0]} (p\u00a0=\u00a0{found.parted[1]:.1g})."
        )
    if not found.audit:
        said.append(
            "No stopped trial was run on, so whether one would have won is not known; ASHA(audit=0.05) lets a share run on."
        )
    return formatting.sentences(said)


def _how_audited(found: dict[str, Any]) -> str:
    if not found:
        return ""
    return f"{formatting.plural(found['planned'], 'trial')} of the audit, drawn by a hash of their own, ran on whatever the scheduler said."


def short(results: Results) -> str:
    """What was stopped, without what follows from it."""
    trials = results.trials[results.trials["state"] == "stopped"]
    scheduler = results.sweep.scheduler
    if len(trials):
        return _verdict(results, trials)
    name = str((scheduler or {}).get("name", "")).upper()
    return (
        f"{name} has stopped no trial so far."
        if scheduler
        else "No early stopping: every trial runs all its epochs."
    )


def _verdict(results: Results, trials: pd.DataFrame) -> str:
    rungs = Counter(int(rung) for rung in pd.to_numeric(trials["rung"], errors="coerce").dropna())
    where = formatting.listed([f"{count} at epoch {rung}" for rung, count in sorted(rungs.items())])
    text = f"{formatting.plural(len(trials), 'trial')} of {len(results.trials):,} stopped early" + (
        f" ({where})" if where else ""
    )
    asked = pd.to_numeric(trials.get("epochs", pd.Series(dtype=float)), errors="coerce").sum()
    done = trials["epochs_done"].sum()
    if not (math.isfinite(asked) and asked > done):
        return text + "."
    return f"{text}, which left out {asked - done:,.0f} of their {asked:,.0f} epochs ({formatting.percent(asked - done, asked)})."


def rung_table(results: Results, trials: pd.DataFrame) -> Any:
    """Per rung: entered, stopped there, and the cutoffs that were applied."""
    met = pd.to_numeric(trials["rung"], errors="coerce").dropna().astype(int)
    reached = (
        results.epochs.groupby("epoch").size() if len(results.epochs) else pd.Series(dtype=int)
    )
    ended = results.trials.loc[
        results.trials["state"].isin(("failed", "diverged", "oom", "killed")), "epochs_done"
    ].astype(float)
    rows, rungs = [], sorted({*halving.declared(results), *met})
    for rung in rungs:
        cutoffs = pd.to_numeric(
            trials.loc[met.index[met == rung], "cutoff"], errors="coerce"
        ).dropna()
        entered, out = int(reached.get(rung, 0)), int((met == rung).sum())
        above = min((other for other in rungs if other > rung), default=math.inf)
        other = int((ended.between(rung, above, inclusive="left")).sum())
        row = {
            "rung (epoch)": rung,
            "entered": entered,
            "stopped": out,
            "share stopped": formatting.percent(out, entered),
        }
        row |= {"ended otherwise": other, "went on": entered - out - other}
        rows.append(
            {
                **row,
                "first cutoff": cutoffs.iloc[0] if len(cutoffs) else None,
                "last cutoff": cutoffs.iloc[-1] if len(cutoffs) else None,
            }
        )
    return table("Rungs", pd.DataFrame(rows)) if rows else None
