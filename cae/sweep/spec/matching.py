"""Which trials of a run answer for the trials that a sweep requests.

A run only grows: a finished epoch is never trained again. A trial of the run answers for a
requested one if both have the same hash, or if they are equal except for the number of epochs and
the epochs that they share are the same: more epochs answer for fewer, and fewer are extended.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.trial.config import Trial
from cae.trial.identity import identity
from cae.trial.user_code import code_in_text, digest

FAILURES = (TrialState.FAILED, TrialState.OUT_OF_MEMORY, TrialState.KILLED)


class Reason(StrEnum):
    """Why a configuration that the run holds is trained anew."""

    CODE = "code"
    """The source code of a component changed, or of what it uses."""
    IMAGES = "images"
    """The images changed."""
    CODE_AND_IMAGES = "code and images"
    CODE_OR_IMAGES = "code or images"
    """An older version did not record which."""
    EPOCHS = "epochs"
    """The epochs before the last one depend on the number of epochs."""
    DIVERGED = "diverged"
    """The longer trial diverged after the epochs that are requested."""
    WEIGHTS = "weights"
    """Other trials need the weights of the shorter trial, and those of the longer one differ."""


@dataclass(frozen=True)
class Wanted:
    """A trial that a sweep requests."""

    trial: Trial
    fingerprint: str
    """Of its images, and of those of its dependencies."""
    is_needed: bool = False
    """Whether unfinished trials depend on its weights."""

    @property
    def code(self) -> str:
        """Digest of the source code of the user's components."""
        return digest(self.trial.code())

    @functools.cached_property
    def own_hash(self) -> str:
        """The hash of the trial as it is requested."""
        return self.hash(self.trial.epochs)

    def hash(self, epochs: int) -> str:
        """The hash of the trial with so many epochs."""
        return identity(self._flat(epochs), self.fingerprint, self.trial.code())

    def old_hash(self, epochs: int) -> str:
        """The hash that older versions computed, from the classes of components alone."""
        return identity(self._flat(epochs), self.fingerprint, self.trial.class_sources())

    @functools.cached_property
    def flat(self) -> dict[str, Any]:
        """The flat configuration as it is requested."""
        return self.trial.flat()

    def _flat(self, epochs: int) -> dict[str, Any]:
        return self.flat | {"epochs": epochs}


@dataclass(frozen=True)
class Match:
    """The trial of the run that answers for a requested one."""

    hash: str
    trial: Trial
    """The requested trial, with the number of epochs that it will have."""
    record: Record | None = None
    """None: a new trial."""
    is_retry: bool = False
    """Whether the trial has ended and continues."""
    reason: Reason | None = None
    """Why the configuration of an earlier trial is trained anew."""
    replaces: int | None = None
    """Number of that trial."""


