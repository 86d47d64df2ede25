"""The journal and the lock: what was written is read, whatever died in between; a replay gives each trial its state."""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cae.errors import RunError
from cae.files import write_whole
from cae.run.journal import Journal
from cae.run.json_values import to_metrics
from cae.run.locate import find_runs
from cae.run.paths import RunDir
from cae.run.records import Record, apply_event, replay

Event = dict[str, Any]

HOLDER = "import sys, time; from cae.run.paths import RunDir\nwith RunDir(sys.argv[1]).lock():\n    print('held', flush=True); time.sleep(60)"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    (tmp_path / "run").mkdir()
    return RunDir(tmp_path / "run")


def write(run: RunDir, *events: Event) -> None:
    journal = Journal(run)
    for event in events:
        journal.append(
            event["event"],
            **{key: value for key, value in event.items() if key not in ("event", "time")},
        )
    journal.close()


def session(*asked: int) -> Event:
    return {"event": "session", "time": 0.0, "asked": list(asked)}


def trial(number: int = 1, epochs: int = 2) -> Event:
    return {
        "event": "trial",
        "time": 0.5,
        "trial": number,
        "hash": f"h{epochs}",
        "config": {"epochs": epochs},
        "axes": {},
        "sizes": {},
    }


def start(number: int = 1, epoch: int = 0) -> Event:
    return {"event": "start", "time": 1.0, "trial": number, "epoch": epoch}


def epoch(done: int, loss: Any = 0.5, number: int = 1, **more: Any) -> Event:
    return {
        "event": "epoch",
        "time": 2.0 + done,
        "trial": number,
        "epoch": done,
        "metrics": {"val_loss": loss},
    } | more


def end(state: str = "finished", number: int = 1) -> Event:
    return {"event": "end", "time": 9.0, "trial": number, "state": state, "reason": "so it went"}


def state_of(*events: Event, running: bool = False) -> str:
    return replay(events, running=running)[1].state


# The journal


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
metrics = st.dictionaries(st.sampled_from(["val_loss", "train_loss", "lr"]), st.floats())


def readable(value: Any) -> Any:
    """A value as the journal gives it back before `numbers`: what JSON cannot hold is a string."""
    if isinstance(value, dict):
        return {key: readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [readable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return value


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(values, metrics), max_size=4))
def test_what_is_appended_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[Any, dict[str, float]]]
) -> None:
    run = RunDir(tmp_path_factory.mktemp("run"))
    journal = Journal(run)
    lines = [
        journal.append("epoch", trial=1, epoch=1, said=value, metrics=row) for value, row in written
    ]
    journal.close()
    events = list(run.events())
    assert events == lines
    assert [event["said"] for event in events] == [readable(value) for value, _ in written]
    assert [repr(sorted(to_metrics(event["metrics"]).items())) for event in events] == [
        repr(sorted(row.items())) for _, row in written
    ]
    assert all(event["event"] == "epoch" and event["time"] > 1.7e9 for event in events)


def test_numbers_that_json_cannot_hold_are_floats_again_in_a_record(run: RunDir) -> None:
    write(
        run,
        session(1),
        trial(),
        start(),
        epoch(1, math.nan),
        epoch(2, -math.inf),
        epoch(3, math.inf),
    )
    rows = run.records()[1].epochs
    assert [str(rows[number]["val_loss"]) for number in (1, 2, 3)] == ["nan", "-inf", "inf"]
    assert "NaN" in run.journal.read_text()
    for line in run.journal.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_a_run_without_a_journal_has_no_events(tmp_path: Path) -> None:
    assert list(RunDir(tmp_path / "nowhere").events()) == []
    assert RunDir(tmp_path / "nowhere").records() == {}
    assert not (tmp_path / "nowhere").exists()


