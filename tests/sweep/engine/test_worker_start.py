"""Workers that cannot start: the sweep ends with the reason, and without trying every trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cae.run.events import SessionEnded
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.engine import runner
from cae.sweep.engine.worker_report import SweepInputs
from cae.sweep.places.base import Resources


class Unreadable(str):
    """Cannot be read by another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("text",)


@pytest.mark.slow
def test_a_sweep_ends_when_workers_fail_twice_with_the_same_exception(
    sweep_file: Callable[..., Path],
    run_sweep: Callable[..., RunDir],
    two_slots: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_inputs = runner._sweep_inputs

    def inputs_that_no_worker_can_read(*arguments: Any) -> SweepInputs:
        return dataclasses.replace(make_inputs(*arguments), sweep_file=cast(Any, Unreadable()))

    monkeypatch.setattr(runner, "_sweep_inputs", inputs_that_no_worker_can_read)
    path = sweep_file("{'optimizer.lr': tune.grid_search([1e-1, 1e-2, 1e-3])}")
    run = run_sweep(path, resources=two_slots)
    states = {record.state for record in run.records().values()}
    assert states <= {TrialState.PENDING, TrialState.INTERRUPTED}
    (end,) = [event for event in run.events() if isinstance(event, SessionEnded)]
    assert end.reason.startswith("aborted: workers cannot start: ValueError: invalid literal")