class Matcher:
    """Finds the trials of a run that answer for requested ones."""

    def __init__(
        self, records: Mapping[int, Record], retry: Collection[TrialState], old_source: str
    ) -> None:
        """Create a matcher.

        Args:
            records: The trials of the run.
            retry: Trials that ended in these states are requested again.
            old_source: The text of the sweep file with which the run was made.
        """
        self._records = records
        self._retry = retry
        self._old_source = old_source
        self._by_hash = {record.hash: record for record in records.values()}
        self._by_configuration: dict[str, list[Record]] = {}
        for record in records.values():
            key = _configuration(record.config)
            self._by_configuration.setdefault(key, []).append(record)

    def match(self, wanted: Sequence[Wanted]) -> list[Match]:
        """The trials that answer for the requested ones, in their order."""
        matches: dict[int, Match] = {}
        requested = {item.own_hash for item in wanted}
        taken: set[int] = set()
        for index, item in enumerate(wanted):
            exact = self._find(item, item.trial.epochs)
            if exact is not None:
                taken.add(exact.number)
                is_retry = exact.state in self._retry
                matches[index] = Match(exact.hash, item.trial, exact, is_retry)
        for index, item in enumerate(wanted):
            if index not in matches:
                match = self._match_other_epochs(item, taken, requested)
                matches[index] = match
                if match.record is not None:
                    taken.add(match.record.number)
        return [matches[index] for index in range(len(wanted))]

    def _find(self, wanted: Wanted, epochs: int) -> Record | None:
        """The trial of the run that is equal to a requested one with so many epochs."""
        trial_hash = wanted.own_hash
        if epochs != wanted.trial.epochs:
            trial_hash = wanted.hash(epochs)
        record = self._by_hash.get(trial_hash)
        if record is not None or not wanted.trial.own_components():
            return record
        record = self._by_hash.get(wanted.old_hash(epochs))
        if record is None or record.code or not self._had_same_code(wanted.trial):
            return None
        return record

    def _had_same_code(self, trial: Trial) -> bool:
        """Whether components used the same code in the sweep file with which the run was made."""
        components = trial.own_components()
        old_code = [code_in_text(self._old_source, component) for component in components]
        return "".join(old_code) == trial.code()

    def _match_other_epochs(
        self, wanted: Wanted, taken: Collection[int], requested: set[str]
    ) -> Match:
        """The trial that is equal except for its number of epochs, or a new trial."""
        trial = wanted.trial
        if not self._records:
            return Match(wanted.own_hash, trial)
        candidates = self._by_configuration.get(_configuration(wanted.flat), [])
        reason: Reason | None = None
        replaces: int | None = None
        for record in sorted(candidates, key=lambda record: _preference(record, trial.epochs)):
            epochs = record.config["epochs"]
            if record.number in taken:
                continue
            if self._find(wanted, epochs) is not record:
                reason = reason or self._difference(wanted, record)
                replaces = replaces or record.number
                continue
            obstacle = _obstacle(wanted, record)
            if obstacle is not None:
                reason = obstacle
                replaces = record.number
                continue
            match = self._adopt(wanted, record)
            if match.hash == record.hash or match.hash not in requested - {wanted.own_hash}:
                return match
        return Match(wanted.own_hash, trial, None, False, reason, replaces)

    def _adopt(self, wanted: Wanted, record: Record) -> Match:
        """The match with a trial that has another number of epochs."""
        epochs = wanted.trial.epochs
        planned_epochs = record.config["epochs"]
        if planned_epochs < epochs:  # it is extended
            is_retry = record.state in self._retry
            return Match(wanted.hash(epochs), wanted.trial, record, is_retry)
        target = max(epochs, record.last_epoch)
        has_all_epochs = epochs <= record.last_epoch < planned_epochs
        is_retry = record.state in self._retry
        if record.state in FAILURES and has_all_epochs:
            is_retry = True  # it failed after the epochs that are requested
        if record.state.is_final and not is_retry:  # it answers as it is
            trial = wanted.trial.override({"epochs": planned_epochs})
            return Match(record.hash, trial, record)
        trial = wanted.trial.override({"epochs": target})
        return Match(wanted.hash(target), trial, record, is_retry)

    def _difference(self, wanted: Wanted, record: Record) -> Reason:
        """Why a trial with the same configuration has another hash."""
        if not record.fingerprint:  # an older version did not record it
            if not wanted.trial.own_components():
                return Reason.IMAGES
            if record.hash == wanted.old_hash(record.config["epochs"]):
                return Reason.CODE
            return Reason.CODE_OR_IMAGES
        has_other_images = record.fingerprint != wanted.fingerprint
        has_other_code = record.code != wanted.code
        if has_other_images and has_other_code:
            return Reason.CODE_AND_IMAGES
        if has_other_images:
            return Reason.IMAGES
        return Reason.CODE


def _configuration(flat: Mapping[str, Any]) -> str:
    """A text that is equal for configurations that differ only in their number of epochs."""
    others = {name: value for name, value in flat.items() if name != "epochs"}
    return json.dumps(others, sort_keys=True)


def _preference(record: Record, epochs: int) -> tuple[bool, bool, int, int]:
    """Sorts trials: those that answer without training first, then those with most epochs done."""
    planned_epochs = record.config["epochs"]
    is_answer = planned_epochs >= epochs and record.state.is_successful
    return not is_answer, planned_epochs < epochs, -record.last_epoch, record.number


def _obstacle(wanted: Wanted, record: Record) -> Reason | None:
    """Why a trial that is equal except for its number of epochs cannot answer."""
    trial = wanted.trial
    planned_epochs = record.config["epochs"]
    if trial.history_depends_on_epochs(planned_epochs):
        return Reason.EPOCHS
    if planned_epochs < trial.epochs:
        return None
    if record.state == TrialState.DIVERGED and record.last_epoch > trial.epochs:
        return Reason.DIVERGED
    if wanted.is_needed and _best_epoch(record) > trial.epochs:
        return Reason.WEIGHTS
    return None


def _best_epoch(record: Record) -> int:
    """The epoch of the weights that a trial passes on; the last one if it has not ended."""
    if record.end is not None and record.end.best_epoch is not None:
        return record.end.best_epoch
    return record.last_epoch
