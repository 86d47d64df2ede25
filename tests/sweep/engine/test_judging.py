"""Which trials the judge of a sweep stops, and what is recorded of decisions after a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cae import Sweep
from cae.run.events import AuditStop
from cae.run.records import Record
from cae.run.trial_state import StopCause, TrialState
from cae.sweep.engine.judging import (
    audit_trials,
    create_judge,
    groups_of_trials,
    is_audit_trial,
    trained_groups,
)
from cae.sweep.engine.recorder import Recorder
from cae.sweep.engine.runner import _not_waiting
from cae.sweep.engine.session_records import record_past_decisions
from cae.sweep.schedulers.base import Stop
from cae.sweep.spec.plan import Plan, make_plan
from cae.sweep.spec.sweep_file import read_sweep_file
from tests.sweep.spec.plans import BASE

Write = Callable[..., Path]

JUDGE = """from cae import Classifier, Classify
JUDGE = Trial(dataset=Digits(size=8, train_images=96, val_images=32, test_images=32),
    task=Classify(), arch=Classifier(encoder_filters=(4,), pool_after=(1,)), optimizer=Adam(),
    epochs=3)
"""


def plan_of(path: Path) -> Plan:
    return make_plan(read_sweep_file(path).sweep, lambda dataset: dataset.load([]))


def test_patience_does_not_stop_a_dependency(sweep_file: Write) -> None:
    """Without its finished weights, the trials that depend on it fail."""
    path = sweep_file("{}", epochs=3, more="patience=1")
    text = path.read_text().replace("task=Reconstruct()", "task=Denoise(judge=JUDGE)")
    path.write_text(text.replace("sweep = Sweep(", JUDGE + "sweep = Sweep("))
    plan = plan_of(path)
    dependency, requested = plan.trials
    judge = create_judge(plan, groups_of_trials(plan, {}))
    for epoch in (1, 2):
        assert judge.report(dependency.number, epoch, 0.5) is None
    assert judge.report(requested.number, 1, 0.5) is None
    assert judge.report(requested.number, 2, 0.5) is not None


def test_a_requested_trial_on_which_others_depend_is_not_stopped() -> None:
    """The search space requests the judge itself, too, and it is not only a dependency then."""
    judge_trial = BASE.override(
        {"task": "classify", "arch": "classifier", "arch.encoder_filters": (4,)}
        | {"arch.pool_after": (1,)}
    )
    names = ("encoder_filters", "decoder_filters", "pool_after", "upsample_after")
    network = {f"arch.{name}": getattr(BASE.arch, name) for name in names}
    denoise = {"task": "denoise", "task.judge": judge_trial, "arch": "conv_autoencoder"} | network
    sweep = Sweep(base=judge_trial, space=[{}, denoise], patience=1)
    plan = make_plan(sweep, lambda dataset: dataset.load([]))
    requested, dependent = plan.trials
    assert dependent.dependencies == {"judge": requested.number}
    assert not requested.is_dependency
    judge = create_judge(plan, groups_of_trials(plan, {}))
    for planned in plan.trials:
        assert judge.report(planned.number, 1, 0.5) is None
    assert judge.report(requested.number, 2, 0.6) is None
    assert judge.report(dependent.number, 2, 0.6) is not None


def test_nothing_is_audited_without_a_rung(sweep_file: Write) -> None:
    space = "{'optimizer.lr': tune.grid_search([1e-2, 1e-3])}"
    audited = {}
    for epochs in (1, 3):
        path = sweep_file(space, epochs=epochs, more="scheduler=ASHA(grace_epochs=1, audit=1.0)")
        plan = plan_of(path)
        audited[epochs] = audit_trials(plan)
        assert is_audit_trial(plan, plan.trials[0]) == (epochs == 3)
        dependency = replace(plan.trials[0], is_dependency=True)
        assert not is_audit_trial(plan, dependency)
    assert audited == {1: set(), 3: {1, 2}}


def test_a_sweep_trains_in_the_groups_of_its_trials_and_candidates(sweep_file: Write) -> None:
    space = "{'task.loss': tune.grid_search(['mse', 'l1'])}"
    path = sweep_file(space, epochs=1, more="search=ModelBased(), samples=2")
    path.write_text(path.read_text().replace("import ASHA,", "import ASHA, ModelBased,"))
    plan = plan_of(path)
    earlier = Record(1, "earlier", {"epochs": 1}, {}, {})
    earlier.describe_group({"key": "earlier", "parameters": {"data": ""}, "metrics": {}})
    groups = groups_of_trials(plan, {1: earlier})
    assert groups[1] == "earlier"
    assert trained_groups(plan, groups) == {groups[-1], groups[-2]}


def test_a_trial_that_was_killed_after_its_last_epoch_does_not_wait(sweep_file: Write) -> None:
    path = sweep_file("{'epochs': tune.grid_search([2, 6])}", more="scheduler=Screen(epochs=2)")
    path.write_text(path.read_text().replace("import ASHA,", "import ASHA, Screen,"))
    plan = plan_of(path)
    records: dict[int, Record] = {}
    judge = create_judge(plan, groups_of_trials(plan, {}))
    for planned in plan.trials:
        record = Record(planned.number, planned.hash, planned.trial.flat(), {}, {})
        record.epochs = {1: {}, 2: {}}
        records[planned.number] = record
        judge.report(planned.number, 2, 0.5)
        assert judge.is_waiting(planned.number)
    recorder: Any = SimpleNamespace(records=records, scheduler=SimpleNamespace(judge=judge))
    assert [planned.trial.epochs for planned in _not_waiting(recorder, plan.trials)] == [2]


@pytest.mark.parametrize(
    ("changes", "is_stopped"),
    [
        ({}, True),
        ({"is_requested": False}, False),
        ({"state": TrialState.STOPPED}, False),
        ({"config": {"epochs": 2}}, False),
        ({"epochs": {1: {}, 2: {}, 3: {}}}, False),
    ],
)
def test_a_decision_before_a_kill_is_recorded_if_the_trial_can_still_be_stopped(
    changes: dict[str, Any], is_stopped: bool
) -> None:
    record = Record(4, "hash", {"epochs": 9}, {}, {}, TrialState.INTERRUPTED)
    record.epochs = {1: {}, 2: {}}
    for name, value in changes.items():
        setattr(record, name, value)
    stopped: dict[int, Stop] = {}
    recorder: Any = SimpleNamespace(
        records={4: record},
        scheduler=SimpleNamespace(judge=SimpleNamespace(audit_stops={})),
        stop_trial=stopped.__setitem__,
    )
    record_past_decisions(recorder, {4: Stop(2, 0.5, 0.4, 3, "reason")})
    assert bool(stopped) == is_stopped


@pytest.mark.parametrize(("rung", "is_recorded"), [(2, True), (3, False)])
def test_no_audit_trial_would_have_been_stopped_after_its_last_epoch(
    rung: int, is_recorded: bool
) -> None:
    stop = Stop(rung=rung, value=0.5, cutoff=0.4, seen=3, reason="-", cause=StopCause.PATIENCE)
    written: list[AuditStop] = []
    recorder: Any = SimpleNamespace(
        scheduler=SimpleNamespace(judge=SimpleNamespace(audit_stops={1: stop})),
        records={1: Record(1, "a", {"epochs": 3}, {}, {})},
        write=written.append,
    )
    Recorder.record_audit_stop(recorder, 1)
    assert bool(written) == is_recorded
    for event in written:
        assert (event.rung, event.stopped_by) == (2, "patience")
