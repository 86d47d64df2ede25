"""Worker utilization: the seconds of all slots add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cae.report.data import tables
from cae.report.page.sections.worker_utilization import worker_utilization_section
from cae.report.statistics.worker_utilization import SlotTime, measure_utilization


def test_the_seconds_of_all_slots_are_divided_by_what_they_were_used_for(
    writer: Callable[..., Any],
) -> None:
    run = writer()
    run.session([1, 2])
    run.trial(1, {})
    run.trial(2, {})
    for number, state in ((1, "finished"), (2, "failed")):
        run.add("start", 10, trial=number, epoch=0, host="a", device="cpu", worker=1)
        run.epoch(number, 1, 0.1)  # 12.5 s of training
        run.end(number, state)  # 1 s later
    results = tables.read([run.close()])
    utilization = measure_utilization(results)
    assert utilization.slots == 2
    assert utilization.running_seconds == pytest.approx(2 * (10 + 12.5 + 1))
    assert utilization.total_seconds == pytest.approx(2 * utilization.running_seconds)
    seconds = utilization.seconds
    assert seconds[SlotTime.FINISHED] == pytest.approx(12.5)
    assert seconds[SlotTime.LOST] == pytest.approx(12.5)
    assert seconds[SlotTime.OVERHEAD] == pytest.approx(2.0)
    assert seconds[SlotTime.START] == pytest.approx(20)
    assert utilization.training_share == pytest.approx(25 / 94)
    assert "27\u00a0%" in worker_utilization_section(results).verdict
