"""The best configuration, and whether it is better than the others beyond the spread of seeds."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import pandas as pd

from cae.report import formatting
from cae.report.data.parameters import has_several_values, varying_parameters
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.best import TOP, best_data, draw_best
from cae.report.page.section import SectionContent, section
from cae.report.page.table import Table, make_table, parameter_columns
from cae.report.page.wording import better_direction, left_out_trials, nothing_is_ranked
from cae.report.statistics import best
from cae.report.statistics.best import BestVerdict
from cae.report.statistics.leaders import find_leaders
from cae.report.wording.best import (
    best_configuration_sentence,
    comparison_sentence,
    has_learning_search,
    more_seeds_command,
    more_seeds_label,
    other_best_configuration,
    probability_text,
    settings_text,
)
from cae.run.latent_floors import is_latent_floor

MAX_CONFIGURATIONS = 50
"""Rows of the table of configurations."""
MAX_SETTINGS = 8


@dataclass(frozen=True, kw_only=True)
class BestContent(SectionContent):
    best_trials: Table | None = None
    configurations: Table | None = None
    """Only if a configuration has several seeds."""
    export_command: str = ""
    seeds_command: str = ""
    """A command that adds seeds, if they could decide which configuration is best."""
    seeds_label: str = ""
    """What it does."""


@section(
    "best",
    title="Best configuration",
    order=20,
    figures=[Figure("best", best_data, draw_best)],
)
def best_section(results: Results) -> SectionContent:
    if not len(results.ranked):
        return BestContent(
            verdict=f"{nothing_is_ranked(results)}, so none is ranked.", is_empty=True
        )
    comparison = best.compare_configurations(results)
    captions = {}
    if len(comparison.compared) > 1:
        captions["best"] = (
            f"The best configurations by mean {results.metric}, and their differences to the best"
        )
    seeds_command = ""
    seeds_label = ""
    is_open = comparison.verdict in (BestVerdict.UNKNOWN, BestVerdict.TIED)
    if is_open and not results.joined and not has_learning_search(results):
        leaders = find_leaders(results, comparison)
        seeds_command = more_seeds_command(results, leaders)
        seeds_label = more_seeds_label(results, leaders)
    if other_best_configuration(results, comparison):
        verdict = best_configuration_sentence(results, comparison)
    else:
        sentences = [_leader(results), comparison_sentence(results, comparison)]
        verdict = formatting.sentences(sentences)
    return BestContent(
        verdict=verdict,
        method=_method(results, comparison),
        captions=captions,
        best_trials=_best_trials(results),
        configurations=_configurations(results, comparison),
        export_command=_export_command(results),
        seeds_command=seeds_command,
        seeds_label=seeds_label,
    )


def _leader(results: Results) -> str:
    """Name the best trial, its value and its settings."""
    first = results.ranked.index[0]
    label = results.labels[first].capitalize()
    trials = formatting.plural(len(results.ranked), "ranked trial")
    value = formatting.number(results.values[first])
    sentence = f"{label} is the best of {trials} with {results.metric} {value}"
    settings = settings_text(best.own_settings(results, first), MAX_SETTINGS)
    if settings:
        return f"{sentence}: {settings}."
    return f"{sentence}."


def _best_trials(results: Results) -> Table:
    trials = results.ranked.head(TOP)
    columns = ["trial", "state", results.metric, "best_epoch"]
    if results.joined:
        columns.insert(0, "run")
    columns += varying_parameters(results, results.trials)
    if "seed" in trials and has_several_values(results.trials["seed"]):
        columns.append("seed")
    if "parameters" in trials:
        columns.append("parameters")
    measured = [str(name) for name in trials if str(name).startswith("test_")]
    for name in measured:
        # The table of all trials has the floors of the latent code.
        if trials[name].notna().any() and not is_latent_floor(name, measured):
            columns.append(name)
    frame = trials[list(dict.fromkeys(columns))].copy()
    frame.insert(0, "rank", range(1, len(frame) + 1))
    return make_table(
        f"The best {formatting.plural(len(trials), 'trial')} by {results.metric}",
        frame,
        parameters=parameter_columns(results),
        headings={"best_epoch": "epoch"},
        rows_are_trials=True,
    )


def _configurations(results: Results, comparison: best.ConfigurationComparison) -> Table | None:
    """Return all configurations with their seeds; None if each has one seed."""
    table = comparison.table
    if len(table) < 2 or table["requested"].max() < 2:
        return None
    rows = table.head(MAX_CONFIGURATIONS)
    probabilities = []
    left_out = []
    for row in formatting.rows(rows):
        if pd.isna(row.probability):
            probabilities.append("")
        else:
            probabilities.append(probability_text(row.probability))
        if row.is_complete:
            left_out.append("")
        else:
            left_out.append(f"{row.n} of {formatting.plural(row.requested, 'seed')} finished")
    intervals = ["mean", "low", "high", "difference", "difference_low", "difference_high"]
    frame = rows[["label", "n", "requested", *intervals]].copy()
    frame["probability of being the best"] = probabilities
    frame["left out"] = left_out
    headings = {
        "label": "configuration of",
        "n": "finished seeds",
        "requested": "requested seeds",
        "mean": f"mean {results.metric}",
        "low": "95 % from",
        "high": "to",
        "difference": "difference to the best",
        "difference_low": "95 % from",
        "difference_high": "to",
    }
    return make_table("Configurations and their seeds", frame, headings=headings)


def _method(results: Results, comparison: best.ConfigurationComparison) -> str:
    unranked = len(results.trials) - len(results.ranked)
    incomplete = int((~comparison.table["is_complete"]).sum())
    sentences = [
        f"Trials are ranked by {results.metric} at their best epoch; {better_direction(results)} "
        "is better, and of equal trials the one with the lower number is first.",
    ]
    if unranked:
        ranked = formatting.plural(len(results.ranked), "trial")
        sentences.append(f"{ranked} ranked; {left_out_trials(unranked)}.")
    else:
        sentences.append("All trials are ranked.")
    compared = formatting.plural(len(comparison.compared), "configuration")
    sentences.append(
        "test_ columns were measured once, with the best checkpoint of finished trials, and are "
        "not used for the ranking. Trials that differ only in their seed are one configuration: "
        f"{compared} compared."
    )
    if incomplete:
        left_out = formatting.plural(incomplete, "configuration")
        sentences.append(f"{left_out} with unfinished seeds left out.")
    sentences.append(
        "Intervals are 95 % t intervals. Differences are paired by seed if both configurations ran "
        "with the same seeds, otherwise Welch's; the spread of one seed, or of seeds with equal "
        "differences, is assumed to be that within the configurations with several seeds, pooled. "
        "A configuration is better than all others if no interval of a difference contains 0. The "
        f"probability of being the best, of at most {best.MAX_DRAWN} configurations, is from "
        "10,000 draws of each mean from its t distribution, without what a seed adds to all "
        "configurations. The best of many trials is "
        "optimistically biased; the test columns give an unbiased estimate."
    )
    return formatting.sentences(sentences)


def _export_command(results: Results) -> str:
    """Return the command that exports the best network; the run by name, without its path.

    If the trial has components of the user's, the command names the sweep file that defines them.
    """
    number = results.ranked["trial"].iloc[0]
    location = str(results.ranked["run"].iloc[0])
    name = results.folder(location).name
    command = f"cae-sweep best {shlex.quote(name)}"
    if results.group_count > 1:
        command += f" --trial {number}"
    else:
        command += f" --metric {shlex.quote(results.metric)} --mode {results.mode}"
    run = next(run for run in results.runs if run.name == location)
    if run.records[number].code:
        command += f" --sweep {shlex.quote(run.sweep.file)}"
    return f"{command} -o best"
