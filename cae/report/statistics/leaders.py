"""The configurations that may be the best, as conditions that choose them from a sweep."""

from __future__ import annotations

from dataclasses import dataclass

from cae.report.data.parameters import independent_parameters, varying_parameters
from cae.report.data.results import Results
from cae.report.statistics.best import BestVerdict, ConfigurationComparison
from cae.run.choices import Choices
from cae.run.selection import Condition, selectable_values

MAX_LEADERS = 5
"""At most this many configurations are chosen."""


@dataclass(frozen=True)
class Leaders:
    """Some configurations, and conditions that these and few others meet."""

    conditions: list[Condition]
    count: int
    """How many configurations of the run meet the conditions."""


def find_leaders(results: Results, comparison: ConfigurationComparison) -> Leaders | None:
    """The configurations that more seeds should compare: the best and those tied with it, or the
    best five if it is not known which are tied.

    None if conditions cannot choose them from the others: there are few configurations, or several
    comparability groups.
    """
    compared = comparison.compared
    if results.group_count > 1 or len(comparison.table) <= 2:
        return None
    rows = list(range(len(compared)))
    if comparison.verdict == BestVerdict.TIED:
        rows = [0, *comparison.tied]
    names = independent_parameters(results.trials, varying_parameters(results, results.trials))
    first_trials = [trials[0] for trials in comparison.table["trials"]]
    by_row = dict(zip(results.trials.index, results.records, strict=True))
    records = [by_row[trial] for trial in first_trials]
    choices = Choices(records, selectable_values)
    for count in range(min(MAX_LEADERS, len(rows)), 1, -1):
        chosen = [records[row] for row in rows[:count]]
        conditions, met = choices.choose(chosen, names)
        if len(met) < len(records) and len(met) <= max(count, len(records) // 2):
            return Leaders(conditions, len(met))
    return None
