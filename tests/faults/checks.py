"""What must hold after any faults: nothing that was finished is lost, trained again, or another number than without them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cae.run.paths import RunDir
from cae.run.records import Record
from cae.trial import checkpoint
from tests.faults.driver import epochs

CLOCKS = ("seconds", "images_per_second")
"""Metrics that tell of the machine and not of the trial."""
TRAINED = re.compile(r"^\S+ \S+ epoch (\d+): ", re.MULTILINE)
"""A line of a trial's log about an epoch that was trained by its writer, and not taken `, from the checkpoint`."""


def finished_epochs(folder: Path) -> int:
    """The epochs in a trial's newest whole checkpoint; touches nothing."""
    found = [0]
    for name in (checkpoint.LAST, checkpoint.PREVIOUS):
        try:
            found.append(checkpoint.load(folder / name).epoch)
        except (FileNotFoundError, checkpoint.DamagedCheckpoint):
            continue
    return max(found)


def log_of(run: RunDir, number: int) -> str:
    path = run.trial(number) / "log.txt"
    return path.read_text() if path.exists() else ""


@dataclass
class Witness:
    """What each trial had finished at a moment when none of its workers lived: none of that may be trained after it.

    Its log alone does not prove that. `train` renames an epoch's checkpoint into place, then the worker logs the epoch: whoever is
    killed between the two has finished an epoch that no line tells of. So what is in the checkpoint counts, and where the log ended.
    """

    seen: list[tuple[int, int, int]] = field(default_factory=list)
    """Trial, epochs finished, characters of its log."""

    def look(self, run: RunDir, numbers: list[int]) -> None:
        self.seen += [
            (number, finished_epochs(run.trial(number)), len(log_of(run, number)))
            for number in numbers
        ]

    def losses(self, run: RunDir) -> list[str]:
        again = []
        for number, finished, length in self.seen:
            trained = [int(epoch) for epoch in TRAINED.findall(log_of(run, number)[length:])]
            again += [
                f"trial {number}: epoch {epoch} was finished and trained again"
                for epoch in trained
                if epoch <= finished
            ]
        return again


def losses(run: RunDir, reference: RunDir, *, stops: bool) -> list[str]:
    """All that a run lost or has otherwise than its undisturbed reference, in words; none is what is wanted.

    `stops`: whether the trials came one at a time, so that ASHA must have stopped the same ones, each for the same reason.
    """
    lost = [
        f"trial {trial}: epoch {epoch} stands {count} times"
        for (trial, epoch), count in Counter(epochs(run)).items()
        if count > 1
    ]
    ours, theirs = run.records(), reference.records()
    if ours.keys() != theirs.keys():
        return [*lost, f"trials {sorted(ours)} are not {sorted(theirs)}"]
    for number, record in ours.items():
        other = theirs[number]
        if not record.state.is_final:
            lost.append(f"trial {number} is {record.state}")
        for epoch, trained in Counter(TRAINED.findall(log_of(run, number))).items():
            if trained > 1:
                lost.append(f"trial {number}: epoch {epoch} was trained {trained} times")
        both = sorted(record.epochs.keys() & other.epochs.keys())
        differ = [
            epoch
            for epoch in both
            if _numbers(record.epochs[epoch]) != _numbers(other.epochs[epoch])
        ]
        lost += [f"trial {number}: epoch {epoch} has other numbers" for epoch in differ]
        if stops or record.state == other.state == "finished":
            lost += _endings(record, other)
            lost += _weights(run.trial(number), reference.trial(number), number)
    return lost


def _numbers(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name not in CLOCKS}


def _endings(record: Record, other: Record) -> list[str]:
    def said(one: Record) -> dict[str, Any]:
        names = ("state", "reason", "rung", "value", "cutoff", "seen", "best_epoch", "metrics")
        return {"epochs": sorted(one.epochs)} | {name: one.end.get(name) for name in names}

    ours, theirs = said(record), said(other)
    return [
        f"trial {record.number}: {name} is {ours[name]}, and was {theirs[name]}"
        for name in ours
        if ours[name] != theirs[name]
    ]


def _weights(folder: Path, other: Path, number: int) -> list[str]:
    """The best epoch's weights, where they are kept: of the stopped trials, the best few."""
    ours, theirs = (path / checkpoint.BEST for path in (folder, other))
    if ours.exists() != theirs.exists():
        return [f"trial {number}: only one of the two runs has its best weights"]
    if not ours.exists():
        return []
    one, two = checkpoint.load(ours), checkpoint.load(theirs)
    same = one.epoch == two.epoch and all(
        torch.equal(tensor, two.network[name]) for name, tensor in one.network.items()
    )
    return [] if same else [f"trial {number}: its best weights are other ones"]
