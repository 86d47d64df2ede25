"""Random sequences of commands on one run: no epoch is trained twice, no value is lost, and no
comparison crosses groups.

Planning, journal and tables are the real ones. Training is simulated: the loss of an epoch is
computed from the configuration, the code and the epoch. Kills are simulated, too: a real process
for each example would take minutes. tests/scenarios/test_all_end_states.py kills a real one with
SIGKILL, once, and continues its run with other commands.
"""

from __future__ import annotations

import csv
import json
import shutil
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cae.report.data import tables
from cae.run.events import EpochFinished, SessionEnded, TrialEnded, TrialPlanned, TrialStarted
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.ranking import rank_by_group
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription
from cae.run.trial_state import TrialState
from cae.sweep.engine import session
from cae.sweep.engine.limits import DEFAULT_LIMITS, LimitMonitor
from cae.sweep.engine.recorder import Recorder
from cae.sweep.engine.session_records import record_session
from cae.sweep.engine.sweep_stops import NO_RULES, SweepStops
from cae.sweep.engine.tune_scheduler import TuneScheduler
from cae.sweep.places.base import CheckedHosts, Resources
from cae.sweep.schedulers.base import NeverStop

SWEEP = '''"""A sweep that is edited again and again."""

from ray import tune
from torch import nn

from cae import Adam, Architecture, Digits, Reconstruct, Sweep, Trial

UNITS = {units}


class Layers(Architecture):
    depth: int = 1

    def build(self, input_shape, output_shape):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, UNITS), nn.Linear(UNITS, 64), nn.Unflatten(1, output_shape)
        )


sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=32, val_images=16, test_images=16),
        task=Reconstruct(loss={loss!r}),
        arch=Layers(),
        optimizer=Adam(lr=1e-3),
        epochs={epochs},
    ),
    space={space},
    samples=3,
    seeds={seeds},
)
'''
SPACES = [
    "{'arch.depth': tune.grid_search([1, 2, 3])}",
    "{'arch.depth': tune.grid_search([2, 3, 4])}",
    "{'arch.depth': tune.grid_search([2])}",
    "{'arch.depth': tune.grid_search([1, 2]), 'task.loss': tune.grid_search(['mse', 'l1'])}",
    "{'optimizer.lr': tune.loguniform(1e-4, 1e-1)}",
    "{'optimizer.lr': tune.loguniform(1e-4, 1e-2)}",
    "[{'arch.depth': tune.grid_search([1, 2])}, {'optimizer.lr': tune.loguniform(1e-3, 1e-1)}]",
]


@dataclass(frozen=True)
class Command:
    """A state of the sweep file, where it and the run's folder are, and how it is run."""

    space: str
    epochs: int
    seeds: int
    units: int
    loss: str
    folder: str
    """Of the sweep file: a file of the same name elsewhere is the same sweep if it was moved."""
    out: str
    """The run's folder: it is renamed before the command."""
    set_: dict[str, Any] = field(default_factory=dict)
    killed_after: int | None = None
    """Epochs after which the process is killed; None: it completes."""


COMMANDS = st.builds(
    Command,
    space=st.sampled_from(SPACES),
    epochs=st.sampled_from([2, 3, 5]),
    seeds=st.sampled_from([1, 1, 2]),
    units=st.sampled_from([4, 4, 4, 8]),
    loss=st.sampled_from(["mse", "mse", "l1"]),
    folder=st.sampled_from(["old", "new"]),
    out=st.sampled_from(["run", "run", "renamed"]),
    set_=st.sampled_from([{}, {}, {"arch.depth": 2}, {"epochs": 4}, {"optimizer.lr": 0.002}]),
    killed_after=st.sampled_from([None, None, 0, 1, 3, 7]),
)


def loss(record: Record, epoch: int) -> float:
    """What the epoch of a trial gives: the same whenever it is trained."""
    return zlib.crc32(f"{training_of(record)} {epoch}".encode()) / 2**32


def training_of(record: Record) -> str:
    """Equal for trials whose epochs are the same."""
    config = {name: value for name, value in record.config.items() if name != "epochs"}
    return json.dumps([config, record.code, record.fingerprint], sort_keys=True)


def move_files(command: Command) -> Path:
    """Move the sweep file and the run to where the command has them, and edit the file."""
    for folder in ("old", "new"):
        shutil.rmtree(folder, ignore_errors=True)
    path = Path(command.folder) / "growing.py"
    path.parent.mkdir()
    path.write_text(
        SWEEP.format(
            space=command.space,
            epochs=command.epochs,
            seeds=command.seeds,
            units=command.units,
            loss=command.loss,
        )
    )
    for out in ("run", "renamed"):
        if out != command.out and Path(out).exists():
            Path(out).rename(command.out)
    return path


