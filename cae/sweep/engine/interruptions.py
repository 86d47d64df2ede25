"""Ends a sweep on a signal, or when a process of Ray has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from cae.errors import ENVIRONMENT_ERROR
from cae.run.events import ABORTED, SessionEnded
from cae.run.formatting import count_of
from cae.signals import stop_signals
from cae.sweep.engine import ray_compat
from cae.sweep.engine.recorder import Recorder


@contextlib.contextmanager
def stop_on_signals(recorder: Recorder) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM or SIGHUP stop the sweep, and a second signal end this process.

    Outside the main thread, signals are left to the caller.
    """

    def stop(number: int, frame: object) -> None:
        del frame
        if recorder.stop_reason:
            _exit_immediately(128 + number)
        recorder.stop_reason = f"interrupted by {signal.Signals(number).name}"
        with contextlib.suppress(OSError):  # after SIGHUP there is no terminal
            print(stopping_text(recorder, signal.Signals(number)), file=sys.stderr, flush=True)

    try:
        handlers = {kind: signal.signal(kind, stop) for kind in stop_signals()}
    except ValueError:  # not in the main thread: the caller handles signals
        yield
        return
    try:
        yield
    finally:
        for kind, handler in handlers.items():
            signal.signal(kind, handler)


def stopping_text(recorder: Recorder, number: signal.Signals) -> str:
    """What happens after a signal, and what a second one does."""
    trials = count_of(recorder.running_trials, "trial")
    again = "send it again"
    if number == signal.SIGINT:
        again = "press Ctrl-C again"
    return (
        f"{recorder.stop_reason}; stopping: saving {trials}, {again} to end immediately (finished "
        "epochs are kept)"
    )


def exit_after_ray_death(recorder: Recorder, before_exit: Callable[[str], None], name: str) -> None:
    """End this process with exit code 3: without its own processes, Ray may hang anywhere.

    Args:
        recorder: Its journal receives the reason.
        before_exit: Called with the reason.
        name: The process of Ray that has ended, such as `raylet`.
    """
    reason = f"{ABORTED}: Ray's {name} on this machine ended"
    recorder.journal.append_last(SessionEnded(reason=reason))
    message = f"\nerror: {reason}; what is finished is saved, run the same command to resume"
    print(message, file=sys.stderr)
    ray_compat.kill_ray()
    try:
        before_exit(reason)
    finally:  # also after an error of the function: this is a thread, and the others may hang
        _exit_immediately(ENVIRONMENT_ERROR)


def _exit_immediately(code: int) -> NoReturn:
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # show the cursor, which the live table hides
    sys.stderr.flush()
    os._exit(code)
