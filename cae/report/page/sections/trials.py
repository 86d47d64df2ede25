"""All trials in one table."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.section import Scope, SectionContent, section
from cae.report.page.table import Table, make_table, parameter_columns

MAX_ROWS = 2000
"""Rows of the page's table; trials.csv contains all."""


@dataclass(frozen=True, kw_only=True)
class TrialsContent(SectionContent):
    table: Table | None = None


@section("trials", title="All trials", order=200, scope=Scope.ALL)
def trials_section(results: Results) -> SectionContent:
    count = len(results.trials)
    if not count:
        return TrialsContent(verdict="There is no trial yet.", is_empty=True)
    ranked = results.ranked
    if len(results.groups) > 1:
        positions = {group.label: position for position, group in enumerate(results.groups)}
        ranked = ranked.sort_values(
            "group", key=lambda labels: labels.map(positions), kind="stable"
        )
    unranked = results.trials.drop(ranked.index)
    trials = pd.concat([ranked, unranked])[_columns(results)].head(MAX_ROWS)
    order = "the best on top"
    if len(results.groups) > 1:
        order = "by group, the best of each group on top"
    verdict = (
        f"{formatting.plural(count, 'trial')}, ranked ones first, {order}. No trial is "
        "left out, whatever its state."
    )
    if count > MAX_ROWS:
        verdict += f" The page shows the first {MAX_ROWS:,}; trials.csv contains all."
    return TrialsContent(
        verdict=verdict,
        method=(
            "The name of a metric without a prefix is its value at the best epoch; last_ is its "
            "value at the last epoch, and test_ was measured at the end. seconds is the sum over "
            "the epochs. Columns with one value for all trials are hidden at first. trials.csv "
            "beside this page contains the same table, epochs.csv every epoch."
        ),
        table=make_table(
            "Table of all trials",
            trials,
            parameters=parameter_columns(results),
            rows_are_trials=True,
        ),
    )


def _columns(results: Results) -> list[str]:
    """Return all columns with a value, the most important first. "run" is only for joined runs."""
    with_value = results.trials.dropna(axis="columns", how="all").columns.drop("run")
    first = ["trial", "state", "group", results.metric, "best_epoch"]
    columns = [name for name in first if name in with_value]
    if results.joined:
        columns.insert(0, "run")
    return list(dict.fromkeys([*columns, *with_value]))
