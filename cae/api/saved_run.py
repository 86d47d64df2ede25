"""Reads a run in Python: its tables, its best trials and its figures."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from cae.errors import UserError
from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page.sections import all_sections
from cae.run import storage
from cae.run.metric_direction import Mode
from cae.run.ranking import rank_by_group

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from cae.trial.model import Model


def open_run(location: str | os.PathLike[str]) -> SavedRun:
    """Read a run, also while its sweep is running.

    Args:
        location: Its folder, its name under runs/, or s3://BUCKET/PATH.

    Raises UserError if there is no such run.
    """
    return SavedRun(str(location))


class SavedRun:
    """A run as it was when it was opened: `open_run` again reads what happened since."""

    def __init__(self, location: str) -> None:
        self._folder = storage.locate_run(location, Path("runs"))
        self._results: Results = tables.read([self._folder])

    def __repr__(self) -> str:
        return f"cae.open_run({str(self._folder)!r})  # {len(self.trials)} trials"

    @property
    def name(self) -> str:
        """The name of the run."""
        return self._results.runs[0].name

    @property
    def metric(self) -> str:
        """The metric by which trials are ranked."""
        return self._results.metric

    @property
    def mode(self) -> Mode:
        """Whether lower ("min") or higher ("max") values of the metric are better."""
        return self._results.mode

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial, the columns of trials.csv; a copy."""
        return self._results.trials.drop(columns="run").copy()

    @property
    def epochs(self) -> pd.DataFrame:
        """One row per trial and epoch, the columns of epochs.csv; a copy."""
        return self._results.epochs.drop(columns="run").copy()

    def best(self, metric: str = "", top: int = 1, mode: Mode | None = None) -> pd.DataFrame:
        """The rows of `trials` of the best trials of each comparability group, the best first.

        Args:
            metric: Metric to rank by; empty: that of the sweep.
            top: Number of trials of each group.
            mode: "min" or "max"; None: the declared direction of the metric.

        Raises UserError if no trial has a finite value of the metric, or if its direction is not
        known.
        """
        sweep = self._results.sweep
        rankings = rank_by_group(self._results.records, sweep, metric or sweep.metric, mode)
        numbers: list[int] = []
        for ranking in rankings:
            numbers += [trial.record.number for trial in ranking.trials[:top]]
        return self.trials.set_index("trial", drop=False).loc[numbers].reset_index(drop=True)

    def model(self, trial: int) -> Model:
        """The best weights of a trial, to encode, decode and reconstruct images; on the CPU.

        Nothing is exported, no image is read, and no code of the run is executed: components of a
        sweep file have to be defined before (`cae.load_components(FILE)`). There is a warning if
        they are not defined as they were when the trial was trained.

        Args:
            trial: Its number, such as `run.best()["trial"][0]`.

        Raises UserError if there is no such trial, if its weights were pruned, are lost or not
        written yet, or if its components are not defined. The methods of the model that read images
        raise UserError if the run is of a version that did not record the type and the range of
        pixels.
        """
        from cae.sweep.trial_weights import load_trial  # imports torch

        return load_trial(self._folder, int(trial))

    @property
    def figures(self) -> list[str]:
        """The names of the figures of the page."""
        return [figure.name for section in all_sections() for figure in section.figures]

    def figure(self, name: str) -> go.Figure:
        """A figure of the page, for all trials that it can show.

        If there are several comparability groups, the figure compares trials of all of them: see
        `trials["group"]`.

        Raises UserError for an unknown name.
        """
        for section in all_sections():
            for figure in section.figures:
                if figure.name == name:
                    return figure.build(self._results)
        nearest = difflib.get_close_matches(name, self.figures, n=1)
        hint = ""
        if nearest:
            hint = f"; did you mean {nearest[0]!r}?"
        raise UserError(f"there is no figure {name!r}{hint} (`figures` lists all)")
