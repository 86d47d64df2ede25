"""Whether the trials were trained for long enough, and whether they overfit."""

from __future__ import annotations

from cae.report import formatting
from cae.report.data.cells import is_missing
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.curves import (
    MAX_LINES,
    TOP,
    CurvesData,
    curves_data,
    draw_curves,
    training_metric,
)
from cae.report.page.section import SectionContent, section
from cae.report.statistics.next_steps import next_steps
from cae.run.trial_state import TrialState


@section(
    "curves",
    title="Learning curves",
    order=110,
    figures=[Figure("curves", curves_data, draw_curves)],
)
def curves_section(results: Results) -> SectionContent:
    data = curves_data(results)
    if not data.trials or not data.metrics:
        return SectionContent(verdict="No epoch has been reported yet.", is_empty=True)
    verdict = formatting.sentences([_improving_at_the_end(results), _generalization_gap(results)])
    if not verdict:
        verdict = f"{formatting.plural(data.trials, 'trial')} reported epochs."
    return SectionContent(
        verdict=verdict,
        method=(
            f"Drawn: {_drawn_trials(data)}. The blue line is the best trial; paler lines have a "
            "lower rank. A marker ends the curve of a trial that was stopped or failed; its reason "
            "is shown on hover. Values that are not finite leave gaps."
        ),
        captions={"curves": f"{formatting.listed(data.metrics)} by epoch"},
    )


def _drawn_trials(data: CurvesData) -> str:
    if data.trials <= MAX_LINES:
        return "every trial"
    return (
        f"the best {TOP} of {data.trials} trials, over a band that contains 80 % of the trials "
        "that reached each epoch"
    )


def _improving_at_the_end(results: Results) -> str:
    """Count finished trials whose last epoch is their best.

    More epochs are advised where `next_steps` does. Trials of one epoch are not counted: their only
    epoch is always the last one.
    """
    finished = results.ranked[results.ranked["state"] == TrialState.FINISHED]
    epochs_done = finished["epochs_done"].astype(int)
    finished = finished[epochs_done > 1]
    if not len(finished):
        return ""
    trials = formatting.plural(len(finished), "finished trial")
    is_last = finished["best_epoch"].astype(int) == epochs_done[finished.index]
    count = int(is_last.sum())
    if count == 0:
        return f"None of {trials} was still improving."
    verb = "were"
    if count == 1:
        verb = "was"
    advice = ""
    if any(not step.is_edge for step in next_steps(results)):
        advice = ": more epochs would likely help"
    return f"{count} of {trials} {verb} best in the last epoch{advice}."


def _generalization_gap(results: Results) -> str:
    """Compare validation and training of the best trial at its best epoch."""
    training = training_metric(results.metric)
    if training == results.metric or training not in results.trials or not len(results.ranked):
        return ""
    best = results.ranked.iloc[0]
    if is_missing(best[training]):
        return ""
    label = results.labels[results.ranked.index[0]]
    value = formatting.number(best[results.metric])
    training_value = formatting.number(best[training])
    return (
        f"{label.capitalize()} has {results.metric} {value} and {training} {training_value} at its "
        "best epoch."
    )
