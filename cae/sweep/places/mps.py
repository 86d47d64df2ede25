"""NVIDIA's Multi-Process Service (MPS): trials that share a GPU run on it at the same time.

Without it, the GPU switches between the processes in time slices.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
PIPE_VARIABLE = "CUDA_MPS_PIPE_DIRECTORY"
LOG_VARIABLE = "CUDA_MPS_LOG_DIRECTORY"
MPS_VARIABLE = "CAE_SWEEP_MPS"
"""Environment variable: 0 turns MPS off."""
CONTROL_TIMEOUT_SECONDS = 20


@contextlib.contextmanager
def shared_gpu_service() -> Iterator[None]:
    """Start an MPS daemon for the processes that are started meanwhile.

    If that is not possible, a line on stderr says why, and trials are time-sliced. A daemon that
    the user has configured (CUDA_MPS_PIPE_DIRECTORY) is used as it is.
    """
    if os.environ.get(PIPE_VARIABLE):
        yield
        return
    problem = _missing()
    if problem:
        _report(problem)
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="cae-mps-"))
    os.environ[PIPE_VARIABLE] = str(folder)
    os.environ[LOG_VARIABLE] = str(folder)
    try:
        problem = _start()
        if problem:
            _unset_variables()
            _report(problem)
        yield
    finally:
        if not problem:
            _stop()
            _unset_variables()
        shutil.rmtree(folder, ignore_errors=True)


def _missing() -> str:
    if os.environ.get(MPS_VARIABLE, "1") == "0":
        return f"{MPS_VARIABLE} is 0"
    if shutil.which(CONTROL) is None:
        return f"{CONTROL} is not installed"
    return ""


def _start() -> str:
    """Start the daemon. Returns why it does not answer; empty if it does."""
    try:
        # The daemon inherits the files of its parent: a pipe would never be closed.
        subprocess.run(
            [CONTROL, "-d"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=CONTROL_TIMEOUT_SECONDS,
            check=True,
        )
        _send("get_default_active_thread_percentage")
    except (OSError, subprocess.SubprocessError) as error:
        return f"{CONTROL}: {error}"
    return ""


def _stop() -> None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        _send("quit")


def _send(command: str) -> None:
    subprocess.run(
        [CONTROL],
        input=f"{command}\n",
        capture_output=True,
        text=True,
        timeout=CONTROL_TIMEOUT_SECONDS,
        check=True,
    )


def _unset_variables() -> None:
    for name in (PIPE_VARIABLE, LOG_VARIABLE):
        os.environ.pop(name, None)


def _report(problem: str) -> None:
    print(f"trials that share a GPU will be time-sliced, without MPS: {problem}", file=sys.stderr)
