"""Which trials of a run answer for requested ones: nothing is trained twice, nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cae import Adam, Classifier, Classify, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial
from cae.run.events import TrialEnded
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.spec.matching import Reason
from cae.sweep.spec.plan import Plan, make_plan
from cae.trial.datasets import Dataset, Images
from cae.trial.schedules import Constant, Cosine

NETWORK: dict[str, Any] = {
    "encoder_filters": (4, 2),
    "pool_after": (1,),
}
BASE = Trial(
    dataset=Digits(size=8, train_images=64, val_images=16, test_images=16),
    task=Reconstruct(),
    arch=ConvAutoencoder(**NETWORK, decoder_filters=(4,), upsample_after=(0,)),
    optimizer=Adam(),
    epochs=9,
)


def load(dataset: Dataset) -> Images:
    return dataset.load([])


def plan_of(base: Trial = BASE, records: Any = None, **options: Any) -> Plan:
    return make_plan(Sweep(base=base), load, records=records, **options)


def record_of(
    epochs: int,
    state: TrialState = TrialState.FINISHED,
    done: int | None = None,
    base: Trial = BASE,
    number: int = 7,
    best_epoch: int = 1,
) -> dict[int, Record]:
    """A trial of the run: the base trial with so many epochs."""
    planned = plan_of(base.override({"epochs": epochs})).trials[-1]
    if done is None:
        done = epochs
    end = None
    if state.is_final:
        end = TrialEnded(trial=number, state=state, reason="", best_epoch=best_epoch)
    record = Record(
        number=number,
        hash=planned.hash,
        config=planned.trial.flat(),
        axes={},
        sizes=planned.sizes,
        state=state,
        epochs={epoch: {"val_loss": 1 / epoch} for epoch in range(1, done + 1)},
        end=end,
        fingerprint=planned.fingerprint,
        code=planned.code,
    )
    return {number: record}


@pytest.mark.parametrize(
    ("epochs", "state", "done", "number", "target", "is_finished"),
    [
        (15, "finished", 15, 7, 15, True),
        (15, "stopped", 5, 7, 15, True),
        (15, "interrupted", 5, 7, 9, False),
        (15, "interrupted", 12, 7, 12, False),
        (15, "withdrawn", 12, 7, 12, False),
        (15, "withdrawn", 0, 7, 9, False),
        (15, "failed", 12, 7, 12, False),
        (15, "failed", 5, 7, 15, True),
        (15, "killed", 12, 7, 12, False),
        (15, "diverged", 5, 7, 15, True),
        (15, "diverged", 12, 8, 9, False),
        (5, "finished", 5, 7, 9, False),
        (5, "interrupted", 3, 7, 9, False),
    ],
)
def test_a_trial_with_other_epochs_answers_or_continues(
    epochs: int, state: str, done: int, number: int, target: int, is_finished: bool
) -> None:
    records = record_of(epochs, TrialState(state), done)
    (planned,) = plan_of(records=records).trials
    assert (planned.number, planned.trial.epochs) == (number, target)
    assert planned.finished == is_finished
    if is_finished:
        assert planned.hash == records[7].hash
    else:
        assert planned.hash == record_of(target)[7].hash


def test_a_trial_that_failed_after_the_requested_epochs_is_completed_without_training() -> None:
    (planned,) = plan_of(records=record_of(15, TrialState.FAILED, done=12)).trials
    assert planned.retry
    assert planned.done_epochs == planned.trial.epochs == 12


def test_a_longer_trial_that_diverged_later_is_not_the_answer() -> None:
    (planned,) = plan_of(records=record_of(15, TrialState.DIVERGED, done=12)).trials
    assert (planned.reason, planned.replaces) == (Reason.DIVERGED, 7)


def test_the_rungs_are_those_of_the_requested_epochs() -> None:
    plan = plan_of(records=record_of(15))
    assert plan.epochs == 9
    assert [planned.trial.epochs for planned in plan.trials] == [15]


def test_an_axis_of_epochs_keeps_its_trials_apart() -> None:
    records = record_of(15)
    base = Sweep(base=BASE, space={"epochs": {"grid_search": [9, 15]}})
    trials = make_plan(base, load, records=records).trials
    assert [(trial.number, trial.trial.epochs) for trial in trials] == [(8, 9), (7, 15)]


def test_of_several_trials_the_one_without_training_answers() -> None:
    records = record_of(12, TrialState.WITHDRAWN, done=3, number=1) | record_of(15, number=2)
    records |= record_of(5, number=3)
    (planned,) = plan_of(records=records).trials
    assert (planned.number, planned.finished) == (2, True)


# What differs


def test_changed_images_are_the_reason() -> None:
    def other(dataset: Dataset) -> Images:
        return replace(load(dataset), fingerprint="other images")

    plan = make_plan(Sweep(base=BASE), other, records=record_of(9))
    (planned,) = plan.trials
    assert (planned.number, planned.reason, planned.replaces) == (8, Reason.IMAGES, 7)
    assert [record.number for record in plan.left] == [7]


def test_an_old_record_without_fingerprint_has_the_reason_too() -> None:
    records = record_of(9)
    records[7].hash = "of other images"
    records[7].fingerprint = ""
    assert plan_of(records=records).trials[0].reason == Reason.IMAGES


class OwnSchedule(Constant):
    """A component of a user's."""


