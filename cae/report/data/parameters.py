"""Which parameters differ between trials."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cae.report.data.cells import is_missing
from cae.report.data.results import Results

MIN_ORDERED = 6
"""Fewer trials have the same order of two parameters too often by chance."""
ROUNDING_ERROR = 1e-9


def varying_parameters(results: Results, trials: pd.DataFrame) -> list[str]:
    """Return the parameters that differ between these trials, without the seed.

    The axes of the search space are first, then other parameters in which joined runs differ. A
    tuple is left out if its elements are axes. Dependencies are not considered: they differ from
    other trials in every respect.
    """
    dependencies = results.trials.index[results.is_dependency.to_numpy()]
    trials = trials.drop(dependencies, errors="ignore")
    names = {name: None for name in results.axes if name in trials}
    excluded = {"seed"}
    for name in names:
        parameter, _, element = name.rpartition(".")
        if element.isdecimal():
            excluded.add(parameter)
    for record in results.records:
        for name in record.config:
            if name not in excluded:
                names[name] = None
    return [name for name in names if has_several_values(trials[name])]


def independent_parameters(trials: pd.DataFrame, names: list[str]) -> list[str]:
    """Return those of the parameters that are not determined by an earlier one.

    For example, the filters of a decoder that mirrors its encoder are determined by the encoder's.
    A parameter whose values hardly recur (a randomly drawn learning rate) determines every other
    one by chance, and does not count as a determining one. Seeds are no recurrence: trials with the
    same values of all parameters count once.
    """
    texts = trials[names].map(_cell_text).drop_duplicates()
    independent: list[str] = []
    determining: list[str] = []
    for name in names:
        if any(_determines(texts, other, name) for other in determining):
            continue
        independent.append(name)
        if texts[name].nunique() <= len(texts) / 2:
            determining.append(name)
    return independent


def confounded_parameters(
    results: Results, trials: pd.DataFrame, names: list[str]
) -> dict[str, list[str]]:
    """Return the axes that change together with each of the parameters `names`.

    One of both determines the other in all trials, so that their effects cannot be separated: a
    table or a forest that names one of them must name both. Left out are parameters that follow
    from others (a decoder that mirrors its encoder), and a component beside its own parameters.
    """
    axes = [name for name in varying_parameters(results, trials) if name in results.axes]
    columns = list(dict.fromkeys([*names, *axes]))
    settings = trials[columns].loc[~trials[columns].map(_cell_text).duplicated()]
    confounded: dict[str, list[str]] = {}
    for name in names:
        others = [axis for axis in axes if not _belong_together(name, axis)]
        confounded[name] = [axis for axis in others if _change_together(settings, name, axis)]
    return confounded


def _belong_together(name: str, other: str) -> bool:
    return name == other or name.startswith(f"{other}.") or other.startswith(f"{name}.")


def _change_together(settings: pd.DataFrame, name: str, other: str) -> bool:
    """Whether one of two parameters determines the other, and not by chance.

    In many trials, each of two parameters whose values hardly recur determines the other one by
    chance; then they change together if both are in the same or the opposite order.
    """
    texts = settings[[name, other]].map(_cell_text)
    counts = texts.nunique()
    for first, second in ((name, other), (other, name)):
        recurs = counts[first] <= len(texts) / 2 or len(texts) < MIN_ORDERED
        if recurs and _determines(texts, first, second):
            return True
    numbers = settings[[name, other]].apply(pd.to_numeric, errors="coerce").dropna()
    if len(numbers) < max(MIN_ORDERED, len(settings)) or numbers.nunique().min() < 2:
        return False
    return bool(abs(numbers.corr(method="spearman").iloc[0, 1]) > 1 - ROUNDING_ERROR)


def _cell_text(value: object) -> str:
    if is_missing(value):
        return ""
    return str(value)


def _determines(texts: pd.DataFrame, name: str, other: str) -> bool:
    """Whether all trials with the same value of one parameter have the same value of the other."""
    return bool((texts.groupby(name)[other].nunique() == 1).all())


def has_several_values(values: pd.Series[Any]) -> bool:
    """Whether the cells differ in value or in type; all missing cells are equal."""
    return bool(values.map(_typed_text).nunique() > 1)


def _typed_text(value: object) -> str:
    if is_missing(value):
        return ""
    return f"{type(value).__name__} {value}"
