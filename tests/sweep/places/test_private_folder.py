"""The folder of Ray's files: short, private, and deleted, also after a kill."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cae.errors import RunError
from cae.sweep.places import private_folder
from tests.faults.driver import wait_until

HOLD = """
import sys, time
from cae.sweep.places.private_folder import private_folder
print(private_folder(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(private_folder, "MAX_PARENT_LENGTH", len(str(tmp_path)))
    return tmp_path


def test_the_folder_of_a_killed_process_and_its_orphans_are_removed(parent: Path) -> None:
    code = HOLD.replace(
        "import sys",
        f"""
import sys, cae.sweep.places.private_folder as module
module.MAX_PARENT_LENGTH = {len(str(parent))}
import sys""".strip(),
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        folder = Path(killed.stdout.readline().strip())
        assert folder.parent == parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        private_folder._delete_leftovers(parent)
        assert folder.exists(), "its process is running"
        (folder / "ray").mkdir()
        # A process of Ray that outlives it: its parent ends at once, as those of Ray do.
        agent = f"exec 9> {folder}/ray/agent.log; sleep 600 & echo $!"
        orphan = int(subprocess.check_output(["sh", "-c", f"({agent}) 2>&1 | head -1"], text=True))
        killed.send_signal(signal.SIGKILL)
    private_folder._delete_leftovers(parent)
    assert not folder.exists()
    wait_until(lambda: not is_running(orphan), "the orphan ended")


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_folders_of_others_and_without_a_lock_are_kept(parent: Path) -> None:
    (parent / "cae-notes").mkdir()
    private_folder._delete_leftovers(parent)
    assert (parent / "cae-notes").exists()


def test_a_long_path_is_replaced_by_a_short_one(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_folder, "MAX_PARENT_LENGTH", 10)
    assert private_folder._parent() == Path("/tmp")
    assert len(str(parent)) > 10


def test_a_full_disk_is_an_error_with_a_remedy(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_folder, "MIN_FREE_BYTES", 10**18)
    with pytest.raises(RunError, match="set RAY_TMPDIR to another folder"):
        private_folder._parent()
    monkeypatch.setenv("RAY_TMPDIR", str(parent / "absent"))
    monkeypatch.setattr(private_folder, "MAX_PARENT_LENGTH", os.pathconf("/", "PC_PATH_MAX"))
    with pytest.raises(RunError, match="cannot be used for Ray's files"):
        private_folder._parent()
