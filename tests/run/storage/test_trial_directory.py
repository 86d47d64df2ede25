"""The directory of a trial: uploads to a bucket, and one worker at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cae.run.storage import Bucket, StorageError, TrialDirectory, trial_directory
from cae.run.storage.store import join_location


@pytest.fixture
def location(url: str) -> str:
    return join_location(url, "trials/0001")


def objects(bucket: Bucket) -> dict[str, bytes]:
    return {name: bucket.read(name) for name in bucket.list("") if name != "owner"}


def test_a_renamed_file_is_copied_and_changed_files_are_uploaded(location: str) -> None:
    directory = TrialDirectory(location, "last")
    last = directory.path / "last"
    last.write_bytes(b"epoch 1")
    (directory.path / "log.txt").write_text("one")
    (directory.path / ".temporary").write_text("not uploaded")
    directory.push()
    last.rename(directory.path / "previous")
    last.write_bytes(b"epoch 2")
    directory.push()
    assert objects(Bucket(location)) == {
        "last": b"epoch 2",
        "previous": b"epoch 1",
        "log.txt": b"one",
    }
    directory.close()
    assert not directory.path.exists()


def uploads(directory: TrialDirectory, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that `push` uploads, in this order."""
    written: list[str] = []
    monkeypatch.setattr(Bucket, "write", lambda _bucket, name, _content: written.append(name))
    directory.push()
    return written


@pytest.mark.parametrize("order", [("best", "last", "log.txt"), ("log.txt", "last", "best")])
def test_files_are_uploaded_in_the_order_in_which_they_were_written(
    location: str, order: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A best epoch before the newest one is written first: the newest one has other weights."""
    directory = TrialDirectory(location, "last")
    for seconds, name in enumerate(order):
        (directory.path / name).write_text(name)
        os.utime(directory.path / name, (seconds, seconds))
    assert uploads(directory, monkeypatch) == list(order)
    directory.close()


def test_of_files_written_at_the_same_time_the_first_file_is_uploaded_first(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = TrialDirectory(location, "last")
    for name in ("best", "last", "log.txt"):
        (directory.path / name).write_text(name)
        os.utime(directory.path / name, (1, 1))
    written = uploads(directory, monkeypatch)
    assert sorted(written) == ["best", "last", "log.txt"]
    assert written[0] == "last"
    directory.close()


def test_a_child_process_does_not_keep_a_trial_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = TrialDirectory(str(tmp_path), "last")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # until the parent has closed its end
        os._exit(0)
    with monkeypatch.context() as patch:
        patch.setattr(trial_directory, "RETRY_SECONDS", 0.0)
        with pytest.raises(StorageError, match="locked by another"):
            TrialDirectory(str(tmp_path), "last")
    directory.close()
    TrialDirectory(str(tmp_path), "last").close()
    os.close(writer)
    os.waitpid(child, 0)


def test_a_worker_that_was_replaced_uploads_no_more(location: str) -> None:
    first = TrialDirectory(location, "last")
    (first.path / "last").write_bytes(b"epoch 2")
    (first.path / "log.txt").write_text("one")
    first.push()
    second = TrialDirectory(location, "last")
    second.pull("last", "previous")
    assert {path.name for path in second.path.iterdir()} == {"last"}
    (first.path / "last").write_bytes(b"epoch 3, too late")
    with pytest.raises(StorageError, match="is now trained by another worker"):
        first.push()
    assert Bucket(location).read("last") == b"epoch 2"
    for directory in (first, second):
        directory.close()


def test_a_reader_does_not_replace_the_worker(location: str) -> None:
    worker = TrialDirectory(location, "last")
    reader = TrialDirectory(location, "last", write=False)
    (worker.path / "last").write_bytes(b"epoch 1")
    worker.push()
    reader.pull("last")
    assert (reader.path / "last").read_bytes() == b"epoch 1"
    for directory in (worker, reader):
        directory.close()


def test_a_folder_is_used_in_place_by_one_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_directory, "RETRY_SECONDS", 0.2)
    folder = tmp_path / "trials" / "0001"
    worker = TrialDirectory(str(folder), "last")
    assert worker.path == folder
    worker.pull("last")
    worker.push()
    TrialDirectory(str(folder), "last", write=False).close()
    with pytest.raises(StorageError, match="has been locked by another worker"):
        TrialDirectory(str(folder), "last")
    worker.close()
    TrialDirectory(str(folder), "last").close()


def test_directories_of_dead_workers_are_deleted(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    abandoned = tmp_path / "cae-sweep-999999999-abc"
    unrelated = [
        tmp_path / name
        for name in ("cae-sweep-notes-abc", "cae-sweep-old-runs", f"cae-sweep-{10**30}-abc")
    ]
    abandoned.mkdir()
    for folder in unrelated:
        folder.mkdir()
    directory = TrialDirectory(location, "last")
    assert not abandoned.exists()
    assert all(folder.exists() for folder in unrelated)
    assert directory.path.is_relative_to(tmp_path)
    directory.close()
