"""Which trial is the best, by how much, and whether the published numbers came out."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import Results
from cae.report.page.sections import early_stopping as stopping
from cae.report.page.sections import failures
from cae.report.page.sections import final_evaluation as findings
from cae.report.page.sections.base import Section, better, table, typed_columns
from cae.report.statistics import best as seeds
from cae.report.statistics import published

TOP = 10
STATES = (
    "finished",
    "stopped",
    "running",
    "pending",
    "interrupted",
    "diverged",
    "failed",
    "oom",
    "killed",
    "withdrawn",
)


def summary(results: Results, rows: list[dict[str, Any]]) -> Section:
    counts = Counter(results.trials["state"])
    cards = [(state, counts[state]) for state in STATES if counts[state]]
    answers = [
        ("stopping", stopping.short(results)),
        ("failures", failures.failures(results).verdict),
        ("baselines", findings.beaten(results)),
        ("published", published.sentence(rows, reasons=False)),
    ]
    notes = [
        note for note in (_going_on(results, counts), _joined(results), _budget(results)) if note
    ]
    said = [(target, text) for target, text in answers if text]
    return Section(
        "summary",
        "Summary",
        best_sentence(results),
        data={"cards": cards, "answers": said, "notes": notes, "total": len(results.trials)},
    )


def best_sentence(results: Results) -> str:
    """What is best, by how much over the second, and how far to trust that."""
    if not len(results.trials):
        return "No trial has been planned or run yet."
    ranked, values, metric = results.ranked, results.values, results.metric
    if not len(ranked):
        return f"No trial has a finite {metric} yet, so there is no best one."
    first = ranked.index[0]
    epoch = ranked.at[first, "best_epoch"]
    head = f"Best is {results.labels[first]}: {metric} {formatting.number(values[first])} at epoch {formatting.number(epoch)}"
    if len(ranked) == 1:
        return f"{head}. It is the only trial with a value: comparisons need two."
    others = ranked.index[results.configurations.loc[ranked.index] != results.configurations[first]]
    count = int((results.configurations.loc[ranked.index] == results.configurations[first]).sum())
    if not len(others):
        return f"{head}. All {len(ranked)} trials with a value are seeds of one configuration."
    second, gap = others[0], abs(values[others[0]] - values[first])
    share = f" ({formatting.percent(gap, abs(values[second]))})" if values[second] else ""
    against = "the second" if count == 1 else "the next configuration"
    apart = (
        f"{formatting.number(gap, 3)}{share} {better(results)} than {against}"
        if gap
        else f"as {against}"
    )
    beside = f"{head}, {apart} ({results.labels[second]}, {formatting.number(values[second])})."
    return formatting.sentences([beside, seeds.sentence(results, seeds.contest(results))])


def _going_on(results: Results, counts: Counter[str]) -> str:
    going = counts["running"] + counts["pending"] + counts["interrupted"]
    if not going:
        return ""
    doing = (
        "The sweep is running"
        if any(run.running for run in results.runs)
        else "The sweep is not complete"
    )
    rest = "it has" if going == 1 else "they have"
    return f"{doing}: {formatting.plural(going, 'trial')} of {len(results.trials)} to go. What {rest} shown so far counts below."


def _joined(results: Results) -> str:
    """Trials of runs with other settings stand in one ranking: the reader must know."""
    if not results.joined:
        return ""
    bases = [run.sweep.base for run in results.runs]
    names = dict.fromkeys(name for base in bases for name in base)
    unequal = [name for name in names if len({str(base.get(name)) for base in bases}) > 1]
    text = f"{len(results.runs)} runs are joined: {formatting.listed([run.name for run in results.runs])}."
    return text + (
        f" Their base trials differ in {formatting.listed(unequal)}: compare across runs with care."
        if unequal
        else ""
    )


def _budget(results: Results) -> str:
    overrides = results.sweep.overrides
    if not overrides or results.joined:
        return ""
    budget = results.sweep.budget or "this"
    return f"Budget {budget}: {published.differences(overrides)}. Numbers are not those of the full sweep."


def best(results: Results, _rows: list[dict[str, Any]]) -> Section:
    ranked = results.ranked.head(TOP)
    if not len(ranked):
        return Section(
            "best",
            "Best trials",
            f"No trial has a finite {results.metric}, so none is ranked.",
            empty=True,
        )
    first = ranked.index[0]
    varied = scales.varying(results, results.trials)
    at_first, found = seeds.settings(results, first, 8), seeds.contest(results)
    leads = (
        f"{results.labels[first].capitalize()} leads {formatting.plural(len(results.ranked), 'ranked trial')} "
        f"with {results.metric} {formatting.number(results.values[first])}"
        + (f": {at_first}." if at_first else ".")
    )
    verdict = formatting.sentences([leads, seeds.sentence(results, found)])
    drawn = len(found.ranked) > 1
    return Section(
        "best",
        "Best trials",
        verdict,
        how=f"Ranked by {results.metric} at each trial's best epoch, {better(results)} is better; of equals the lower number. "
        f"{_unranked(results)} test_ columns were measured once, on the best checkpoint of finished trials, and were not used to rank. "
        f"{_how(found)}",
        charts={
            "best": f"The best configurations by mean {results.metric}, and how far they are from the best"
        }
        if drawn
        else {},
        data={
            "table": _top(results, ranked, varied),
            "contest": _contest(results, found),
            "command": _command(results, ranked.loc[first]),
            "seeds": seeds.command(results)
            if found.verdict in ("unknown", "tied") and not results.joined
            else "",
        },
    )


def _top(results: Results, ranked: pd.DataFrame, varied: list[str]) -> Any:
    tests = [
        name for name in map(str, ranked) if name.startswith("test_") and ranked[name].notna().any()
    ]
    sizes = [name for name in ("parameters",) if name in ranked]
    seed = ["seed"] if "seed" in ranked and scales.differs(results.trials["seed"]) else []
    run = ["run"] if results.joined else []
    columns = [*run, "trial", "state", results.metric, "best_epoch", *varied, *seed, *sizes, *tests]
    frame = ranked[list(dict.fromkeys(columns))].copy()
    frame.insert(0, "rank", range(1, len(frame) + 1))
    caption = f"The best {formatting.plural(len(ranked), 'trial')} by {results.metric}"
    return table(
        caption, frame, typed=typed_columns(results), names={"best_epoch": "epoch"}, keyed=True
    )


def _how(found: seeds.Contest) -> str:
    out = found.table[found.table["why"] != ""]
    left = (
        f"{formatting.plural(len(out), 'configuration')} left out, not all of whose seeds finished. "
        if len(out)
        else ""
    )
    return (
        f"Configurations are trials that differ in their seed only: {formatting.plural(len(found.ranked), 'configuration')} compared. {left}"
        "Intervals are 95 % t intervals, of differences paired by seed where both ran with the same seeds, else Welch's; better means "
        "that the interval of the difference to each other one excludes 0. The probability of being the best is from 10,000 draws of "
        "each mean from its t distribution. The best of many looks better than it is: what it is worth says the test column."
    )


def _contest(results: Results, found: seeds.Contest) -> Any:
    """All configurations of several seeds, those out of the contest too; none where each has one seed."""
    if len(found.table) < 2 or found.table["asked"].max() < 2:
        return None
    rows = found.table.head(50)
    ends = ["mean", "low", "high", "gap", "gap_low", "gap_high"]
    frame = rows[["label", "n", "asked", *ends]].copy()
    frame["best with"] = [
        "" if pd.isna(chance) else formatting.percent(chance, 1) for chance in rows["chance"]
    ]
    frame["left out"] = rows["why"]
    names = {
        "label": "configuration of",
        "n": "seeds",
        "mean": f"mean {results.metric}",
        "low": "95 % from",
        "high": "to",
        "gap": "difference to the best",
        "gap_low": "95 % from ",
        "gap_high": "to ",
    }
    return table("Configurations, their seeds folded", frame, names=names)


def _unranked(results: Results) -> str:
    left = len(results.trials) - len(results.ranked)
    return (
        f"{formatting.plural(len(results.ranked), 'trial')} ranked; {left} without a finite value left out."
        if left
        else "All trials are ranked."
    )


def _command(results: Results, row: pd.Series[Any]) -> str:
    """What exports the best network. The run by its name: where its folder lies is nobody else's business."""
    name = results.folder(str(row["run"])).name
    return f"cae-sweep best {shlex.quote(name)} --metric {shlex.quote(results.metric)} --mode {results.mode} -o best"


