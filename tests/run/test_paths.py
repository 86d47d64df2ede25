"""The files of a run and the requests to the process that runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cae.run.paths import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")


def test_every_trial_has_a_folder(run: RunDir) -> None:
    assert run.trial(7) == run.path / "trials" / "0007"
    assert run.trial(12345) == run.path / "trials" / "12345"
    assert run.name == "run"


def test_locations_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunDir("run")
    assert run.location() == str(tmp_path / "run")
    assert run.location(7) == str(tmp_path / "run" / "trials" / "0007")


def test_requests_are_files_until_they_are_cleared(run: RunDir) -> None:
    assert run.kill_requests() == []
    run.request("stop")
    run.request(run.kill_request(7).name)
    run.request("kill-everything")
    assert run.stop_request.exists()
    assert run.kill_requests() == [7]
    run.clear_requests()
    assert not run.stop_request.exists()
    assert run.kill_requests() == []


def test_files_and_folders_of_trials_are_deleted(run: RunDir) -> None:
    for number in (1, 2):
        run.trial(number).mkdir(parents=True)
        (run.trial(number) / "log.txt").touch()
        (run.trial(number) / "last.safetensors").touch()
    run.delete_trial_files(1, "last.safetensors", "absent.safetensors")
    assert [path.name for path in run.trial(1).iterdir()] == ["log.txt"]
    run.delete_trial(2)
    run.delete_trial(3)
    assert [path.name for path in (run.path / "trials").iterdir()] == ["0001"]
