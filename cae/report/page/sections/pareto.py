"""The trade-off between the value of a network and its size and training time."""

from __future__ import annotations

import math

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.pareto import COSTS, draw_pareto, pareto_data
from cae.report.page.section import SectionContent, section
from cae.report.page.table import Table, make_table
from cae.report.page.wording import left_out_trials
from cae.report.statistics.best import compare_configurations

NEAR_SHARE = 0.05
"""Without several seeds, values within this share of the best one are close to it."""


@section(
    "pareto",
    title="Pareto front: value against size and time",
    order=70,
    figures=[Figure("pareto", pareto_data, draw_pareto)],
)
def pareto_section(results: Results) -> SectionContent:
    fronts = pareto_data(results).fronts
    if not fronts:
        return SectionContent(
            verdict="Finished trials do not differ in size or time: there is no trade-off.",
            is_empty=True,
        )
    labels = [COSTS[cost] for cost in fronts]
    left_out = left_out_trials(len(results.trials) - len(results.ranked))
    return SectionContent(
        verdict=formatting.sentences([_smallest_network(results), _front_sizes(fronts)]),
        method=(
            "The Pareto front consists of the finished trials that no other finished trial beats "
            "in both value and cost; stopped trials are drawn and are not part of it. The smallest "
            "network is the one among configurations whose mean is within one standard error of "
            "the best one's (the one-standard-error rule), or within "
            f"{formatting.percent(NEAR_SHARE, 1)} of it with one seed each. Training seconds are "
            f"the sum over a trial's epochs. {left_out}."
        ),
        captions={"pareto": f"{results.metric} against {formatting.listed(labels)}"},
        tables=[_fronts_table(results, fronts)],
        open_tables=0,
    )


def _fronts_table(results: Results, fronts: dict[str, pd.DataFrame]) -> Table:
    frames = []
    for cost, front in fronts.items():
        rows = front.set_axis(["amount", results.metric, "trial"], axis=1)
        rows.insert(0, "cost", COSTS[cost])
        frames.append(rows)
    return make_table("Pareto-optimal trials", pd.concat(frames))


def _front_sizes(fronts: dict[str, pd.DataFrame]) -> str:
    counts = [f"{len(front)} by {COSTS[cost]}" for cost, front in fronts.items()]
    return f"Pareto-optimal trials: {formatting.listed(counts)}."


def _smallest_network(results: Results) -> str:
    """Name the smallest network that is about as good as the best, as a sentence."""
    ranked = compare_configurations(results).compared
    if "parameters" not in results.trials or len(ranked) < 2:
        return ""
    best = ranked.iloc[0]
    if best["n"] > 1:
        margin = float(results.values[best["trials"]].sem())
        within = "within one standard error of"
    else:
        margin = NEAR_SHARE * abs(best["mean"])
        within = f"within {formatting.percent(NEAR_SHARE, 1)} of"
    close = ranked[(ranked["mean"] - best["mean"]).abs() <= margin]
    parameters = results.trials["parameters"].astype(float)
    sizes = pd.Series(
        [parameters[trials[0]] for trials in close["trials"]], index=close.index, dtype=float
    )
    if not sizes.map(math.isfinite).all():
        return ""
    smallest = close.loc[sizes.idxmin()]
    smallest_size = sizes.min()
    best_size = parameters[best["trials"][0]]
    best_size_text = formatting.number(int(best_size))
    if smallest_size >= best_size:
        label = best["label"]
        return f"No smaller network is {within} the best ({label}, {best_size_text} parameters)."
    return (
        f"The smallest network {within} the best is {smallest['label']}: "
        f"{formatting.number(int(smallest_size))} parameters, "
        f"{formatting.percent(smallest_size, best_size)} of the best one's {best_size_text}, with "
        f"{results.metric} {formatting.number(smallest['mean'])} instead of "
        f"{formatting.number(best['mean'])}."
    )
