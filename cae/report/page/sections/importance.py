"""Which parameter matters, how sure that is, and which two interact."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.figures import importance as figures
from cae.report.page.sections.base import Section, table
from cae.report.statistics import importance as surrogate

TITLE = "Which parameter matters"
LEAST_SHARE, LEAST_OF_JOINT = 0.01, 0.1
"""Below these, what two parameters do together is called the sum of what each does."""


def importance(results: Results, _rows: list[dict[str, Any]]) -> Section:
    found, believed = surrogate.surrogates(results), surrogate.believed(results)
    panels = figures.marginals_data(results)
    shown = [one for one in found if not one.why]
    if not panels.panels and not shown:
        return Section("importance", TITLE, f"Not shown: {found[0].why}.", empty=True)
    charts = (
        {"importance": "Importance of each parameter, with the interval of 90 % of the bootstraps"}
        if shown
        else {}
    )
    if panels.panels:
        charts["marginals"] = (
            f"Mean {results.metric} at each setting, of {believed.population.name}"
        )
    if _interact(believed):
        a, b = believed.pairs.iloc[0][["a", "b"]]
        charts["interaction"] = (
            f"Mean {results.metric} by {formatting.short(a)} and {formatting.short(b)}, the pair that interacts most"
        )
    sentences = [_sentence(one) for one in found]
    return Section(
        "importance",
        TITLE,
        formatting.sentences([*sentences, _pair(believed)]),
        how=_how(found),
        charts=charts,
        data={"tables": _tables(results, found, believed, panels), "id": "importance", "open": 0},
    )


def _sentence(one: surrogate.Surrogate) -> str:
    name = one.population.name
    if one.why:
        return (
            f"Importance is not shown: {one.why}."
            if name == "finished trials"
            else f"Nor is it at the first rung: {one.why}."
        )
    trust = "well" if one.r2 >= 0.7 else "fairly" if one.r2 >= 0.5 else "roughly"
    first, *rest = formatting.rows(one.importance)
    surely = [row for row in rest if row.low > 0]
    unsure = rest and rest[0].high >= first.low
    names = [formatting.short(row.parameter) for row in (first, *rest[:1])]
    lead = (
        f"{formatting.listed(names)} matter most, in an order that is open"
        if unsure
        else f"{names[0]} matters most"
    )
    others = [formatting.short(row.parameter) for row in surely if not (unsure and row is rest[0])]
    more = f"; beyond chance also {formatting.listed(others)}" if others else ""
    proof = f"a forest predicts unseen configurations {trust}: R2 {formatting.number(one.r2, 2)}, {one.population.found} configurations"
    return f"Of {name}, {lead}{more} ({proof})."


def _interact(one: surrogate.Surrogate) -> bool:
    return bool(
        len(one.pairs)
        and one.pairs["share"].iloc[0] >= LEAST_SHARE
        and one.pairs["of_joint"].iloc[0] >= LEAST_OF_JOINT
    )


def _pair(one: surrogate.Surrogate) -> str:
    if not len(one.pairs):
        return ""
    first = one.pairs.iloc[0]
    if not _interact(one):
        return "No two of them interact by much: their effects add up."
    a, b = (formatting.short(first[side]) for side in ("a", "b"))
    return f"{a} and {b} interact: {formatting.percent(first['of_joint'], 1)} of their joint effect is not the sum of both."


def _tables(
    results: Results,
    found: list[surrogate.Surrogate],
    believed: surrogate.Surrogate,
    panels: figures.Marginals,
) -> list[Any]:
    tables = [
        table(f"Importance, {one.population.name}", one.importance) for one in found if not one.why
    ]
    if len(believed.pairs):
        names = {"share": "share of the variance", "of_joint": "of their joint effect"}
        tables.append(
            table(f"Interactions, {believed.population.name}", believed.pairs, names=names)
        )
    if panels.panels:
        rows = [
            rows.drop(columns="position").assign(parameter=name) for name, rows in panels.panels
        ]
        frame = pd.concat(rows)[["parameter", "setting", "n", "mean", "low", "high"]]
        names = {
            "mean": f"mean {results.metric}",
            "low": "95 % from",
            "high": "to",
            "n": "configurations",
        }
        tables.append(
            table(f"Means at each setting, {believed.population.name}", frame, names=names)
        )
    return tables


def _how(found: list[surrogate.Surrogate]) -> str:
    sampled = max(one.population.found for one in found) > surrogate.MOST
    some = (
        f"Of more than {surrogate.MOST} configurations, a seeded sample of so many is used. "
        if sampled
        else ""
    )
    return (
        "Seeds are folded to means. A parameter that follows from another one (a decoder that mirrors its encoder) is left out. "
        "A random forest predicts the rank of a configuration; R2 is by 5-fold cross-validation, and below "
        f"{surrogate.LEAST_R2} or with fewer than {surrogate.LEAST} configurations ({surrogate.LEAST_PER_PARAMETER} per parameter) "
        "nothing is claimed. Importance is by how much the squared error on unseen configurations grows when the parameter is "
        f"shuffled, over {surrogate.BOOTSTRAPS} bootstraps of the configurations; the interval holds 90 % of them. {some}Parameters that "
        "the space declares logarithmic enter as logarithms. Where trials were stopped early, finished trials are the better ones, and "
        "a parameter that decides who is stopped looks smaller among them: so all trials at the first rung are asked as well. Means at "
        "settings need no model; other parameters vary inside each. Interaction is Friedman's H squared of the forest, over pairs of "
        f"the {surrogate.TOP_PAIRS} most important; its chart shows what was measured."
    )
