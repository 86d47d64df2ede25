"""How fast a search with two objectives approached its Pareto front."""

from __future__ import annotations

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.hypervolume import (
    draw_hypervolume,
    hypervolume_data,
    second_objective,
)
from cae.report.page.figures.pareto import COSTS
from cae.report.page.section import SectionContent, section

MIN_TRIALS = 4
"""With fewer finished trials, the front after each of them says nothing."""
NEARLY_ALL = 0.95
"""A front with this share of the final hypervolume is nearly the final one."""


@section(
    "hypervolume",
    title="Progress of the Pareto front",
    order=75,
    figures=[Figure("hypervolume", hypervolume_data, draw_hypervolume)],
)
def hypervolume_section(results: Results) -> SectionContent:
    objective = second_objective(results)
    if not objective:
        return SectionContent(
            verdict="The search has one objective.", is_empty=True, is_left_out=True
        )
    shares = hypervolume_data(results).shares
    if len(shares) < MIN_TRIALS:
        finished = formatting.plural(len(shares), "finished trial")
        return SectionContent(
            verdict=f"There are {finished}, too few to judge the progress of the front.",
            is_empty=True,
        )
    enough = next(count for count, share in enumerate(shares, 1) if share >= NEARLY_ALL)
    names = f"{results.metric} and {COSTS.get(objective, objective)}"
    return SectionContent(
        verdict=(
            f"The Pareto front of {names} had {formatting.percent(NEARLY_ALL, 1)} of its final "
            f"hypervolume after {enough} of {len(shares)} finished trials."
        ),
        method=(
            "The hypervolume is the area between the front of the finished trials so far and a "
            "reference point, which is worse than the worst values by a tenth of their range. "
            "Values are scaled to 0 to 1, by their logarithms if all are positive."
        ),
        captions={"hypervolume": f"Hypervolume of {names} after each finished trial"},
    )
