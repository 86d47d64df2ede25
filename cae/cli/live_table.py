"""The live table in a terminal; single lines where the output is not a terminal."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from cae.cli.columns import Column, fitting_columns, make_table
from cae.cli.console import Console
from cae.cli.output import discard_output
from cae.run.events import Notice, Stopping, TrialEnded, TrialStarted
from cae.run.formatting import count_of, format_axes, format_duration, format_value, visible
from cae.run.metric_direction import Mode
from cae.run.records import Record
from cae.run.status import Progress, best_text, progress
from cae.run.trial_state import TrialState

if TYPE_CHECKING:
    from cae.sweep.engine.session import Display, Prepared
    from cae.sweep.spec.plan import Plan

MAX_RUNNING_ROWS = 12
MAX_ENDED_LINES = 8
BAR_WIDTH = 20
MIN_CONFIGURATION_WIDTH = 10
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


@dataclass(frozen=True)
class RunningCells:
    """What the table shows of a running trial, besides its configuration."""

    trial: str
    epoch: str
    value: str
    best: str
    speed: str


class LiveTable:
    """Shows a running sweep.

    A context manager; call it with each event after the event was applied to the records, when the
    sweep is stopped, and with None from time to time.
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
        self._has_started = False
        """Whether a worker has started a trial in this session."""
        self._stopping: Stopping | None = None
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

    def __call__(self, event: Notice) -> None:
        if self._quiet:
            return
        try:
            self._show(event)
        except OSError:  # the reader of the output is gone: the sweep continues without output
            self._quiet = True
            discard_output()

    def _show(self, event: Notice) -> None:
        now = time.monotonic()
        if isinstance(event, TrialStarted):
            self._has_started = True
        if isinstance(event, Stopping):
            self._stopping = event
            self._refreshed = 0.0  # show it immediately
        if isinstance(event, TrialEnded):
            self._last_line = now
            line = self._ended_line(event)
            self._ended_lines.append(line)
            if not self._live:
                summary = escape(visible(self._summary()))
                text = Text.from_markup(f"{visible(line)}  [dim]{summary}[/dim]")
                self._console.print(text, soft_wrap=True)
        elif not self._live and now - self._last_line > LINE_SECONDS:
            self._last_line = now
            self._console.print(self._summary(), soft_wrap=True, highlight=False, markup=False)
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
            metric = escape(self._metric)
            value = f"its best {metric} {format_value(best.value)} (epoch {best.epoch}); "
        state = f"[{STATE_COLOURS[event.state]}]{event.state:9}[/]"
        reason = event.reason.splitlines()[0]
        return f"{state} trial {event.trial:<4} {value}[dim]{escape(reason)}[/dim]"

    def _render(self) -> Group:
        """The table, at most as high and as wide as the terminal."""
        width = self._console.width
        header = self._header(width)
        room = self._console.height - len(header) - 2  # the heading of the table, and the cursor
        running = [
            record for record in list(self._records.values()) if record.state == TrialState.RUNNING
        ]
        if len(running) > min(MAX_RUNNING_ROWS, room):
            room -= 1  # for the line that counts the others
        shown = running[: max(1, min(MAX_RUNNING_ROWS, room))]
        lines: list[RenderableType] = [*header]
        if shown:
            lines.append(make_table(self._columns(shown, width), width, header_style="dim"))
        hidden = len(running) - len(shown)
        if hidden:
            lines.append(Text(f"and {hidden} more running", style="dim"))
        room -= len(shown)
        for line in self._last_ended(room):
            text = Text.from_markup(visible(line), overflow="ellipsis")
            text.no_wrap = True
            lines.append(text)
        return Group(*lines)

    def _last_ended(self, count: int) -> list[str]:
        """The lines of the trials that ended last."""
        if count <= 0:
            return []
        return list(self._ended_lines)[-count:]

    def _header(self, width: int) -> list[Text]:
        """Lines of at most `width` characters: title, progress, the best value and times."""
        now = self._current_progress()
        counts = [f"{count} {state}" for state, count in now.counts.items()]
        share = now.ended / max(now.requested, 1)
        done = round(BAR_WIDTH * share)
        bar = "━" * BAR_WIDTH
        lines = wrap_parts([f"{bar} {now.ended}/{now.requested}", *counts], width)
        progress_lines = [Text(line) for line in lines]
        progress_lines[0].stylize("green", 0, done)
        progress_lines[0].stylize("dim", done, BAR_WIDTH)
        elapsed = f"{format_duration(time.monotonic() - self._started)} elapsed"
        best, space, trial = visible(self._best_text(now)).partition(" (")
        if space:
            trial = f"({trial}"
        lines = wrap_parts([best, trial, elapsed, self._time_left(now)], width)
        best_lines = [Text(line, overflow="ellipsis") for line in lines]
        if now.bests:
            best_lines[0].stylize("bold green", 0, len(best))
        title = Text(visible(self._title), style="bold", overflow="ellipsis")
        header = [title, *progress_lines, *best_lines]
        if self._stopping is not None:
            header += [Text(line, style="bold yellow") for line in self._stopping_lines(width)]
        for line in header:
            line.no_wrap = True
        return header

    def _time_left(self, now: Progress) -> str:
        if self._stopping is not None:
            return ""
        if not self._has_started:
            return "starting workers"
        if now.seconds_left:
            return f"about {format_duration(now.seconds_left)} left"
        return "time left: after the first epoch"

    def _stopping_lines(self, width: int) -> list[str]:
        if self._stopping is None:
            return []
        trials = count_of(self._stopping.running, "trial")
        text = f"stopping: saving {trials}; press Ctrl-C again to end immediately"
        return wrap_parts(text.split(), width, gap=" ")

    def _columns(self, records: list[Record], width: int) -> list[Column]:
        """The columns of the running trials for which the terminal is wide enough."""
        rows = [self._running_cells(record) for record in records]
        settings = [format_axes(record.axes) for record in records]
        columns = [
            Column("trial", [row.trial for row in rows]),
            Column("epoch", [row.epoch for row in rows]),
            Column(visible(self._metric), [row.value for row in rows]),
            Column("best", [row.best for row in rows], left_out=2),
            Column("images/s", [row.speed for row in rows], left_out=1),
            Column(
                "configuration",
                [visible(text) for text in settings],
                justify="left",
                min_width=MIN_CONFIGURATION_WIDTH,
                is_cut=True,
                left_out=3,
            ),
        ]
        return fitting_columns(columns, width)

    def _running_cells(self, record: Record) -> RunningCells:
        last = record.epochs.get(record.last_epoch, {})
        speed = ""
        if last:
            speed = f"{last.get('images_per_second', 0):.0f}"
        best = record.best(self._metric, self._mode)
        best_value = ""
        if best:
            best_value = format_value(best.value)
        return RunningCells(
            trial=str(record.number),
            epoch=f"{record.last_epoch}/{record.config['epochs']}",
            value=format_value(last.get(self._metric, "")),
            best=best_value,
            speed=speed,
        )


def wrap_parts(parts: list[str], width: int, gap: str = "  ") -> list[str]:
    """Join parts to lines of at most `width` characters; a longer part has a line of its own."""
    lines: list[str] = []
    for part in parts:
        if not part:
            continue
        if lines and cell_len(f"{lines[-1]}{gap}{part}") <= width:
            lines[-1] = f"{lines[-1]}{gap}{part}"
        else:
            lines.append(part)
    return lines
