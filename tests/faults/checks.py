"""What must hold after any fault: no finished epoch is lost or trained again, no number differs."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cae.run.events import TrialPlanned
from cae.run.paths import RunDir
from cae.run.records import Record, apply_event
from cae.run.trial_state import TrialState
from cae.sweep.search.base import Candidates, TrialResult
from cae.sweep.search.model_based import ModelBased
from cae.sweep.spec.plan import make_plan
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial import checkpoint
from tests.faults.driver import journal_epochs

TIME_METRICS = ("seconds", "images_per_second")
"""Metrics of the machine and not of the trial."""
TRAINED_EPOCH = re.compile(r"^\S+ \S+ epoch (\d+): ", re.MULTILINE)
"""A line of a trial's log about an epoch that was trained, and not read from a checkpoint."""
COMPARED_FIELDS = ("reason", "rung", "value", "cutoff", "seen", "best_epoch", "metrics")
"""Fields of a trial's end that have to be equal to those of an undisturbed run."""


def checkpointed_epochs(folder: Path) -> int:
    """The number of epochs in a trial's newest undamaged checkpoint. Changes no file."""
    epochs = 0
    for name in (checkpoint.LAST, checkpoint.PREVIOUS):
        try:
            epochs = max(epochs, checkpoint.load(folder / name).epoch)
        except (FileNotFoundError, checkpoint.DamagedCheckpoint):
            continue
    return epochs


def log_of(run: RunDir, number: int) -> str:
    """The log of a trial; empty if there is none."""
    path = run.trial(number) / "log.txt"
    if not path.exists():
        return ""
    return path.read_text()


@dataclass(frozen=True)
class Snapshot:
    """A trial at a moment when it had no worker."""

    number: int
    epochs: int
    """Epochs in its checkpoint."""
    log_length: int
    """Characters in its log."""


@dataclass
class Witness:
    """What trials had finished when none of their workers was alive.

    None of it may be trained again. The log alone does not prove that: `train` renames the
    checkpoint of an epoch to its final name, and then the worker logs the epoch. A worker that is
    killed in between has finished an epoch that is not in the log. So the checkpoint counts, and
    where the log ended.
    """

    snapshots: list[Snapshot] = field(default_factory=list)

    def look(self, run: RunDir, numbers: list[int]) -> None:
        """Note the present state of trials."""
        for number in numbers:
            epochs = checkpointed_epochs(run.trial(number))
            self.snapshots.append(Snapshot(number, epochs, len(log_of(run, number))))

    def losses(self, run: RunDir) -> list[str]:
        """Epochs that were finished and trained again, in words."""
        losses: list[str] = []
        for snapshot in self.snapshots:
            later_log = log_of(run, snapshot.number)[snapshot.log_length :]
            for epoch in map(int, TRAINED_EPOCH.findall(later_log)):
                if epoch <= snapshot.epochs:
                    trial = f"trial {snapshot.number}"
                    losses.append(f"{trial}: epoch {epoch} was finished and trained again")
        return losses


def losses(run: RunDir, reference: RunDir, *, same_stops: bool) -> list[str]:
    """What a run lost or has otherwise than an undisturbed run of the same sweep, in words.

    Args:
        run: The run.
        reference: The undisturbed run.
        same_stops: Whether the trials ran one at a time, so that ASHA has to stop the same trials
            for the same reasons.
    """
    return repetitions(run) + differences(run, reference, same_stops=same_stops)


def repetitions(run: RunDir) -> list[str]:
    """Epochs that are in the journal, or were trained, more than once, in words."""
    losses: list[str] = []
    for (trial, epoch), count in Counter(journal_epochs(run)).items():
        if count > 1:
            losses.append(f"trial {trial}: epoch {epoch} is in the journal {count} times")
    for number in run.records():
        trained = Counter(TRAINED_EPOCH.findall(log_of(run, number)))
        for epoch, count in trained.items():
            if count > 1:
                losses.append(f"trial {number}: epoch {epoch} was trained {count} times")
    return losses


