"""Sweeps that are found by name, and are the same trials as their files anywhere else."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import Any

import pytest

from cae.api import run_sweep as run_sweep_module
from cae.cli.options import complete_source, complete_sweep
from cae.errors import UserError
from cae.run.sweep_json import SweepDescription
from cae.sweep.engine import session
from cae.sweep.places.jobs import _arguments_on_cluster
from cae.sweep.places.machine import git_commit
from cae.sweep.run_request import RunRequest
from cae.sweep.spec.code_snapshot import take_snapshot
from cae.sweep.spec.packaged_sweeps import locate_sweep, packaged_folder, packaged_sweeps
from cae.sweep.spec.plan import make_plan
from cae.sweep.spec.sweep_file import load_components, read_sweep_file
from tests.conftest import ROOT

NETWORK = ROOT / "cae" / "templates" / "network.py"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def error_of(argument: str) -> str:
    with pytest.raises(UserError) as raised:
        locate_sweep(Path(argument))
    (message,) = raised.value.messages
    return message


def test_every_sweep_of_the_repository_has_a_name() -> None:
    assert list(packaged_sweeps().values()) == sorted((ROOT / "sweeps").glob("*.py"))


def test_a_name_is_the_sweep_of_the_package_and_keeps_the_name_of_its_runs() -> None:
    file = read_sweep_file(Path("quickstart"))
    assert file.path == ROOT / "sweeps" / "quickstart.py"
    assert file.name == "quickstart"
    assert file.argument == "quickstart"


def test_a_file_that_exists_wins(tmp_path: Path) -> None:
    Path("quickstart").write_text("x = 1\n")
    assert locate_sweep(Path("quickstart")) == Path("quickstart")
    own = tmp_path / "cifar_grid.py"
    own.write_text("x = 1\n")
    assert locate_sweep(own) == own


def test_an_unknown_name_is_an_error_with_the_nearest_name_and_all_others() -> None:
    message = error_of("cifar_gird")
    assert "did you mean cifar_grid?" in message
    for name in packaged_sweeps():
        assert name in message


def test_the_name_of_an_own_file_without_its_suffix_is_an_error_that_names_it() -> None:
    Path("mine.py").write_text("x = 1\n")
    assert "did you mean mine.py?" in error_of("mine")


def test_a_name_of_two_different_sweeps_is_an_error_with_both() -> None:
    Path("cifar_grid.py").write_text("x = 1\n")
    message = error_of("cifar_grid")
    assert "write cifar_grid.py for yours" in message
    assert str(ROOT / "sweeps" / "cifar_grid.py") in message
    shutil.copyfile(ROOT / "sweeps" / "cifar_grid.py", "cifar_grid.py")
    assert locate_sweep(Path("cifar_grid")) == ROOT / "sweeps" / "cifar_grid.py"


def test_a_path_of_the_repository_that_is_not_here_names_the_sweep() -> None:
    assert "write quickstart" in error_of("sweeps/quickstart.py")


def test_a_folder_is_an_error_with_its_sweep_files() -> None:
    Path("my.sweeps").mkdir()
    Path("my.sweeps/mine.py").touch()
    message = error_of("my.sweeps")
    assert "my.sweeps is a folder, not a sweep file" in message
    assert "my.sweeps/mine.py" in message
    Path("quick").mkdir()
    assert "a folder, not a sweep file" in error_of("quick")


def test_names_and_files_are_completed() -> None:
    Path("cifar_mine.py").touch()
    names = ["cifar_baseline", "cifar_best", "cifar_colorize", "cifar_grid", "cifar_mine.py"]
    assert complete_sweep("cifar_") == names
    assert complete_source("d") == ["digits", "denoise", "denoise_networks"]


def installed_copy(folder: Path, source: Path) -> Path:
    """A sweep file where an installed package would have it."""
    path = folder / ".venv" / "lib" / "site-packages" / "cae" / "sweeps" / source.name
    path.parent.mkdir(parents=True)
    shutil.copyfile(source, path)
    return path


@pytest.mark.parametrize("source", [ROOT / "sweeps" / "quickstart.py", NETWORK])
def test_trials_of_an_installed_sweep_are_those_of_the_same_file_in_a_checkout(
    tmp_path: Path, source: Path
) -> None:
    hashes: list[list[str]] = []
    snapshots: list[str] = []
    for path in (source, installed_copy(tmp_path, source)):
        file = read_sweep_file(path)
        plan = make_plan(file.sweep, lambda dataset: dataset.load([]), max_trials=2)
        hashes.append([planned.hash for planned in plan.trials])
        snapshots.append(take_snapshot(file).name)
    assert hashes[0] == hashes[1]
    assert snapshots[0] == snapshots[1]
    assert snapshots[0]


def test_packaged_sweeps_import_nothing_beside_them() -> None:
    """A module in an installed package is not part of a trial's identity."""
    for path in packaged_sweeps().values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module in ("ray", "cae", "typing"), path
            assert not isinstance(node, ast.Import), path


def test_an_installed_sweep_has_no_commit_of_the_repository_around_it(tmp_path: Path) -> None:
    assert git_commit(ROOT / "sweeps")
    assert git_commit(ROOT / ".venv" / "lib" / "site-packages" / "cae" / "sweeps") == ""
    assert git_commit(tmp_path) == ""


def test_the_folder_is_in_the_package_or_in_its_checkout(tmp_path: Path) -> None:
    package = tmp_path / "cae"
    package.mkdir()
    (tmp_path / "sweeps").mkdir()  # of somebody else
    assert not packaged_folder(package).exists()
    (tmp_path / "pyproject.toml").touch()
    assert packaged_folder(package) == tmp_path / "sweeps"
    (package / "sweeps").mkdir()
    assert packaged_folder(package) == package / "sweeps"


def test_a_job_gets_the_file_of_a_name() -> None:
    arguments = ["run", "quickstart", "--address", "http://host:8265", "--budget", "smoke"]
    expected = ["run", "quickstart.py", "--budget", "smoke"]
    file = locate_sweep(Path("quickstart"))
    assert _arguments_on_cluster(arguments, Path("quickstart"), file.name) == expected


def test_a_script_runs_a_sweep_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[RunRequest] = []

    def start(request: RunRequest) -> dict[str, Any]:
        requests.append(request)
        return {"exit_code": 2, "errors": ["nothing runs in this test"]}

    monkeypatch.setattr(run_sweep_module, "_run_in_a_process", start)
    with pytest.raises(UserError, match="nothing runs"):
        run_sweep_module.run_sweep("quickstart", budget="smoke", max_trials=1)
    (request,) = requests
    prepared = session.prepare(session.select(**request.selection))
    assert prepared.file.path == ROOT / "sweeps" / "quickstart.py"
    assert prepared.run.path == Path("runs/quickstart-smoke")


def test_components_of_a_name_can_be_loaded() -> None:
    load_components("quickstart")
    with pytest.raises(UserError, match="did you mean quickstart"):
        load_components("quickstrat")


def test_the_copy_of_the_code_has_the_name_of_the_file() -> None:
    for argument in ("quickstart", "sweeps/quickstart.py"):
        assert SweepDescription(file=argument).file_name == "quickstart.py"
