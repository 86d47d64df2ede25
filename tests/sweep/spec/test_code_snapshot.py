"""Snapshots: what is executed is what was planned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cae.sweep.spec.code_snapshot import CodeSnapshot, build_trial, take_snapshot
from cae.sweep.spec.sweep_file import read_sweep_file
from tests.trial.test_user_code import MODULES, SWEEP

EXECUTE = """
import pickle, sys
from pathlib import Path
from cae.sweep.spec.code_snapshot import build_trial
flat, snapshot, path = pickle.loads(Path("inputs").read_bytes())
trial = build_trial(flat, snapshot, path)
network = trial.arch.build((1, 8, 8), (1, 8, 8))
import inspect, helpers
print(network[1].out_features, helpers.__file__, type(trial.arch).__name__)
print("UNITS = 64" in inspect.getsource(sys.modules["cae_sweep_file_own"]))
"""


@pytest.fixture
def own_sweep(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    path = tmp_path / "own.py"
    path.write_text(SWEEP)
    return path


def test_a_snapshot_is_executed_after_all_files_were_changed(own_sweep: Path) -> None:
    import pickle

    file = read_sweep_file(own_sweep)
    snapshot = take_snapshot(file)
    for path in own_sweep.parent.rglob("*.py"):
        path.write_text("raise RuntimeError('edited')")
    inputs = (file.sweep.base.flat(), snapshot, own_sweep)
    Path("inputs").write_bytes(pickle.dumps(inputs))
    result = subprocess.run([sys.executable, "-c", EXECUTE], capture_output=True, text=True)
    assert result.stdout.split() == [
        "64",
        str(own_sweep.parent / "helpers.py"),
        "OwnNetwork",
        "True",
    ]


def test_the_name_of_a_snapshot_is_that_of_its_content(own_sweep: Path) -> None:
    first = take_snapshot(read_sweep_file(own_sweep))
    assert take_snapshot(read_sweep_file(own_sweep)).name == first.name
    (own_sweep.parent / "helpers.py").write_text(MODULES["helpers.py"] + "MORE = 1\n")
    assert take_snapshot(read_sweep_file(own_sweep)).name != first.name
    assert CodeSnapshot().name == ""


def test_a_snapshot_is_written_with_its_modules(own_sweep: Path, tmp_path: Path) -> None:
    take_snapshot(read_sweep_file(own_sweep)).write(tmp_path / "code")
    copies = sorted(path for path in (tmp_path / "code").rglob("*.py"))
    names = [str(path.relative_to(tmp_path / "code")) for path in copies]
    assert names == sorted([*MODULES, "own.py"])
    for path, name in zip(copies, names, strict=True):
        assert path.read_text() == (own_sweep.parent / name).read_text()


def test_a_trial_of_built_in_components_executes_nothing(own_sweep: Path) -> None:
    base = read_sweep_file(own_sweep).sweep.base.override({"arch": "dense_autoencoder"})
    snapshot = CodeSnapshot("own.py", "raise RuntimeError('executed')")
    assert build_trial(base.flat(), snapshot, own_sweep) == base
