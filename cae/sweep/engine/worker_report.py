"""What workers receive from the runner and report to the recorder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae.run.events import EpochFinished, TrialEnded
from cae.sweep.places.hosts import HostRequirements
from cae.sweep.spec.code_snapshot import CodeSnapshot

INPUTS = "inputs"
"""Key of the TrialInputs in a trial's configuration of Tune."""
REPORT = "report"
"""Key of the WorkerReport in a result of Tune."""


@dataclass(frozen=True, kw_only=True)
class TrialInputs:
    """What a worker needs to know about one trial."""

    config: dict[str, Any]
    """The configuration by dotted name."""
    location: str
    """Path or URI of the trial's folder."""
    dataset_key: str
    finished_epochs: int
    """Epochs that the journal contains already."""
    fingerprint: str
    """Of its images, and of those of its dependencies."""
    code: str
    """Digest of the source code of the user's components; empty without such components."""
    dependency_locations: dict[str, str]
    """Folders of the trials that this one depends on, by parameter of the task."""
    metric: str
    """The metric by which the trial's best epoch is chosen."""
    mode: str
    judged_epochs: frozenset[int] | None
    """The epochs after which the scheduler may end or pause the trial; None: all."""


@dataclass(frozen=True, kw_only=True)
class SweepInputs:
    """What all workers of a sweep receive, once per host."""

    sweep_file: Path
    code: CodeSnapshot
    """The text of the sweep file and of what it imports, as it was planned."""
    metric: str
    """The metric of the sweep, by which its scheduler judges trials."""
    cpus_per_trial: float
    gpus_per_trial: float
    gpu_memory_share: float = 1.0
    """The part of a GPU's memory that a trial may use."""
    simulates_gpus: bool = False
    """Whether trials with GPUs run on the CPU: for tests and rehearsals."""
    latent: bool = True
    """Whether the latent code of each trial is measured when it ends."""
    requirements: HostRequirements | None = None
    """What a host of a cluster must have; None on one machine."""


@dataclass(frozen=True, kw_only=True)
class TrialUsage:
    """What a trial has used of its host; None: not known, or the trial has no GPU.

    The fields are those of TrialEnded.
    """

    peak_host_bytes: int | None = None
    gpus_per_trial: float | None = None
    gpu_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    peak_gpu_allocated_bytes: int | None = None
    peak_gpu_process_bytes: int | None = None
    gpu_busy: float | None = None
    gpu_busy_unknown: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkerReport:
    """What a worker did in one step. The journal takes the events as they are."""

    epoch: EpochFinished | None = None
    end: TrialEnded | None = None
    usage: TrialUsage | None = None
    """What the trial has used so far."""
    is_restored: bool = False
    """Whether the epoch comes from a checkpoint and was not trained now."""
    restart_reason: str = ""
    """Why the trial restarted at this epoch, if it did and the worker found the reason."""
    abort_reason: str = ""
    """Why the whole sweep has to end: a full disk, a bucket that cannot be reached, an unfit
    host."""
