"""Where trials run: this machine's Ray or a cluster's, how it is cut into slots, and what it is called in a journal."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import platform
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cae.errors import RunError
from cae.trial.config import ConfigError

# Read by Ray when it is imported: our journal and our table replace its loggers, its reporter and its snapshots.
os.environ |= {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that fails in its first epoch reports no metric
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the runner has its own
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # a sweep reports to nobody but its user
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU sees none
}


@dataclass(frozen=True)
class Resources:
    """What a run may use, and what each trial takes of it."""

    cpus: int
    gpus: int
    cpus_per_trial: float
    gpus_per_trial: float
    nodes: tuple[tuple[float, float], ...] = ()
    """CPUs and GPUs of each host of a cluster; none: all are on this machine."""
    device: str = ""
    """What the trials run on, in words, where a cluster has been asked."""

    @property
    def slots(self) -> int:
        """How many trials run at a time."""
        on_hosts = sum(
            self._slots(cpus, gpus) for cpus, gpus in self.nodes or [(self.cpus, self.gpus)]
        )
        return (
            min(on_hosts, self._slots(float("inf"), self.gpus)) if self.gpus_per_trial else on_hosts
        )

    def _slots(self, cpus: float, gpus: float) -> int:
        """Of one host. A trial's share of a GPU is of one; a trial of several has them on one host."""
        if not self.gpus_per_trial:
            return int(cpus / self.cpus_per_trial)
        whole = self.gpus_per_trial >= 1
        by_gpu = (
            int(gpus) // int(self.gpus_per_trial)
            if whole
            else int(gpus) * int(1 / self.gpus_per_trial)
        )
        return min(by_gpu, int(cpus / self.cpus_per_trial) if cpus < float("inf") else by_gpu)


def local_resources(
    gpus: int | None, gpus_per_trial: float | None, cpus_per_trial: float
) -> Resources:
    """This machine, as the options cut it. Raises ConfigError with every option that it cannot fulfil."""
    there = torch.cuda.device_count()
    said = f"this machine has {there} that torch can use ({_why_no_gpu()})"
    use, share = shares(
        gpus, gpus_per_trial, there, said, cpus_per_trial, _cpus(), f"this machine has {_cpus()}"
    )
    return Resources(_cpus(), use, cpus_per_trial, share)


def nodes() -> tuple[tuple[float, float], ...]:
    """CPUs and GPUs of each host of the cluster that is there now."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return tuple(sorted((float(node.get("CPU", 0)), float(node.get("GPU", 0))) for node in alive))


def slots_now(resources: Resources) -> int:
    """How many trials run at a time on the hosts that a cluster has now: some have joined, or left."""
    return replace(resources, nodes=nodes()).slots


def shares(
    gpus: int | None,
    gpus_per_trial: float | None,
    there: int,
    have: str,
    cpus_per_trial: float,
    most_cpus: float,
    have_cpus: str,
) -> tuple[int, float]:
    """GPUs to use, and the share of each trial. Raises ConfigError with every option that cannot be fulfilled."""
    use = there if gpus is None else gpus
    share = gpus_per_trial if gpus_per_trial is not None else float(use > 0)
    mistakes = []
    if use > there:
        mistakes.append(f"--gpus {use}: {have}")
    if share > use:
        mistakes.append(f"--gpus-per-trial {share:g} is more than the {use} GPUs of this run")
    if share > 1 and share != int(share):
        mistakes.append(
            f"--gpus-per-trial {share:g}: a share of one GPU (0.5) or a whole number of them"
        )
    if not 0 < cpus_per_trial <= most_cpus:
        mistakes.append(f"--cpus-per-trial {cpus_per_trial:g}: {have_cpus}")
    if mistakes:
        raise ConfigError(mistakes)
    return use, share


@contextlib.contextmanager
def local_ray(resources: Resources) -> Iterator[None]:
    """A Ray of this machine's own for as long as the context lasts; one that this process already has is used as it is."""
    import ray

    if ray.is_initialized():
        yield
        return
    quiet()
    try:
        with sigterm_kept():
            ray.init(
                address="local",
                num_cpus=resources.cpus,
                num_gpus=resources.gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
    except (OSError, RuntimeError, ValueError) as error:
        ray.shutdown()
        raise RunError(f"Ray could not start on this machine: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def sigterm_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it starts, prints a stack and may abort: afterwards, what was there before stands again."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def quiet() -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(
        logging.CRITICAL
    )  # it repeats what the journal says of each trial


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _why_no_gpu() -> str:
    if torch.version.cuda is None:
        return "this build of torch has no CUDA"
    return (
        "CUDA_VISIBLE_DEVICES hides the others"
        if os.environ.get("CUDA_VISIBLE_DEVICES")
        else "torch.cuda.device_count()"
    )


def device_name(resources: Resources) -> str:
    """What the trials run on, in words."""
    if resources.device:
        return resources.device
    if resources.gpus and torch.cuda.is_available():
        return f"{resources.gpus} x {torch.cuda.get_device_name(0)}"
    return f"cpu: {resources.cpus} x {_cpu_model()}"


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of all that the numbers of a run depend on."""
    packages = ("cae-sweep", "torch", "ray", "numpy")
    return {"python": platform.python_version()} | {
        package: importlib.metadata.version(package) for package in packages
    }


def git_commit(folder: Path) -> str | None:
    """The commit of the sweep file's repository, `-dirty` where it has changes; None outside a repository."""
    command = [
        "git",
        "-C",
        str(folder),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return None
