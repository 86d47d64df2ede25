"""Running a sweep: what the command `run` and `cae.run_sweep` have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cae.cli.console import Console
from cae.cli.errors import INTERRUPTED, exit_immediately_on_signals
from cae.cli.output import discard_output, echo
from cae.cli.watching import check_watch
from cae.errors import ENVIRONMENT_ERROR, gather
from cae.run.events import ABORTED, GAVE_UP, REACHED
from cae.run.paths import RunDir

if TYPE_CHECKING:
    from cae.run.status import Progress
    from cae.sweep.engine.session import Prepared, Selection
    from cae.sweep.run_request import RunOptions
    from cae.sweep.spec.sweep import Sweep

MAX_GROUP_LINES = 20
"""Comparability groups whose best trials are printed."""


@dataclass(frozen=True)
class Ended:
    """A session that ended."""

    prepared: Prepared
    reason: str
    notify: Callable[..., None]
    """Runs the command of `--notify`."""


class Delegated(Exception):
    """The command was executed elsewhere."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__()


def run_trials(
    select: Callable[[], Selection],
    options: RunOptions,
    *,
    sweep_file: Path | None = None,
    out: str | None = None,
    declared: Sweep | None = None,
    confirm: Callable[[int], None] | None = None,
) -> Ended:
    """Run a sweep or resume it, and show it.

    Args:
        select: Returns the selection of trials; may raise UserError.
        options: How it runs.
        sweep_file: The sweep file of a command that another place may execute; None: it is executed
            here.
        out: Folder of its run.
        declared: The sweep, if it is declared in no file.
        confirm: Called with the number of trials before they start; None: nothing is asked.

    Raises UserError, SweepAborted and Delegated.
    """
    console = Console(stderr=True)
    if not options.quiet:
        _print_step(console, "reading the sweep and the images")
    with exit_immediately_on_signals():
        from cae.sweep.places.auth_token import use_private_token

        if options.address is None:
            use_private_token()  # before Ray is imported
        from cae.cli import live_table, plan_text
        from cae.cli.following import follow
        from cae.cli.notify import notify_user
        from cae.sweep.engine import session
        from cae.sweep.engine.limits import Limits
        from cae.sweep.engine.sweep_stops import StopRules
        from cae.sweep.places.base import ResourceOptions
        from cae.sweep.places.choose import choose_place
    resources = ResourceOptions(
        options.gpus, options.gpus_per_trial, options.cpus_per_trial, options.slots
    )
    if options.watch:
        check_watch(options.address)
    place = choose_place(options.address, resources)
    if sweep_file is not None:
        exit_code = place.delegate(sweep_file, out, options.arguments)
        if exit_code is not None:
            raise Delegated(exit_code)
    _, prepared = gather(
        place.check_options, lambda: session.prepare(select(), declared, is_for_run=True)
    )
    for note in prepared.plan.image_notes:
        echo(f"images: {note}", to_stderr=True)
    for line in plan_text.note_lines(prepared.plan):
        echo(line, to_stderr=True)
    if confirm is not None:
        confirm(len(prepared.plan.remaining) + prepared.plan.to_come)
    display = live_table.display(prepared, console=console, quiet=options.quiet)

    def print_start() -> None:
        if not options.quiet:
            _print_step(console, "starting Ray and the workers")

    notify = functools.partial(notify_user, options.notify, prepared.run)
    with follow(
        prepared, display, console, options.track, notify, watch=options.watch
    ) as followed_display:
        reason = session.execute(
            prepared,
            place,
            command=options.command,
            display=followed_display,
            before_start=print_start,
            before_exit=notify,
            limits=Limits(options.epoch_timeout, options.max_failures),
            rules=StopRules(hours=options.max_hours, epochs=options.max_epochs),
        )
    return Ended(prepared, reason, notify)


def _print_step(console: Console, text: str) -> None:
    """Print a step of the start, which takes seconds, also into a file: an empty one looks hung."""
    try:
        console.print(f"[dim]{text}[/]")
    except OSError:  # the reader of the output is gone: the sweep continues without output
        discard_output()


def conclude(ended: Ended) -> int:
    """Write the report of a session that ended, print the outcome, and return the exit code."""
    # Imported only now: pandas and plotly would delay the first trial.
    from cae.report.page import build
    from cae.sweep.engine import session

    run: RunDir = ended.prepared.run
    try:
        page = build.build_all([run])
        progress = session.outcome(run)
    except Exception:
        ended.notify(ended.reason, ENVIRONMENT_ERROR)
        raise
    exit_code = _exit_code(progress, ended.reason)
    ended.notify(ended.reason, exit_code)  # before printing: the reader may be gone
    _print_outcome(progress, ended.prepared.file.sweep.metric, ended.reason, page)
    return exit_code


def _print_outcome(progress: Progress, metric: str, reason: str, page: Path) -> None:
    counts = ", ".join(f"{count} {state}" for state, count in progress.counts.items())
    if progress.earlier:
        counts += f"; {progress.earlier} of earlier sweeps"
    if reason != "complete":
        counts += f" ({reason})"
    echo(counts)
    for group in progress.bests[:MAX_GROUP_LINES]:
        trial, epoch, value = group.best
        label = ""
        if progress.groups > 1:
            label = f" at {group.label}"
        note = ""
        if group.is_earlier:
            note = " (of an earlier sweep)"
        echo(f"best{label}: trial {trial}, epoch {epoch}, {metric} {value:.6g}{note}")
    if len(progress.bests) > MAX_GROUP_LINES:
        echo(f"... and of {len(progress.bests) - MAX_GROUP_LINES} more groups: cae-sweep best")
    echo(f"report: {page}")
    hints: list[str] = []
    if reason.startswith(REACHED):
        if progress.ended < progress.requested:
            hints.append("trials remain: raise or remove the limit to continue")
    elif reason != "complete":
        hints.append("run the same command to resume")
    failures = [str(state) for state in progress.counts if state.is_failure]
    if failures:
        hints.append(f"add --retry {','.join(failures)} to re-run failed trials")
    if hints:
        echo("; ".join(hints), to_stderr=True)


def _exit_code(progress: Progress, reason: str) -> int:
    if reason == "complete" or reason.startswith(REACHED):
        return int(any(state.is_failure for state in progress.counts))
    if reason.startswith(GAVE_UP):
        return 1
    if reason.startswith(ABORTED):
        return ENVIRONMENT_ERROR
    return INTERRUPTED
