"""The MPS daemon for trials that share a GPU, with a program in place of NVIDIA's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cae.sweep.places.mps import (
    CONTROL,
    LOG_VARIABLE,
    MPS_VARIABLE,
    PIPE_VARIABLE,
    shared_gpu_service,
)

PROGRAM = """#!/bin/sh
if [ "$1" = -d ]; then echo "start $CUDA_MPS_PIPE_DIRECTORY" >> {log}; exit {start}; fi
read line; echo "$line" >> {log}; exit {answer}
"""


@pytest.fixture(autouse=True)
def _no_daemon_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (PIPE_VARIABLE, LOG_VARIABLE, MPS_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, start: int = 0, answer: int = 0
) -> Path:
    """Put a control program on the path; return the file that lists what it was asked."""
    log = folder / "log"
    program = folder / CONTROL
    program.write_text(PROGRAM.format(log=log, start=start, answer=answer))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


def test_a_daemon_of_its_own_is_started_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = install(tmp_path, monkeypatch)
    with shared_gpu_service():
        folder = Path(os.environ[PIPE_VARIABLE])
        assert folder.is_dir()
        assert log.read_text().splitlines()[0] == f"start {folder}"
    assert log.read_text().splitlines()[-1] == "quit"
    assert PIPE_VARIABLE not in os.environ
    assert not folder.exists()
    assert capsys.readouterr().err == ""


def test_the_daemon_is_stopped_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = install(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="in between"), shared_gpu_service():
        raise ValueError("in between")
    assert log.read_text().splitlines()[-1] == "quit"


@pytest.mark.parametrize(("start", "answer"), [(1, 0), (0, 1)])
def test_a_daemon_that_does_not_start_is_reported(
    start: int,
    answer: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(tmp_path, monkeypatch, start=start, answer=answer)
    with shared_gpu_service():
        assert PIPE_VARIABLE not in os.environ
    assert "time-sliced" in capsys.readouterr().err


def test_a_missing_program_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with shared_gpu_service():
        assert PIPE_VARIABLE not in os.environ
    assert CONTROL in capsys.readouterr().err


def test_it_can_be_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install(tmp_path, monkeypatch)
    monkeypatch.setenv(MPS_VARIABLE, "0")
    with shared_gpu_service():
        pass
    assert not log.exists()


def test_a_daemon_of_the_user_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = install(tmp_path, monkeypatch)
    monkeypatch.setenv(PIPE_VARIABLE, "/somewhere")
    with shared_gpu_service():
        assert os.environ[PIPE_VARIABLE] == "/somewhere"
    assert os.environ[PIPE_VARIABLE] == "/somewhere"
    assert not log.exists()
