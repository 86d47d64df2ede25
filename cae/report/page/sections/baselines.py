"""Baselines: whether the networks are better than predictions that need no network.

A network that does not beat a baseline has not learned anything useful, however small its loss is.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.section import SectionContent, section
from cae.report.page.table import Table, make_table
from cae.run.trial_state import TrialState

BASELINE_PREFIX = "test_baseline_"
FLOOR = "test_floor"
LOSS = "test_loss"
MAX_NAMED = 5


@dataclass(frozen=True)
class BaselineComparison:
    """Test losses of the finished trials and of the baselines, the best trial first."""

    losses: pd.Series[float]
    baselines: pd.DataFrame
    """One column per baseline, without the prefix of the metric."""
    floors: pd.Series[float] | None
    """Loss of a perfect prediction, if it is measured."""

    @property
    def lowest_baselines(self) -> pd.Series[float]:
        return self.baselines.min(axis=1)

    @property
    def is_better(self) -> pd.Series[bool]:
        """Whether each trial beats all baselines."""
        return self.losses < self.lowest_baselines


def compare_with_baselines(results: Results) -> BaselineComparison | None:
    """Return the comparison; None if no finished trial was measured against a baseline."""
    columns = [str(name) for name in results.ranked if str(name).startswith(BASELINE_PREFIX)]
    if not columns or LOSS not in results.ranked:
        return None
    trials = results.ranked[results.ranked["state"] == TrialState.FINISHED]
    trials = trials[trials[LOSS].notna() & trials[columns].notna().any(axis=1)]
    if not len(trials):
        return None
    baselines = trials[columns].astype(float).dropna(axis="columns", how="all")
    floors = None
    if FLOOR in trials:
        floors = trials[FLOOR].astype(float)
    return BaselineComparison(
        losses=trials[LOSS].astype(float),
        baselines=baselines.rename(columns=_name),
        floors=floors,
    )


def _name(column: str) -> str:
    return column.removeprefix(BASELINE_PREFIX).replace("_", " ")


@section("baselines", title="Baselines", order=150)
def baselines_section(results: Results) -> SectionContent:
    comparison = compare_with_baselines(results)
    if comparison is None:
        return SectionContent(verdict="No trial has been compared with baselines.", is_empty=True)
    return SectionContent(
        verdict=_verdict(results, comparison),
        method=_method(results, comparison),
        tables=[_table(results, comparison)],
    )


def baseline_warning(results: Results) -> str:
    """Return which trials do not beat the baselines: then their rank means little."""
    comparison = compare_with_baselines(results)
    if comparison is None or comparison.is_better.all():
        return ""
    return f"{_trials_beating_baselines(results, comparison)}."


def _trials_beating_baselines(results: Results, comparison: BaselineComparison) -> str:
    """Return how many trials beat the baselines: a sentence without its end."""
    is_better = comparison.is_better
    if is_better.all():
        return "Every finished trial beats every baseline"
    if not is_better.any():
        return "No finished trial beats the best baseline"
    worse = is_better.index[~is_better]
    count = formatting.plural(len(worse), "trial")
    labels = formatting.listed([results.labels[index] for index in worse], MAX_NAMED)
    verb = "do"
    if len(worse) == 1:
        verb = "does"
    return f"{count} of {len(is_better):,} {verb} not beat the best baseline ({labels})"


def _verdict(results: Results, comparison: BaselineComparison) -> str:
    sentence = _trials_beating_baselines(results, comparison)
    best = comparison.losses.index[0]
    loss = formatting.number(comparison.losses[best])
    baseline_loss = formatting.number(comparison.lowest_baselines[best])
    baseline = comparison.baselines.loc[best].idxmin()
    which = "the best trial"
    if best != results.ranked.index[0]:  # a better one was stopped, killed or is not complete
        which = f"the best finished trial ({results.labels[best]})"
    return (
        f"{sentence}; the test loss of {which} is {loss}, that of the best baseline "
        f"({baseline}) is {baseline_loss}."
    )


def _method(results: Results, comparison: BaselineComparison) -> str:
    sentences = [
        "A baseline needs no network: its loss is measured on the same test images with the same "
        "formula."
    ]
    if comparison.floors is not None:
        sentences.append(
            "The floor is the loss of a perfect prediction: the entropy of the targets."
        )
    left_out = len(results.trials) - len(comparison.losses)
    if left_out:
        sentences.append(
            f"{formatting.plural(left_out, 'trial')} left out: not finished, or only dependencies "
            "of other trials."
        )
    return formatting.sentences(sentences)


def _table(results: Results, comparison: BaselineComparison) -> Table:
    trials = comparison.losses.index
    frame = pd.DataFrame({"trial": results.labels[trials], "test loss": comparison.losses})
    frame = frame.join(comparison.baselines)
    if comparison.floors is not None:
        frame["floor"] = comparison.floors
    frame["verdict"] = comparison.is_better.map(
        {True: "beats every baseline", False: "does not beat the best baseline"}
    )
    return make_table("Test losses of the trials and of the baselines", frame)
