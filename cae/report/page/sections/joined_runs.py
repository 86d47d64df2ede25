"""Several runs in one page: what they have in common, and whether it came out the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.sections.base import Section, better, table

MOST_ROWS = 200


def runs(results: Results, _rows: list[dict[str, Any]]) -> Section:
    title = "Runs compared"
    if not results.joined:
        return Section(
            "runs",
            title,
            "One run. cae-sweep report RUN RUN puts several beside one another.",
            empty=True,
        )
    names = [run.name for run in results.runs]
    summary = pd.DataFrame([_summary(results, name) for name in names])
    wide = same_trials(results)
    verdict = formatting.sentences([_best(results, summary), _agreement(wide)])
    tables = [table("The runs", summary)]
    if len(wide):
        tables.append(
            table(
                f"The same trials in several runs ({results.metric})",
                wide.head(MOST_ROWS).reset_index(drop=True),
            )
        )
    how = (
        "The same trial is one with the same hash: its whole configuration, its seed and the fingerprint of its images are equal. "
        f"Values are {results.metric} at the best epoch of trials that finished in both."
    )
    return Section("runs", title, verdict, how=how, data={"tables": tables, "id": "runs"})


def _summary(results: Results, name: str) -> dict[str, Any]:
    mine = results.trials[results.trials["run"] == name]
    ranked = results.ranked[results.ranked["run"] == name]
    first = ranked.index[0] if len(ranked) else None
    return {
        "run": name,
        "trials": len(mine),
        "finished": int((mine["state"] == "finished").sum()),
        f"best {results.metric}": None if first is None else float(results.values[first]),
        "by": "" if first is None else f"trial {mine['trial'][first]}",
        "training": formatting.duration(
            float(pd.to_numeric(mine["seconds"], errors="coerce").sum())
        ),
    }


def same_trials(results: Results) -> pd.DataFrame:
    """A row per hash that finished in at least two runs: trial (in the first), the value in each run, largest difference."""
    done = results.trials[(results.trials["state"] == "finished") & results.values.notna()]
    frame = pd.DataFrame(
        {
            "hash": done["hash"],
            "run": done["run"],
            "trial": done["trial"],
            "value": results.values[done.index],
        }
    )
    wide = frame.pivot_table(index="hash", columns="run", values="value", sort=False)
    wide = wide[wide.notna().sum(axis=1) > 1]
    if not len(wide):
        return pd.DataFrame()
    firsts = frame.drop_duplicates("hash").set_index("hash").loc[wide.index]
    found = wide.reindex(columns=[run.name for run in results.runs if run.name in wide])
    found.insert(0, "trial", [f"trial {row.trial} of {row.run}" for row in formatting.rows(firsts)])
    return found.assign(
        difference=np.ptp(np.ma.masked_invalid(wide.to_numpy()), axis=1).filled(np.nan)
    )


def _best(results: Results, summary: pd.DataFrame) -> str:
    values = summary[f"best {results.metric}"].astype(float).dropna()
    if not len(values):
        return f"None of the {len(summary)} runs has a value yet."
    place = int(values.to_numpy().argmin() if results.mode == "min" else values.to_numpy().argmax())
    row = summary.loc[values.index[place]]
    return f"{row['run']} has the {better(results).removesuffix('er')}est {results.metric}: {formatting.number(values.iloc[place])} ({row['by']})."


def _agreement(wide: pd.DataFrame) -> str:
    if not len(wide):
        return "No trial is the same in two of them: no hash is shared, so settings, seeds or images differ in all."
    equal = int((wide["difference"] == 0).sum())
    said = f"{formatting.plural(len(wide), 'trial')} ran in several of them with the same configuration, seed and images"
    if equal == len(wide):
        return f"{said}, and every value is the same to the last digit."
    most = formatting.number(wide["difference"].max(), 3)
    return f"{said}; {equal} of the values are the same to the last digit, and the others differ by up to {most}."
