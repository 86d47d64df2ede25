"""The files that go to every host of a cluster: the sweep file, the files beside it, this
package."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cae.errors import RunError

PACKAGE = Path(__file__).parents[2]
"""Folder of the package `cae`."""
MAX_FILES = 2_000
MAX_BYTES = 50_000_000
SKIPPED_FOLDERS = ("__pycache__", "runs")


@contextlib.contextmanager
def stage_sweep(sweep_file: Path) -> Iterator[str]:
    """A temporary folder with the sweep file and the files beside it.

    Raises RunError if there are too many of them.
    """
    source = sweep_file.resolve().parent
    with tempfile.TemporaryDirectory() as folder:
        size = 0
        for count, path in enumerate(_files_below(source), 1):
            size += path.stat().st_size
            if count > MAX_FILES or size > MAX_BYTES:
                raise RunError(
                    f"{source} contains more than {MAX_FILES:,} files or {MAX_BYTES / 1e6:.0f} MB, "
                    f"which would be copied to every host: put {sweep_file.name} into a folder of "
                    "its own"
                )
            target = Path(folder) / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield folder


def _files_below(folder: Path) -> Iterator[Path]:
    """Files without hidden ones, links, runs, caches and virtual environments."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in SKIPPED_FOLDERS or path.is_symlink():
            continue
        if path.is_dir() and not (path / "pyvenv.cfg").exists():
            yield from _files_below(path)
        elif path.is_file():
            yield path