TORN = [
    b'{"event":"ep',
    b'{"event":"epoch","time":1.0,"metrics":{"val_loss":0.',
    b"{",
    b"\xff\xfe\x00",
    b"\0" * 64,
    b"17",
    b"[]",
    b"{}",
]


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_last_line_is_passed_over_and_what_comes_after_it_is_read(
    torn: bytes, run: RunDir
) -> None:
    write(run, session(1), trial(), start(), epoch(1))
    before = list(run.events())
    with run.journal.open("ab") as file:
        file.write(torn)
    assert list(run.events()) == before
    write(run, session(1), start(epoch=1), epoch(2))
    assert list(run.events())[: len(before)] == before
    assert [event["event"] for event in run.events()][len(before) :] == [
        "session",
        "start",
        "epoch",
    ]
    assert sorted(run.records()[1].epochs) == [1, 2]


def test_the_events_of_some_epochs_are_those_of_all_that_are_of_these(run: RunDir) -> None:
    """The lines of the others are not even understood; spaces, and a number that only begins alike, do not confuse."""
    write(
        run,
        session(1),
        trial(epochs=40),
        start(),
        *(epoch(count, loss=1 / count) for count in (1, 2, 3, 13, 31)),
    )
    with run.journal.open("a") as journal:
        print(json.dumps(epoch(9) | {"time": 3.0}), file=journal)  # with a space after each colon
        print('{"event":"epoch","epoch":1,', file=journal)
    for chosen in ({1, 3, 9}, {13}, set()):
        expected = [
            event
            for event in run.events()
            if event["event"] == "epoch" and event["epoch"] in chosen
        ]
        assert [
            event for event in run.events(epochs=chosen) if event["event"] == "epoch"
        ] == expected
        assert len(expected) == len(chosen)


def test_the_best_epoch_is_found_anew_when_epochs_come_and_go() -> None:
    life = [session(1), trial(epochs=9), start(), epoch(1, loss=3.0), epoch(2, loss=1.0)]
    records = replay(life, running=True)
    assert records[1].best("val_loss", "min") == (2, 1.0)
    assert records[1].mean("val_loss") == 2.0
    for event in (
        {"event": "retry", "time": 5.0, "trial": 1, "epoch": 1},
        start(epoch=1),
        epoch(2, loss=2.0),
    ):
        apply_event(records, event)
    assert records[1].best("val_loss", "min") == (2, 2.0)
    assert records[1].mean("val_loss") == 2.5
    assert records[1].best("val_loss", "max") == (1, 3.0)


def test_a_line_that_lacks_only_its_end_of_line_counts_once(run: RunDir) -> None:
    write(run, session(1), trial(), start(), epoch(1))
    os.truncate(run.journal, run.journal.stat().st_size - 1)
    assert len(list(run.events())) == 4
    write(run, epoch(2))
    assert [event["event"] for event in run.events()] == [
        "session",
        "trial",
        "start",
        "epoch",
        "epoch",
    ]


LIFE = [
    session(1, 2),
    trial(1),
    trial(2),
    start(1),
    epoch(1, 0.5, 1, host="a", device="cpu", worker=7),
    start(2),
    epoch(1, "NaN", 2),
    end("diverged", 2),
    session(1, 3),
    trial(3, 4),
    start(1, 1),
    epoch(2, 0.25, 1),
    end("finished", 1),
    start(3),
    end("failed", 3),
    session(1, 2, 3),
    start(3),
    epoch(1, 0.1, 3),
    end("stopped", 3),
    trial(1, 4),
    start(1, 2),
    epoch(3, 0.2, 1),
]
"""A journal of three trials and three sessions, with a retry, an extension and a trial that is no longer asked for."""


