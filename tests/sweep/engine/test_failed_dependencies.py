"""A dependency failed: what becomes of the trials that need it, and of the others."""

from __future__ import annotations

from pathlib import Path

from ray import tune

from cae import Classify, Sweep, Trial
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.engine.limits import DEFAULT_LIMITS, LimitMonitor
from cae.sweep.engine.recorder import Recorder
from cae.sweep.engine.runner import _ready_trials
from cae.sweep.engine.session_records import record_plan
from cae.sweep.engine.sweep_stops import NO_RULES, SweepStops
from cae.sweep.engine.tune_scheduler import TuneScheduler
from cae.sweep.schedulers.base import NeverStop
from cae.sweep.spec.plan import make_plan
from tests.sweep.spec.plans import BASE

DEPENDENTS = DEFAULT_LIMITS.failures + 2


def classifier(encoder: Trial) -> Trial:
    arch = {"arch": "classifier", "arch.encoder_filters": (4, 2), "arch.pool_after": (1,)}
    network = BASE.override({"task": "classify", **arch})
    return network.model_copy(update={"task": Classify(encoder=encoder)})


def test_trials_without_their_dependency_are_no_failures_one_after_another(tmp_path: Path) -> None:
    """Otherwise the sweep would give up trials that have nothing to do with it."""
    space = {
        "task.encoder.seed": tune.grid_search([5, 6]),
        "seed": tune.grid_search(list(range(DEPENDENTS))),
    }
    sweep = Sweep(base=classifier(BASE), space=space)
    plan = make_plan(sweep, lambda dataset: dataset.load([]))
    broken, other = (planned for planned in plan.trials if planned.is_dependency)
    run = RunDir(tmp_path)
    records: dict[int, Record] = {}
    limits = LimitMonitor(DEFAULT_LIMITS, tmp_path)
    recorder = Recorder(
        run,
        plan,
        Journal(run.journal),
        records,
        TuneScheduler(NeverStop(), "val_loss"),
        lambda _: None,
        limits,
        SweepStops(NO_RULES, records, "val_loss", "min", ()),
    )
    for planned in plan.trials:
        record_plan(recorder, planned)
    recorder.fail_trial(broken.number, "it is broken")
    ready = _ready_trials(recorder)
    failed = [record for record in records.values() if record.state == TrialState.FAILED]
    assert len(failed) == 1 + DEPENDENTS
    assert all(f"trial {broken.number}" in record.reason for record in failed[1:])
    assert [planned.number for planned in ready] == [other.number]
    assert [number for number, _ in limits.consecutive_failures] == [broken.number]
    assert recorder.stop_reason == ""
    recorder.journal.close()
