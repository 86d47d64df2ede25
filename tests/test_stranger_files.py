"""Files of somebody else: pipes, devices, links out of the folder, bombs. Each ends in an error."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.errors import RunError
from cae.report.page.images import MAX_ARRAY_BYTES, read_arrays
from cae.run import journal
from cae.run.events import InvalidEvent, TrialEnded, event_fields
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.trial.datasets.errors import DatasetDamaged, DatasetMissing
from cae.trial.datasets.image_files import decode_folder
from cae.trial.datasets.image_folder import import_folder
from tests.report import synthetic_runs

SECRET = "a line of a file that is none of the run's"
READING = (["status"], ["best"], ["report"], ["export"], ["logs", "1"])


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def outside_file(path: Path) -> None:
    """Replace a file of the run of this test by a link to a file beside the folder `runs`."""
    runs = path.parent
    while runs.name != "runs":
        runs = runs.parent
    secret = runs.parent / "secret"
    secret.write_text(SECRET)
    path.symlink_to(secret)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    return synthetic_runs.write_shape("two", tmp_path / "runs", monkeypatch)


def call(run: RunDir, name: str, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [name, str(run), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.mark.parametrize("replace", [pipe, endless_device, outside_file])
@pytest.mark.parametrize("name", ["sweep.json", "journal.jsonl"])
def test_a_run_is_read_from_regular_files_in_its_folder(
    name: str, replace: Callable[[Path], None], run: RunDir
) -> None:
    (run.path / name).unlink()
    replace(run.path / name)
    for command in READING:
        code, output = call(run, *command)
        if name == "journal.jsonl" or command[0] != "logs":  # `logs` needs the journal only
            assert code == 2, command
            assert f"{name} " in output
        assert SECRET not in output


@pytest.mark.parametrize("replace", [pipe, endless_device, outside_file])
def test_a_log_is_read_from_a_regular_file_in_the_run(
    replace: Callable[[Path], None], run: RunDir
) -> None:
    log = run.trial(1) / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    replace(log)
    code, output = call(run, "logs", "1")
    assert code == 2
    assert "log.txt" in output
    assert SECRET not in output


def test_a_lock_that_is_a_pipe_does_not_block(run: RunDir) -> None:
    run.lock_file.unlink(missing_ok=True)
    pipe(run.lock_file)
    assert not run.in_use()


def test_run_writes_nothing_through_a_link_out_of_its_folder(run: RunDir, tmp_path: Path) -> None:
    (tmp_path / "important").mkdir()
    run.control.symlink_to(tmp_path / "important")
    with pytest.raises(RunError, match=r"control leads to .*important, outside of the run"):
        run.check_files()


def test_a_journal_without_lines_is_refused(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_LINE_BYTES", 10_000)
    with run.journal.open("r+b") as file:
        file.truncate(10**12)  # a hole: the file takes no space on the disk
    code, output = call(run, "status")
    assert code == 2
    assert "a line has more than 10,000 bytes" in output


def test_values_that_are_nested_deeply_are_neither_written_nor_read(run: RunDir) -> None:
    nested = json.loads("[" * 400 + "]" * 400)
    row = {"column": nested}
    end = TrialEnded(trial=1, state=TrialState.FINISHED, reason="", tables={"table": [row]})
    with pytest.raises(InvalidEvent, match="nested more than 50 times"):
        event_fields(end)
    planned, *rest = run.journal.read_text().splitlines()[1:]
    fields = json.loads(planned)
    fields["config"]["arch.filters"] = nested
    run.journal.write_text("\n".join([json.dumps(fields), *rest]))
    assert fields["trial"] not in run.records()
    code, _ = call(run, "report")
    assert code == 0


def test_arrays_that_unpack_to_more_than_the_limit_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1, 64, 64)}
    np.lib.format.write_array_header_1_0(header, shape)
    content = header.getvalue() + bytes(MAX_ARRAY_BYTES)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("input.npy", content)
    assert read_arrays(path, "input") == {}
    np.savez(path, input=np.zeros((1, 1, 4, 4), np.uint8))
    assert list(read_arrays(path, "input")) == ["input"]


def write_image(path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8)).save(path)


@pytest.mark.parametrize("replace", [pipe])
def test_an_image_that_is_no_regular_file_is_named(
    replace: Callable[[Path], None], tmp_path: Path
) -> None:
    write_image(tmp_path / "images" / "good.png")
    replace(tmp_path / "images" / "bad.png")
    with pytest.raises(DatasetDamaged, match=r"1 of 2 images .* bad.png .*not a regular file"):
        decode_folder(tmp_path / "images", 8, 1)


def test_links_out_of_an_image_folder_are_listed_and_not_followed(tmp_path: Path) -> None:
    write_image(tmp_path / "private" / "mine.png")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "processes").symlink_to("/proc")
    (folder / "stolen.png").symlink_to(tmp_path / "private" / "mine.png")
    (folder / "endless.png").symlink_to("/dev/zero")
    with pytest.raises(DatasetMissing, match=r"links out of the folder, such as endless\.png"):
        import_folder(folder, "name", tmp_path / "data", 8, 1)
    write_image(folder / "own.png")
    decoded = decode_folder(folder, 8, 1)
    assert len(decoded.images.pixels) == 1
    expected = (
        "3 links lead out of the folder and are not followed: endless.png; processes; stolen.png"
    )
    assert decoded.notes[-1] == expected
