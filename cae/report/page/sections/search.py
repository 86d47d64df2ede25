"""How well the model of a search predicted the trials that it suggested."""

from __future__ import annotations

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.search import draw_search, search_data
from cae.report.page.section import SectionContent, section
from cae.report.page.table import make_table

MIN_TRIALS = 3
"""Fewer trials do not show how good a model is."""


@section(
    "search",
    title="Search: predicted and reached values",
    order=65,
    figures=[Figure("search", search_data, draw_search)],
)
def search_section(results: Results) -> SectionContent:
    if "suggested_by" not in results.trials:
        return SectionContent(
            verdict="All trials were chosen before the sweep started.",
            is_empty=True,
            is_left_out=True,
        )
    counts = results.trials["suggested_by"].value_counts()
    suggested = ", ".join(f"{count} by {method}" for method, count in counts.items())
    trials = search_data(results).trials
    if len(trials) < MIN_TRIALS:
        finished = formatting.plural(len(trials), "finished trial")
        return SectionContent(
            verdict=f"Trials were suggested while the sweep ran: {suggested}. With a prediction "
            f"there are {finished}, too few to judge the model.",
            is_empty=True,
        )
    columns = ["label", "predicted", "low", "high", "value", "covered"]
    return SectionContent(
        verdict=f"Trials were suggested while the sweep ran: {suggested}. {_quality(trials)}",
        method=(
            "A Gaussian process, fitted to the trials before each suggestion, predicts the value "
            "that the trial will reach, and an interval that is to contain it with probability "
            "0.95. Finished trials are shown: a stopped one was not trained to its last epoch, "
            "which is what is predicted. The points were not drawn at random, so the share "
            "inside is a description and no test."
        ),
        captions={"search": f"Predicted against reached {results.metric}; lines: 95 % intervals"},
        tables=[
            make_table(
                "Predictions",
                trials[columns],
                headings={"label": "trial", "value": results.metric, "covered": "inside"},
            )
        ],
        open_tables=0,
    )


def _quality(trials: pd.DataFrame) -> str:
    inside = int(trials["covered"].sum())
    share = formatting.percent(inside, len(trials))
    count = formatting.plural(len(trials), "finished trial")
    sentence = f"Of {count} with a prediction, {inside} ({share}) reached a value in its interval"
    if trials["predicted"].nunique() < 2 or trials["value"].nunique() < 2:
        return f"{sentence}."
    correlation = trials["predicted"].corr(trials["value"], method="spearman")
    return f"{sentence}; rank correlation {correlation:.2f}."
