"""What failed, when and why, equal errors together."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.sections.base import Section

FAILED = ("failed", "oom", "diverged", "killed")
WORDS = {"failed": "by an error", "oom": "out of memory", "diverged": "diverged"}
MOST_NUMBERS = 50


def failures_section(results: Results, _rows: list[dict[str, Any]]) -> Section:
    return failures(results)


def failures(results: Results) -> Section:
    trials = results.trials[results.trials["state"].isin(FAILED)]
    if not len(trials):
        return Section(
            "failures",
            "Failures",
            "No trial failed or diverged." if len(results.trials) else "Nothing has failed.",
            empty=True,
        )
    counts = trials["state"].value_counts()
    said = formatting.listed(
        [f"{counts[state]} {WORDS[state]}" for state in WORDS if state in counts]
    )
    failed, killed = int(counts.drop("killed", errors="ignore").sum()), int(counts.get("killed", 0))
    verdict = (
        f"{formatting.plural(failed, 'trial')} of {len(results.trials):,} failed: {said}."
        if failed
        else "No trial failed or diverged."
    )
    by_hand = (
        f"{formatting.plural(killed, 'trial was', 'trials were')} killed by hand." if killed else ""
    )
    return Section(
        "failures",
        "Failures",
        formatting.sentences([verdict, by_hand]),
        how="Trials are together when the last line of their error is the same but for its numbers. None of them is ranked, "
        "except those killed by hand, which keep their best epoch so far.",
        data={"groups": _groups(results, trials)},
    )


def _groups(results: Results, trials: pd.DataFrame) -> list[dict[str, Any]]:
    """Groups of equal failures, the largest first: state, message, trials with their epochs, and the first traceback."""
    found: dict[tuple[str, str], list[Any]] = {}
    for index, row in zip(trials.index, trials.to_dict("records"), strict=True):
        text = _said(row["error"]) or _said(row["reason"]) or "no reason was recorded"
        found.setdefault((row["state"], re.sub(r"\d+(\.\d+)?", "#", str(text))), []).append(
            (index, row, str(text))
        )
    groups = []
    for (state, _), members in sorted(
        found.items(), key=lambda item: (FAILED.index(item[0][0]), -len(item[1]))
    ):
        _, first, text = members[0]
        groups.append(
            {
                "state": state,
                "message": formatting.short(text, 300),
                "count": len(members),
                "epochs": _epochs(
                    [
                        (results.labels[index], int(row["epochs_done"]))
                        for index, row, _ in members[:MOST_NUMBERS]
                    ]
                ),
                "more": max(0, len(members) - MOST_NUMBERS),
                "traceback": results.record(first["run"], first["trial"]).error,
                "first": results.labels[members[0][0]],
            }
        )
    return groups


def _said(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _epochs(members: list[tuple[str, int]]) -> list[tuple[str, str]]:
    """When each of them failed: "after epoch 2", "trials 3, 23"."""
    by_epoch: dict[int, list[str]] = {}
    for label, epoch in members:
        by_epoch.setdefault(epoch, []).append(label.removeprefix("trial "))
    return [
        (
            f"after epoch {epoch}" if epoch else "before the first epoch ended",
            ("trial " if len(labels) == 1 else "trials ") + ", ".join(labels),
        )
        for epoch, labels in sorted(by_epoch.items())
    ]
