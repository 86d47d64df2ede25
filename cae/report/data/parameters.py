"""Which parameters differ between trials."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cae.report.data.cells import is_missing
from cae.report.data.results import Results


def varying_parameters(results: Results, trials: pd.DataFrame) -> list[str]:
    """Return the parameters that differ between these trials, without the seed.

    The axes of the search space are first, then other parameters in which joined runs differ. A
    tuple is left out if its elements are axes. Dependencies are not considered: they differ from
    other trials in every respect.
    """
    dependencies = results.trials.index[results.is_dependency.to_numpy()]
    trials = trials.drop(dependencies, errors="ignore")
    names = {name: None for name in results.axes if name in trials}
    excluded = {name.rpartition(".")[0] for name in names} | {"seed"}
    for record in results.records:
        for name in record.config:
            if name not in excluded:
                names[name] = None
    return [name for name in names if has_several_values(trials[name])]


def independent_parameters(trials: pd.DataFrame, names: list[str]) -> list[str]:
    """Return those of the parameters that are not determined by an earlier one.

    For example, the filters of a decoder that mirrors its encoder are determined by the encoder's.
    A parameter whose values hardly recur (a randomly drawn learning rate) determines every other
    one by chance, and does not count as a determining one.
    """
    texts = trials[names].map(_cell_text)
    independent: list[str] = []
    determining: list[str] = []
    for name in names:
        if any(_determines(texts, other, name) for other in determining):
            continue
        independent.append(name)
        if texts[name].nunique() <= len(texts) / 2:
            determining.append(name)
    return independent


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
