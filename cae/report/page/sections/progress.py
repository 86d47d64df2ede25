"""How the best value developed over the trials."""

from __future__ import annotations

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.progress import MAX_DOTS, draw_progress, progress_data
from cae.report.page.section import SectionContent, section
from cae.report.page.table import make_table
from cae.report.page.wording import nothing_is_ranked


@section(
    "progress",
    title="Progress",
    order=60,
    figures=[Figure("progress", progress_data, draw_progress)],
)
def progress_section(results: Results) -> SectionContent:
    metric = results.metric
    trials = progress_data(results).trials
    best = trials["best"].dropna()
    if not len(best):
        return SectionContent(verdict=f"{nothing_is_ranked(results)}.", is_empty=True)
    is_new_best = best.ne(best.shift())
    steps = trials.loc[best.index[is_new_best], ["order", "label", "value", "hours"]]
    without_value = len(trials) - int(trials["value"].notna().sum())
    return SectionContent(
        verdict=_verdict(metric, trials, steps),
        method=(
            f"Trials are in the order of their last epoch. {without_value} that failed, diverged "
            "or have no finite value are marked above the plot. Running and stopped trials count "
            f"with their best epoch so far. If there are more than {MAX_DOTS:,} trials, an even "
            "sample is drawn."
        ),
        captions={
            "progress": f"{metric} of every trial in the order of their ends, and the best so far"
        },
        tables=[
            make_table(
                "Every new best value", steps, headings={"order": "trials ended", "label": "trial"}
            )
        ],
        open_tables=0,
    )


def _verdict(metric: str, trials: pd.DataFrame, steps: pd.DataFrame) -> str:
    last = steps.iloc[-1]
    value = formatting.number(last["value"])
    if len(trials) == 1:
        return f"One trial so far, with {metric} {value}."
    later_trials = len(trials) - int(last["order"])
    if later_trials == 0:
        rest = "it was the last trial to end"
    elif later_trials == 1:
        rest = "the trial after it was not better"
    else:
        rest = f"none of the {later_trials:,} trials after it was better"
    times = formatting.plural(len(steps), "time")
    count = formatting.plural(len(trials), "trial")
    label = last["label"]
    return f"The best {metric} improved {times} in {count}, last with {label} ({value}); {rest}."
