"""The tables of a run, written to CSV files and read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from cae.report.data import tables
from cae.run.paths import RunDir
from tests.report.synthetic_runs import MakeWriter


@dataclass(frozen=True, eq=False)
class WrittenTables:
    trials: pd.DataFrame
    epochs: pd.DataFrame


def write_and_read(run: RunDir) -> WrittenTables:
    tables.write(tables.read([run]), run)
    return WrittenTables(
        trials=pd.read_csv(run.trials_csv, dtype={"hash": str}), epochs=pd.read_csv(run.epochs_csv)
    )


def run_of_one_trial(writer: MakeWriter, losses: list[float], state: str, **end: Any) -> RunDir:
    """Write a run with one trial that has these losses. end: fields of the event of its end."""
    run = writer()
    run.session([1])
    run.trial(1, {"arch.kernel_size": 3})
    run.start(1)
    for epoch, loss in enumerate(losses, start=1):
        run.epoch(1, epoch, loss)
    run.end(1, state, **end)
    return run.close()


def row_of_one_trial(
    writer: MakeWriter, losses: list[float], state: str, **end: Any
) -> pd.Series[Any]:
    """Return the row of trials.csv."""
    run = run_of_one_trial(writer, losses, state, **end)
    return write_and_read(run).trials.iloc[0]
