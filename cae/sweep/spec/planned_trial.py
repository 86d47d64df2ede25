"""One trial of a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.spec.matching import Reason
from cae.trial.config import Trial


@dataclass(frozen=True)
class PlannedTrial:
    """One trial that the sweep requests."""

    number: int
    hash: str
    trial: Trial
    axes: dict[str, Any]
    """The keys of the search space with this trial's values."""
    sizes: dict[str, Any]
    """Parameters, latent size and cost of the network, and images per epoch."""
    dependencies: dict[str, int] = field(default_factory=dict)
    """Numbers of the trials that have to finish first, by parameter of the task."""
    is_dependency: bool = False
    """Whether the trial is planned only because others depend on it."""
    is_kept: bool = False
    """Whether `--where` does not choose it; it has ended, and stays in the sweep."""
    record: Record | None = None
    """What the journal contains about it."""
    retry: bool = False
    """Whether it has ended and is requested again."""
    group: dict[str, Any] = field(default_factory=dict, repr=False)
    """The comparability group, as the journal describes it."""
    fingerprint: str = ""
    """Of its images, and of those of its dependencies."""
    pixels: dict[str, Any] = field(default_factory=dict, repr=False)
    """The type and the value range of its images, as the journal describes them."""
    code: str = ""
    """Digest of the source code of the user's components; empty without such components."""
    requested_epochs: int = 0
    """Epochs that the sweep requests; the trial of the run that answers may have more."""
    reason: Reason | None = None
    """Why it is trained although the run holds a trial of the same configuration, `replaces`."""
    replaces: int | None = None
    starts_again: bool = False
    """Whether its epochs are trained again, because the checkpoints to resume from are missing."""

    @property
    def selectable_values(self) -> dict[str, Any]:
        """The values by which `--where` chooses it, by dotted name."""
        return {**self.axes, **self.trial.flat()}

    @property
    def done_epochs(self) -> int:
        """Epochs that the journal contains and that are not trained again."""
        if self.record is None or self.starts_again:
            return 0
        return self.record.last_epoch

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left to train.

        More epochs extend a finished trial. One that was stopped, failed or diverged stays so.
        """
        if self.record is None or self.retry:
            return False
        if self.record.state == TrialState.FINISHED:
            return self.record.hash == self.hash
        return self.record.state.is_final

    @property
    def has_more_epochs(self) -> bool:
        """Whether the sweep requests more epochs than the trial of the run was planned with."""
        return self.record is not None and self.trial.epochs > self.record.config["epochs"]