@settings(deadline=None, max_examples=150)
@given(st.data(), st.booleans())
def test_any_beginning_of_a_journal_folds_to_an_earlier_state(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, running: bool
) -> None:
    run = RunDir(tmp_path_factory.mktemp("run"))
    lines = [json.dumps(event).encode() + b"\n" for event in LIFE]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    run.journal.write_bytes(whole[:cut])
    events = list(run.events())
    assert events == LIFE[: len(events)]
    assert len(events) in (whole[:cut].count(b"\n"), whole[:cut].count(b"\n") + 1)
    folded, later = replay(events, running=running), replay(map(dict, LIFE), running=running)
    for number, record in folded.items():
        assert record.state in STATES
        assert record.epochs.keys() <= later[number].epochs.keys()
        assert repr(record.epochs) == repr(
            {done: later[number].epochs[done] for done in record.epochs}
        )
    write(run, session(1, 2, 3))
    assert [event["event"] for event in run.events()] == [
        *(event["event"] for event in events),
        "session",
    ]


# The states of a trial


STATES_OF_A_LIFE: dict[str, tuple[list[Event], str]] = {
    "listed": ([session(1), trial()], "pending"),
    "begun": ([session(1), trial(), start()], "interrupted"),
    "begun with an epoch": ([session(1), trial(), start(), epoch(1)], "interrupted"),
    "begun, then another session": ([session(1), trial(), start(), session(1)], "interrupted"),
    "taken up again": ([session(1), trial(), start(), session(1), start(), end()], "finished"),
    **{
        f"ended as {state}": ([session(1), trial(), start(), epoch(1), end(state)], state)
        for state in FINAL_STATES
    },
    "begun, then closed": (
        [session(1), trial(), start(), {"event": "close", "reason": "interrupted"}],
        "interrupted",
    ),
    "ended, then another session": (
        [session(1), trial(), start(), end("stopped"), session(1)],
        "stopped",
    ),
    "failed, then retried": (
        [session(1), trial(), start(), end("failed"), session(1), start()],
        "interrupted",
    ),
    "failed, then retried well": (
        [session(1), trial(), start(), end("failed"), session(1), start(), end()],
        "finished",
    ),
    "no longer asked for, never begun": ([session(1), trial(), session(2)], "withdrawn"),
    "no longer asked for, begun": ([session(1), trial(), start(), session(2)], "withdrawn"),
    "no longer asked for, finished": ([session(1), trial(), start(), end(), session()], "finished"),
    "asked for again": ([session(1), trial(), start(), session(2), session(1)], "interrupted"),
    "asked for again, never begun": ([session(1), trial(), session(2), session(1)], "pending"),
    "extended": ([session(1), trial(), start(), end(), session(1), trial(1, 4)], "interrupted"),
    "extended and finished": (
        [session(1), trial(), start(), end(), session(1), trial(1, 4), start(), end()],
        "finished",
    ),
    "stopped, then extended": (
        [session(1), trial(), start(), end("stopped"), session(1), trial(1, 4)],
        "stopped",
    ),
}


@pytest.mark.parametrize("life", STATES_OF_A_LIFE)
def test_a_replay_ends_in_the_state_of_the_trial(life: str) -> None:
    events, state = STATES_OF_A_LIFE[life]
    assert state_of(*events) == state


def test_a_trial_that_began_is_running_while_its_writer_lives() -> None:
    events = [session(1), trial(), start(), epoch(1)]
    assert state_of(*events, running=True) == "running"
    assert state_of(*events, session(1), running=True) == "interrupted", (
        "an earlier writer had begun it"
    )
    assert state_of(*events, end("failed"), session(1), start(), running=True) == "running", (
        "a retry"
    )
    assert state_of(session(1), trial(), running=True) == "pending"


def test_an_extension_keeps_the_number_the_epochs_and_takes_the_new_configuration() -> None:
    events = [
        session(1),
        trial(),
        start(),
        epoch(1, 0.5),
        epoch(2, 0.4),
        end(),
        session(1),
        trial(1, 4),
        start(1, 2),
        epoch(3, 0.3),
    ]
    record = replay(events, running=False)[1]
    assert (record.hash, record.config) == ("h4", {"epochs": 4})
    assert [row["val_loss"] for row in record.epochs.values()] == [0.5, 0.4, 0.3]
    assert record.end == {}
    assert len(record.starts) == 2


