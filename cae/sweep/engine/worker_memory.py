"""A worker's memory: what it keeps between two steps of training, gives back between two trials, and never looks through."""

from __future__ import annotations

import ctypes
import functools
import gc
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
LARGE = 2**31 - 1
OFTEN = gc.get_threshold()

gc.set_threshold(100_000, 50, 50)
# Until all is imported nothing is garbage, and Python would look for it again and again: a sixth of the time that a worker takes to start


def settle() -> None:
    """All is imported: none of it is ever garbage. To look through it after each trial took 0.15 s."""
    gc.freeze()
    gc.set_threshold(*OFTEN)


def keep_freed() -> None:
    """From now on what this process frees stays its own.

    By itself glibc hands large blocks back to the system as soon as they are free. A training step frees all its activations
    and asks for the same ones again in the next step, and the system gives each page anew, and zeroed: up to a third of a step
    of a small network. Where there is no glibc, nothing changes.
    """
    if libc := _glibc():
        libc.mallopt(M_TRIM_THRESHOLD, LARGE)
        if not libc.mallopt(
            M_MMAP_THRESHOLD, LARGE
        ):  # older ones refuse more than half of a heap's 64 MB
            libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)


def give_back() -> None:
    """The last trial's network goes, and the system has all that is free again: the next one may need blocks of other sizes."""
    gc.collect()
    if libc := _glibc():
        libc.malloc_trim(0)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