def test_changed_code_is_the_reason() -> None:
    base = BASE.model_copy(update={"schedule": OwnSchedule()})
    records = record_of(9, base=base)
    assert plan_of(base, records).trials[0].finished
    records[7].hash = "of other code"
    records[7].code = "other code"
    assert plan_of(base, records).trials[0].reason == Reason.CODE
    records[7].fingerprint = "other images"
    assert plan_of(base, records).trials[0].reason == Reason.CODE_AND_IMAGES
    records[7].fingerprint = records[7].code = ""
    assert plan_of(base, records).trials[0].reason == Reason.CODE_OR_IMAGES


def test_another_setting_is_no_reason() -> None:
    other = BASE.override({"optimizer.lr": 0.5})
    assert plan_of(other, record_of(9)).trials[0].reason is None


# Components whose epochs depend on the number of epochs


def test_a_schedule_that_uses_the_epochs_is_not_extended() -> None:
    base = BASE.model_copy(update={"schedule": Cosine()})
    for epochs in (4, 15):
        (planned,) = plan_of(base, record_of(epochs, base=base)).trials
        assert (planned.number, planned.trial.epochs, planned.finished) == (8, 9, False)
        assert (planned.reason, planned.replaces) == (Reason.EPOCHS, 7)


def classify(epochs: int, frozen_share: float, encoder_epochs: int = 9) -> Trial:
    encoder = BASE.override({"epochs": encoder_epochs})
    return Trial(
        dataset=BASE.dataset,
        task=Classify(encoder=encoder, frozen_share=frozen_share),
        arch=Classifier(**NETWORK),
        optimizer=Adam(),
        epochs=epochs,
    )


@pytest.mark.parametrize(
    ("frozen_share", "is_extended"), [(0.5, False), (0.0, True), (1.0, True), (0.1, False)]
)
def test_a_classifier_is_extended_if_its_stages_stay(
    frozen_share: float, is_extended: bool
) -> None:
    base = classify(8, frozen_share)
    records = record_of(4, base=base) | record_of(9, number=1)
    planned = plan_of(base, records).trials[-1]
    assert (planned.number == 7) == is_extended
    assert (planned.reason == Reason.EPOCHS) == (not is_extended)


def test_frozen_epochs_are_rounded_half_to_even() -> None:
    frozen = {}
    for epochs in (1, 3, 5, 7):
        task = classify(epochs, 0.5).task
        stages = [task.stage(epoch, epochs) for epoch in range(1, epochs + 1)]
        frozen[epochs] = stages.count(0)
    assert frozen == {1: 0, 3: 2, 5: 2, 7: 4}


# Dependencies


def test_weights_of_later_epochs_are_not_those_that_a_trial_needs() -> None:
    base = classify(8, 1.0)
    encoder = plan_of(base, record_of(15, best_epoch=9)).trials[0]
    assert (encoder.number, encoder.finished) == (7, True)
    encoder = plan_of(base, record_of(15, best_epoch=10)).trials[0]
    assert (encoder.number, encoder.reason) == (8, Reason.WEIGHTS)
    dependent = record_of(8, base=base, number=3)
    encoder = plan_of(base, record_of(15, best_epoch=10) | dependent).trials[0]
    assert (encoder.number, encoder.finished) == (7, True)


def test_a_requested_trial_stays_one_when_others_depend_on_it() -> None:
    records = record_of(9)
    encoder = plan_of(classify(8, 1.0), records).trials[0]
    assert not encoder.is_dependency
    records[7].is_dependency = True
    assert plan_of(classify(8, 1.0), records).trials[0].is_dependency
