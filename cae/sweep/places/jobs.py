"""A Ray job as the place where a sweep runs: submitted from outside the cluster and followed."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from cae.errors import RunError, UserError
from cae.run.storage import is_url
from cae.sweep.places.base import Place, Resources
from cae.sweep.places.ray_start import first_line
from cae.sweep.places.staging import PACKAGE, stage_sweep
from cae.sweep.spec.packaged_sweeps import locate_sweep
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.messages import ConfigError

RUN_METADATA = "cae-sweep run"
"""Key of a job's metadata: the location of its run."""
POLL_SECONDS = 2.0
DETACHED = 130
"""Exit code after Ctrl-C; the job continues."""


class JobPlace(Place):
    """The whole command runs on a cluster, as a Ray job. `address`: http://HOST:PORT."""

    def __init__(self, address: str) -> None:
        self.address = address

    @override
    def delegate(self, sweep: Path, out: str | None, arguments: Sequence[str]) -> int:
        return submit(self.address, sweep, out, arguments)

    @override
    @contextlib.contextmanager
    def connect(self, sweep_file: Path, *, start: bool) -> Iterator[Resources]:
        raise RunError(f"--address {self.address}: trials of a job run on the cluster, not here")
        yield  # makes this function a generator


def submit(address: str, sweep: Path, out: str | None, arguments: Sequence[str]) -> int:
    """Submit `cae-sweep run` with these arguments and follow the job.

    If a job runs the same run already, follow that one. Returns the job's exit code, or DETACHED
    after Ctrl-C. Raises UserError if it cannot be submitted.
    """
    errors = list(read_sweep_file(sweep).errors)
    if not out or not (is_url(out) or Path(out).is_absolute()):
        errors.append(
            f"--out {out or ''}: with --address {address} it should be an absolute path on a disk "
            "that all hosts share, or s3://BUCKET/PATH"
        )
    if errors:
        raise ConfigError(errors)
    client = _connect(address)
    name = _find_job(client, out)
    if name:
        print(f"job {name} runs {out} already: following it", file=sys.stderr)
    else:
        name = _submit(client, sweep, out, arguments)
        message = (
            f"submitted to {address} as job {name}; Ctrl-C detaches, the same command attaches"
        )
        print(message, file=sys.stderr)
    return _follow(client, name)


def _connect(address: str) -> Any:
    try:
        from ray.job_submission import JobSubmissionClient

        return JobSubmissionClient(address)
    except ImportError as error:
        fix = "pip install 'cae-sweep[cluster]'"
        raise UserError(f"--address {address}: {first_line(error)}; {fix}") from None
    except (ConnectionError, RuntimeError, ValueError) as error:
        hint = "is it the cluster's dashboard, and RAY_AUTH_TOKEN_PATH its token?"
        raise RunError(f"--address {address}: {first_line(error)}; {hint}") from None


def _find_job(client: Any, out: str | None) -> str:
    """The job that works on this run; empty if there is none."""
    for job in client.list_jobs():
        metadata = job.metadata or {}
        if metadata.get(RUN_METADATA) == out and not job.status.is_terminal():
            return str(job.submission_id)
    return ""


def _submit(client: Any, sweep: Path, out: str | None, arguments: Sequence[str]) -> str:
    file = locate_sweep(sweep)
    command = ["python", "-m", "cae", *_arguments_on_cluster(arguments, sweep, file.name)]
    command += ["--address", "auto", "--yes"]
    with stage_sweep(file) as folder:
        environment = {"working_dir": folder, "py_modules": [str(PACKAGE)]}
        name = client.submit_job(
            entrypoint=shlex.join(command), runtime_env=environment, metadata={RUN_METADATA: out}
        )
    return str(name)


def _arguments_on_cluster(arguments: Sequence[str], sweep: Path, file_name: str) -> list[str]:
    """The arguments without --address; there the sweep file is in the working directory."""
    result: list[str] = []
    is_address = False
    for argument in arguments:
        if is_address:
            is_address = False
        elif argument == "--address":
            is_address = True
        elif argument.startswith("--address="):
            pass
        elif not argument.startswith("-") and Path(argument) == sweep:
            result.append(file_name)
        else:
            result.append(argument)
    return result


def _follow(client: Any, name: str) -> int:
    """Print the job's output from its beginning to its end; reconnect if the connection breaks."""
    printed = 0

    async def tail() -> None:
        nonlocal printed
        position = 0
        async for part in client.tail_job_logs(name):
            new = part[max(printed - position, 0) :]
            position += len(part)
            printed += len(new)
            print(new, end="", flush=True)

    try:
        while not (status := client.get_job_status(name)).is_terminal():
            try:
                asyncio.run(tail())
            except (ConnectionError, RuntimeError) as error:
                message = f"the connection to job {name} broke ({first_line(error)}); reconnecting"
                print(message, file=sys.stderr)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        message = (
            f"\njob {name} continues; the same command attaches again, "
            "and `cae-sweep stop` with its run stops it"
        )
        print(message, file=sys.stderr)
        return DETACHED
    info = client.get_job_info(name)
    if info.driver_exit_code is None or status.name == "STOPPED":
        print(f"job {name}: {status.name.lower()}: {info.message}", file=sys.stderr)
    if info.driver_exit_code is None:
        return 1
    return int(info.driver_exit_code)
