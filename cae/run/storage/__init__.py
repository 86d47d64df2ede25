"""Runs in a bucket (s3://BUCKET/PATH): the code for folders works on a local copy of the run.

sweep.json  trials.csv  report.html ...     the same files as in a folder
journal/000001.jsonl, 000002.jsonl, ...     the journal in parts, because a bucket cannot append;
                                            each `run` starts a new part
trials/0007/...                             uploaded by the worker that trains the trial
trials/0007/owner                           which worker that is: another one, which lost its
                                            connection, may no longer upload
lock/OWNER                                  who runs the sweep, written every few seconds
control/stop, control/kill-0007             requests, as in a folder

Every object is written as a whole. While the store or the network is down, operations are retried
for ten minutes; permanent errors (no such bucket, no permission) are reported immediately.
Credentials come from where the tools of AWS find them (environment, ~/.aws, the role of the
machine), never from the URL, and stay in the process.
"""

from __future__ import annotations

import os
from pathlib import Path

from cae.errors import RunError
from cae.run.locate import find_run
from cae.run.paths import RunDir
from cae.run.storage.bucket_run import BucketRun
from cae.run.storage.store import Bucket, StorageError, is_url, open_store
from cae.run.storage.trial_directory import LOG, TrialDirectory

__all__ = [
    "LOG",
    "Bucket",
    "BucketRun",
    "StorageError",
    "TrialDirectory",
    "is_url",
    "locate_run",
    "open_store",
    "run_at",
]


def run_at(location: str | os.PathLike[str]) -> RunDir:
    """The run at a path or a URL, whether it exists yet or not.

    Raises StorageError for an invalid URL or a bucket that cannot be used.
    """
    if is_url(location):
        return BucketRun(str(location))
    return RunDir(location)


def locate_run(location: str | None, root: Path) -> RunDir:
    """The run that a user names: a URL, or a folder as in `find_run`.

    Raises RunError if there is no such run.
    """
    if not location:
        return find_run(None, root)
    if not is_url(location):
        return find_run(Path(location), root)
    run = run_at(location)
    if not run.exists():
        raise RunError(f"{run} is not a run: it has no {run.sweep_json.name}")
    return run
