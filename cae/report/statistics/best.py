"""Which configuration is the best, and whether it is really better than the others: seeds folded, with intervals.

A configuration is what trials share that differ in their seed only. It is in the contest when all its seeds have finished with
a finite value; a mean over those that happened to survive would be a value that no run had.

The best is compared with each other one by the 95 % interval of the difference of their means: paired by seed where both ran
with the same seeds, else Welch's. Choosing the best by the same data needs no correction for how many there are, as long as it
is compared with each of the others (Gutmann and Maymin 1987; Hung and Fithian 2019, "Rank verification").
"""

from __future__ import annotations

import functools
import math
import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import Results
from cae.report.statistics.inference import Contrast, around, paired, welch

DRAWS = 10_000
MOST_NAMED = 3
"""Settings in which the trials of a chart differ; of more, only what is unusual is named."""
MOST_RIVALS = 200
"""So many of the best by mean are compared with the best one; the others are further behind than these."""


class Contest(NamedTuple):
    """One row per configuration in `table`, those in the contest first, by their mean: `label`, `trials` (indices into the table of
    trials, the best first), `n` (finished seeds with a value), `asked`, `mean`, `low`, `high` (95 % interval), `gap` (of this mean to
    that of the best), `gap_low`, `gap_high`, `chance` (of being the best), `why` (it is not in the contest; "" where it is)."""

    table: pd.DataFrame
    verdict: str
    """better, tied, unknown (fewer than two configurations with two seeds each), or none (nothing is in the contest)."""
    tied: list[int]
    """Rows of `table` that may be as good as the best one."""

    @property
    def ranked(self) -> pd.DataFrame:
        return self.table[self.table["why"] == ""]


COLUMNS = (
    "label",
    "trials",
    "n",
    "asked",
    "mean",
    "low",
    "high",
    "gap",
    "gap_low",
    "gap_high",
    "chance",
    "why",
)


@functools.lru_cache(maxsize=2)
def contest(results: Results) -> Contest:
    sign = 1 if results.mode == "min" else -1
    table = _folded(results, sign)
    ranked = table[table["why"] == ""]
    if not len(ranked):
        return Contest(table, "none", [])
    samples = {
        row: _values(results, trials)
        for row, trials in enumerate(ranked["trials"].head(MOST_RIVALS + 1).tolist())
    }
    rivals = [row for row in list(samples)[1:] if min(len(samples[row]), len(samples[0])) > 1]
    table["gap"] = table["mean"] - table["mean"].iloc[0]
    tied = []
    for row in rivals:
        two = _difference(samples[row], samples[0])
        table.loc[row, ["gap_low", "gap_high"]] = two.interval()
        if not two.p() < 0.05:
            tied.append(row)
    table.loc[list(samples), "chance"] = _chances(list(samples.values()), sign)
    return Contest(table, "unknown" if not rivals else "tied" if tied else "better", tied)


def _folded(results: Results, sign: int) -> pd.DataFrame:
    """The table of the contest, without what compares configurations."""
    counted = results.trials[results.counted]
    values = (
        sign * results.values.loc[counted.index].where(counted["state"] == "finished")
    ).sort_values(kind="stable")
    groups = values.groupby(results.configurations.loc[values.index], sort=False)
    columns = {
        "n": groups.count(),
        "asked": groups.size(),
        "mean": groups.mean(),
        "error": groups.sem(),
    }
    table = pd.DataFrame(columns).reset_index(drop=True)
    members = [
        list(group.index[: max(1, int(count))])
        for (_, group), count in zip(groups, table["n"], strict=True)
    ]
    table["trials"] = pd.Series(members, dtype=object)
    table["label"] = pd.Series([results.labels[trials[0]] for trials in members], dtype=object)
    whole = table["n"] == table["asked"]
    table["why"] = [
        "" if all_ else f"{row.n} of {formatting.plural(row.asked, 'seed')} finished"
        for all_, row in zip(whole, formatting.rows(table), strict=True)
    ]
    table["out"] = ~whole
    table = table.sort_values(["out", "mean"], kind="stable", ignore_index=True)
    table["mean"] *= sign
    several = table["n"] > 1
    ends = [
        around(row.mean, row.error, row.n - 1) if more else (math.nan, math.nan)
        for more, row in zip(several, formatting.rows(table), strict=True)
    ]
    table[["low", "high"]] = pd.DataFrame(
        ends, columns=["low", "high"], index=table.index, dtype=float
    )
    table[["gap", "gap_low", "gap_high", "chance"]] = math.nan
    return table[list(COLUMNS)]


def _values(results: Results, trials: list[Any]) -> pd.Series[float]:
    """By seed."""
    seeds = (
        results.trials.loc[trials, "seed"]
        if "seed" in results.trials
        else pd.Series(range(len(trials)))
    )
    return pd.Series(results.values.loc[trials].to_numpy(dtype=float), index=seeds.to_numpy())


def _difference(this: pd.Series[float], that: pd.Series[float]) -> Contrast:
    if (
        len(this) > 1
        and this.index.is_unique
        and that.index.is_unique
        and set(this.index) == set(that.index)
    ):
        return paired(this.to_numpy(), that[this.index].to_numpy(), "seeds", [])
    return welch(this.to_numpy(), that.to_numpy(), [])