def wrong_suggestions(run: RunDir, sweep_file: Path) -> list[str]:
    """Trials whose suggestion is not the one that the journal before it leads to, in words.

    Empty if the sweep has no model-based search.
    """
    sweep = read_sweep_file(sweep_file).sweep
    search = sweep.search
    if not isinstance(search, ModelBased):
        return []
    plan = make_plan(sweep, lambda dataset: dataset.load([]))
    if plan.search is None:
        raise ValueError("the plan has no search")
    index_of = {candidate.hash: index for index, candidate in enumerate(plan.search.candidates)}
    candidates = Candidates(
        points=[candidate.axes for candidate in plan.search.candidates],
        groups=[candidate.group["key"] for candidate in plan.search.candidates],
        rungs=plan.rungs,
        mode=plan.mode,
    )
    wrong: list[str] = []
    records: dict[int, Record] = {}
    planned: set[int] = set()
    for event in run.events():
        if isinstance(event, TrialPlanned) and event.trial not in planned:
            planned.add(event.trial)
            results = [
                search_result(index_of[record.hash], record, sweep.metric)
                for record in records.values()
            ]
            suggestion = search.suggest(candidates, results)
            if (
                suggestion is None
                or suggestion.candidate != index_of[event.hash]
                or suggestion.to_json() != event.suggestion
            ):
                wrong.append(f"trial {event.trial} is not the suggestion of the journal before it")
        apply_event(records, event)
    return wrong


def search_result(candidate: int, record: Record, metric: str) -> TrialResult:
    """What a search knows about a trial."""
    return TrialResult(
        candidate,
        record.config["epochs"],
        [record.epochs[epoch].get(metric, math.nan) for epoch in sorted(record.epochs)],
        has_ended=record.state.is_final,
        is_diverged=record.state == TrialState.DIVERGED,
        seconds=math.nan,
    )


def differences(run: RunDir, reference: RunDir, *, same_stops: bool) -> list[str]:
    """What a run has otherwise than an undisturbed run (see `losses`), in words.

    Epochs may have been trained again.
    """
    records = run.records()
    expected = reference.records()
    if records.keys() != expected.keys():
        return [f"trials {sorted(records)} instead of {sorted(expected)}"]
    losses: list[str] = []
    for number, record in records.items():
        losses += _epoch_losses(record, expected[number])
        both_finished = record.state == expected[number].state == TrialState.FINISHED
        if same_stops or both_finished:
            losses += _end_losses(record, expected[number])
            losses += _weight_losses(run.trial(number), reference.trial(number), number)
    return losses


def _epoch_losses(record: Record, expected: Record) -> list[str]:
    losses: list[str] = []
    if not record.state.is_final:
        losses.append(f"trial {record.number} is {record.state}")
    for epoch in sorted(record.epochs.keys() & expected.epochs.keys()):
        if _without_times(record.epochs[epoch]) != _without_times(expected.epochs[epoch]):
            losses.append(f"trial {record.number}: epoch {epoch} has other numbers")
    return losses


def _without_times(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name not in TIME_METRICS}


def _end_losses(record: Record, expected: Record) -> list[str]:
    losses: list[str] = []
    actual_end = _end_values(record)
    for name, value in _end_values(expected).items():
        if actual_end[name] != value:
            losses.append(f"trial {record.number}: {name} is {actual_end[name]} instead of {value}")
    return losses


def _end_values(record: Record) -> dict[str, object]:
    values: dict[str, object] = {
        "epochs": sorted(record.epochs),
        "state": record.state,
        "configuration": record.hash,
        "suggestion": record.suggestion,
    }
    for name in COMPARED_FIELDS:
        values[name] = getattr(record.end, name, None)
    return values


def _weight_losses(folder: Path, reference: Path, number: int) -> list[str]:
    """Compare the weights of the best epoch, if they are kept: of stopped trials only a few are."""
    path = folder / checkpoint.BEST
    reference_path = reference / checkpoint.BEST
    if path.exists() != reference_path.exists():
        return [f"trial {number}: only one of the two runs has its best weights"]
    if not path.exists():
        return []
    actual = checkpoint.load(path)
    expected = checkpoint.load(reference_path)
    same_weights = all(
        torch.equal(tensor, expected.network[name]) for name, tensor in actual.network.items()
    )
    if actual.epoch != expected.epoch or not same_weights:
        return [f"trial {number}: its best weights are different"]
    return []
