"""Finding the runs under a folder. Standard library only."""

from __future__ import annotations

from pathlib import Path

from cae.errors import RunError
from cae.run.paths import RunDir


def find_run(path: Path | None, root: Path) -> RunDir:
    """The run that a user names: a folder, a name under `root`, or the newest one if None.

    Raises RunError, with the runs that exist, if there is no such run.
    """
    runs = find_runs(root)
    if path is None:
        if not runs:
            raise RunError(f"there is no run under {root}/ yet: start with `cae-sweep run SWEEP`")
        return runs[-1]
    for candidate in (RunDir(path), RunDir(root / path)):
        if candidate.exists():
            return candidate
    names = ", ".join(run.name for run in runs) or f"none under {root}/"
    raise RunError(f"{path} is not a run; the runs are: {names}")


def find_runs(root: Path) -> list[RunDir]:
    """Runs under a folder, the newest last (by the last write to their journals)."""
    if not root.is_dir():
        return []
    runs = [RunDir(path) for path in root.glob("*")]
    return sorted((run for run in runs if run.exists()), key=_last_written)


def _last_written(run: RunDir) -> float:
    if not run.journal.exists():
        return 0.0
    return run.journal.stat().st_mtime
