"""Processes of this machine: whether one is alive, and in which process-id namespace."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it belongs to another user
        return True
    return True


def pid_namespace() -> str:
    """Identifies where process ids are unique: this boot of this machine, this container.

    Without /proc a new random name each time, so that no other process seems to be of the same one:
    only its heartbeat tells then whether it is alive.
    """
    with contextlib.suppress(OSError):
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot_id}-{os.readlink('/proc/self/ns/pid')}"
    return f"{socket.gethostname()}-{secrets.token_hex(8)}"