def published_numbers(results: Results, rows: list[dict[str, Any]]) -> Section:
    if not rows:
        return Section(
            "published",
            "Published numbers",
            "The sweep lists no published numbers to compare with.",
            empty=True,
        )
    overrides = results.sweep.overrides
    return Section(
        "published",
        "Published numbers",
        published.sentence(rows),
        how="Ours is the best finished trial that meets the row's condition: mean, standard deviation and number of its seeds. "
        "Reproduced means within the larger of 2 standard deviations and half a unit of the last printed digit. Numbers measured "
        "under other settings than the report's are shown, not judged; sizes of the network do not depend on images or epochs.",
        data={"rows": [_published_row(row) for row in rows], "overrides": sorted(overrides)},
    )


def _published_row(row: dict[str, Any]) -> dict[str, Any]:
    ours = formatting.number(row["ours"])
    spread = f" ± {formatting.number(row['sd'], 2)}" if row["sd"] is not None else ""
    seeds = (
        f"n = {row['n']}"
        if row["n"] > 1
        else "one seed"
        if row["n"] == 1 and not row["size"]
        else ""
    )
    texts = {
        name: formatting.short(str(value), 200)
        for name, value in row.items()
        if isinstance(value, str)
    }
    return {
        **row,
        **texts,
        "ours_text": ours + spread,
        "seeds": seeds,
        "slug": row["verdict"].replace(" ", "-"),
    }
