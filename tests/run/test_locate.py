"""Finding the run that a user names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cae.errors import RunError
from cae.files import write_whole
from cae.run.locate import find_run, find_runs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Runs `b`, `a`, `c` in the order of their last writes, and `planned` without a journal."""
    runs = tmp_path / "runs"
    for seconds, name in enumerate(["b", "a", "c"]):
        journal = runs / name / "journal.jsonl"
        write_whole(runs / name / "sweep.json", "{}")
        write_whole(journal, "")
        os.utime(journal, (1000 + seconds, 1000 + seconds))
    write_whole(runs / "planned" / "sweep.json", "{}")
    (runs / "not a run").mkdir()
    return runs


def test_runs_are_sorted_by_their_last_write(root: Path) -> None:
    assert [run.name for run in find_runs(root)] == ["planned", "b", "a", "c"]


def test_a_missing_folder_has_no_runs(tmp_path: Path) -> None:
    assert find_runs(tmp_path / "nowhere") == []


def test_without_a_name_the_newest_run_is_found(root: Path) -> None:
    assert find_run(None, root).name == "c"


def test_a_run_is_found_by_name_and_by_path(root: Path, tmp_path: Path) -> None:
    assert find_run(Path("a"), root).path == root / "a"
    assert find_run(root / "b", tmp_path / "elsewhere").path == root / "b"


def test_an_unknown_name_is_an_error_that_lists_the_runs(root: Path) -> None:
    with pytest.raises(RunError, match="d is not a run; the runs are: planned, b, a, c"):
        find_run(Path("d"), root)


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no run under .*: start with `cae-sweep run"):
        find_run(None, tmp_path)
    with pytest.raises(RunError, match="the runs are: none under"):
        find_run(Path("d"), tmp_path)
