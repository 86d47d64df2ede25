"""The live table in a terminal; single lines where the output is not a terminal."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cae.cli.console import Console
from cae.cli.output import discard_output
from cae.run.events import Event, TrialEnded
from cae.run.formatting import format_axes, format_duration, format_value, visible
from cae.run.metric_direction import Mode
from cae.run.records import Record
from cae.run.status import Progress, best_text, progress
from cae.run.trial_state import TrialState

if TYPE_CHECKING:
    from cae.sweep.engine.session import Display, Prepared
    from cae.sweep.spec.plan import Plan

MAX_RUNNING_ROWS = 12
MAX_ENDED_LINES = 8
REFRESH_SECONDS = 0.25
LINE_SECONDS = 30
"""Without a terminal, a summary is printed at least this often."""
MANY_TRIALS = 500
MAX_TIME_SHARE = 1 / 50
"""With MANY_TRIALS, computing the progress may take this share of the time."""
STATE_COLOURS = {
    TrialState.FINISHED: "green",
    TrialState.STOPPED: "yellow",
    TrialState.DIVERGED: "magenta",
    TrialState.FAILED: "red",
    TrialState.OUT_OF_MEMORY: "red",
    TrialState.KILLED: "red",
}


def display(prepared: Prepared, *, console: Console, quiet: bool = False) -> Display:
    """A function that opens the live table of a sweep from its records and number of slots."""

    def open_table(records: dict[int, Record], slots: int) -> LiveTable:
        return LiveTable(
            prepared.file.title,
            records,
            metric=prepared.plan.sweep.metric,
            mode=prepared.plan.mode,
            slots=slots,
            console=console,
            quiet=quiet,
            trials=_number_of_trials(prepared.plan),
        )

    return open_table


def _number_of_trials(plan: Plan) -> int | None:
    """The number of trials if a search suggests some of them."""
    if plan.search is None:
        return None
    return len(plan.trials) + plan.to_come


class LiveTable:
    """Shows a running sweep.

    A context manager; call it with each event after the event was applied to the records, and with
    None from time to time.
    """

    def __init__(
        self,
        title: str,
        records: dict[int, Record],
        *,
        metric: str,
        mode: Mode,
        slots: int,
        console: Console,
        quiet: bool,
        trials: int | None = None,
    ) -> None:
        self._trials = trials
        self._title = title
        self._records = records
        self._metric = metric
        self._mode = mode
        self._slots = slots
        self._console = console
        self._quiet = quiet
        self._ended_lines: deque[str] = deque(maxlen=MAX_ENDED_LINES)
        self._started = time.monotonic()
        self._last_line = self._started
        self._refreshed = self._started
        self._live: Live | None = None
        self._progress: Progress | None = None
        self._next_progress = 0.0

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(
                console=self._console,
                auto_refresh=False,  # its thread would read records while they change
                get_renderable=self._render,
                transient=True,
            )
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)
            self._live = None

    def __call__(self, event: Event | None) -> None:
        if self._quiet:
            return
        try:
            self._show(event)
        except OSError:  # the reader of the output is gone: the sweep continues without output
            self._quiet = True
            discard_output()

    def _show(self, event: Event | None) -> None:
        now = time.monotonic()
        if isinstance(event, TrialEnded):
            self._last_line = now
            line = self._ended_line(event)
            self._ended_lines.append(line)
            if not self._live:
                text = Text.from_markup(f"{visible(line)}  [dim]{visible(self._summary())}[/dim]")
                self._console.print(text, soft_wrap=True)
        elif not self._live and now - self._last_line > LINE_SECONDS:
            self._last_line = now
            self._console.print(self._summary(), soft_wrap=True, highlight=False)
        if self._live and now - self._refreshed > REFRESH_SECONDS:
            self._live.refresh()
            self._refreshed = now

    def _current_progress(self) -> Progress:
        """The progress. With many trials it is computed so often that it takes MAX_TIME_SHARE of
        the time, not for each event."""
        started = time.monotonic()
        is_due = len(self._records) < MANY_TRIALS or started > self._next_progress
        if self._progress is None or is_due:
            records = self._records.values()
            self._progress = progress(records, self._metric, self._mode, self._slots, self._trials)
            ended = time.monotonic()
            self._next_progress = ended + (ended - started) / MAX_TIME_SHARE
        return self._progress

    def _summary(self) -> str:
        now = self._current_progress()
        parts = [f"{now.ended} of {now.requested} trials ended"]
        if now.bests:
            parts.append(self._best_text(now))
        if now.seconds_left:
            parts.append(f"about {format_duration(now.seconds_left)} left")
        return "; ".join(parts)

    def _best_text(self, now: Progress) -> str:
        return best_text(now, self._metric) or "no epoch yet"

    def _ended_line(self, event: TrialEnded) -> str:
        best = self._records[event.trial].best(self._metric, self._mode)
        value = ""
        if best:
            value = f"{self._metric} {format_value(best.value)} "
        state = f"[{STATE_COLOURS[event.state]}]{event.state:9}[/]"
        reason = event.reason.splitlines()[0]
        return f"{state} trial {event.trial:<4} {value}[dim]{escape(reason)}[/dim]"

    def _render(self) -> Group:
        ended = Text.from_markup(visible("\n".join(self._ended_lines)), overflow="ellipsis")
        ended.no_wrap = True
        return Group(self._header(), self._running_table(), ended)

    def _header(self) -> Table:
        now = self._current_progress()
        header = Table.grid(padding=(0, 2))
        counts = "  ".join(f"{count} {state}" for state, count in now.counts.items())
        bar = ProgressBar(max(now.requested, 1), now.ended, width=24)
        title = Text(visible(self._title), style="bold")
        header.add_row(title, bar, f"{now.ended}/{now.requested}", counts)
        left = "time left: after the first epoch"
        if now.seconds_left:
            left = f"about {format_duration(now.seconds_left)} left"
        elapsed = format_duration(time.monotonic() - self._started)
        style = ""
        if now.bests:
            style = "bold green"
        best = Text(visible(self._best_text(now)), style=style)
        header.add_row(best, "", "", f"{elapsed} elapsed, {left}")
        return header

    def _running_table(self) -> Table:
        table = Table(box=None, header_style="dim", padding=(0, 2))
        for column in ("trial", "epoch", self._metric, "best", "images/s"):
            table.add_column(column, justify="right", no_wrap=True, overflow="ellipsis")
        table.add_column("configuration", justify="left", no_wrap=True, overflow="ellipsis")
        records = list(self._records.values())
        running = [record for record in records if record.state == TrialState.RUNNING]
        for record in running[:MAX_RUNNING_ROWS]:
            table.add_row(*self._running_cells(record), escape(format_axes(record.axes)))
        return table

    def _running_cells(self, record: Record) -> tuple[str, str, str, str, str]:
        last = record.epochs.get(record.last_epoch, {})
        value = format_value(last.get(self._metric, ""))
        speed = ""
        if last:
            speed = f"{last.get('images_per_second', 0):.0f}"
        best = record.best(self._metric, self._mode)
        best_value = ""
        if best:
            best_value = format_value(best.value)
        epoch = f"{record.last_epoch}/{record.config['epochs']}"
        return str(record.number), epoch, value, best_value, speed
