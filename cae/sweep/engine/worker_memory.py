"""Memory of a worker: what it keeps between training steps and returns between trials.

Standard library only: it runs before anything large is imported.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import platform

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
"""Parameters of mallopt in glibc's malloc.h."""
MAX_THRESHOLD = 2**31 - 1
MAX_MMAP_THRESHOLD_OLD_GLIBC = 32 * 2**20
"""Older versions refuse more than half of a heap of 64 MB."""

_DEFAULT_THRESHOLDS = gc.get_threshold()


def defer_garbage_collection() -> None:
    """Collect garbage rarely while modules are imported: none of their objects is garbage."""
    gc.set_threshold(100_000, 50, 50)


def resume_garbage_collection() -> None:
    """Collect garbage as usual, except among the objects that exist now.

    Searching the imported modules after each trial took 0.15 s.
    """
    gc.freeze()
    gc.set_threshold(*_DEFAULT_THRESHOLDS)


def keep_freed_memory() -> None:
    """Keep the memory that this process frees, instead of returning it to the operating system.

    By default glibc returns large blocks immediately. A training step frees its activations and
    allocates the same sizes again in the next step; the operating system zeroes every page anew,
    which takes up to a third of the step of a small network. Without glibc nothing changes.
    """
    glibc = _glibc()
    if glibc is None:
        return
    glibc.mallopt(M_TRIM_THRESHOLD, MAX_THRESHOLD)
    if not glibc.mallopt(M_MMAP_THRESHOLD, MAX_THRESHOLD):
        glibc.mallopt(M_MMAP_THRESHOLD, MAX_MMAP_THRESHOLD_OLD_GLIBC)


def return_freed_memory() -> None:
    """Return all free memory to the operating system: the next network may need other block
    sizes."""
    gc.collect()
    glibc = _glibc()
    if glibc is not None:
        glibc.malloc_trim(0)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)
