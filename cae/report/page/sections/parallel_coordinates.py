"""All parameters of every trial in one chart."""

from __future__ import annotations

from cae.report import formatting
from cae.report.data.axis import Axis
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.parallel_coordinates import (
    NO_VALUE,
    ParallelCoordinatesData,
    draw_parallel_coordinates,
    parallel_coordinates_data,
)
from cae.report.page.section import SectionContent, section
from cae.report.page.wording import better_direction
from cae.report.statistics.compared_trials import finished_trials


@section(
    "parallel_coordinates",
    title="Parallel coordinates",
    order=80,
    figures=[
        Figure("parallel_coordinates", parallel_coordinates_data, draw_parallel_coordinates),
    ],
)
def parallel_coordinates_section(results: Results) -> SectionContent:
    data = parallel_coordinates_data(results)
    parameters = data.axes[:-1]
    if not parameters or (data.trials["bin"] == NO_VALUE).all():
        return SectionContent(
            verdict="Nothing to draw: no parameter differs among trials with a value.",
            is_empty=True,
        )
    trial_count = formatting.plural(len(data.trials), "trial")
    parameter_count = formatting.plural(len(parameters), "parameter")
    return SectionContent(
        verdict=formatting.sentences(
            [f"{trial_count} over {parameter_count}.", _shared_settings(results, parameters)]
        ),
        method=_method(results, data),
        captions={"parallel_coordinates": f"Parameters of each trial, colored by {results.metric}"},
    )


def _shared_settings(results: Results, parameters: list[Axis]) -> str:
    """Return the settings that the best tenth of the finished trials have in common, as a sentence.

    Values after fewer epochs are not compared with them.
    """
    values = finished_trials(results).values
    ranking = values.sort_values(ascending=results.mode == "min", kind="stable").index
    best = results.trials.loc[ranking[: max(1, len(ranking) // 10)]]
    if len(best) < 2:
        return ""
    shared = []
    for parameter in parameters:
        settings = best[parameter.name]
        if settings.map(str).nunique() == 1:
            shared.append(f"{parameter.name} {formatting.parameter(settings.iloc[0])}")
    if not shared:
        return f"The best {len(best)} finished trials have no setting in common."
    return f"The best {len(best)} finished trials have in common: {formatting.listed(shared)}."


def _method(results: Results, data: ParallelCoordinatesData) -> str:
    sentences = []
    if data.omitted_trials:
        omitted = formatting.plural(data.omitted_trials, "trial")
        sentences.append(f"{omitted}, evenly spread over the ranking, not drawn.")
    if data.omitted_parameters:
        sentences.append(f"Parameters without room: {formatting.listed(data.omitted_parameters)}.")
    sentences.append(
        f"One line per trial; dark is {better_direction(results)}, and the darkest and widest "
        "lines are the best twelfth of the range of the finished trials. Trials that were stopped "
        "early or are not complete are gray: their values are from fewer epochs. Parameters with "
        "the same value in all trials are left out. A trial without a parameter passes through "
        "“none” below its axis. Trials without a value are in the legend and hidden at first."
    )
    return formatting.sentences(sentences)
