"""What a better value costs: in parameters, in training time."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.figures.pareto import COSTS, tradeoff_data
from cae.report.page.sections.base import Section, table
from cae.report.statistics import best as seeds

TITLE = "Value against size and time"
NEAR = 0.05
"""Where no spread of seeds is known, a value within this share of the best is called near."""


def tradeoff(results: Results, _rows: list[dict[str, Any]]) -> Section:
    data = tradeoff_data(results)
    if not data.costs:
        return Section(
            "tradeoff",
            TITLE,
            "Finished trials do not differ in size or time, so there is nothing to weigh.",
            empty=True,
        )
    frames = [
        rows.set_axis(["cost", results.metric, "trial"], axis=1).assign(of=COSTS[name])
        for name, rows in data.fronts.items()
    ]
    left = len(results.trials) - len(results.ranked)
    return Section(
        "tradeoff",
        TITLE,
        formatting.sentences([_smallest(results), _fronts(data.fronts)]),
        how="The front runs through the finished trials that no other one beats in both; stopped trials are drawn and are not part of it. "
        "The smallest is looked for among configurations whose mean is within one standard error of the best one's (the "
        f"one-standard-error rule), or within {formatting.percent(NEAR, 1)} of it where each ran with one seed. Training seconds are the sum "
        f"over a trial's epochs. {formatting.plural(left, 'trial')} without a finite value left out.",
        charts={
            "tradeoff": f"{results.metric} against {formatting.listed(COSTS[name] for name in data.costs)}"
        },
        data={
            "table": table("The fronts", pd.concat(frames)[["of", "cost", results.metric, "trial"]])
        },
    )


def _smallest(results: Results) -> str:
    """The one-standard-error rule."""
    ranked = seeds.contest(results).ranked
    if "parameters" not in results.trials or len(ranked) < 2:
        return ""
    first, trials = ranked.iloc[0], results.trials
    spread = float(results.values[first["trials"]].sem()) if first["n"] > 1 else math.nan
    room = NEAR * abs(first["mean"]) if math.isnan(spread) else spread
    within = (
        f"within {formatting.percent(NEAR, 1)} of"
        if math.isnan(spread)
        else "within one standard error of"
    )
    near = ranked[(ranked["mean"] - first["mean"]).abs() <= room]
    parameters = trials["parameters"].astype(float)
    sizes = [parameters[members[0]] for members in near["trials"]]
    if not all(math.isfinite(size) for size in sizes):
        return ""
    least, size = (
        min(range(len(sizes)), key=lambda place: sizes[place]),
        parameters[first["trials"][0]],
    )
    one, at_best = near.iloc[least], f"{formatting.number(int(size))} parameters"
    if sizes[least] >= size:
        return f"No smaller network comes {within} the best ({first['label']}, {at_best})."
    return (
        f"The smallest network {within} the best is {one['label']}: {formatting.number(int(sizes[least]))} parameters, "
        f"{formatting.percent(sizes[least], size)} of the best one's {formatting.number(int(size))}, {results.metric} {formatting.number(one['mean'])} "
        f"against {formatting.number(first['mean'])}."
    )


def _fronts(fronts: dict[str, pd.DataFrame]) -> str:
    said = [f"{len(rows)} by {COSTS[name]}" for name, rows in fronts.items()]
    return f"On the fronts stand {formatting.listed(said)}."
