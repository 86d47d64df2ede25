"""Whether a process still lives, and on which machine its number means something."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from pathlib import Path


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kernel() -> str:
    """What the number of a process means something in: this boot of this machine, this container."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}-{os.readlink('/proc/self/ns/pid')}"
    return f"{socket.gethostname()}-{secrets.token_hex(8)}"  # equal to no other: then only signs of life tell
