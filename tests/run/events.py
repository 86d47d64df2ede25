"""Events and records for the tests of a run's files, with short names for what the tests vary."""

from __future__ import annotations

import contextlib
from typing import Any

from cae.run.events import (
    EpochFinished,
    Event,
    SessionEnded,
    SessionStarted,
    TrialEnded,
    TrialPlanned,
    TrialRetried,
    TrialStarted,
)
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState


def session(*trials: int) -> SessionStarted:
    """A session that requests these trials."""
    return SessionStarted(trials=list(trials))


def planned(number: int = 1, epochs: int = 2) -> TrialPlanned:
    """A trial whose hash depends on its number of epochs."""
    config = {"epochs": epochs}
    return TrialPlanned(trial=number, hash=f"h{epochs}", config=config, axes={}, sizes={})


def started(number: int = 1, epoch: int = 0) -> TrialStarted:
    """A start after `epoch` finished epochs."""
    return TrialStarted(time=1.0, trial=number, epoch=epoch)


def epoch(done: int, loss: float = 0.5, number: int = 1, **more: Any) -> EpochFinished:
    """An epoch with a validation loss; its time is 2 s plus its number, if none is passed."""
    fields = {"time": 2.0 + done} | more
    return EpochFinished(trial=number, epoch=done, metrics={"val_loss": loss}, **fields)


def ended(state: TrialState = TrialState.FINISHED, number: int = 1) -> TrialEnded:
    """The end of a trial."""
    return TrialEnded(time=9.0, trial=number, state=state, reason="the reason")


def retried(number: int = 1, epoch: int = 0, reason: str = "") -> TrialRetried:
    """A retry that keeps `epoch` epochs."""
    return TrialRetried(trial=number, epoch=epoch, reason=reason)


def closed(reason: str = "interrupted") -> SessionEnded:
    """The end of a session."""
    return SessionEnded(reason=reason)


def write(run: RunDir, *events: Event) -> None:
    """Append events to the run's journal."""
    with contextlib.closing(Journal(run.journal)) as journal:
        for event in events:
            journal.append(event)


def record(
    number: int,
    state: TrialState = TrialState.FINISHED,
    losses: tuple[float, ...] = (),
    *,
    epochs: int = 10,
    megaflops: float = 1.0,
    seconds: float = 2.0,
) -> Record:
    """A record with a validation loss per finished epoch."""
    rows: dict[int, dict[str, float]] = {}
    for done, loss in enumerate(losses, start=1):
        rows[done] = {"val_loss": loss, "seconds": seconds}
    return Record(
        number=number,
        hash=f"{number:x}",
        config={"epochs": epochs},
        axes={},
        sizes={"megaflops": megaflops},
        state=state,
        epochs=rows,
    )
