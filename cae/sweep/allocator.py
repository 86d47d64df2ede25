"""Memory that a worker keeps between two steps of training, and gives back between two trials."""

from __future__ import annotations

import contextlib
import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
LARGE = 2**31 - 1


def keep_freed() -> None:
    """From now on what this process frees stays its own.

    By itself glibc hands large blocks back to the system as soon as they are free. A training step frees all its activations
    and asks for the same ones again in the next step, and the system gives each page anew, and zeroed: up to a third of a step
    of a small network. Where there is no glibc, nothing changes.
    """
    if libc := _glibc():
        libc.mallopt(M_TRIM_THRESHOLD, LARGE)
        # older ones refuse more than half of a heap's 64 MB
        libc.mallopt(M_MMAP_THRESHOLD, LARGE) or libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)


def give_back() -> None:
    """The system has all that is free again: the next trial's network may need blocks of other sizes."""
    if libc := _glibc():
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    with contextlib.suppress(OSError):
        return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    return None
