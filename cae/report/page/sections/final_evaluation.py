"""What was measured once, at the end: against trivial answers, and the tasks' own tables."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results, cell
from cae.report.page.sections.base import Section, table

BASELINE, FLOOR, LOSS = "test_baseline_", "test_floor", "test_loss"
MOST_TRIALS = 12
"""Whose own tables the page shows; the journal has all."""


def baselines(results: Results, _rows: list[dict[str, Any]]) -> Section:
    """A network that does not beat the trivial answers has learnt nothing, however small its loss."""
    columns = [str(name) for name in results.ranked if str(name).startswith(BASELINE)]
    ended = (
        results.ranked.dropna(subset=[LOSS]) if LOSS in results.ranked else results.ranked.head(0)
    )
    ended = (
        ended[(ended["state"] == "finished") & ended[columns].notna().any(axis=1)]
        if columns
        else ended.head(0)
    )
    if not len(ended):
        return Section(
            "baselines",
            "Against trivial answers",
            "No trial has been measured against trivial answers.",
            empty=True,
        )
    easiest = ended[columns].astype(float).min(axis=1)
    losses = ended[LOSS].astype(float)
    columns = [name for name in columns if ended[name].notna().any()]
    beaten = losses < easiest
    first = ended.index[0]
    name = min(columns, key=lambda column: _or_infinite(ended.at[first, column]))
    against = f"{formatting.number(losses[first])} against {formatting.number(easiest[first])} of the {_words(name)}"
    if beaten.all():
        verdict = f"Every finished trial beats the trivial answers; the best trial's test loss is {against}."
    elif not beaten.any():
        verdict = f"No trial beats the trivial answers; the best trial's test loss is {against}."
    else:
        failed = formatting.listed([results.labels[index] for index in ended.index[~beaten]], 5)
        count = f"{formatting.plural(int((~beaten).sum()), 'trial')} of {len(ended):,}"
        verdict = f"{count} do not beat a trivial answer ({failed}); the best trial's test loss is {against}."
    frame = pd.DataFrame({"trial": results.labels[ended.index], "test loss": losses})
    for column in columns:
        frame[_words(column)] = ended[column].astype(float)
    if FLOOR in ended:
        frame["floor"] = ended[FLOOR].astype(float)
    frame["verdict"] = ["beats them" if won else "does not" for won in beaten]
    how = "A trivial answer needs no network: its loss is measured on the same test images by the same formula. "
    floor = (
        "The floor is the loss of a perfect answer: the entropy of the targets. "
        if FLOOR in ended
        else ""
    )
    left = len(results.trials) - len(ended)
    out = (
        f"{formatting.plural(left, 'trial')} left out: not finished, or only needed by others."
        if left
        else ""
    )
    return Section(
        "baselines",
        "Against trivial answers",
        verdict,
        how=f"{how}{floor}{out}".strip(),
        data={
            "id": "baselines",
            "tables": [table("Test losses beside those of trivial answers", frame)],
        },
    )


def beaten(results: Results) -> str:
    """The verdict on trivial answers where a trial does not beat them: then its rank says little."""
    found = baselines(results, [])
    lost = "" if found.empty else found.verdict
    return "" if lost.startswith("Every") else lost


def findings(results: Results, _rows: list[dict[str, Any]]) -> Section:
    """The tables that tasks make of the test images."""
    shown, count, opened = [], 0, 0
    needed = [index for index in results.trials.index if index not in results.ranked.index]
    for index in [*results.ranked.index, *needed]:
        row = results.trials.loc[index]
        found = results.record(row["run"], row["trial"]).final_tables
        count += bool(found)
        if count > MOST_TRIALS:
            continue
        for name, rows in found.items():
            frame = pd.DataFrame([{key: cell(value) for key, value in one.items()} for one in rows])
            opened += count == 1
            shown.append(table(f"{results.labels[index]}: {name.replace('_', ' ')}", frame))
    if not shown:
        return Section(
            "findings",
            "What the test images show",
            "No task has made tables of its own.",
            empty=True,
        )
    cut = f" The first {MOST_TRIALS} are shown; the journal has all." if count > MOST_TRIALS else ""
    said = formatting.plural(count, "trial has", "trials have")
    return Section(
        "findings",
        "What the test images show",
        f"{said} tables of the test images, by the weights of the best epoch; the best trial is the first.{cut}",
        how="Made by each trial's task at its end. A trial that only others need comes after the ranked ones.",
        data={"id": "findings", "tables": shown, "open": opened},
    )


def _words(column: str) -> str:
    return column.removeprefix(BASELINE).replace("_", " ")


def _or_infinite(value: Any) -> float:
    number = float(value)
    return math.inf if math.isnan(number) else number
