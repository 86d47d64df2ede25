"""Follows a running sweep besides the live table: an experiment tracker, notification of errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from cae.cli.console import Console
from cae.errors import SweepAborted
from cae.run.events import ABORTED, Event
from cae.run.records import Record

if TYPE_CHECKING:
    from cae.report.live_tracking import TrackerName
    from cae.sweep.engine.session import Display, Prepared


@contextlib.contextmanager
def follow(
    prepared: Prepared,
    display: Display,
    console: Console,
    track: TrackerName | None,
    notify: Callable[[str], None],
) -> Iterator[Display]:
    """Yield a display that also sends the sweep to a tracker.

    Args:
        prepared: The sweep.
        display: Shows the running sweep.
        console: Prints messages above the live table.
        track: The tracker; None: none.
        notify: Called with the reason if the sweep is aborted by an error.

    Raises RunError if the library of the tracker is not installed.
    """
    try:
        if track is None:
            yield display
        else:
            with _tracked(prepared, display, console, track) as tracked_display:
                yield tracked_display
    except SweepAborted as error:
        notify(f"{ABORTED}: {error}")
        raise


@contextlib.contextmanager
def _tracked(
    prepared: Prepared, display: Display, console: Console, track: TrackerName
) -> Iterator[Display]:
    from cae.report.live_tracking import LiveTracking, display_and_track  # imports pandas

    def print_line(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    tracking = LiveTracking(track, prepared.run, print_line)

    def tracked_display(
        records: dict[int, Record], slots: int
    ) -> AbstractContextManager[Callable[[Event | None], None]]:
        return display_and_track(display(records, slots), tracking, records)

    try:
        yield tracked_display
    except BaseException:
        # Perhaps the sweep did not start, because another process runs it and tracks it.
        tracking.stop()
        raise
    tracking.finish(prepared.records)
