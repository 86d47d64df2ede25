"""Checks that Ray gets the processes and the memory that it needs: it hangs without them."""

from __future__ import annotations

import math

from cae.container_limits import FreeTasks, free_tasks, memory_limit
from cae.errors import RunError

TASKS_OF_RAY = 150
TASKS_PER_SLOT = 40
"""Processes and threads that Ray starts, in total and per slot. The limits are a little below the
least that was measured, 167 and 46 (Ray 2.60 on 1 and 2 cores); with more cores Ray starts more."""
MEMORY_OF_RAY = 600_000_000
MEMORY_PER_SLOT = 300_000_000
"""Bytes of the command with Ray, and of each worker. The limits are below what was measured with a
tiny network on the CPU, 760 and 390 MB, so that nothing that works is refused."""


def check_needs(slots: int) -> None:
    """Raise RunError if Ray and a worker per slot need more tasks or memory than are free."""
    problems: list[str] = []
    tasks = free_tasks()
    if tasks is not None:
        problems += _task_problems(tasks, slots)
    problems += _memory_problems(memory_limit(), slots)
    if problems:
        raise RunError(problems)


def _task_problems(tasks: FreeTasks, slots: int) -> list[str]:
    needed = TASKS_OF_RAY + TASKS_PER_SLOT * slots
    if tasks.count >= needed:
        return []
    fitting = (tasks.count - TASKS_OF_RAY) // TASKS_PER_SLOT
    return [
        f"{describe_tasks(tasks)}, and Ray with {_trials(slots)} needs at least {needed}: raise "
        f"the limit (`docker run --pids-limit`, `ulimit -u`){_fewer_slots(fitting)}"
    ]


def _memory_problems(limit: int, slots: int) -> list[str]:
    needed = MEMORY_OF_RAY + MEMORY_PER_SLOT * slots
    if limit >= needed:
        return []
    fitting = math.floor((limit - MEMORY_OF_RAY) / MEMORY_PER_SLOT)
    return [
        f"this machine or its container has {limit / 1e6:,.0f} MB of memory, and Ray with "
        f"{_trials(slots)} needs at least {needed / 1e6:,.0f} MB: raise the limit "
        f"(`docker run --memory`){_fewer_slots(fitting)}"
    ]


def describe_tasks(tasks: FreeTasks) -> str:
    """How many processes and threads are free, and which limit counts them, in words."""
    count = max(0, tasks.count)
    return f"{count} of {tasks.limit} processes and threads are free ({tasks.setting})"


def likely_causes() -> str:
    """Why Ray or a worker does not start, in words, with the limits as they are now."""
    causes = [f"too little memory ({memory_limit() / 1e6:,.0f} MB)"]
    tasks = free_tasks()
    if tasks is not None:
        causes.insert(0, f"a limit of processes ({describe_tasks(tasks)})")
    causes.append("a disk or a machine that other programs keep busy")
    return f"likely causes: {', '.join(causes)}"


def _trials(slots: int) -> str:
    if slots == 1:
        return "1 trial at a time"
    return f"{slots} trials at a time"


def _fewer_slots(fitting: int) -> str:
    if fitting < 1:
        return ""
    return f", or use --slots {fitting}"
