"""The journal: events that were appended are read, however the process that wrote them ended."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cae.errors import RunError
from cae.run import journal as journal_module
from cae.run.events import EpochFinished, Event, SessionEnded, SessionStarted, event_fields
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.records import replay
from tests.faults.driver import wait_until
from tests.run.events import closed, ended, epoch, planned, session, started, write
from tests.run.lives import THREE_TRIALS


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    (tmp_path / "run").mkdir()
    return RunDir(tmp_path / "run")


def kinds(run: RunDir) -> list[str]:
    return [event.kind for event in run.events()]


def epochs(events: list[Event]) -> list[int]:
    return [event.epoch for event in events if isinstance(event, EpochFinished)]


def test_a_run_without_a_journal_has_no_events(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "nowhere")
    assert list(run.events()) == []
    assert run.records() == {}
    assert not run.path.exists()


def test_every_line_is_standard_json(run: RunDir) -> None:
    write(run, session(1), planned(), epoch(1, math.nan), epoch(2, -math.inf), epoch(3, math.inf))
    for line in run.journal.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    losses = [
        event.metrics["val_loss"] for event in run.events() if isinstance(event, EpochFinished)
    ]
    assert str(losses) == "[nan, -inf, inf]"


@pytest.mark.parametrize(
    "torn",
    [
        b'{"event":"ep',
        b'{"event":"epoch","time":1.0,"metrics":{"val_loss":0.',
        b"{",
        b"\xff\xfe\x00",
        b"\0" * 64,
        b"17",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"event":"close","time":1.0} {"event":"close","time":1.0}',
    ],
)
def test_a_torn_last_line_is_skipped_and_later_lines_are_read(torn: bytes, run: RunDir) -> None:
    write(run, session(1), planned(), started(), epoch(1))
    before = list(run.events())
    with run.journal.open("ab") as file:
        file.write(torn)
    assert list(run.events()) == before
    write(run, session(1), started(epoch=1), epoch(2))
    assert list(run.events())[: len(before)] == before
    assert kinds(run)[len(before) :] == ["session", "start", "epoch"]
    assert sorted(run.records()[1].epochs) == [1, 2]


def test_a_damaged_line_in_the_middle_is_skipped(run: RunDir) -> None:
    write(run, session(1), planned(), started(), epoch(1), epoch(2), epoch(3))
    lines = run.journal.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"trial":1', b'"trial":"one"')
    run.journal.write_bytes(b"".join(lines))
    assert sorted(run.records()[1].epochs) == [1, 3]


def test_a_line_that_lacks_only_its_line_feed_counts_once(run: RunDir) -> None:
    write(run, session(1), planned(), started(), epoch(1))
    os.truncate(run.journal, run.journal.stat().st_size - 1)
    assert len(kinds(run)) == 4
    write(run, epoch(2))
    assert kinds(run) == ["session", "trial", "start", "epoch", "epoch"]


@pytest.mark.parametrize("chosen", [{1, 3, 9}, {13}, set()])
def test_events_of_chosen_epochs_are_those_among_all_events(chosen: set[int], run: RunDir) -> None:
    """Spaces after the colon are allowed, and epoch 3 is not confused with 13 or 31."""
    write(run, session(1), planned(epochs=40), started(), *map(epoch, (1, 2, 3, 13, 31)))
    with run.journal.open("a") as journal:
        print(json.dumps(event_fields(epoch(9))), file=journal)
        print('{"event":"epoch","epoch":1,', file=journal)
    expected = [number for number in epochs(list(run.events())) if number in chosen]
    assert epochs(list(run.events(epochs=chosen))) == expected
    assert set(expected) == chosen


@settings(deadline=None, max_examples=150)
@given(st.data(), st.booleans())
def test_every_beginning_of_a_journal_gives_an_earlier_state(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, is_running: bool
) -> None:
    run = RunDir(tmp_path_factory.mktemp("run"))
    lines = [json.dumps(dict(event_fields(event))).encode() + b"\n" for event in THREE_TRIALS]
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content)))
    run.journal.write_bytes(content[:cut])
    events = list(run.events())
    assert repr(events) == repr(THREE_TRIALS[: len(events)])
    whole_lines = content[:cut].count(b"\n")
    assert len(events) in (whole_lines, whole_lines + 1)
    earlier = replay(events, is_running=is_running)
    later = replay(THREE_TRIALS, is_running=is_running)
    for number, record in earlier.items():
        assert record.epochs.keys() <= later[number].epochs.keys()
        for done, row in record.epochs.items():
            assert repr(row) == repr(later[number].epochs[done])
    write(run, session(1, 2, 3))
    assert kinds(run) == [*(event.kind for event in events), "session"]


def test_the_journal_sets_the_time_of_an_event(run: RunDir) -> None:
    event = closed()
    write(run, event)
    assert event.time > 1.7e9
    assert list(run.events()) == [event]


def test_a_full_disk_is_an_error_in_words(run: RunDir) -> None:
    write(run, session(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (run.journal.stat().st_size, hard))
    try:
        with pytest.raises(RunError, match=r"journal.jsonl cannot be written \(File too large\)"):
            write(run, ended())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert kinds(run) == ["session"]


def test_a_byte_order_mark_at_the_beginning_is_skipped(run: RunDir) -> None:
    write(run, planned(), session(1), started(), epoch(1))
    before = list(run.events())
    run.journal.write_bytes(b"\xef\xbb\xbf" + run.journal.read_bytes())
    assert list(run.events()) == before
    assert epochs(list(run.events(epochs={1}))) == [1]


@pytest.fixture
def synced_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How large the journal was, in bytes, each time it was synced."""
    sizes: list[int] = []

    def record(descriptor: int) -> None:
        if os.path.isfile(f"/proc/self/fd/{descriptor}"):
            sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", record)
    return sizes