def test_an_epoch_that_is_reported_again_counts_once_and_as_it_was_first() -> None:
    events = [
        session(1),
        trial(),
        start(),
        epoch(1, 0.5),
        epoch(2, 0.4),
        session(1),
        start(1, 2),
        epoch(2, 0.9, time=77.0),
        epoch(3, 0.3),
    ]
    record = replay(events, running=False)[1]
    assert {done: row["val_loss"] for done, row in record.epochs.items()} == {
        1: 0.5,
        2: 0.4,
        3: 0.3,
    }
    assert record.epoch_times[2] == 4.0


def test_a_trial_that_begins_anew_has_only_the_epochs_of_its_new_life() -> None:
    events = [
        session(1),
        trial(),
        start(),
        epoch(1, 0.5),
        epoch(2, "NaN"),
        end("diverged"),
        session(1),
    ]
    events += [
        {"event": "retry", "time": 0.0, "trial": 1, "epoch": 0},
        start(),
        epoch(1, 0.7, time=77.0),
    ]
    record = replay(events, running=False)[1]
    assert {done: row["val_loss"] for done, row in record.epochs.items()} == {1: 0.7}
    assert record.epoch_times == {1: 77.0}


def test_a_start_knows_where_it_ran_from_its_first_epoch() -> None:
    one: Event = {"host": "a", "device": "cpu", "worker": 7}
    other: Event = {"host": "b", "device": "cuda", "worker": 8}
    record = replay(
        [session(1), trial(), start(), epoch(1, **one), epoch(2), start(1, 2), epoch(3, **other)],
        running=False,
    )[1]
    assert record.starts == [start() | one, start(1, 2) | other]


def test_the_end_is_kept_until_the_trial_begins_again() -> None:
    events = [session(1), trial(), start(), end("failed")]
    assert replay(events, running=False)[1].end["reason"] == "so it went"
    assert replay([*events, start()], running=False)[1].end == {}


def test_a_replay_leaves_its_events_as_they_are() -> None:
    events = [dict(event) for event in LIFE]
    replay(events, running=False)
    assert events == LIFE


def test_records_come_in_the_order_of_their_numbers_and_events_of_unknown_trials_are_passed_over() -> (
    None
):
    records = replay(
        [session(1, 2, 3), epoch(1, number=9), end(number=9), start(9), *map(trial, (3, 1, 2))],
        running=False,
    )
    assert list(records) == [1, 2, 3]
    assert [record.number for record in records.values()] == [1, 2, 3]


def test_the_tables_of_states_agree() -> None:
    assert set(FINAL_STATES) < set(STATES)
    assert set(RANKED_STATES) < set(STATES)
    assert not {"diverged", "failed", "oom", "pending"} & set(RANKED_STATES)


# The best epoch


def record(*losses: float, state: str = "finished") -> Record:
    return Record(
        1, "h", {}, {}, {}, state, {done: {"val_loss": loss} for done, loss in enumerate(losses, 1)}
    )


@pytest.mark.parametrize(
    ("losses", "mode", "best"),
    [
        ((0.3, 0.1, 0.2), "min", (2, 0.1)),
        ((0.3, 0.1, 0.2), "max", (1, 0.3)),
        ((0.2, 0.1, 0.1), "min", (2, 0.1)),
        ((0.1, 0.2, 0.2), "max", (2, 0.2)),
        ((math.nan, 0.2, math.nan), "min", (2, 0.2)),
        ((0.2, -math.inf), "min", (1, 0.2)),
        ((0.2, math.inf), "max", (1, 0.2)),
        ((-0.0, 0.0), "min", (1, 0.0)),
        ((math.nan, math.inf), "min", None),
        ((), "min", None),
    ],
)
def test_the_best_epoch_is_the_earliest_of_the_best_finite_ones(
    losses: tuple[float, ...], mode: str, best: tuple[int, float] | None
) -> None:
    assert record(*losses).best("val_loss", mode) == best


