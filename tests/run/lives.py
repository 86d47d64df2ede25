"""Sequences of events, as journals hold them."""

from __future__ import annotations

import math

from cae.run.events import Event
from cae.run.trial_state import TrialState
from tests.run.events import ended, epoch, planned, session, started


def _timed(*events: Event) -> list[Event]:
    """Events with different times, as the journal sets them."""
    for seconds, event in enumerate(events, start=1):
        event.time = float(seconds)
    return list(events)


THREE_TRIALS = _timed(
    session(1, 2),
    planned(1),
    planned(2),
    started(1),
    epoch(1, 0.5, 1, host="a", device="cpu", worker=7),
    started(2),
    epoch(1, math.nan, 2),
    ended(TrialState.DIVERGED, 2),
    session(1, 3),
    planned(3, 4),
    started(1, 1),
    epoch(2, 0.25, 1),
    ended(TrialState.FINISHED, 1),
    started(3),
    ended(TrialState.FAILED, 3),
    session(1, 2, 3),
    started(3),
    epoch(1, 0.1, 3),
    ended(TrialState.STOPPED, 3),
    planned(1, 4),
    started(1, 2),
    epoch(3, 0.2, 1),
)
"""Three trials in three sessions, with a retry, an extension and a trial that is not requested."""
