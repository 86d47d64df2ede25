"""Ends a start of Ray that takes too long: without enough processes or memory it hangs.

The start hangs in C++ code that does not let other threads of Python run. So the watchdog is a
process of its own. It imports nothing but the standard library and modules like this one.
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
    """Make SIGQUIT call `_exit` of C, whose argument is then the signal's number: 3.

    This works, unlike a handler in Python, while C++ code does not return.
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
    """Likely causes, and the last errors in Ray's logs, which are in a private folder."""
    text = likely_causes()
    for name in ERROR_LOGS:
        line = _last_line(folder / RAY / LOGS / name)
        if line:
            text += f"; Ray's {name}: {line}"
    return text


def _last_line(log: Path) -> str:
    """The last line of a log that is no frame of a stack."""
    with contextlib.suppress(OSError):
        for line in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()):
            words = " ".join(line.split())
            if words and "@ 0x" not in words:
                return words[:MAX_LOG_LINE]
    return ""


# In the watchdog's process


def main() -> None:
    """Watch the process of the command line's arguments, until standard input is closed."""
    process, folder, seconds = int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    # Seconds are counted, not read from a clock: a machine that sleeps does not start Ray.
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
