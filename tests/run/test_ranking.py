"""The ranking of a run's trials."""

from __future__ import annotations

import math

import pytest

from cae.errors import UserError
from cae.run.events import TrialEnded
from cae.run.metric_direction import Mode
from cae.run.ranking import ranking
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription
from cae.run.trial_state import TrialState
from tests.run.events import record

SWEEP = SweepDescription(metric="val_loss", mode="min")


def numbers(
    records: list[Record],
    metric: str = "val_loss",
    mode: Mode | None = None,
    sweep: SweepDescription = SWEEP,
) -> list[int]:
    return [trial.record.number for trial in ranking(records, sweep, metric, mode)]


def with_metrics(number: int, psnrs: tuple[float, ...], test_loss: float) -> Record:
    """A trial whose second epoch is the best one by validation loss."""
    trial = record(number, losses=(0.5, 0.1, 0.5)[: len(psnrs)])
    for epoch, psnr in enumerate(psnrs, start=1):
        trial.epochs[epoch]["val_psnr"] = psnr
    trial.end = TrialEnded(
        trial=number, state=TrialState.FINISHED, reason="", metrics={"test_loss": test_loss}
    )
    return trial


def test_trials_are_ranked_by_the_metric_of_the_sweep() -> None:
    records = [record(number, losses=(loss,)) for number, loss in [(1, 0.3), (2, 0.1), (3, 0.2)]]
    assert numbers(records) == [2, 3, 1]
    assert numbers(records, mode="max") == [1, 3, 2]
    assert numbers(records, sweep=SweepDescription(metric="val_loss", mode="max")) == [1, 3, 2]


def test_equal_trials_are_ranked_by_their_numbers() -> None:
    records = [record(number, losses=(0.5,)) for number in (3, 1, 2)]
    assert numbers(records) == numbers(records, mode="max") == [1, 2, 3]


def test_only_ranked_states_are_listed() -> None:
    records = [record(number, state, (0.5,)) for number, state in enumerate(TrialState)]
    ranked = [number for number, state in enumerate(TrialState) if state.is_ranked]
    assert numbers(records) == ranked


def test_another_metric_is_that_of_the_epoch_whose_weights_are_kept() -> None:
    records = [with_metrics(1, (30.0, 20.0, 10.0), 0.2), with_metrics(2, (10.0, 25.0, 10.0), 0.3)]
    ranked = ranking(records, SWEEP, "val_psnr", None)
    assert [(trial.record.number, trial.epoch, trial.value) for trial in ranked] == [
        (2, 2, 25.0),
        (1, 2, 20.0),
    ]


def test_trials_can_be_ranked_by_a_metric_of_the_final_evaluation() -> None:
    records = [with_metrics(1, (1.0, 1.0), 0.3), with_metrics(2, (1.0, 1.0), 0.2)]
    assert numbers(records, "test_loss") == [2, 1]


def test_trials_without_a_finite_value_are_left_out() -> None:
    records = [with_metrics(1, (1.0, math.nan), 0.3), with_metrics(2, (1.0, 2.0), math.inf)]
    assert numbers(records, "val_psnr") == [2]
    assert numbers(records, "test_loss") == [1]


def with_final_metric(number: int, name: str, value: float) -> Record:
    trial = record(number, losses=(0.5,))
    trial.end = TrialEnded(
        trial=number, state=TrialState.FINISHED, reason="", metrics={name: value}
    )
    return trial


def test_a_metric_is_ranked_in_its_declared_direction() -> None:
    trials = [
        with_final_metric(1, "test_recognised", 0.7),
        with_final_metric(2, "test_recognised", 0.9),
    ]
    maximized = SweepDescription(metric="val_loss", mode="min", directions={"recognised": "max"})
    minimized = SweepDescription(metric="val_loss", mode="min", directions={"recognised": "min"})
    assert numbers(trials, "test_recognised", sweep=maximized) == [2, 1]
    assert numbers(trials, "test_recognised", sweep=minimized) == [1, 2]


@pytest.mark.parametrize("directions", [{}, {"loss": "min"}, {"blur": "none"}])
def test_a_metric_of_unknown_direction_is_only_ranked_with_a_mode(
    directions: dict[str, str],
) -> None:
    trials = [with_final_metric(1, "test_blur", 0.7), with_final_metric(2, "test_blur", 0.9)]
    sweep = SweepDescription(metric="val_loss", mode="min", directions=directions)
    message = r"--metric test_blur: it is not declared .*: add --mode min or --mode max"
    with pytest.raises(UserError, match=message):
        numbers(trials, "test_blur", sweep=sweep)
    assert numbers(trials, "test_blur", "max", sweep) == [2, 1]


def test_an_unknown_metric_is_an_error_that_lists_the_metrics() -> None:
    message = "--metric val_ssimm: no trial has a finite value of it; metrics: seconds, val_loss"
    with pytest.raises(UserError, match=message):
        numbers([record(1, losses=(0.5,))], "val_ssimm")


def test_a_run_without_epochs_is_an_error() -> None:
    with pytest.raises(UserError, match="--metric val_loss: no trial has finished an epoch"):
        numbers([record(1, TrialState.PENDING)])
