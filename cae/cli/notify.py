"""Runs a command of the user's when a sweep has ended."""

from __future__ import annotations

import os
import subprocess

from cae.cli.machine_output import json_text
from cae.cli.output import echo
from cae.errors import ENVIRONMENT_ERROR, UserError
from cae.run.paths import RunDir
from cae.run.status import run_status

NOTIFY_SECONDS = 60.0
"""After this time the command is killed."""


def notify_user(
    command: str | None, run: RunDir, reason: str, exit_code: int = ENVIRONMENT_ERROR
) -> None:
    """Run a shell command with the status of the run, as `status --json` prints it, as its input.

    Its environment has CAE_SWEEP_RUN, CAE_SWEEP_REASON (such as "complete") and
    CAE_SWEEP_EXIT_CODE. If the status cannot be read, its input is empty. If it fails, a line is
    printed.

    Args:
        command: The command; None: nothing is done.
        run: The run.
        reason: Why the sweep ended.
        exit_code: The exit code of `cae-sweep run`.
    """
    if not command:
        return
    variables = {
        "CAE_SWEEP_RUN": run.location(),
        "CAE_SWEEP_REASON": reason,
        "CAE_SWEEP_EXIT_CODE": str(exit_code),
    }
    problem = ""
    status = ""
    try:
        status = json_text(run_status(run).to_json())
    except (UserError, OSError) as error:  # the disk or the bucket fails, which may be the reason
        echo(f"--notify {command}: the status cannot be read: {error}", to_stderr=True)
    try:
        done = subprocess.run(
            command,
            shell=True,
            env=os.environ | variables,
            input=status.encode(),
            timeout=NOTIFY_SECONDS,
            check=False,
        )
        if done.returncode:
            problem = f"exit code {done.returncode}"
    except subprocess.TimeoutExpired:
        problem = f"not finished within {NOTIFY_SECONDS:.0f} s"
    except OSError as error:
        problem = str(error.strerror)
    if problem:
        echo(f"--notify {command}: {problem}", to_stderr=True)
