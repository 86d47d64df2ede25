"""Driving a cluster of Ray from one of its hosts: what it has, and how the sweep's files come to every host."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from cae.errors import RunError, gather
from cae.sweep.engine.session import Prepared, Selection, prepare
from cae.sweep.places.local import (
    Resources,
    first_line,
    local_resources,
    nodes,
    quiet,
    shares,
    sigterm_kept,
)

PACKAGE = Path(__file__).parents[2]
WHERE_CLUSTER = (
    "this command has to run on one of the cluster's hosts (`ray start` there first, see cluster/README.md), with its token "
    "(RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH); from elsewhere, submit it: --address http://HOST:8265"
)
MOST_FILES, MOST_BYTES = 2_000, 50_000_000
Shares = tuple[int | None, float | None, float]
"""--gpus, --gpus-per-trial, --cpus-per-trial."""
IN_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it for the driver of a submitted job, whose files have come along with the job."""


@contextlib.contextmanager
def cluster_ray(address: str, sweep_file: Path) -> Iterator[None]:
    """A cluster's Ray (`auto`, or HOST:PORT of its head) for as long as the context lasts. The sweep file, what lies beside it
    and this very package go to every host with it. Raises RunError where there is no cluster."""
    import ray

    quiet()
    with contextlib.ExitStack() as stack:
        environment = None
        if not os.environ.get(IN_JOB):  # a job has brought its files along
            environment = {
                "working_dir": stack.enter_context(staged(sweep_file)),
                "py_modules": [str(PACKAGE)],
            }
        try:
            with sigterm_kept():
                ray.init(
                    address=address,
                    runtime_env=environment,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=False,
                )
        except (OSError, RuntimeError, ValueError) as error:
            ray.shutdown()
            raise RunError(f"--address {address}: {first_line(error)}; {WHERE_CLUSTER}") from error
        stack.callback(ray.shutdown)
        yield


@contextlib.contextmanager
def staged(sweep_file: Path) -> Iterator[str]:
    """A folder with the sweep file and what lies beside it, for a cluster's hosts. Raises RunError where that is too much."""
    source = sweep_file.resolve().parent
    with tempfile.TemporaryDirectory() as folder:
        count = size = 0
        for path in _beside(source):
            count, size = count + 1, size + path.stat().st_size
            if count > MOST_FILES or size > MOST_BYTES:
                much = f"more than {MOST_FILES:,} files or {MOST_BYTES / 1e6:.0f} MB"
                raise RunError(
                    f"{source} holds {much}, and goes to every host: put {sweep_file.name} into a folder of its own"
                )
            target = Path(folder) / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield folder


def _beside(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in ("__pycache__", "runs") or path.is_symlink():
            continue
        if path.is_dir() and not (path / "pyvenv.cfg").exists():
            yield from _beside(path)
        elif path.is_file():
            yield path


def cluster_resources(
    gpus: int | None, gpus_per_trial: float | None, cpus_per_trial: float
) -> Resources:
    """The cluster that this process is connected to, as the options cut it. Raises ConfigError, as `local_resources` does."""
    there_are = nodes()
    cpus, there = int(sum(node[0] for node in there_are)), int(sum(node[1] for node in there_are))
    most, told = max(node[0] for node in there_are), f"the cluster's {len(there_are)} hosts have"
    use, share = shares(
        gpus,
        gpus_per_trial,
        there,
        f"{told} {there}",
        cpus_per_trial,
        most,
        f"{told} {most:g} at most",
    )
    return Resources(cpus, use, cpus_per_trial, share, there_are)


@contextlib.contextmanager
def begun(
    address: str | None, sweep: Path, select: Callable[[], Selection], shares: Shares
) -> Iterator[tuple[Resources, Prepared]]:
    """The sweep, read and planned, and what it may use: of the cluster at `address`, which stays connected as long as the context
    lasts, or of this machine. Raises UserError with all that is wrong, before anything is written."""
    if not address:
        resources, prepared = gather(lambda: local_resources(*shares), lambda: prepare(select()))
        yield resources, prepared
        return
    prepared = prepare(select())
    with cluster_ray(address, sweep):
        yield cluster_resources(*shares), prepared
