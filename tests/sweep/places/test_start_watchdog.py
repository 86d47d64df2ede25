"""A start of Ray that hangs is ended, and nothing of it remains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cae.sweep.places.start_watchdog import explain_failed_start
from tests.faults.driver import alive_pids, wait_until

HANG = """
import ctypes, subprocess, sys
from pathlib import Path
from cae.sweep.places.start_watchdog import bounded_start

folder = Path(sys.argv[1])
logs = folder / "ray/session_latest/logs"
logs.mkdir(parents=True)
with (logs / "raylet.err").open("w") as log:
    log.write("pthread_create failed\\n    @     0x7f28e0d80e20  (unknown)\\n")
    log.flush()
    child = subprocess.Popen(["sleep", "600"], stdout=log)
print(child.pid, flush=True)
with bounded_start(folder, seconds=1):
    ctypes.PyDLL(None).sleep(600)  # with the interpreter's lock, as Ray does
"""


def test_a_start_that_hangs_ends_with_a_message_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cae-hanging"
    folder.mkdir()
    command = [sys.executable, "-c", HANG, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("error: Ray did not start within 1 s; likely causes: ")
    assert done.stderr.strip().endswith("Ray's raylet.err: pthread_create failed")
    wait_until(lambda: not alive_pids([int(done.stdout)]), "Ray's process ends")
    wait_until(lambda: not folder.exists(), "Ray's files are deleted")


def test_the_likely_causes_do_not_need_a_log(tmp_path: Path) -> None:
    assert explain_failed_start(tmp_path).startswith("likely causes: ")
