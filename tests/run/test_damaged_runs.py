"""Runs with files that were lost or damaged: what commands report about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cae.cli import tables
from cae.errors import RunError
from cae.run.events import SessionStarted
from cae.run.locate import find_run, find_runs
from cae.run.paths import RunDir
from cae.run.status import run_status
from cae.run.sweep_json import LostSweepJson
from tests.run.events import ended, epoch, planned, session, started, write

COMMAND = "cae-sweep run small.py --max-trials 3"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    (tmp_path / "runs" / "small").mkdir(parents=True)
    run = RunDir(tmp_path / "runs" / "small")
    run.sweep_json.write_text("{}")
    write(run, planned(1), planned(2), SessionStarted(trials=[1, 2], command=COMMAND))
    write(run, started(1), epoch(1), started(2), epoch(1, number=2), ended(number=2))
    return run


LOSSES: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda path: path.unlink(), "is missing"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "zeros": (lambda path: path.write_bytes(bytes(4096)), "is empty"),
    "half": (lambda path: path.write_text('{"name": "sma'), "is damaged"),
    "text and zeros": (lambda path: path.write_bytes(b'{"name":' + bytes(100)), "is damaged"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_lost_sweep_json_is_reported_with_the_command_that_writes_it(
    name: str, run: RunDir
) -> None:
    lose, problem = LOSSES[name]
    lose(run.sweep_json)
    message = (
        rf"^{run.sweep_json} {problem}.*; the trials are not affected: `{COMMAND}` writes it again$"
    )
    with pytest.raises(LostSweepJson, match=message):
        run.read_sweep()
    assert find_run(Path("small"), run.path.parent).path == run.path
    assert [found.path for found in find_runs(run.path.parent)] == [run.path]
    assert sorted(run.records()) == [1, 2]


def test_a_command_with_control_characters_is_not_printed(run: RunDir) -> None:
    write(run, SessionStarted(trials=[1], command="\x1b[31mcae-sweep"))
    run.sweep_json.unlink()
    with pytest.raises(LostSweepJson, match="the `cae-sweep run` command of this sweep writes it"):
        run.read_sweep()


def test_a_sweep_json_with_a_byte_order_mark_is_read(run: RunDir) -> None:
    run.sweep_json.write_bytes(b"\xef\xbb\xbf" + b'{"name": "small"}')
    assert run.read_sweep().name == "small"


@pytest.mark.parametrize("name", ["sweep.json", "journal.jsonl", "run.lock"])
def test_a_folder_in_the_place_of_a_file_is_an_error(name: str, tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    (tmp_path / name).mkdir()
    message = f"^{tmp_path / name} is a folder, and should be a file: move it away$"
    with pytest.raises(RunError, match=message):
        run.check_files()


@pytest.mark.parametrize("name", ["trials", "code", "control"])
def test_a_file_in_the_place_of_a_folder_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    message = f"^{tmp_path / name} is a file, and should be a folder: move it away$"
    with pytest.raises(RunError, match=message):
        RunDir(tmp_path).check_files()


def test_zeros_over_the_lines_that_define_trials_are_noticed(run: RunDir) -> None:
    for number in (1, 2):
        run.trial(number).mkdir(parents=True)
    (run.path / "trials" / "notes").mkdir()
    assert run.undefined_trials(run.records()) == []
    content = run.journal.read_bytes()
    second_line = content.index(b"\n") + 1
    end = content.index(b"\n", second_line)
    zeros = bytes(end - second_line)
    run.journal.write_bytes(content[:second_line] + zeros + content[end:])
    assert sorted(run.records()) == [1]
    assert run.undefined_trials(run.records()) == [2]
    status = run_status(run)
    assert status.undefined_trials == [2]
    assert "trial 2 is left out: the line of the journal that defines it is damaged" in (
        tables.status_text(status)
    )


def test_a_folder_without_events_is_no_damage(run: RunDir) -> None:
    """The journal is lost, or older than the trials: their checkpoints name their configuration."""
    run.trial(7).mkdir(parents=True)
    assert run.undefined_trials(run.records()) == []
    run.journal.unlink()
    write(run, session(1))
    assert run.undefined_trials(run.records()) == []
