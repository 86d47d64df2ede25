"""Archives of runs: everything that reports compute, and no name of the machine."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from cae.cli.reports import write_report
from cae.errors import RunError, UserError
from cae.run import archive
from cae.run.archive import unpack_archive, write_archive
from cae.run.events import EpochFinished, SessionStarted, TrialEnded, TrialPlanned
from cae.run.journal import Journal
from cae.run.lock import hold_lock
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState

COMMAND = "cae-sweep run sweeps/a.py --out /home/me/runs/a --set seeds=2 --data-dir=/home/me/data"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run of two trials on two hosts; the second one failed."""
    run = RunDir(tmp_path / "runs" / "a")
    run.path.mkdir(parents=True)
    sweep = {"name": "a", "path": "/home/me/a.py", "relative_path": "../a.py", "host": "blue"}
    run.sweep_json.write_text(json.dumps(sweep | {"command": COMMAND, "unknown": 1}))
    journal = Journal(run.journal)
    journal.append(SessionStarted(trials=[1, 2], command=COMMAND, host="blue"))
    for number in (1, 2):
        config = {"epochs": 1, "seed": number}
        journal.append(TrialPlanned(trial=number, hash="x", config=config, axes={}, sizes={}))
    journal.append(EpochFinished(trial=1, epoch=1, metrics={"val_loss": 0.1}, host="blue"))
    journal.append(EpochFinished(trial=2, epoch=1, metrics={"val_loss": 0.2}, host="green"))
    error = 'Traceback:\n  File "/home/me/a.py"\nValueError: no'
    journal.append(TrialEnded(trial=2, state=TrialState.FAILED, reason="no", error=error))
    journal.close()
    return run


def test_an_unpacked_archive_has_the_records_of_the_run(run: RunDir, tmp_path: Path) -> None:
    unpacked = unpack_archive(write_archive(run, tmp_path), tmp_path / "there")
    assert unpacked.name == "a"
    records = unpacked.records()
    assert records.keys() == run.records().keys()
    for number, record in run.records().items():
        assert records[number].epochs == record.epochs
        assert records[number].config == record.config
        assert records[number].state == record.state


def test_an_archive_names_no_host_and_no_folder(run: RunDir, tmp_path: Path) -> None:
    unpacked = unpack_archive(write_archive(run, tmp_path), tmp_path / "there")
    text = unpacked.sweep_json.read_text() + unpacked.journal.read_text()
    for name in ("/home", "blue", "green"):
        assert name not in text
    assert unpacked.read_sweep().command == "cae-sweep run sweeps/a.py --set seeds=2"
    assert json.loads(unpacked.sweep_json.read_text())["unknown"] == 1
    assert '"host":"host 1"' in text
    assert '"host":"host 2"' in text
    assert unpacked.records()[2].error == "ValueError: no"


def test_the_same_run_gives_the_same_bytes(run: RunDir, tmp_path: Path) -> None:
    first = write_archive(run, tmp_path).read_bytes()
    assert write_archive(run, tmp_path).read_bytes() == first


def test_a_run_and_its_archive_are_not_reported_together(run: RunDir, tmp_path: Path) -> None:
    path = write_archive(run, tmp_path)
    with pytest.raises(UserError, match="same run as a: leave one out"):
        write_report([str(path), str(run.path)], tmp_path / "page", None, watch=False)
    assert not (tmp_path / "page").exists()


def test_a_page_is_not_served_while_a_file_is_written(run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--markdown writes a file: leave one out"):
        write_report([str(run.path)], None, tmp_path / "a.md", watch=True)
    assert not (tmp_path / "a.md").exists()


def test_a_running_run_is_not_archived(run: RunDir, tmp_path: Path) -> None:
    with hold_lock(run.lock_file), pytest.raises(RunError, match="archive it when it has ended"):
        write_archive(run, tmp_path)
    assert not list(tmp_path.glob("*.tar.xz"))


def pack(path: Path, members: list[tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:xz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def test_only_the_files_of_a_run_are_unpacked(tmp_path: Path) -> None:
    outside = tarfile.TarInfo("../../outside/journal.jsonl")
    outside.size = 1
    link = tarfile.TarInfo("a/sweep.json")
    link.type = tarfile.SYMTYPE
    link.linkname = "/etc/passwd"
    path = pack(tmp_path / "bad.tar.xz", [outside, link, tarfile.TarInfo("a/evil.py")])
    with pytest.raises(RunError, match=r"bad\.tar\.xz is not an archive of a run: it has no sweep"):
        unpack_archive(path, tmp_path / "deep" / "there")
    written = [file.name for file in (tmp_path / "deep").rglob("*") if file.is_file()]
    assert written == ["journal.jsonl"]
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"no archive", "cannot be read as an archive of a run")],
)
def test_a_damaged_archive_is_an_error(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tar.xz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=message):
        unpack_archive(path, tmp_path / "there")


@pytest.mark.parametrize("damaged", archive.FILES)
def test_errors_about_the_content_name_the_archive(damaged: str, tmp_path: Path) -> None:
    contents = dict.fromkeys(archive.FILES, b"") | {damaged: b"\xff\x00{" * 10}
    path = tmp_path / "x.tar.xz"
    with tarfile.open(path, "w:xz") as packed:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"x/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    with pytest.raises(RunError) as caught:
        write_report([str(path)], tmp_path / "page", None, watch=False)
    assert str(path) in caught.value.messages[0]
    assert "archive 1" not in caught.value.messages[0]
    assert not (tmp_path / "page").exists()


def test_the_archive_of_another_run_of_the_same_name_is_kept(run: RunDir, tmp_path: Path) -> None:
    path = write_archive(run, tmp_path)
    content = path.read_bytes()
    run.journal.write_text(run.journal.read_text().replace('"hash":"x"', '"hash":"y"'))
    with pytest.raises(RunError, match="archive of another run of this name"):
        write_archive(run, tmp_path)
    assert path.read_bytes() == content


def test_commands_keep_neither_folders_nor_secrets() -> None:
    command = "cae-sweep run /home/me/a.py --notify 'curl https://me:secret@x' --out /d --quiet"
    assert archive._portable_command(command) == "cae-sweep run sweeps/a.py --quiet"
