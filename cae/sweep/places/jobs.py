"""A sweep submitted to a cluster from outside, as a Ray job: followed, detached from, picked up again."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cae.errors import RunError, UserError
from cae.run.storage import is_url
from cae.sweep.places.cluster import PACKAGE, staged
from cae.sweep.places.local import first_line
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.config import ConfigError

RUN = "cae-sweep run"
"""Key of a job's metadata: where the run is kept that it works on."""
RECONNECT_S = 2.0
DETACHED = 130


def submit(address: str, sweep: Path, out: str | None, argv: Sequence[str]) -> int:
    """Submits `cae-sweep run` with these words to the cluster whose dashboard is at `address`, or finds the job that runs the
    same run already, and follows it. Returns the job's exit code; DETACHED after Ctrl-C. Raises UserError where it cannot be submitted."""
    mistakes = read_sweep_file(sweep).mistakes
    if not out or not (is_url(out) or Path(out).is_absolute()):
        mistakes = [
            *mistakes,
            f"--out {out or ''}: with --address {address} an absolute path on a disk that all hosts share, or s3://BUCKET/PATH",
        ]
    if mistakes:
        raise ConfigError(mistakes)
    client = _client(address)
    running = [
        job
        for job in client.list_jobs()
        if (job.metadata or {}).get(RUN) == out and not job.status.is_terminal()
    ]
    if running:
        name = running[0].submission_id
        print(f"job {name} runs {out} already: following it", file=sys.stderr)
    else:
        words = ["python", "-m", "cae", *_inside(argv, sweep), "--address", "auto", "--yes"]
        with staged(sweep) as folder:
            files = {"working_dir": folder, "py_modules": [str(PACKAGE)]}
            name = client.submit_job(
                entrypoint=shlex.join(words), runtime_env=files, metadata={RUN: out}
            )
        print(
            f"submitted to {address} as job {name}; Ctrl-C leaves it running, the same command follows it again",
            file=sys.stderr,
        )
    return _follow(client, name)


def _client(address: str) -> Any:
    try:
        from ray.job_submission import JobSubmissionClient

        return JobSubmissionClient(address)
    except ImportError as error:
        raise UserError(
            f"--address {address}: {first_line(error)}; pip install 'cae-sweep[cluster]'"
        ) from None
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RunError(
            f"--address {address}: {first_line(error)}; is it the cluster's dashboard, and RAY_AUTH_TOKEN_PATH its token?"
        ) from None


def _inside(argv: Sequence[str], sweep: Path) -> list[str]:
    """The words of the command as the cluster is to have them: there, the sweep file is in the folder where the job begins."""
    words = list(argv)
    for place, word in enumerate(words):
        if word == "--address":
            del words[place : place + 2]
            break
        if word.startswith("--address="):
            del words[place]
            break
    return [
        sweep.name if not word.startswith("-") and Path(word) == sweep else word for word in words
    ]


def _follow(client: Any, name: str) -> int:
    """Prints what the job prints, from its beginning, until it ends. A connection that breaks is made again."""
    printed = 0

    async def tail() -> None:
        nonlocal printed
        told = 0
        async for part in client.tail_job_logs(name):
            new = part[max(printed - told, 0) :]
            told += len(part)
            printed += len(new)
            print(new, end="", flush=True)

    try:
        while not (status := client.get_job_status(name)).is_terminal():
            try:
                asyncio.run(tail())
            except (ConnectionError, RuntimeError) as error:
                print(
                    f"the connection to job {name} broke ({first_line(error)}); trying again",
                    file=sys.stderr,
                )
            time.sleep(RECONNECT_S)
    except KeyboardInterrupt:
        print(
            f"\njob {name} goes on; the same command follows it again, and `cae-sweep stop` on its run ends it gently",
            file=sys.stderr,
        )
        return DETACHED
    info = client.get_job_info(name)
    if info.driver_exit_code is None or status.name == "STOPPED":
        print(f"job {name}: {status.name.lower()}: {info.message}", file=sys.stderr)
    return int(info.driver_exit_code if info.driver_exit_code is not None else 1)
