"""Tables that tasks made of the test images in the final evaluation."""

from __future__ import annotations

import pandas as pd

from cae.report import formatting
from cae.report.data.cells import to_cell
from cae.report.data.results import Results
from cae.report.page.section import Scope, SectionContent, section
from cae.report.page.table import Table, make_table

MAX_TRIALS = 12
"""Trials whose tables are on the page; the journal contains all."""


@section(
    "final_evaluation",
    title="Tables of the final evaluation",
    order=160,
    scope=Scope.GROUP_AND_DEPENDENCIES,
)
def final_evaluation_section(results: Results) -> SectionContent:
    tables_by_trial: list[list[Table]] = []
    unranked = results.trials.index.difference(results.ranked.index, sort=False)
    for index in [*results.ranked.index, *unranked]:
        tables = _tables(results, index)
        if tables:
            tables_by_trial.append(tables)
    if not tables_by_trial:
        return SectionContent(verdict="No task made tables of its own.", is_empty=True)
    count = formatting.plural(len(tables_by_trial), "trial has", "trials have")
    verdict = (
        f"{count} tables of the test images, with the weights of the best epoch, best trial first."
    )
    if len(tables_by_trial) > MAX_TRIALS:
        verdict += f" The tables of {MAX_TRIALS} trials are shown; the journal contains all."
    shown: list[Table] = []
    for tables in tables_by_trial[:MAX_TRIALS]:
        shown += tables
    return SectionContent(
        verdict=verdict,
        method=(
            "Each task makes its tables when the trial ends. Trials that only other trials depend "
            "on come after the ranked ones."
        ),
        tables=shown,
        open_tables=len(tables_by_trial[0]),
    )


def _tables(results: Results, index: int) -> list[Table]:
    """Return the tables of one trial."""
    run = results.trials["run"][index]
    trial = results.trials["trial"][index]
    tables = []
    for name, rows in results.record(run, trial).final_tables.items():
        frame = pd.DataFrame(rows).map(to_cell)
        caption = f"{results.labels[index]}: {name.replace('_', ' ')}"
        tables.append(make_table(caption, frame))
    return tables