def test_a_metric_that_no_epoch_has_gives_no_best_one() -> None:
    assert record(0.1).best("val_psnr", "max") is None


@pytest.mark.parametrize("state", STATES)
def test_only_trials_that_hold_a_network_that_learnt_are_ranked(state: str) -> None:
    assert (record(0.1, state=state).best("val_loss", "min") is not None) == (
        state in RANKED_STATES
    )


# The lock


@pytest.fixture
def holder(run: RunDir) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds the run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_by_name_until_the_first_one_is_killed(
    run: RunDir, holder: subprocess.Popen[str]
) -> None:
    assert run.in_use()
    with (
        pytest.raises(RunError, match=rf"in use by process {holder.pid} on .*cae-sweep stop"),
        run.lock(),
    ):
        pass
    assert str(holder.pid) in run.lock_file.read_text(), (
        "the one that was refused leaves the owner's name"
    )
    holder.kill()
    holder.wait()
    assert not run.in_use()
    with run.lock():
        assert run.in_use()
        assert str(os.getpid()) in run.lock_file.read_text()
    assert not run.in_use()


def test_the_lock_refuses_its_own_process_too_and_goes_with_an_error(run: RunDir) -> None:
    with run.lock(), pytest.raises(RunError, match=f"process {os.getpid()}"), run.lock():
        pass
    with pytest.raises(ZeroDivisionError), run.lock():
        raise ZeroDivisionError
    with run.lock():
        pass


def test_a_run_that_nobody_ever_ran_is_not_in_use(tmp_path: Path) -> None:
    assert not RunDir(tmp_path / "nowhere").in_use()


def test_a_trial_is_running_only_while_the_lock_is_held(run: RunDir) -> None:
    write(run, session(1), trial(), start())
    assert run.records()[1].state == "interrupted"
    with run.lock():
        assert run.records()[1].state == "running"


# Files


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "trials.csv"
    write_whole(path, "old")
    write_whole(path, "néw\n")
    assert path.read_bytes() == "néw\n".encode()
    write_whole(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    write_whole(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not a run"),
        ("{", "cannot be read"),
        ("[1]", "one JSON object"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_folder_without_a_sweep_is_told_in_words(
    content: str | bytes | None, words: str, run: RunDir
) -> None:
    if content is not None:
        write_whole(run.sweep_json, content)
    with pytest.raises(RunError, match=words):
        run.read_sweep()


def test_a_sweep_is_read_back(run: RunDir) -> None:
    write_whole(run.sweep_json, json.dumps({"sweep": "grid"}))
    assert run.read_sweep() == {"sweep": "grid"}


def test_runs_are_found_with_the_last_written_one_last(tmp_path: Path) -> None:
    for age, name in enumerate(["b", "a", "c"]):
        write_whole(tmp_path / name / "sweep.json", "{}")
        write_whole(tmp_path / name / "journal.jsonl", "")
        os.utime(tmp_path / name / "journal.jsonl", (1000 + age, 1000 + age))
    write_whole(tmp_path / "planned" / "sweep.json", "{}")
    (tmp_path / "no run").mkdir()
    assert [run.name for run in find_runs(tmp_path)] == ["planned", "b", "a", "c"]
    assert find_runs(tmp_path / "nowhere") == []


def test_every_trial_and_every_request_has_its_own_place(run: RunDir) -> None:
    assert run.trial(7) == run.path / "trials" / "0007"
    assert run.trial(12345) == run.path / "trials" / "12345"
    assert run.kill_request(7) == run.path / "control" / "kill-0007"
    assert run.name == "run"


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("val_loss", "min"),
        ("test_psnr", "max"),
        ("val_channel_argmax_error", "min"),
        ("images_per_second", "max"),
        ("seconds", "min"),
        ("lr", None),
    ],
)
def test_the_words_of_a_metrics_name_tell_which_side_is_better(
    metric: str, better: str | None
) -> None:
    assert direction(metric) == better
