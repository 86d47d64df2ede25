"""Sweeps that end because they have done enough."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.cli.running import _print_outcome as print_outcome
from cae.run.events import SessionEnded, TrialEnded
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.status import Progress, run_status
from cae.run.trial_state import TrialState
from cae.sweep.engine.sweep_stops import StopRules, SweepStops

Write = Callable[..., Path]
Run = Callable[..., RunDir]
pytestmark = pytest.mark.timeout(600)  # new workers take long to start on a busy machine


def record(number: int, value: float, group: str = "a", *, ended: bool = True) -> Record:
    trial = Record(number, str(number), {"epochs": 1}, {}, {}, TrialState.RUNNING)
    trial.describe_group({"key": group, "parameters": {"data": "", "task": group}, "metrics": {}})
    trial.epochs[1] = {"val_loss": value}
    if ended:
        trial.state = TrialState.FINISHED
        trial.end = TrialEnded(
            trial=number, state=TrialState.FINISHED, reason="", time=float(number)
        )
    return trial


def stops_of(
    values: list[tuple[float, str]],
    mode: Mode = "min",
    groups: Collection[str] = ("a", "b"),
    **rules: Any,
) -> SweepStops:
    """The stops of a sweep that trains in those of the groups that have a trial."""
    records: dict[int, Record] = {}
    for number, (value, group) in enumerate(values, 1):
        records[number] = record(number, value, group)
    groups = {group for _, group in values} & set(groups)
    return SweepStops(StopRules(**rules), records, "val_loss", mode, groups)


@pytest.mark.parametrize("state", [state for state in TrialState if state.is_final])
def test_trials_that_an_error_ended_are_no_plateau(state: TrialState) -> None:
    """Otherwise a broken GPU, or one failed dependency of many trials, would be one."""
    records = {number: record(number, 0.5) for number in (1, 2, 3)}
    for number in (2, 3):
        end = records[number].end
        assert end is not None
        records[number].state = state
        records[number].end = replace(end, state=state)
    stops = SweepStops(StopRules(plateau=2), records, "val_loss", "min", ["a"])
    is_result = not state.is_failure and state != TrialState.KILLED
    assert bool(stops.after_trial()) == is_result


def test_epochs_count_those_of_earlier_commands() -> None:
    records = {1: record(1, 0.5), 2: record(2, 0.4)}
    stops = SweepStops(StopRules(epochs=4), records, "val_loss", "min", ["a"])
    assert stops.at_start() == ""
    records[1].epochs[2] = {"val_loss": 0.3}
    assert stops.after_epoch(0.3) == ""
    records[2].epochs[2] = {"val_loss": 0.3}
    assert stops.after_epoch(0.3).startswith("reached --max-epochs 4")
    assert stops_of([(0.5, "a")] * 4, epochs=4).at_start().startswith("reached --max-epochs")


def test_an_epoch_that_was_trained_again_counts_once() -> None:
    stops = stops_of([(0.5, "a"), (0.4, "a")], epochs=3)
    assert stops.after_epoch(0.4) == "", "the records still have two epochs"


@pytest.mark.parametrize(
    ("values", "mode", "target", "is_reached"),
    [
        ([(0.5, "a"), (0.4, "a")], "min", 0.4, True),
        ([(0.5, "a"), (0.41, "a")], "min", 0.4, False),
        ([(20.0, "a"), (31.0, "a")], "max", 30.0, True),
        ([(0.1, "a"), (0.5, "b")], "min", 0.4, False),
        ([(0.1, "a"), (0.3, "b")], "min", 0.4, True),
        ([(float("nan"), "a")], "min", 0.4, False),
        ([], "min", 0.4, False),
    ],
)
def test_the_target_is_reached_in_every_group(
    values: list[tuple[float, str]], mode: Mode, target: float, is_reached: bool
) -> None:
    reason = stops_of(values, mode, target=target).at_start()
    assert reason.startswith("reached the target") == is_reached


@pytest.mark.parametrize(
    ("values", "is_reached"),
    [
        ([(0.1, "a"), (0.2, "a"), (0.1, "a")], True),
        ([(0.3, "a"), (0.2, "a"), (0.4, "a")], False),
        ([(0.3, "a"), (0.4, "a"), (0.5, "a"), (0.3, "b"), (0.5, "b")], False),
        ([(0.3, "a"), (0.4, "a"), (0.5, "a"), (0.3, "b"), (0.5, "b"), (0.4, "b")], True),
    ],
)
def test_a_plateau_is_a_number_of_trials_without_a_better_value(
    values: list[tuple[float, str]], is_reached: bool
) -> None:
    assert bool(stops_of(values, plateau=2).after_trial()) == is_reached


def test_groups_of_earlier_sweeps_do_not_keep_a_sweep_running() -> None:
    """No trial of the sweep can improve them."""
    values = [(0.9, "earlier"), (0.3, "a"), (0.4, "a"), (0.5, "a")]
    assert stops_of(values, target=0.3).at_start().startswith("reached the target")
    assert stops_of(values, plateau=2).at_start().startswith("reached a plateau")


def test_a_group_that_has_no_trial_yet_keeps_a_sweep_running() -> None:
    """A search trains in it later."""
    records = {1: record(1, 0.1), 2: record(2, 0.2), 3: record(3, 0.3)}
    for rules in (StopRules(target=0.3), StopRules(plateau=2)):
        assert SweepStops(rules, records, "val_loss", "min", {"a"}).at_start()
        assert not SweepStops(rules, records, "val_loss", "min", {"a", "b"}).at_start()


def test_hours_count_from_the_start_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("cae.sweep.engine.sweep_stops.time.monotonic", lambda: now[0])
    stops = stops_of([], hours=0.5)
    now[0] += 1799
    assert stops.after_time() == ""
    now[0] += 1
    assert stops.after_time() == "reached --max-hours 0.5"


@pytest.mark.slow
def test_a_sweep_that_reached_its_target_ends_and_goes_on_with_another_one(
    sweep_file: Write, run_sweep: Run
) -> None:
    space = "{'optimizer.lr': tune.grid_search([1e-2, 1e-3, 1e-4])}"
    path = sweep_file(space, epochs=3, more="target=0.2, patience=2")
    run = run_sweep(path)
    states = [record.state for record in run.records().values()]
    assert states == [TrialState.INTERRUPTED, TrialState.PENDING, TrialState.PENDING]
    (reason,) = [event.reason for event in run.events() if isinstance(event, SessionEnded)]
    assert reason.startswith("reached the target val_loss 0.2: trial 1 has 0.1")
    assert run_status(run).session_end == reason
    result = CliRunner().invoke(app, ["status", str(run.path)])
    assert f"the last session ended: {reason}" in result.output

    run_sweep(path, settings={})  # nothing more is trained
    assert run.records()[1].last_epoch == 1
    path.write_text(path.read_text().replace("target=0.2, ", ""))
    run_sweep(path)
    assert {record.state for record in run.records().values()} == {TrialState.FINISHED}
    assert run_status(run).session_end == "complete"


@pytest.mark.parametrize(("pending", "is_printed"), [(0, False), (2, True)])
def test_trials_remain_is_printed_only_if_some_do(
    pending: int, is_printed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {TrialState.FINISHED: 3, TrialState.PENDING: pending}
    progress = Progress(counts=counts, bests=[], groups=1, seconds_left=None)
    print_outcome(progress, "val_loss", "reached a plateau: 3 trials", Path("report.html"))
    assert ("trials remain" in capsys.readouterr().err) == is_printed
