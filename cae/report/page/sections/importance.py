"""Which parameters matter, how certain that is, and which two of them interact."""

from __future__ import annotations

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.importance import (
    MarginalsData,
    draw_importance,
    draw_interaction,
    draw_marginals,
    importance_data,
    interaction_data,
    marginals_data,
)
from cae.report.page.section import SectionContent, section
from cae.report.page.table import Table, make_table
from cae.report.statistics import importance
from cae.report.statistics.compared_trials import PopulationKind
from cae.report.statistics.parameter_effects import analyze_effects
from cae.report.wording.confounding import confounding_sentence
from cae.report.wording.importance import obstacle, population_name
from cae.report.wording.parameter_effects import without_finished_sentence

MIN_SHARE = 0.01
MIN_SHARE_OF_JOINT = 0.1
"""If less of the variance, or of the joint effect, is left, two effects are called additive."""


@section(
    "importance",
    title="Importance and interaction of parameters",
    order=100,
    figures=[
        Figure("importance", importance_data, draw_importance),
        Figure("marginals", marginals_data, draw_marginals),
        Figure("interaction", interaction_data, draw_interaction),
    ],
)
def importance_section(results: Results) -> SectionContent:
    analyses = importance.analyze_importance(results)
    shown = importance.shown_analysis(results)
    marginals = marginals_data(results)
    has_importance = any(analysis.is_computed for analysis in analyses)
    if not marginals.panels and not has_importance:
        return SectionContent(verdict=f"Not shown: {obstacle(analyses[0])}.", is_empty=True)
    captions = {}
    if has_importance:
        captions["importance"] = (
            "Importance of each parameter with an interval of 90 % of the bootstraps"
        )
    if marginals.panels:
        captions["marginals"] = (
            f"Mean {results.metric} at each setting of {population_name(shown.population)}"
        )
    if _has_interaction(shown):
        first = formatting.short(shown.pairs["first"].iloc[0])
        second = formatting.short(shown.pairs["second"].iloc[0])
        captions["interaction"] = (
            f"Mean {results.metric} by {first} and {second}, the pair that interacts most"
        )
    sentences = [importance_sentence(analysis) for analysis in analyses]
    return SectionContent(
        verdict=formatting.sentences(
            [
                *sentences,
                _interaction_sentence(shown),
                without_finished_sentence(analyze_effects(results).without_finished),
            ]
        ),
        method=_method(analyses),
        captions=captions,
        tables=_tables(results, analyses, shown, marginals),
        open_tables=0,
    )


def importance_sentence(analysis: importance.ImportanceAnalysis) -> str:
    """Name the most important parameters, and how well the forest predicts."""
    population = population_name(analysis.population)
    if not analysis.is_computed:
        if analysis.population.kind == PopulationKind.FINISHED:
            return f"Importance is not shown: {obstacle(analysis)}."
        return f"At epoch {analysis.population.epoch} it is not shown either: {obstacle(analysis)}."
    rows = analysis.importance
    names = [formatting.short(name) for name in rows["parameter"]]
    significant = [name for name, low in zip(names, rows["low"], strict=True) if low > 0]
    others = [name for name in significant if name != names[0]]
    most_important = f"{names[0]} matters most"
    if len(rows) > 1 and rows["high"].iloc[1] >= rows["low"].iloc[0]:
        most_important = f"{names[0]} and {names[1]} matter most, in uncertain order"
        others = [name for name in others if name != names[1]]
    sentence = f"Of {population}, {most_important}"
    if others:
        sentence += f"; also significant: {formatting.listed(others)}"
    r2 = formatting.number(analysis.r2, 2)
    quality = (
        f"{sentence} (a random forest predicts unseen configurations {_quality(analysis.r2)}: "
        f"R² {r2}, {analysis.population.total_configurations} configurations)."
    )
    named = rows["parameter"][rows["low"] > 0].tolist()
    together = confounding_sentence(analysis.population.confounded, named)
    return formatting.sentences([quality, together])


def _quality(r2: float) -> str:
    if r2 >= 0.7:
        return "well"
    if r2 >= 0.5:
        return "fairly well"
    return "roughly"


def _has_interaction(analysis: importance.ImportanceAnalysis) -> bool:
    if not len(analysis.pairs):
        return False
    first = analysis.pairs.iloc[0]
    return bool(first["share"] >= MIN_SHARE and first["of_joint"] >= MIN_SHARE_OF_JOINT)


def _interaction_sentence(analysis: importance.ImportanceAnalysis) -> str:
    if not len(analysis.pairs):
        return ""
    if not _has_interaction(analysis):
        return "No pair of them interacts much: their effects are additive."
    pair = analysis.pairs.iloc[0]
    share = formatting.percent(pair["of_joint"], 1)
    return (
        f"{formatting.short(pair['first'])} and {formatting.short(pair['second'])} interact: "
        f"{share} of their joint effect is not the sum of both effects."
    )


def _tables(
    results: Results,
    analyses: list[importance.ImportanceAnalysis],
    shown: importance.ImportanceAnalysis,
    marginals: MarginalsData,
) -> list[Table]:
    tables = []
    for analysis in analyses:
        if analysis.is_computed:
            caption = f"Importance, {population_name(analysis.population)}"
            tables.append(make_table(caption, analysis.importance))
    population = population_name(shown.population)
    if len(shown.pairs):
        headings = {"share": "share of the variance", "of_joint": "share of their joint effect"}
        tables.append(make_table(f"Interactions, {population}", shown.pairs, headings=headings))
    if marginals.panels:
        frames = [panel.means.assign(parameter=panel.parameter) for panel in marginals.panels]
        frame = pd.concat(frames)[["parameter", "setting", "n", "mean", "low", "high"]]
        headings = {
            "mean": f"mean {results.metric}",
            "low": "95 % from",
            "high": "to",
            "n": "configurations",
        }
        tables.append(make_table(f"Means at each setting, {population}", frame, headings=headings))
    return tables


def _method(analyses: list[importance.ImportanceAnalysis]) -> str:
    sampled = ""
    if (
        max(analysis.population.total_configurations for analysis in analyses)
        > importance.MAX_CONFIGURATIONS
    ):
        sampled = (
            f"If there are more than {importance.MAX_CONFIGURATIONS} configurations, a random "
            "sample with a fixed seed is used. "
        )
    return (
        "Values are means over seeds. A parameter that is determined by another one (a decoder "
        "that mirrors its encoder) is left out. A random forest predicts the rank of a "
        f"configuration. R² is from 5-fold cross-validation; below {importance.MIN_R2}, or with "
        f"fewer than {importance.MIN_CONFIGURATIONS} configurations "
        f"({importance.MIN_CONFIGURATIONS_PER_PARAMETER} per parameter), importance is not shown. "
        "The importance of a parameter is the increase of the squared error on unseen "
        "configurations when the parameter is shuffled, over "
        f"{importance.BOOTSTRAPS} bootstraps of the configurations; the interval contains 90 % of "
        f"them. {sampled}Parameters with a logarithmic scale are used as logarithms. If early "
        "stopping left fewer, better trials, a parameter that decides which trials are stopped "
        "looks less important among them; therefore all trials are analyzed as well, by the last "
        "epoch that each of them reached. Configurations of which a seed was stopped are left out "
        "of the finished trials. Means at settings need no model; the other parameters vary within "
        "each. Interaction is Friedman's H² of the forest over the pairs of the "
        f"{importance.INTERACTING_PARAMETERS} most important parameters; its chart shows measured "
        "values."
    )