def execute(command: Command) -> session.Prepared:
    """Plan a command and simulate its training."""
    path = move_files(command)
    options: dict[str, Any] = {"out": Path(command.out), "budget": "full", "max_trials": None}
    selection = session.Selection(path, settings=command.set_, data_dir=None, **options)
    prepared = session.prepare(selection)
    run = prepared.run
    run.path.mkdir(exist_ok=True)
    resources = Resources(cpus=1, gpus=0, cpus_per_trial=1, gpus_per_trial=0)
    session._write_sweep_json(run, session._describe(prepared, resources, "a test"))
    journal = Journal(run.journal)
    recorder = Recorder(
        run,
        prepared.plan,
        journal,
        prepared.records,
        TuneScheduler(NeverStop(), "val_loss"),
        lambda _: None,
        LimitMonitor(DEFAULT_LIMITS, run.path),
        SweepStops(NO_RULES, prepared.records, "val_loss", "min", ()),
    )
    if not session._is_complete(prepared):
        record_session(recorder, CheckedHosts(resources, path), "a test")
        if train(recorder, command.killed_after):
            recorder.write(SessionEnded(reason="complete"))
    journal.close()
    return prepared


def train(recorder: Recorder, killed_after: int | None) -> bool:
    """Train what remains; False if the process was killed meanwhile."""
    left = killed_after
    for planned in recorder.plan.remaining:
        record = recorder.records[planned.number]
        recorder.write(TrialStarted(trial=record.number, epoch=record.last_epoch))
        for epoch in range(record.last_epoch + 1, planned.trial.epochs + 1):
            if left == 0:
                return False
            if left is not None:
                left -= 1
            metrics = {"val_loss": loss(record, epoch)}
            recorder.write(EpochFinished(trial=record.number, epoch=epoch, metrics=metrics))
        best = record.best("val_loss", "min")
        assert best is not None
        recorder.write(
            TrialEnded(
                trial=record.number,
                state=TrialState.FINISHED,
                reason="all epochs",
                best_epoch=best.epoch,
                metrics={"test_loss": best.value},
            )
        )
    return True


def check(run: RunDir, prepared: session.Prepared, *, is_complete: bool) -> None:
    """Compare journal and tables with what they have to contain."""
    records = run.records()
    trained: Counter[tuple[str, int]] = Counter()
    expected: dict[int, float] = {}
    for event in run.events():
        if isinstance(event, EpochFinished):
            trained[training_of(records[event.trial]), event.epoch] += 1
            value = event.metrics["val_loss"]
            expected[event.trial] = min(expected.get(event.trial, value), value)
    assert not [key for key, count in trained.items() if count > 1], "trained twice"
    requested = {planned.number for planned in prepared.plan.trials}
    tables.write(tables.read([run]), run)
    with run.trials_csv.open() as file:
        rows = {int(row["trial"]): row for row in csv.DictReader(file)}
    assert set(rows) == set(records)
    for number, row in rows.items():
        assert row["in_current_sweep"] == str(number in requested)
        if number in expected:
            assert float(row["val_loss"]) == expected[number]
    numbers = [planned.number for planned in prepared.plan.trials]
    assert len(numbers) == len(set(numbers)), "one trial answers for two"
    for planned in prepared.plan.trials if is_complete else []:
        record = records[planned.number]
        assert record.state == TrialState.FINISHED
        assert record.last_epoch >= planned.trial.epochs
        assert record.last_epoch >= prepared.plan.epochs
        wanted = planned.trial.flat() | {"epochs": record.config["epochs"]}
        assert record.config == json.loads(json.dumps(wanted))
    check_ranking(records, run.read_sweep())


def check_ranking(records: dict[int, Record], sweep: SweepDescription) -> None:
    """Compare each group's ranking with one over the trials of equal data, loss and code."""
    expected: dict[object, list[tuple[float, int]]] = {}
    for record in records.values():
        best = record.best("val_loss", "min")
        if best is not None:
            key = (record.fingerprint, record.config["task.loss"])
            expected.setdefault(key, []).append((best.value, record.number))
    if not expected:
        return
    rankings = rank_by_group(records.values(), sweep, "val_loss", None)
    ranked = [[(trial.value, trial.record.number) for trial in group.trials] for group in rankings]
    assert sorted(ranked) == sorted(sorted(group) for group in expected.values())


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(commands=st.lists(COMMANDS, min_size=2, max_size=7))
def test_a_run_only_grows(commands: list[Command]) -> None:
    for out in ("run", "renamed"):
        shutil.rmtree(out, ignore_errors=True)
    finished: dict[int, float] = {}
    for command in commands:
        prepared = execute(command)
        run = RunDir(command.out)
        check(run, prepared, is_complete=command.killed_after is None)
        values: dict[int, float] = {}
        for number, record in run.records().items():
            best = record.best("val_loss", "min")
            if best is not None:
                values[number] = best.value
        for number, value in finished.items():
            assert values[number] <= value, "a value was lost"
        finished = values
    planned = [event for event in run.events() if isinstance(event, TrialPlanned)]
    assert len({event.trial for event in planned}) == len(run.records())
