"""Runs that are kept in a bucket (s3://BUCKET/PATH): worked on in a local copy, by the code of every run, and carried there and back.

    sweep.json  trials.csv  report.html ...     as they are
    journal/000001.jsonl, 000002.jsonl, ...     the journal in pieces, for a bucket cannot append; each `run` begins a new one
    trials/0007/...                             carried by the worker that trains the trial, from a folder of its own host
    trials/0007/owner                           which worker that is: another one, that was cut off, may write no more
    lock/OWNER                                  who runs the sweep, written anew every few seconds for as long as it lives
    control/stop, control/kill-0007             requests, as in a folder

Every object is written whole. What cannot be done for the moment, because the store or the network is down, is tried again for
ten minutes; what will never be (no such bucket, no right to it) is told at once. Credentials come from where AWS's own tools
look for them (environment, ~/.aws, the machine's role), never from the address, and stay in that process.
"""

from __future__ import annotations

import os
from pathlib import Path

from cae.errors import RunError
from cae.run.locate import find_run
from cae.run.paths import RunDir
from cae.run.storage.bucket_run import BucketRun
from cae.run.storage.store import Bucket, StorageError, is_url, open_store
from cae.run.storage.trial_directory import LOG, Home

__all__ = [
    "LOG",
    "Bucket",
    "BucketRun",
    "Home",
    "StorageError",
    "find",
    "is_url",
    "open_store",
    "run_at",
]


def run_at(place: str | os.PathLike[str]) -> RunDir:
    """The run that is, or will be, at a path or in a bucket. Raises StorageError for a bucket that cannot be used."""
    return BucketRun(str(place)) if is_url(place) else RunDir(place)


def find(place: str | None, root: Path) -> RunDir:
    """The run that a user means (see `rundir.find_run`), be it in a bucket."""
    if place is None or not is_url(place):
        return find_run(Path(place) if place else None, root)
    run = run_at(place)
    if not run.sweep_json.exists():
        raise RunError(f"{run} is not a run: it has no {run.sweep_json.name}")
    return run
