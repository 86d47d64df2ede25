"""What the scheduler stopped, at which rung, and why."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pandas as pd

from cae.report import words
from cae.report.sections.base import Section, table
from cae.report.tables import Results

FEW = 15
"""So many stopped trials are listed openly; more are folded away."""


def stopping(results: Results, _rows: list[dict[str, Any]]) -> Section:
    return stopped(results)


def stopped(results: Results) -> Section:
    scheduler = results.sweep.get("scheduler")
    trials = results.trials[results.trials["state"] == "stopped"]
    if not len(trials):
        name = str((scheduler or {}).get("name", "")).upper()
        verdict = f"{name} has stopped no trial so far." if scheduler else "No early stopping: every trial runs all its epochs."
        return Section("stopping", "Early stopping", verdict, empty=True)
    columns = ["run"] * results.joined + ["trial", "rung", "value", "cutoff", "reason"]
    frame = trials[columns].sort_values(["rung", "trial"], kind="stable")
    return Section(
        "stopping",
        "Early stopping",
        _verdict(results, trials),
        how="Entered counts trials that reported the rung's epoch; stopped, those that ended there by the scheduler. "
        "Asynchronous halving lets early arrivals pass a rung with few or no trials to be compared with. "
        "No stopped trial was run on, so whether one would have won is not known.",
        data={"table": table("Stopped trials", frame, typed=["trial"]), "rungs": rung_table(results, trials), "open": len(trials) <= FEW},
    )


def _verdict(results: Results, trials: pd.DataFrame) -> str:
    rungs = Counter(int(rung) for rung in pd.to_numeric(trials["rung"], errors="coerce").dropna())
    where = words.listed([f"{count} at epoch {rung}" for rung, count in sorted(rungs.items())])
    text = f"{words.plural(len(trials), 'trial')} of {len(results.trials):,} stopped early" + (f" ({where})" if where else "")
    asked = pd.to_numeric(trials.get("epochs", pd.Series(dtype=float)), errors="coerce").sum()
    done = trials["epochs_done"].sum()
    if not (math.isfinite(asked) and asked > done):
        return text + "."
    return f"{text}, which left out {asked - done:,.0f} of their {asked:,.0f} epochs ({words.percent(asked - done, asked)})."


def rung_table(results: Results, trials: pd.DataFrame) -> Any:
    """Per rung: entered, stopped there, and the cutoffs that were applied."""
    declared = [rung for run in results.runs for rung in (run.sweep.get("scheduler") or {}).get("rungs") or []]
    met = pd.to_numeric(trials["rung"], errors="coerce").dropna().astype(int)
    reached = results.epochs.groupby("epoch").size() if len(results.epochs) else pd.Series(dtype=int)
    rows = []
    for rung in sorted({int(rung) for rung in declared} | set(met)):
        cutoffs = pd.to_numeric(trials.loc[met.index[met == rung], "cutoff"], errors="coerce").dropna()
        entered, out = int(reached.get(rung, 0)), int((met == rung).sum())
        row = {"rung (epoch)": rung, "entered": entered, "stopped": out, "share stopped": words.percent(out, entered)}
        rows.append(
            {**row, "first cutoff": cutoffs.iloc[0] if len(cutoffs) else None, "last cutoff": cutoffs.iloc[-1] if len(cutoffs) else None}
        )
    return table("Rungs", pd.DataFrame(rows)) if rows else None
