"""The live table in the terminal; lines where there is no terminal."""

from __future__ import annotations

import functools
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cae.run.events import Event, TrialEnded
from cae.run.records import Record
from cae.run.status import Progress, axes_shown, duration, progress, shown

if TYPE_CHECKING:
    from cae.sweep.engine.session import Display, Prepared
    from cae.sweep.places.local import Resources

RUNNING_SHOWN, ENDED_SHOWN = 12, 8
LINE_SECONDS = 30
"""Without a terminal, a line at least so often."""
MANY, SHARE = 500, 50
MARKS = {
    "finished": "green",
    "stopped": "yellow",
    "diverged": "magenta",
    "failed": "red",
    "oom": "red",
    "killed": "red",
}


def display(
    prepared: Prepared, resources: Resources, *, console: Console, quiet: bool = False
) -> Display:
    """Opens the live table of a prepared sweep."""
    sweep = prepared.file.sweep
    return functools.partial(
        LiveTable,
        prepared.file.title,
        metric=sweep.metric,
        mode=sweep.mode,
        slots=resources.slots,
        console=console,
        quiet=quiet,
    )


class LiveTable:
    """Shows a run's events as they come. Use it as a context; call it with each event, once it is in the records."""

    def __init__(
        self,
        title: str,
        records: dict[int, Record],
        *,
        metric: str,
        mode: str,
        slots: int,
        console: Console,
        quiet: bool,
    ) -> None:
        self.title, self.records, self.metric, self.mode, self.slots = (
            title,
            records,
            metric,
            mode,
            slots,
        )
        self.console, self.quiet = console, quiet
        self.ended: deque[str] = deque(maxlen=ENDED_SHOWN)
        self.started = self.told = time.monotonic()
        self.live: Live | None = None
        self.now: Progress | None = None
        self.look_again = 0.0

    def __enter__(self) -> Self:
        if not self.quiet and self.console.is_terminal:
            self.live = Live(
                console=self.console,
                refresh_per_second=4,
                get_renderable=self._render,
                transient=True,
            )
            self.live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self.live.__exit__(kind, error, trace)
            self.live = None

    def __call__(self, event: Event | None) -> None:
        if self.quiet:
            return
        if isinstance(event, TrialEnded):
            self.told = time.monotonic()
            line = self._ended(event)
            self.ended.append(line)
            if not self.live:
                self.console.print(
                    Text.from_markup(f"{line}  [dim]{self._summary()}[/dim]"), soft_wrap=True
                )
        elif not self.live and time.monotonic() - self.told > LINE_SECONDS:
            self.told = time.monotonic()
            self.console.print(self._summary(), soft_wrap=True, highlight=False)

    def _progress(self) -> Progress:
        """How all stands. Of MANY trials it is found anew only as often as takes 1/SHARE of the time, and not for each event."""
        started = time.monotonic()
        if not self.now or len(self.records) < MANY or started > self.look_again:
            self.now = progress(
                [record for record in self.records.values() if record.is_requested],
                self.metric,
                self.mode,
                self.slots,
            )
            ended = time.monotonic()
            self.look_again = ended + SHARE * (ended - started)
        return self.now

    def _summary(self) -> str:
        now = self._progress()
        best = (
            f"; best {self.metric} {shown(now.best[2])} (trial {now.best[0]}, epoch {now.best[1]})"
            if now.best
            else ""
        )
        left = f"; about {duration(now.seconds_left)} left" if now.seconds_left else ""
        return f"{now.ended} of {now.requested} trials ended{best}{left}"

    def _ended(self, event: TrialEnded) -> str:
        record = self.records[event.trial]
        found = record.best(self.metric, self.mode)
        best = f"{self.metric} {shown(found[1])} " if found else ""
        state = event.state
        reason = event.reason.splitlines()[0]
        return f"[{MARKS[state]}]{state:9}[/] trial {record.number:<4} {best}[dim]{escape(reason)}[/dim]"

    def _render(self) -> Group:
        now = self._progress()
        head = Table.grid(padding=(0, 2))
        counts = "  ".join(f"{count} {state}" for state, count in now.counts.items())
        bar = ProgressBar(max(now.requested, 1), now.ended, width=24)
        head.add_row(Text(self.title, style="bold"), bar, f"{now.ended}/{now.requested}", counts)
        left = (
            f"about {duration(now.seconds_left)} left"
            if now.seconds_left
            else "time left: after the first epoch"
        )
        best = (
            f"best {self.metric} {shown(now.best[2])} (trial {now.best[0]}, epoch {now.best[1]})"
            if now.best
            else "no epoch yet"
        )
        spent = duration(time.monotonic() - self.started)
        head.add_row(
            Text(best, style="bold green" if now.best else ""), "", "", f"{spent} so far, {left}"
        )
        table = Table(box=None, header_style="dim", padding=(0, 2))
        for column in ("trial", "epoch", self.metric, "best", "images/s", "configuration"):
            table.add_column(
                column,
                justify="left" if column == "configuration" else "right",
                no_wrap=True,
                overflow="ellipsis",
            )
        running = [record for record in self.records.values() if record.state == "running"]
        for record in running[:RUNNING_SHOWN]:
            last = record.epochs[max(record.epochs)] if record.epochs else {}
            found = record.best(self.metric, self.mode)
            speed = f"{last.get('images_per_second', 0):.0f}" if last else ""
            cells = (shown(last.get(self.metric, "")), shown(found[1]) if found else "", speed)
            epoch = f"{max(record.epochs, default=0)}/{record.config['epochs']}"
            table.add_row(str(record.number), epoch, *cells, escape(axes_shown(record.axes)))
        ended = Text.from_markup("\n".join(self.ended), overflow="ellipsis")
        ended.no_wrap = True
        return Group(head, table, ended)
