"""Several runs on one page: their best values, and whether equal trials have equal values."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.section import SectionContent, section
from cae.report.page.table import make_table
from cae.run.trial_state import TrialState

MAX_ROWS = 200


@dataclass(frozen=True)
class RunSummary:
    run: str
    trials: int
    finished: int
    best: float | None
    best_trial: str
    training: str
    """Duration as text."""


@section("joined_runs", title="Comparison of runs", order=190)
def joined_runs_section(results: Results) -> SectionContent:
    if not results.joined:
        return SectionContent(
            verdict="One run. The command cae-sweep report RUN RUN compares several runs.",
            is_empty=True,
        )
    if not len(results.trials):
        count = len(results.runs)
        return SectionContent(verdict=f"None of the {count} runs has a trial yet.", is_empty=True)
    summaries = [summarize(results, run.name) for run in results.runs]
    frame = pd.DataFrame([asdict(summary) for summary in summaries])
    headings = {"best": f"best {results.metric}", "best_trial": "best trial"}
    tables = [make_table("The runs", frame, headings=headings)]
    shared = shared_trials(results)
    if len(shared):
        caption = f"The same trials in several runs ({results.metric})"
        tables.append(make_table(caption, shared.head(MAX_ROWS)))
    return SectionContent(
        verdict=formatting.sentences([_best_run(results, summaries), _agreement(results, shared)]),
        method=(
            "Trials are the same if they have the same hash: equal configurations, seeds and "
            f"fingerprints of the images. Values are {results.metric} at the best epoch of trials "
            "that finished in both runs."
        ),
        tables=tables,
    )


def summarize(results: Results, run: str) -> RunSummary:
    trials = results.trials[results.trials["run"] == run]
    ranked = results.ranked[results.ranked["run"] == run]
    best = None
    best_trial = ""
    if len(ranked):
        best = float(results.values[ranked.index[0]])
        best_trial = f"trial {ranked['trial'].iloc[0]}"
    seconds = float(pd.to_numeric(trials["seconds"], errors="coerce").sum())
    return RunSummary(
        run=run,
        trials=len(trials),
        finished=int((trials["state"] == TrialState.FINISHED).sum()),
        best=best,
        best_trial=best_trial,
        training=formatting.duration(seconds),
    )


def shared_trials(results: Results) -> pd.DataFrame:
    """Return one row per hash that is fully trained in several runs.

    Columns: trial (in the first of the runs), its value in each run, and the largest difference.
    """
    finished = results.trials[results.is_fully_trained & results.values.notna()]
    frame = finished[["hash", "run", "trial"]].assign(value=results.values[finished.index])
    values = frame.pivot_table(index="hash", columns="run", values="value", sort=False)
    values = values[values.notna().sum(axis=1) > 1]
    if not len(values):
        return pd.DataFrame()
    runs = [run.name for run in results.runs if run.name in values]
    values = values.reindex(columns=runs)
    first = frame.drop_duplicates("hash").set_index("hash").loc[values.index]
    labels = "trial " + first["trial"].astype(str) + " of " + first["run"].astype(str)
    differences = np.ptp(np.ma.masked_invalid(values.to_numpy()), axis=1).filled(np.nan)
    shared = values.assign(difference=differences)
    shared.insert(0, "trial", labels)
    return shared.reset_index(drop=True)


def _best_run(results: Results, summaries: list[RunSummary]) -> str:
    with_value = [summary for summary in summaries if summary.best is not None]
    if not with_value:
        return f"None of the {len(summaries)} runs has a value yet."
    values = pd.Series([summary.best for summary in with_value], dtype=float)
    if results.mode == "min":
        best = with_value[int(values.argmin())]
        superlative = "lowest"
    else:
        best = with_value[int(values.argmax())]
        superlative = "highest"
    value = formatting.number(best.best)
    return f"{best.run} has the {superlative} {results.metric}: {value} ({best.best_trial})."


def common_trials(results: Results) -> int:
    """The number of trials that several runs have, whether they have finished or not."""
    trials = results.trials.drop_duplicates(["run", "hash"])
    counts = trials["hash"].value_counts()
    return int((counts > 1).sum())


def _agreement(results: Results, shared: pd.DataFrame) -> str:
    if not len(shared):
        common = common_trials(results)
        if common:
            count = formatting.plural(common, "trial")
            return f"The runs have {count} in common, of which none has finished in several runs."
        return (
            "The runs have no trial in common: no two trials have the same settings, seeds and "
            "images."
        )
    count = formatting.plural(len(shared), "trial")
    sentence = f"{count} ran in several runs with the same configuration, seed and images"
    equal = int((shared["difference"] == 0).sum())
    if equal == len(shared):
        return f"{sentence}, and all values are equal to the last digit."
    largest = formatting.number(shared["difference"].max(), 3)
    return (
        f"{sentence}; {equal} of the values are equal to the last digit, and the others differ by "
        f"up to {largest}."
    )
