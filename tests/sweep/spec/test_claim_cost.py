"""The time of training trials with the trials that they depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ray import tune

from cae import Classifier, Classify, Sweep, Trial
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.spec.claim_cost import TrainingCost
from cae.sweep.spec.plan import Plan, make_plan
from cae.sweep.spec.planned_trial import PlannedTrial
from tests.sweep.spec.plans import BASE, load

ENCODER_EPOCHS = 4
CLASSIFIER_EPOCHS = 3
CLASSIFIERS = Trial(
    dataset=BASE.dataset,
    task=Classify(encoder=BASE),
    arch=Classifier(encoder_filters=(4, 2), pool_after=(1,)),
    optimizer=BASE.optimizer,
    epochs=CLASSIFIER_EPOCHS,
)


def plan_of_classifiers(space: dict[str, Any], records: dict[int, Record] | None = None) -> Plan:
    return make_plan(Sweep(base=CLASSIFIERS, space=space), load, records=records)


def cost_of(plan: Plan) -> TrainingCost:
    """Every epoch takes a second."""
    return TrainingCost(plan, [1.0] * len(plan.listed))


def requested(plan: Plan) -> list[PlannedTrial]:
    return [trial for trial in plan.trials if not trial.is_dependency]


TWO_RATES = {"optimizer.lr": tune.grid_search([1e-3, 1e-2])}


def test_a_dependency_of_several_trials_and_seeds_is_trained_once() -> None:
    plan = plan_of_classifiers(TWO_RATES)
    cost = cost_of(plan)
    trials = requested(plan)
    assert len(trials) == 2
    assert cost.seconds(trials[:1]) == CLASSIFIER_EPOCHS + ENCODER_EPOCHS
    assert cost.seconds(trials, seeds=3) == 2 * 3 * CLASSIFIER_EPOCHS + ENCODER_EPOCHS
    assert [trial.trial for trial in cost.dependencies(trials)] == [BASE]


def test_each_dependency_of_its_own_is_trained() -> None:
    plan = plan_of_classifiers({"task.encoder.seed": tune.grid_search([5, 6])})
    assert cost_of(plan).seconds(requested(plan)) == 2 * (CLASSIFIER_EPOCHS + ENCODER_EPOCHS)


def finished(planned: PlannedTrial) -> PlannedTrial:
    record = Record(
        number=planned.number,
        hash=planned.hash,
        config=planned.trial.flat(),
        axes={},
        sizes={},
        state=TrialState.FINISHED,
    )
    return replace(planned, record=record)


def test_what_is_finished_in_the_run_costs_nothing() -> None:
    plan = plan_of_classifiers(TWO_RATES)
    encoder, first, second = plan.trials
    assert encoder.is_dependency
    trials = [finished(encoder), finished(first), second]
    cost = cost_of(replace(plan, trials=trials))
    assert cost.dependencies(trials[1:]) == []
    assert cost.seconds(trials[1:]) == CLASSIFIER_EPOCHS
    assert cost.seconds(trials[1:], seeds=2) == 3 * CLASSIFIER_EPOCHS
    assert [cost.untrained_seeds(trial, 2) for trial in trials[1:]] == [1, 2]
