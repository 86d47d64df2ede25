"""A sweep that is left alone: trials that hang or run out of memory, failures one after another, a full disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.errors import RunError
from cae.run.events import TrialStarted
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.sweep.engine import limits as guard
from cae.sweep.engine import runner
from cae.sweep.engine.limits import Guard, Limits
from cae.sweep.engine.recorder import Recorder
from cae.sweep.places.local import Resources
from tests.sweep.engine.failing_trials import troubled

Write = Callable[..., Path]
Run = Callable[..., RunDir]


def kinds(run: RunDir, kind: str) -> list[Any]:
    return [event for event in run.events() if event.kind == kind]


def test_a_trial_that_hangs_is_given_up_and_the_others_finish(
    sweep_file: Write, run_sweep: Run
) -> None:
    run = run_sweep(
        troubled(sweep_file, ["hang", "none", "none2", "none3"]), limits=Limits(epoch_seconds=4)
    )
    records = run.records()
    assert [record.state for record in records.values()] == [
        "failed",
        "finished",
        "finished",
        "finished",
    ]
    assert records[1].reason.startswith("hung: no epoch for ")
    assert "4 s is the limit (--epoch-timeout)" in records[1].reason
    assert records[1].last_epoch == 1, "what it had finished stands"


def test_failures_one_after_another_end_the_sweep_with_the_reason(
    sweep_file: Write, run_sweep: Run
) -> None:
    path = troubled(sweep_file, [f"broken{number}" for number in range(5)], epochs=1)
    run = run_sweep(path, limits=Limits(failures=2))
    states = [record.state for record in run.records().values()]
    assert 2 <= states.count("failed") <= 4, "those that ran beside the last one may fail too"
    assert states.count("pending") + states.count("interrupted") == 5 - states.count("failed")
    (close,) = kinds(run, "close")
    assert "trials failed one after another, the last was trial" in close.reason
    assert close.reason.startswith("given up: ")
    assert "RuntimeError: the layer is tired" in close.reason
    path.write_text(path.read_text().replace('startswith("broken")', 'startswith("never")'))
    run_sweep(path, retry=("failed",))
    assert {record.state for record in run.records().values()} == {"finished"}


def test_a_trial_that_is_out_of_memory_beside_others_is_tried_once_more_alone(
    sweep_file: Write, run_sweep: Run
) -> None:
    run = run_sweep(troubled(sweep_file, ["hungry", "crowded", "none"]))
    records = run.records()
    assert [record.state for record in records.values()] == ["oom", "finished", "finished"]
    assert sorted(event.trial for event in kinds(run, "retry_alone")) == [1, 2]
    assert len(records[1].starts) == 2
    assert "a lot was asked for" in records[1].error


def test_a_trial_that_runs_alone_is_out_of_memory_at_once(
    sweep_file: Write, run_sweep: Run
) -> None:
    run = run_sweep(
        troubled(sweep_file, ["hungry"]),
        Resources(cpus=1, gpus=0, cpus_per_trial=1, gpus_per_trial=0),
    )
    assert run.records()[1].state == "oom"
    assert not kinds(run, "alone")


def test_a_full_disk_ends_the_sweep_and_is_no_fault_of_the_trial(
    sweep_file: Write, run_sweep: Run, tmp_path: Path
) -> None:
    path = troubled(sweep_file, ["full"], epochs=4)
    run = run_sweep(path)
    assert run.records()[1].state == "interrupted"
    assert kinds(run, "close")[0].reason.startswith("given up: ")
    assert "No space left on device" in kinds(run, "close")[0].reason
    (tmp_path / "flag").touch()
    run_sweep(path)
    assert run.records()[1].state == "finished"
    assert [event.epoch for event in kinds(run, "epoch")] == [1, 2, 3, 4]


def test_a_sweep_ends_while_the_disk_still_has_room_to_say_so(
    sweep_file: Write, run_sweep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LEAST_FREE", 10**18)
    run = run_sweep(sweep_file("{'dataset.train_images': 800}", epochs=40))
    assert "MB are free on the disk of" in kinds(run, "close")[0].reason
    assert run.records()[1].state in ("interrupted", "pending")


def test_a_journal_that_cannot_be_written_says_so_and_what_it_held_stays(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    os.symlink("/dev/full", run.journal)
    journal = Journal(run.journal)
    with pytest.raises(RunError, match="cannot be written"):
        journal.append(TrialStarted(trial=1, epoch=0))
    journal.close()


def test_a_trial_that_waits_again_after_ray_ended_the_sweep_is_not_called_hung(
    sweep_file: Write, run_sweep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, heard = runner._fit, []

    def ended_by_ray(recorder: Recorder, *rest: Any) -> None:
        heard.append(dict(recorder.guard.heard))
        if len(heard) > 1:
            return fit(recorder, *rest)
        recorder.guard.sign(1)
        recorder.end(2, "killed", "some progress")
        raise RuntimeError("Ray ended the sweep")

    monkeypatch.setattr(runner, "_fit", ended_by_ray)
    run = run_sweep(sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 1e-2])}", epochs=1))
    assert heard == [{}, {}]
    assert [record.state for record in run.records().values()] == ["finished", "killed"]


def record(seconds: float, work: float = 1.0) -> Record:
    return Record(
        1,
        "1",
        {"epochs": 9},
        {},
        {"megaflops": work},
        state="running",
        epochs={1: {"seconds": seconds, "val_loss": 0.1}},
    )


def test_an_epoch_may_take_twenty_times_what_is_expected_and_ten_minutes_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("cae.sweep.engine.limits.time.monotonic", lambda: now[0])
    watch = Guard(Limits(), tmp_path)
    watch.sign(1)
    now[0] = 599.0
    assert watch.hung({1: record(1.0)}) == []
    now[0] = 601.0
    assert [number for number, _ in watch.hung({1: record(1.0)})] == [1]
    assert watch.hung({1: record(60.0)}) == [], "20 times 60 s"
    now[0] = 1_201.0
    assert len(watch.hung({1: record(60.0)})) == 1
    untimed = Record(1, "1", {"epochs": 9}, {}, {"megaflops": 1.0}, state="running")
    assert watch.hung({1: untimed}) == [], "nothing has been timed that could tell"
    watch.ended(1, "finished", "")
    assert watch.hung({1: record(1.0)}) == []


def test_a_trial_that_finishes_breaks_a_row_of_failures(tmp_path: Path) -> None:
    watch = Guard(Limits(failures=2), tmp_path)
    for state in ("failed", "finished", "oom"):
        watch.ended(1, state, "it broke")
        assert not watch.trouble()
    watch.ended(2, "failed", "it broke")
    assert "2 trials failed one after another" in watch.trouble()
    assert Guard(Limits(failures=0), tmp_path).trouble() == ""
