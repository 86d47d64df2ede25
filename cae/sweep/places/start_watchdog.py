"""Ends a start of Ray that takes too long.

Without enough processes or memory, the start hangs in C++ code, which blocks all threads of Python.
Therefore the watchdog is a separate process. It imports only the standard library and modules that
import nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cae.sweep.places.private_folder import RAY, delete_folder, end_ray_processes
from cae.sweep.places.ray_needs import likely_causes

RAY_START_SECONDS = 180
"""A start of Ray on this machine is ended if it takes longer; 5 to 20 s are usual."""
LOGS = "session_latest/logs"
ERROR_LOGS = ("raylet.err", "gcs_server.err")
"""Logs of Ray that are empty unless one of these processes fails."""
MAX_LOG_LINE = 200
ROOT = Path(__file__).parents[3]
PROGRAM = """
import os, sys
sys.path = sys.argv[1].split(os.pathsep)
from cae.sweep.places.start_watchdog import main
main()
"""


@contextlib.contextmanager
def bounded_start(folder: Path, seconds: int = RAY_START_SECONDS) -> Iterator[None]:
    """End this process, with a message and exit code 3, if the body takes longer.

    Ray's processes and its files in `folder`, the private folder of this process, are removed.
    """
    paths = os.pathsep.join([*sys.path, str(ROOT)])
    arguments = [paths, str(os.getpid()), str(folder), str(seconds)]
    watchdog = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM, *arguments],
        stdin=subprocess.PIPE,  # it ends when this is closed, also by the end of this process
        start_new_session=True,  # it does not see Ctrl-C
    )
    try:
        with _exit_code_3_at_sigquit():
            yield
    finally:
        watchdog.communicate()


@contextlib.contextmanager
def _exit_code_3_at_sigquit() -> Iterator[None]:
    """Make SIGQUIT end this process with exit code 3, even while C++ code hangs.

    A handler in Python would wait until the C++ code returns. The handler is C's `_exit` instead:
    it receives the number of the signal, 3, and takes it as the exit code (`ENVIRONMENT_ERROR`).
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.signal.restype = ctypes.c_void_p
    before = libc.signal(signal.SIGQUIT, ctypes.cast(libc._exit, ctypes.c_void_p))
    try:
        yield
    finally:
        libc.signal(signal.SIGQUIT, before)


def explain_failed_start(folder: Path) -> str:
    """Likely causes of a failed start, and the last errors in Ray's logs in the private folder."""
    text = likely_causes()
    for name in ERROR_LOGS:
        line = _last_line(folder / RAY / LOGS / name)
        if line:
            text += f"; Ray's {name}: {line}"
    return text


def _last_line(log: Path) -> str:
    """The last line of a log that is not a stack frame; empty if there is none."""
    with contextlib.suppress(OSError):
        for line in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()):
            words = " ".join(line.split())
            if words and "@ 0x" not in words:
                return words[:MAX_LOG_LINE]
    return ""


# In the watchdog's process


def main() -> None:
    """Wait until standard input is closed; end the watched process if that takes too long.

    Arguments of the command line after the module path: id of the watched process, its private
    folder, and how many seconds it has.
    """
    process = int(sys.argv[2])
    folder = Path(sys.argv[3])
    seconds = int(sys.argv[4])
    # Seconds are counted, not read from a clock, so that a suspended machine does not use them up.
    count = 0
    while count < seconds:
        if select.select([sys.stdin], [], [], 1)[0]:
            return
        if not _is_stopped(process):
            count += 1
    message = f"error: Ray did not start within {seconds} s; {explain_failed_start(folder)}"
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGQUIT)
    end_ray_processes(folder, except_process=process)
    delete_folder(folder)


def _is_stopped(process: int) -> bool:
    """Whether a process is stopped, such as by Ctrl-Z."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return status.rpartition(")")[2].split()[0] == "T"
    return False
