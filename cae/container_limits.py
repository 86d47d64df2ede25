"""Memory and tasks that this process may use, with the limits of its control groups.

Standard library only. Containers, systemd and batch systems limit processes by control groups
(cgroups) of version 1 or 2; a limit of a group counts for all groups within it.
"""

from __future__ import annotations

import contextlib
import os
import resource
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
"""Where the control groups are mounted."""
OWN_CGROUPS = Path("/proc/self/cgroup")
"""The file that lists those of this process."""


@dataclass(frozen=True)
class FreeTasks:
    """How many more tasks (processes and threads) this process and its children may start."""

    count: int
    """Tasks that are free; negative if the limit was lowered after more were started."""
    limit: int
    """Tasks that the limit allows in total."""
    setting: str
    """The limit's name: the file of a control group, or `ulimit -u`."""


def own_groups(controller: str, cgroups: Path, own_cgroups: Path) -> list[Path]:
    """The folders of the control groups that limit this process, from the innermost group outwards.

    Folders that do not exist are included.

    Args:
        controller: `cpu`, `memory` or `pids`; version 1 has a hierarchy of groups for each.
        cgroups: Where the control groups are mounted, of version 1 or 2.
        own_cgroups: The file that lists those of the process.
    """
    folders: list[Path] = []
    with contextlib.suppress(OSError):
        for line in own_cgroups.read_text(encoding="utf-8").splitlines():
            _, controllers, name = line.split(":", 2)
            root = cgroups
            if controllers:  # version 1: a mount for each set of controllers
                if controller not in controllers.split(","):
                    continue
                root = cgroups / controllers
                if not root.is_dir():
                    root = cgroups / controller
            group = PurePosixPath(name.lstrip("/"))
            # In a container the name is often the one on the host, while the mount shows the
            # container's own group: then only the last folder, the root, exists.
            folders += [root / parent for parent in (group, *group.parents)]
    return folders


def memory_limit() -> int:
    """The memory that this process may use, in bytes: that of the machine, or of its container."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in own_groups("memory", CGROUPS, OWN_CGROUPS):
        for name in ("memory.max", "memory.limit_in_bytes"):
            group_limit = _read_number(folder / name)
            if group_limit is not None:
                limit = min(limit, group_limit)
    return limit


def free_tasks() -> FreeTasks | None:
    """The smallest number of tasks that a limit leaves free; None without a limit."""
    free: list[FreeTasks] = []
    for folder in own_groups("pids", CGROUPS, OWN_CGROUPS):
        limit = _read_number(folder / "pids.max")
        current = _read_number(folder / "pids.current")
        if limit is not None and current is not None:
            free.append(FreeTasks(limit - current, limit, str(folder / "pids.max")))
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if limit != resource.RLIM_INFINITY and os.getuid() != 0:  # it does not limit root
        free.append(FreeTasks(limit - _count_own_tasks(), limit, "ulimit -u"))
    return min(free, key=lambda tasks: tasks.count, default=None)


def _count_own_tasks() -> int:
    """Threads of all processes of this user."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == os.getuid():
                count += len(os.listdir(process / "task"))
    return count


def _read_number(file: Path) -> int | None:
    """The number in a file of a control group; None without the file or a limit (`max`)."""
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text(encoding="utf-8"))
    return None
