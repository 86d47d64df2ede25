"""Sentences about the best configuration."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from cae.report import formatting
from cae.report.data.commands import sweep_command, where_conditions, with_seeds
from cae.report.data.results import Results
from cae.report.statistics import best
from cae.report.statistics.best import (
    BestVerdict,
    ConfigurationComparison,
    Distinction,
    Setting,
)
from cae.report.statistics.leaders import Leaders
from cae.report.statistics.shared_dependencies import shared_dependencies
from cae.report.wording.shared_dependencies import shared_dependencies_sentence

MAX_TIED = 5
"""Named configurations."""
MAX_PROBABILITY = 0.99
"""Larger probabilities are printed as larger than this: the tails of the spread of a few seeds are
not known better."""


def comparison_sentence(results: Results, comparison: ConfigurationComparison) -> str:
    """Whether the best configuration is better than the others, and how to find out if unknown.

    Empty if there is one configuration.
    """
    sentence = certainty_sentence(results, comparison)
    if len(comparison.compared) > 1 and comparison.verdict == BestVerdict.UNKNOWN:
        return formatting.sentences([sentence, _how_to_add_seeds(results)])
    return sentence


def certainty_sentence(results: Results, comparison: ConfigurationComparison) -> str:
    """Whether the best configuration is better than the others.

    Empty if there is one configuration.
    """
    compared = comparison.compared
    if len(comparison.table) < 2:
        return ""
    if len(compared) < 2:
        return (
            "It is unknown whether it is better than the others: no two configurations have "
            "finished all their seeds."
        )
    sentence = (
        "It is unknown whether it is better than the others: all ran with one seed, so a "
        "difference may be due to chance."
    )
    if comparison.verdict == BestVerdict.BETTER:
        sentence = _better(results, compared)
    elif comparison.verdict == BestVerdict.TIED:
        sentence = _tied(results, comparison)
    rows = [trial for trials in compared["trials"] for trial in trials]
    shared = shared_dependencies_sentence(shared_dependencies(results, rows))
    return formatting.sentences([sentence, _not_compared(comparison), shared])


def _not_compared(comparison: ConfigurationComparison) -> str:
    """How many configurations are left out; empty if none is."""
    count = len(comparison.table) - len(comparison.compared)
    if not count:
        return ""
    verb = "are"
    if count == 1:
        verb = "is"
    configurations = formatting.plural(count, "configuration")
    return f"{configurations} of which not all seeds finished {verb} not compared."


def _how_to_add_seeds(results: Results) -> str:
    setting = f"--set seeds={best.suggested_seeds(results)}"
    if has_learning_search(results):
        return (
            "To add seeds, run the sweep with the values of the best trial and "
            f"--set space=none {setting}; finished trials are kept."
        )
    return f"To add seeds, run the same command with {setting}; finished trials are kept."


def has_learning_search(results: Results) -> bool:
    """Whether results decided which trials were tried: such a search refuses several seeds."""
    search = results.sweep.search
    return search is not None and search.get("learns") is True


def other_best_configuration(results: Results, comparison: ConfigurationComparison) -> bool:
    """Whether the best trial is a seed of another configuration than the one with the best mean."""
    compared = comparison.compared
    if not len(compared) or not len(results.ranked) or compared["n"].max() < 2:
        return False
    return results.ranked.index[0] not in compared["trials"].iloc[0]


def best_configuration_sentence(results: Results, comparison: ConfigurationComparison) -> str:
    """Name the best configuration, and the better single trial of another configuration."""
    return formatting.sentences(
        [
            best_mean_sentence(results, comparison),
            comparison_sentence(results, comparison),
            best_single_trial_sentence(results, comparison),
        ]
    )


def best_mean_sentence(results: Results, comparison: ConfigurationComparison) -> str:
    """Name the configuration with the best mean over its seeds."""
    first = comparison.compared.iloc[0]
    mean = formatting.number(first["mean"])
    seeds = formatting.plural(int(first["n"]), "seed")
    return (
        f"Best is the configuration of {first['label']}: mean {results.metric} {mean} over {seeds}."
    )


def best_single_trial_sentence(results: Results, comparison: ConfigurationComparison) -> str:
    """Name the best trial, which is a seed of another configuration than the best one."""
    best_trial = results.ranked.index[0]
    value = formatting.number(results.values[best_trial])
    label = results.labels[best_trial]
    reason = "its configuration has not finished all its seeds"
    for row in formatting.rows(comparison.compared):
        if best_trial in row.trials:
            reason = f"the mean of its configuration is {formatting.number(row.mean)}"
    return f"The best single trial is {label} ({value}): {reason}."


def _better(results: Results, compared: pd.DataFrame) -> str:
    second = compared.iloc[1]
    side = "higher"
    # Of how much it is better: the table has the difference of the next one to the best.
    ends = (-second["difference_high"], -second["difference_low"])
    if results.mode == "min":
        side = "lower"
        ends = (second["difference_low"], second["difference_high"])
    difference = formatting.number(abs(second["difference"]), 3)
    low, high = (formatting.number(end, 3) for end in ends)
    others = "the other one"
    if len(compared) > 2:
        others = f"each of the {len(compared) - 1} others"
    sentence = (
        f"{_subject(results, compared)} is significantly better than {others}: {difference} {side} "
        f"than the next ({second['label']}; 95 % interval {low} to {high})."
        f"{_one_seed_note(compared)}"
    )
    return formatting.sentences([sentence, _probability(compared)])


def _tied(results: Results, comparison: ConfigurationComparison) -> str:
    labels = comparison.table["label"].tolist()
    tied = formatting.listed([labels[row] for row in comparison.tied], MAX_TIED)
    configurations = "those"
    if len(comparison.tied) == 1:
        configurations = "that"
    compared = comparison.compared
    sentence = (
        f"{_subject(results, compared)} is tied with {configurations} of {tied}: with these seeds "
        f"it is unknown which is better.{_one_seed_note(compared)}"
    )
    return formatting.sentences([sentence, _probability(compared), _smallest(results, comparison)])


def _one_seed_note(compared: pd.DataFrame) -> str:
    """How configurations with one seed were compared; empty if there are none."""
    count = int((compared["n"] == 1).sum())
    if not count:
        return ""
    return (
        f" {formatting.plural(count, 'configuration')} ran with one seed: the spread of the others "
        "is assumed."
    )


def _subject(results: Results, compared: pd.DataFrame) -> str:
    first = compared.iloc[0]
    mean = formatting.number(first["mean"])
    return (
        f"The configuration of {first['label']} (mean {results.metric} {mean} over "
        f"{formatting.plural(int(first['n']), 'seed')})"
    )


def _probability(compared: pd.DataFrame) -> str:
    probability = compared["probability"].iloc[0]
    if math.isnan(probability):
        return ""
    return f"It is the best with a probability of {probability_text(probability)}."


def probability_text(probability: float) -> str:
    """A probability in percent; what is drawn is neither certain nor impossible."""
    if probability > MAX_PROBABILITY:
        return f"over {formatting.percent(MAX_PROBABILITY, 1)}"
    if probability < 1 - MAX_PROBABILITY:
        return f"under {formatting.percent(1 - MAX_PROBABILITY, 1)}"
    return formatting.percent(probability, 1)


def _smallest(results: Results, comparison: ConfigurationComparison) -> str:
    """Name the smallest network of those that are tied: usually the one to use."""
    smallest = best.smallest_tied(results, comparison)
    if smallest is None:
        return ""
    label = comparison.table["label"].tolist()[smallest.row]
    parameters = formatting.number(int(smallest.parameters))
    return f"The smallest of them is {label} ({parameters} parameters)."


def settings_text(settings: Iterable[Setting], max_items: int) -> str:
    """Settings with full names: "arch.kernel_size 3 and optimizer.lr 0.01"."""
    texts = [f"{setting.parameter} {formatting.parameter(setting.value)}" for setting in settings]
    return formatting.listed(texts, max_items)


def distinction_texts(distinction: Distinction) -> list[str]:
    """What distinguishes each trial, without the component: "kernel_size 3 and lr 0.001".

    Empty if no parameter distinguishes any of them.
    """
    if not distinction.parameters:
        return [""] * len(distinction.settings)
    texts = []
    for settings in distinction.settings:
        short_names = []
        for setting in settings:
            short_names.append(Setting(setting.parameter.split(".", 1)[-1], setting.value))
        texts.append(settings_text(short_names, 4) or "as most are")
    return texts


def more_seeds_command(results: Results, leaders: Leaders | None = None) -> str:
    """The command that ran the sweep, with more seeds of all configurations or of the leaders."""
    seeds = best.suggested_seeds(results)
    if leaders is None:
        return with_seeds(results.runs[0], seeds)
    return with_seeds(results.runs[0], seeds, leaders.conditions)


def more_seeds_label(results: Results, leaders: Leaders | None) -> str:
    """What `more_seeds_command` does."""
    if leaders is None:
        # The newest command may have run a part of the sweep.
        conditions = where_conditions(sweep_command(results.runs[0]))
        which = ""
        if conditions:
            which = f" with {formatting.listed(conditions)}"
        return f"Add seeds to every configuration{which}; finished trials are kept"
    return (
        f"Add seeds to the {leaders.count} configurations that may be the best; finished trials "
        "are kept"
    )