def _chances(samples: list[pd.Series[float]], sign: int) -> list[float]:
    """How often each mean is the best when every one is drawn from its t distribution; NaN where any has one seed."""
    counts = np.array([len(sample) for sample in samples])
    if counts.min() < 2 or len(samples) < 2:
        return [math.nan] * len(samples)
    means, errors = (
        np.array([getattr(sample, name)() for sample in samples]) for name in ("mean", "sem")
    )
    drawn = sign * (
        means + errors * np.random.default_rng(0).standard_t(counts - 1, (DRAWS, len(samples)))
    )
    return [
        float(share) for share in np.bincount(drawn.argmin(axis=1), minlength=len(samples)) / DRAWS
    ]


def settings(results: Results, trial: Any, most: int = 4) -> str:
    """What this trial has of all that differs between trials and does not follow from another setting: "arch.kernel_size 3"."""
    names = scales.independent(results.trials, scales.varying(results, results.trials))
    return formatting.listed(
        (f"{name} {formatting.parameter(value)}" for name, value in _those(results, trial, names)),
        most,
    )


def apart(results: Results, trials: list[Any]) -> list[str]:
    """What tells each of some trials from the others, in few words: "kernel_size 3 and lr 0.001". A setting that follows from one named
    before is left out; where many remain, only those that most of the others do not have are named."""
    rows = results.trials.loc[trials]
    names = scales.independent(rows, scales.varying(results, rows))
    usual = (
        {name: rows[name].map(str).mode()[0] for name in names} if len(names) > MOST_NAMED else {}
    )
    texts = []
    for trial in trials:
        told = [
            (name, value)
            for name, value in _those(results, trial, names)
            if str(value) != usual.get(name)
        ]
        texts.append(
            formatting.listed(
                (f"{name.split('.', 1)[-1]} {formatting.parameter(value)}" for name, value in told),
                4,
            )
            or "as most are"
        )
    return texts if names else [""] * len(trials)


def _those(results: Results, trial: Any, names: list[str]) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for name in names
        if not scales.missing(value := results.trials.at[trial, name])
    ]


def sentence(results: Results, found: Contest) -> str:
    """The answer to "is the best really better than the second"; "" where the contest has no two configurations."""
    ranked, metric = found.ranked, results.metric
    if len(ranked) < 2:
        few = len(found.table) > 1
        return (
            "Whether it is really the best is open: no two configurations have finished all their seeds."
            if few
            else ""
        )
    first, second, side = (
        ranked.iloc[0],
        ranked.iloc[1],
        "lower" if results.mode == "min" else "higher",
    )
    if found.verdict == "unknown":
        return (
            f"Whether it is really better than the others is unknown: {_seeds(ranked)}, so a difference cannot be told from chance. "
            f"More seeds tell: the same command with --set seeds={more(results)}; what is finished stays."
        )
    head = f"The configuration of {first['label']} (mean {metric} {formatting.number(first['mean'])} over {first['n']} seeds)"
    apart = f"the interval of 95 % is {formatting.number(second['gap_low'], 3)} to {formatting.number(second['gap_high'], 3)}"
    likely = (
        ""
        if math.isnan(first["chance"])
        else f" It is the best with a probability of {formatting.percent(first['chance'], 1)}."
    )
    if found.verdict == "better":
        gap = abs(second["gap"])
        return (
            f"{head} is better than each of the {len(ranked) - 1} others beyond the spread of seeds: {formatting.number(gap, 3)} {side} than "
            f"the next ({second['label']}; {apart}).{likely}"
        )
    labels = found.table["label"].tolist()
    names = formatting.listed([labels[row] for row in found.tied], 5)
    of = "that" if len(found.tied) == 1 else "those"
    return f"{head} is tied with {of} of {names}: the seeds leave open which is better.{likely}{_choice(results, found)}"


def _seeds(ranked: pd.DataFrame) -> str:
    return (
        "one seed each"
        if ranked["n"].max() == 1
        else "the best one or all others ran with one seed"
    )


def _choice(results: Results, found: Contest) -> str:
    """Of equals, the smallest is the one to take."""
    if "parameters" not in results.trials:
        return ""
    trials, labels = found.table["trials"].tolist(), found.table["label"].tolist()
    parameters = results.trials["parameters"].astype(float)
    sizes = {row: float(parameters[trials[row][0]]) for row in (0, *found.tied)}
    least = min(sizes, key=lambda row: sizes[row])
    if len(set(sizes.values())) < 2:
        return ""
    return f" The smallest of them is {labels[least]} ({formatting.number(int(sizes[least]))} parameters)."


def command(results: Results) -> str:
    """The command that ran the sweep, with more seeds: what is finished stays."""
    said = str(results.sweep.command or f"cae-sweep run {results.sweep.file}")
    return (
        re.sub(r" --set seeds=\d+", "", formatting.short(said, 300))
        + f" --set seeds={more(results)}"
    )


def more(results: Results) -> int:
    """Seeds that would tell: three at least."""
    return max(3, int(results.sweep.seeds or 1) + 2)
