"""Follows a running sweep besides the live table: the served page, an experiment tracker,
notification of errors."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from cae.cli.console import Console
from cae.cli.watching import WatchedPage
from cae.errors import SweepAborted
from cae.run.events import ABORTED, Notice
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
    *,
    watch: bool = False,
) -> Iterator[Display]:
    """Yield a display that also serves the page of the sweep and sends the sweep to a tracker.

    Args:
        prepared: The sweep.
        display: Shows the running sweep.
        console: Prints messages above the live table.
        track: The tracker; None: none.
        notify: Called with the reason if the sweep is aborted by an error.
        watch: Whether the page is served while the sweep runs.

    Raises RunError if the library of the tracker is not installed.
    """
    if watch:
        display = _served(prepared, display, console)
    try:
        if track is None:
            yield display
        else:
            with _tracked(prepared, display, console, track) as tracked_display:
                yield tracked_display
    except SweepAborted as error:
        notify(f"{ABORTED}: {error}")
        raise


def _print_line(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _served(prepared: Prepared, display: Display, console: Console) -> Display:
    """A display that serves the page from its start on: then the run can be read."""
    page = WatchedPage(prepared.run, functools.partial(_print_line, console))

    def served_display(
        records: dict[int, Record], slots: int
    ) -> AbstractContextManager[Callable[[Notice], None]]:
        page.start()
        return display(records, slots)

    return served_display


@contextlib.contextmanager
def _tracked(
    prepared: Prepared, display: Display, console: Console, track: TrackerName
) -> Iterator[Display]:
    from cae.report.live_tracking import LiveTracking, display_and_track  # imports pandas

    tracking = LiveTracking(track, prepared.run, functools.partial(_print_line, console))

    def tracked_display(
        records: dict[int, Record], slots: int
    ) -> AbstractContextManager[Callable[[Notice], None]]:
        return display_and_track(display(records, slots), tracking, records)

    try:
        yield tracked_display
    except BaseException:
        # Perhaps the sweep did not start, because another process runs it and tracks it.
        tracking.stop()
        raise
    tracking.finish(prepared.records)
