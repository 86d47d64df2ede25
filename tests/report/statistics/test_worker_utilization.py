"""Worker utilization: the seconds of all slots add up."""

from __future__ import annotations

import math

import pytest

from cae.report.data import tables
from cae.report.statistics.worker_utilization import TRAINING, SlotTime, measure_utilization
from tests.report.synthetic_runs import MakeWriter


def test_the_seconds_of_all_slots_are_divided_by_use(
    writer: MakeWriter,
) -> None:
    run = writer()
    run.session([1, 2])
    run.trial(1, {})
    run.trial(2, {})
    for number, state in ((1, "finished"), (2, "failed")):
        run.add("start", 10, trial=number, epoch=0, host="a", device="cpu", worker=1)
        run.epoch(number, 1, 0.1)  # 12.5 s of training
        run.end(number, state)  # 1 s later
    utilization = measure_utilization(tables.read([run.close()]))
    assert utilization.slots == 2
    assert utilization.sessions == 1
    assert utilization.running_seconds == pytest.approx(2 * (10 + 12.5 + 1))
    assert utilization.total_seconds == pytest.approx(2 * utilization.running_seconds)
    seconds = utilization.seconds
    assert seconds[SlotTime.FINISHED] == pytest.approx(12.5)
    assert seconds[SlotTime.LOST] == pytest.approx(12.5)
    assert seconds[SlotTime.OVERHEAD] == pytest.approx(2.0)
    assert seconds[SlotTime.START] == pytest.approx(20)
    assert utilization.training_share == pytest.approx(25 / 94)


def test_trials_at_the_same_time_have_different_lanes(writer: MakeWriter) -> None:
    run = writer()
    run.session([1, 2, 3])
    for number in (1, 2, 3):
        run.trial(number, {})
    run.start(1)
    run.start(2)
    run.epoch(1, 1, 0.1)
    run.end(1, "finished")
    run.start(3)
    run.epoch(3, 1, 0.1)
    run.end(3, "finished")
    run.epoch(2, 1, 0.1)
    run.end(2, "stopped")
    utilization = measure_utilization(tables.read([run.close()]))
    spans = utilization.spans.sort_values("trial")
    assert spans["lane"].tolist() == [0, 1, 0]
    assert utilization.seconds[SlotTime.STOPPED] == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("end_state", "kind"),
    [
        (None, SlotTime.FINISHED),  # interrupted: the trial can be resumed
        ("finished", SlotTime.FINISHED),
        ("stopped", SlotTime.STOPPED),
        ("diverged", SlotTime.LOST),
        ("oom", SlotTime.LOST),
        ("killed", SlotTime.LOST),
    ],
)
def test_training_is_divided_by_the_state_of_the_trial(
    writer: MakeWriter, end_state: str | None, kind: SlotTime
) -> None:
    run = writer()
    run.session([1])
    run.trial(1, {})
    run.start(1)
    run.epoch(1, 1, 0.1)  # 12.5 s of training
    if end_state is not None:
        run.end(1, end_state)
    seconds = measure_utilization(tables.read([run.run])).seconds
    assert seconds[kind] == pytest.approx(12.5)
    assert sum(seconds[training] for training in TRAINING) == pytest.approx(12.5)


def test_training_until_patience_ends_a_trial_is_not_lost(writer: MakeWriter) -> None:
    run = writer()
    run.session([1])
    run.trial(1, {})
    run.start(1)
    run.epoch(1, 1, 0.1)
    run.end(1, "stopped", stopped_by="patience")
    seconds = measure_utilization(tables.read([run.run])).seconds
    assert seconds[SlotTime.FINISHED] == pytest.approx(12.5)
    assert seconds[SlotTime.STOPPED] == 0


def test_the_time_between_sessions_does_not_count(writer: MakeWriter) -> None:
    run = writer()
    for number in (1, 2):
        run.session([1, 2])
        run.trial(number, {})
        run.start(number)
        run.epoch(number, 1, 0.1)
        run.end(number, "finished")
        run.clock += 1000
    utilization = measure_utilization(tables.read([run.run]))
    assert utilization.sessions == 2
    assert utilization.running_seconds == pytest.approx(2 * (1 + 12.5 + 1))


def test_a_run_without_sessions_has_no_time(writer: MakeWriter) -> None:
    utilization = measure_utilization(tables.read([writer().run]))
    assert utilization.total_seconds == 0
    assert math.isnan(utilization.training_share)
