"""Where trials run: the interface of a place, and how it is divided into slots."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from cae.run.paths import RunDir
from cae.sweep.places.hosts import HostRequirements
from cae.sweep.spec.plan import Plan
from cae.trial.messages import ConfigError


@dataclass(frozen=True)
class Host:
    """CPUs and GPUs of one host."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class ResourceOptions:
    """What the options of `cae-sweep run` request."""

    gpus: int | None = None
    """How many GPUs to use; None: all."""
    gpus_per_trial: float | None = None
    """None: one if there are GPUs."""
    cpus_per_trial: float = 1
    slots: int | None = None
    """How many trials run at the same time on this machine; None: as many as the CPUs allow."""


@dataclass(frozen=True)
class Resources:
    """What a run may use, and what each trial needs of it."""

    cpus: int
    gpus: int
    cpus_per_trial: float
    gpus_per_trial: float
    hosts: tuple[Host, ...] = ()
    """Hosts of a cluster; empty: everything is on this machine."""
    device: str = ""
    """What the trials run on, in words."""
    max_slots: int | None = None
    """What `--slots` requests; None: no other limit than CPUs and GPUs."""
    simulates_gpus: bool = False
    """Whether trials reserve GPUs of Ray, but run on the CPU: for tests and rehearsals."""

    @property
    def slots(self) -> int:
        """How many trials run at the same time."""
        hosts = self.hosts or (Host(self.cpus, self.gpus),)
        slots = sum(self._slots_of(host) for host in hosts)
        if self.gpus_per_trial:  # --gpus may limit the GPUs of a cluster
            slots = min(slots, self._slots_of(Host(math.inf, self.gpus)))
        if self.max_slots is not None:
            slots = min(slots, self.max_slots)
        return slots

    def _slots_of(self, host: Host) -> int:
        """Trials on one host. A share of a GPU is of a single one."""
        by_cpus = host.cpus / self.cpus_per_trial
        if not self.gpus_per_trial:
            return int(by_cpus)
        return int(min(int(host.gpus) * self.trials_per_gpu, by_cpus))

    @property
    def trials_per_gpu(self) -> int:
        """How many trials share a GPU; 0 if trials use none."""
        if not self.gpus_per_trial:
            return 0
        return int(1 / self.gpus_per_trial)

    def idle_gpus_hint(self) -> str:
        """A message if too few CPUs leave GPUs idle, with the remedy; empty if none are."""
        if not self.gpus_per_trial:
            return ""
        wanted = self.gpus * self.trials_per_gpu
        if self.slots >= wanted:
            return ""
        cpus = sum(host.cpus for host in self.hosts) or self.cpus
        idle = self.gpus - math.ceil(self.slots / self.trials_per_gpu)
        share = math.floor(cpus / wanted * 100) / 100
        return (
            f"{self.slots} trials at a time use {self.gpus - idle} of {self.gpus} GPUs: each "
            f"reserves {self.cpus_per_trial:g} of {cpus:g} CPUs; with --cpus-per-trial {share:g} "
            f"there are {wanted} at a time"
        )


@dataclass(frozen=True)
class Available:
    """What there is, with the words for an error message."""

    gpus: int
    gpus_text: str
    """Why there are not more."""
    max_cpus_per_trial: float
    cpus_text: str


def allocate_gpus(options: ResourceOptions, available: Available) -> tuple[int, float]:
    """GPUs to use, and GPUs per trial. Raises ConfigError with every option that cannot be met."""
    gpus = options.gpus
    if gpus is None:
        gpus = available.gpus
    per_trial = options.gpus_per_trial
    if per_trial is None:
        per_trial = float(gpus > 0)
    errors: list[str] = []
    if gpus > available.gpus:
        errors.append(f"--gpus {gpus}: {available.gpus_text}")
    if gpus < per_trial <= 1:
        errors.append(f"--gpus-per-trial {per_trial:g} is more than the {gpus} GPUs of this run")
    if per_trial > 1:
        errors.append(
            f"--gpus-per-trial {per_trial:g}: a trial uses one GPU; should be 1, or a share of one "
            "such as 0.5"
        )
    if not 0 < options.cpus_per_trial <= available.max_cpus_per_trial:
        errors.append(f"--cpus-per-trial {options.cpus_per_trial:g}: {available.cpus_text}")
    if errors:
        raise ConfigError(errors)
    return gpus, per_trial


@dataclass(frozen=True)
class CheckedHosts:
    """What `Place.check_hosts` found out."""

    resources: Resources
    sweep_file: Path
    """Where workers find the sweep file."""
    requirements: HostRequirements | None = None
    """What every host has to meet, also those that join later; None on one machine."""


class Place(ABC):
    """Where the trials of a sweep run."""

    def delegate(self, sweep: Path, out: str | None, arguments: Sequence[str]) -> int | None:
        """Execute the whole command elsewhere and return its exit code; None: run it here."""
        return None

    def check_options(self) -> None:
        """Raise ConfigError for options that this place cannot meet, as far as it can tell."""

    @abstractmethod
    def connect(self, sweep_file: Path, *, start: bool) -> AbstractContextManager[Resources]:
        """Start Ray or connect to it, and yield what it has. Raises RunError if that fails.

        Args:
            sweep_file: Workers need it and the files beside it.
            start: Whether trials will be trained; without any, Ray is not started.
        """

    def check_hosts(
        self, run: RunDir, plan: Plan, sweep_file: Path, resources: Resources
    ) -> CheckedHosts:
        """Check every host before the first trial. Raises RunError with all that is wrong."""
        return CheckedHosts(resources, sweep_file.resolve())

    def release_hosts(self, checked: CheckedHosts) -> None:
        """Remove what the check of the hosts left in the run's folder."""

    def count_slots(self, resources: Resources) -> int:
        """How many trials run at the same time now: hosts of a cluster join and leave."""
        return resources.slots
