"""The effect of each parameter by itself."""

from __future__ import annotations

import pandas as pd

from cae.report import formatting
from cae.report.data.parameters import has_several_values
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.parameters import (
    BINS,
    MAX_POINTS,
    ParametersData,
    draw_parameters,
    parameters_data,
)
from cae.report.page.section import SectionContent, section
from cae.report.page.table import make_table, parameter_columns
from cae.report.statistics.parameter_effects import (
    EffectAnalysis,
    ParameterSettings,
    analyze_effects,
)
from cae.report.wording.parameter_effects import effects_sentences


@section(
    "parameters",
    title="One parameter at a time",
    order=90,
    figures=[Figure("parameters", parameters_data, draw_parameters)],
)
def parameters_section(results: Results) -> SectionContent:
    analysis = analyze_effects(results)
    if not analysis.parameters:
        return SectionContent(
            verdict="No parameter differs among trials with a value.", is_empty=True
        )
    settings = pd.concat([_settings(results, item, analysis) for item in analysis.parameters])
    return SectionContent(
        verdict=effects_sentences(results),
        method=_method(results, parameters_data(results)),
        captions={"parameters": f"{results.metric} against each parameter"},
        tables=[
            make_table(
                "Finished trials at each setting", settings, parameters=parameter_columns(results)
            )
        ],
        open_tables=0,
    )


def _settings(
    results: Results, parameter: ParameterSettings, analysis: EffectAnalysis
) -> pd.DataFrame:
    """Return best and median of the finished trials at each setting of one parameter.

    If trials were stopped, also the median of all trials at the same epoch.
    """
    settings = parameter.settings
    positions = pd.Series(parameter.axis.positions, index=settings.index)
    order = positions.groupby(settings).min().sort_values().index
    finished, *at_same_epoch = [effect.compared for effect in analysis.effects]
    values = finished.values.groupby(settings[finished.values.index])
    best = values.min() if results.mode == "min" else values.max()
    columns = {
        "trials": settings.groupby(settings).size(),
        "finished": values.size().reindex(order, fill_value=0),
        f"best {results.metric}": best,
        f"median {results.metric}": values.median(),
    }
    for compared in at_same_epoch:
        heading = f"median at epoch {compared.epoch}, all trials"
        columns[heading] = compared.values.groupby(settings[compared.values.index]).median()
    rows = pd.DataFrame(columns, index=order).rename_axis("setting").reset_index()
    rows.insert(0, "parameter", parameter.axis.name)
    return rows


def _method(results: Results, data: ParametersData) -> str:
    axes = [name for name in results.axes if name in results.trials]
    constant = [name for name in axes if not has_several_values(results.trials[name])]
    sentences = []
    if constant:
        sentences.append(f"Parameters with one value, not shown: {formatting.listed(constant)}.")
    if data.hidden:
        sentences.append(f"Parameters without room: {formatting.listed(data.hidden)}.")
    sentences.append(
        f"Dots are trials: at most {MAX_POINTS}, evenly spread over the ranking, and moved a "
        "little to the side so that they do not overlap. The line is the best finished trial at "
        f"each setting, or in each tenth of the range if a parameter has more than {BINS} values. "
        "The sentences compare the medians at settings, or in quarters of a parameter with many "
        "values, with the Kruskal-Wallis test and Bonferroni's correction for the number of "
        "parameters. Values after training of different length are never pooled: finished trials "
        "are compared by their best epochs (if a part of them was continued, by the best of the "
        "epochs that most trained), and if trials were stopped, all trials by the last epoch that "
        "each of them reached. Finished trials are then survivors: a setting may look "
        "better than it is because its worse trials were stopped. The other parameters are not "
        "held constant: differences are observed and not necessarily caused by the parameter."
    )
    return formatting.sentences(sentences)
