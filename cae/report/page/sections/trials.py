"""The record: every trial in one table, and what ran where."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results, typed
from cae.report.page.sections.base import Section, table, typed_columns

MOST_ROWS = 2000
"""Rows of the page's table; trials.csv has them all."""


def trials(results: Results, _rows: list[dict[str, Any]]) -> Section:
    count = len(results.trials)
    if not count:
        return Section("trials", "All trials", "There is no trial yet.", empty=True)
    rest = results.trials.drop(results.ranked.index)
    frame = pd.concat([results.ranked, rest])[list(_columns(results))].head(MOST_ROWS)
    cut = (
        f" The page shows the first {MOST_ROWS:,}; trials.csv has them all."
        if count > MOST_ROWS
        else ""
    )
    return Section(
        "trials",
        "All trials",
        f"{formatting.plural(count, 'trial')}, the ranked ones first, the best on top. None is left out, whatever its state.{cut}",
        how="The bare name of a metric is its value at the best epoch, last_ its value at the last epoch, test_ what was measured at the "
        "end. seconds is the sum over the epochs. Columns that hold one value for all trials are hidden until asked for. The same table is "
        "trials.csv beside this page; epochs.csv has every epoch.",
        data={
            "table": table("Table of all trials", frame, typed=typed_columns(results), keyed=True)
        },
    )


def _columns(results: Results) -> list[str]:
    """Number, state and value first; what is empty in every row is left out."""
    first = [*(["run"] if results.joined else []), "trial", "state", results.metric, "best_epoch"]
    full = [
        str(name) for name in results.trials if name != "run" and results.trials[name].notna().any()
    ]
    return list(dict.fromkeys([*[name for name in first if name in full or name == "run"], *full]))


def about(results: Results, _rows: list[dict[str, Any]]) -> Section:
    started = min(results.trials["started"].dropna(), default="") if len(results.trials) else ""
    ended = max(results.epochs["ended"], default="") if len(results.epochs) else ""
    seconds = pd.to_numeric(
        results.trials.get("seconds", pd.Series(dtype=float)), errors="coerce"
    ).sum()
    hosts = results.trials["host"].dropna().nunique() if "host" in results.trials else 0
    spent = f"{formatting.duration(float(seconds))} of training" if seconds else "No training yet"
    where = f" on {formatting.plural(int(hosts), 'host')}" if hosts else ""
    when = f", from {_clock(started)} to {_clock(ended)} UTC" if started and ended else ""
    return Section(
        "about",
        "What ran where",
        f"{spent}{where}{when}.",
        data={"runs": [_run(results, run) for run in results.runs]},
    )


def _clock(iso: str) -> str:
    return iso[:16].replace("T", " ")


def _run(results: Results, run: Any) -> dict[str, Any]:
    """What sweep.json and the sessions say of one run. A key that an old file lacks is left out."""
    sweep = run.sweep
    mine = results.trials[results.trials["run"] == run.name]
    places = (
        mine.groupby(["host", "device"], sort=True).size()
        if len(mine) and mine["host"].notna().any()
        else {}
    )
    facts = {
        "run": run.name,
        "sweep file": sweep.file,
        "command": sweep.command,
        "git commit": sweep.git_commit,
        "ranked by": f"{results.metric} ({results.mode})",
        "scheduler": _scheduler(sweep.scheduler),
        "trials": formatting.plural(len(mine), "trial")
        + (f" of a space of {formatting.number(sweep.space)}" if sweep.space else ""),
        "seeds": sweep.seeds,
        "budget": sweep.budget,
        "started by": sweep.host,
        "device": sweep.device,
        "trained on": "; ".join(
            f"{host}, {device} ({formatting.plural(int(count), 'trial')})"
            for (host, device), count in dict(places).items()
        ),
        "sessions": len(run.sessions) or None,
        "versions": ", ".join(f"{name} {version}" for name, version in (sweep.versions).items()),
    }
    overrides = sweep.overrides
    return {
        "facts": [
            (name, str(value)) for name, value in facts.items() if value not in (None, "", [], {})
        ],
        "description": str(sweep.description or "").strip(),
        "overrides": [
            (name, typed(change.get("full")), typed(change.get("here")))
            for name, change in overrides.items()
        ],
        "base": [(name, typed(value)) for name, value in (sweep.base).items()],
    }


def _scheduler(scheduler: dict[str, Any] | None) -> str:
    if not scheduler:
        return "none: every trial runs all its epochs"
    rest = [
        f"{name} {typed(value)}"
        for name, value in scheduler.items()
        if name not in ("name", "rungs")
    ]
    rungs = (
        f", rungs at epochs {formatting.listed([str(rung) for rung in scheduler['rungs']], 12)}"
        if scheduler.get("rungs")
        else ""
    )
    return f"{scheduler.get('name')} ({', '.join(rest)}{rungs})"
