"""Phrases about the importance of parameters."""

from __future__ import annotations

from cae.report import formatting
from cae.report.statistics.compared_trials import PopulationKind
from cae.report.statistics.importance import (
    MIN_R2,
    ImportanceAnalysis,
    ImportanceVerdict,
    Population,
)


def population_name(population: Population) -> str:
    if population.kind == PopulationKind.FINISHED:
        if population.epoch:
            return f"finished trials up to epoch {population.epoch}"
        return "finished trials"
    return f"all trials at epoch {population.epoch}"


def obstacle(analysis: ImportanceAnalysis) -> str:
    """Why importance is not shown, as a clause; empty if it is."""
    population = population_name(analysis.population)
    axes = analysis.population.axes
    match analysis.verdict:
        case ImportanceVerdict.NO_PARAMETER_VARIES:
            return f"no parameter varies among {population}"
        case ImportanceVerdict.ONE_PARAMETER_VARIES:
            return f"only {axes[0].name} varies among {population}"
        case ImportanceVerdict.TOO_FEW_CONFIGURATIONS:
            count = formatting.plural(len(analysis.population.values), "configuration")
            return (
                f"{count} of {population}, and at least {analysis.min_configurations} are needed "
                f"for {len(axes)} parameters"
            )
        case ImportanceVerdict.EQUAL_VALUES:
            return f"all {population} have the same value"
        case ImportanceVerdict.POOR_PREDICTION:
            r2 = formatting.number(max(analysis.r2, 0), 2)
            return (
                "a random forest cannot predict the rank of unseen configurations "
                f"(R² {r2}, at least {MIN_R2} is required)"
            )
    return ""
