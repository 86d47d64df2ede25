"""The trials of a run as a claim asks for them: by conditions, a metric, a setting, a table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data import tables
from cae.report.statistics import published


class Missing(Exception):
    """What a claim needs is not in this run; says what."""


class View:
    """The trials of one run as one claim sees them. `left`: those that it speaks of and could not use, each with the reason."""

    def __init__(self, results: tables.Results, run: tables.Run) -> None:
        self.results, self.run, self.left = results, run, dict[Any, str]()
        mine = results.trials[results.trials["run"] == run.name]
        asked = [
            number
            for number, record in run.records.items()
            if record.is_requested and not record.is_dependency
        ]
        self.every = mine[mine["trial"].isin(asked)]
        self.usable = results.ranked[
            (results.ranked["run"] == run.name) & (results.ranked["state"] == "finished")
        ]

    def config(self, index: Any) -> dict[str, Any]:
        return self.run.records[int(str(self.results.trials.at[index, "trial"]))].config

    def setting(self, index: Any, name: str) -> Any:
        """A column of the trials table, or one element of a parameter that is a tuple."""
        value = self.results.trials.at[index, name] if name in self.results.trials else None
        items, element = element_of(self.config(index), name)
        return tables.cell(items[element]) if scales.missing(value) and items else value

    def settings(
        self, values: pd.Series[float], name: str, *, numbers: bool = False
    ) -> pd.Series[Any]:
        found = pd.Series(
            {index: self.setting(index, name) for index in values.index}, dtype=object
        )
        if not numbers:
            return found
        found = pd.to_numeric(found, errors="coerce").astype(float)
        if not np.isfinite(found).all():
            raise Missing(f"{formatting.short(name)} is not a number in every trial")
        return found

    def trials(self, conditions: dict[str, Any]) -> pd.DataFrame:
        """The finished trials that meet all conditions, the best first."""
        meets = {i for i in self.every.index if self._meets(i, conditions)}
        some = self.usable[self.usable.index.isin(meets)]
        self.left |= {
            index: str(self.every.at[index, "state"]) for index in sorted(meets - set(some.index))
        }
        return some

    def values(
        self, metric: str, conditions: dict[str, Any], epoch: int | None = None
    ) -> pd.Series[float]:
        """The metric in those trials; at an epoch, in all that reached it. Raises Missing where there is none."""
        some = self._at(epoch, conditions) if epoch else self.trials(conditions)
        values = (
            pd.to_numeric(some[metric], errors="coerce").astype(float)
            if metric in some
            else pd.Series(np.nan, index=some.index)
        )
        self.left |= {
            index: f"without {formatting.short(metric)}"
            for index in some.index
            if not math.isfinite(values[index])
        }
        if not np.isfinite(values).any():
            lacking = f" that has {formatting.short(metric)}" if len(some) else ""
            raise Missing(
                f"there is no finished trial{' with ' + told(conditions) if conditions else ''}{lacking}"
            )
        return values[np.isfinite(values)]

    def _at(self, epoch: int, conditions: dict[str, Any]) -> pd.DataFrame:
        """The trials that meet all conditions and have this epoch, with its metrics."""
        meets = [i for i in self.every.index if self._meets(i, conditions)]
        rows = self.results.epochs
        rows = rows[(rows["run"] == self.run.name) & (rows["epoch"] == epoch)].set_index("trial")
        found = rows.reindex(self.every.loc[meets, "trial"]).set_axis(meets, axis=0)
        self.left |= dict.fromkeys(found.index[found["epoch"].isna()], f"without epoch {epoch}")
        return found.dropna(subset=["epoch"])

    def _meets(self, index: Any, conditions: dict[str, Any]) -> bool:
        """Where this run has one value for all trials in the place of the report's, that one stands for it."""
        changed = self.run.sweep.overrides
        return all(
            same(self.setting(index, name), published.stand_in(name, wanted, changed))
            for name, wanted in conditions.items()
        )

    def table(self, index: Any, name: str) -> list[dict[str, Any]]:
        """A table of a trial's task, a row per dict; empty where it made none of that name."""
        record = self.run.records[int(str(self.results.trials.at[index, "trial"]))]
        return record.final_tables.get(name, [])

    def rest(self, index: Any, names: Iterable[str]) -> str:
        """All other settings of a trial but its seed: equal for trials that differ only in `names`."""
        config = {
            name: list(value) if isinstance(value, list) else value
            for name, value in self.config(index).items()
            if name != "seed"
        }
        for name in names:
            items, element = element_of(config, name)
            if items:
                items[element] = None
            config = {
                key: value
                for key, value in config.items()
                if key != name and not key.startswith(f"{name}.")
            }
        return repr(sorted((key, str(value)) for key, value in config.items()))


def element_of(config: dict[str, Any], name: str) -> tuple[list[Any], int]:
    """The tuple of which a name such as arch.encoder_filters.2 is one element, and its place; an empty one where it is none."""
    parent, _, element = name.rpartition(".")
    items = config.get(parent)
    inside = element.isdecimal() and isinstance(items, list) and 1 <= int(element) <= len(items)
    return (items, int(element) - 1) if inside and items else ([], 0)


def same(value: Any, wanted: Any) -> bool:
    return (
        scales.missing(value)
        if wanted is None
        else published._equal(value, str(tables.cell(wanted)))
    )


def told(conditions: dict[str, Any]) -> str:
    return formatting.listed(
        f"{formatting.short(name)} {formatting.short(tables.typed(value))}"
        for name, value in conditions.items()
    )