def test_ends_and_starts_of_sessions_are_synced_immediately(
    run: RunDir, synced_sizes: list[int]
) -> None:
    journal = Journal(run.journal)
    for event in (planned(), session(1), ended(), closed()):
        journal.append(event)
        if event.kind != "trial":
            assert synced_sizes[-1] == run.journal.stat().st_size
    assert len(synced_sizes) == 3
    journal.close()


def test_every_event_is_synced_soon(
    run: RunDir, synced_sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SYNC_SECONDS", 0.01)
    journal = Journal(run.journal)
    journal.append(epoch(1))
    wait_until(lambda: run.journal.stat().st_size in synced_sizes, "the journal is synced")
    journal.append(epoch(2))
    wait_until(lambda: run.journal.stat().st_size in synced_sizes, "the journal is synced")
    journal.close()


def test_an_error_while_syncing_is_reported_by_the_next_event(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel reports it once: afterwards the event may be lost although syncs succeed."""
    monkeypatch.setattr(journal_module, "SYNC_SECONDS", 0.01)
    journal = Journal(run.journal)
    failed: list[int] = []

    def fail_once(descriptor: int) -> None:
        if not failed:
            failed.append(descriptor)
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail_once)
    journal.append(epoch(1))
    wait_until(lambda: bool(failed), "the journal is synced")
    wait_until(lambda: not journal._syncer.is_alive(), "the error is noted")
    with pytest.raises(RunError, match=r"cannot be written \(Input/output error\)"):
        journal.append(epoch(2))
    journal.close()


def test_nothing_is_written_after_the_last_event(run: RunDir) -> None:
    journal = Journal(run.journal)
    journal.append(SessionStarted(trials=[1]))
    journal.append_last(SessionEnded(reason="aborted"))
    late = EpochFinished(trial=1, epoch=1, metrics={})
    other = threading.Thread(target=journal.append, args=(late,), daemon=True)
    other.start()
    other.join(timeout=0.3)
    assert other.is_alive()
    assert kinds(run) == ["session", "close"]
