"""How many CPUs this process may use: its affinity, the quota of its container, and SLURM's."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

from cae.container_limits import CGROUPS, OWN_CGROUPS, own_groups

SLURM_VARIABLE = "SLURM_CPUS_PER_TASK"


def count_cpus() -> int:
    """The CPUs that this process may use; at least 1. A quota of 2.5 CPUs counts as 2."""
    limits = [float(_affinity())]
    quota = cgroup_quota(CGROUPS, OWN_CGROUPS)
    if quota is not None:
        limits.append(quota)
    slurm = os.environ.get(SLURM_VARIABLE, "")
    if slurm.isdigit() and int(slurm) > 0:
        limits.append(float(slurm))
    return max(1, math.floor(min(limits)))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_quota(cgroups: Path, own_cgroups: Path) -> float | None:
    """The smallest CPU quota of the process's control groups; None without one.

    Args:
        cgroups: Where the control groups are mounted, of version 1 or 2.
        own_cgroups: The file that lists those of the process.
    """
    quotas: list[float] = []
    for folder in own_groups("cpu", cgroups, own_cgroups):
        quota = _quota_of(folder)
        if quota is not None:
            quotas.append(quota)
    return min(quotas, default=None)


def _quota_of(folder: Path) -> float | None:
    """The quota of one group, in CPUs; None if it has none."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        if quota != "max":
            return int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((folder / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
        period_us = int((folder / "cpu.cfs_period_us").read_text(encoding="utf-8"))
        if quota_us > 0:
            return quota_us / period_us
    return None
