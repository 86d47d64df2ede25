"""Atomic writes of files, and pausing garbage collection. Standard library only."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically: a reader sees the old or the new content, never a part of it.

    Missing parent folders are created.
    """
    if isinstance(content, str):
        # File names whose bytes are not UTF-8 contain characters that cannot be encoded.
        content = content.encode(errors="backslashreplace")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Turn Python's cyclic garbage collector off for a while.

    While millions of objects that stay are created, the collector would scan them again and again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
