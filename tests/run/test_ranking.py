"""The ranking of a run's trials."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cae.errors import UserError
from cae.run.events import TrialEnded
from cae.run.metric_direction import Mode
from cae.run.ranking import (
    find_trial,
    metrics_across_groups,
    rank_across_groups,
    rank_by_group,
    ranking,
)
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


def test_a_run_whose_trials_failed_after_an_epoch_says_so() -> None:
    message = "--metric val_loss: every trial that has finished an epoch failed or diverged"
    with pytest.raises(UserError, match=message):
        numbers([record(1, TrialState.FAILED, losses=(0.5,)), record(2, TrialState.PENDING)])


# Comparability groups


def in_group(number: int, group: str, loss: float, psnr: float = 20.0, **more: float) -> Record:
    """A trial of a group; losses are defined differently in each group, PSNR equally."""
    trial = record(number, losses=(loss,))
    trial.epochs[1] |= {"val_psnr": psnr, **more}
    trial.describe_group(
        {
            "key": group,
            "parameters": {"task.loss": group, "data": "0"},
            "metrics": {"loss": group, "psnr": "p", "mse": "m"},
        }
    )
    return trial


SCALES = [in_group(1, "mse", 0.01, 20.0), in_group(2, "l1", 0.2, 22.0), in_group(3, "l1", 0.3)]
"""The losses of the second group are larger; its first trial has the best PSNR."""


def test_each_group_has_its_own_ranking() -> None:
    rankings = rank_by_group(SCALES, SWEEP, "val_loss", None)
    numbers_by_label = {
        ranking.label: [trial.record.number for trial in ranking.trials] for ranking in rankings
    }
    assert numbers_by_label == {"task.loss = mse": [1], "task.loss = l1": [2, 3]}


def test_a_ranking_over_several_groups_is_an_error() -> None:
    message = "the trials are in 2 groups that are not comparable .*: they differ in task.loss"
    with pytest.raises(UserError, match=message):
        numbers(SCALES)


def test_groups_are_ranked_together_by_a_metric_with_one_definition() -> None:
    together = rank_across_groups(SCALES, SWEEP, "val_psnr", "max")
    assert [trial.record.number for trial in together] == [2, 1, 3]


def test_groups_are_not_ranked_together_by_a_metric_with_several_definitions() -> None:
    sweep = SweepDescription(metric="val_loss", mode="min", directions={"psnr": "max"})
    message = r"--across-groups: val_loss .* differ in task.loss; these are: val_psnr \(--metric\)"
    with pytest.raises(UserError, match=message):
        rank_across_groups(SCALES, sweep, "val_loss", None)


def test_metrics_for_all_groups_start_with_that_of_the_sweep_and_end_with_those_of_the_test() -> (
    None
):
    sweep = SweepDescription(metric="val_mse", mode="min", directions={"psnr": "max", "mse": "min"})
    trials = []
    for number, group in enumerate(("mse", "l1"), 1):
        trials.append(in_group(number, group, 0.1, test_psnr=19.0, val_mse=0.1))
    rankings = rank_by_group(trials, sweep, "val_mse", None)
    assert metrics_across_groups(rankings, sweep) == ["val_mse", "val_psnr", "test_psnr"]


def test_groups_are_not_ranked_together_by_a_metric_that_one_does_not_measure() -> None:
    trials = [in_group(1, "mse", 0.01), in_group(2, "l1", 0.2, val_mse=0.05)]
    with pytest.raises(UserError, match="--across-groups: val_mse is not measured"):
        rank_across_groups(trials, SWEEP, "val_mse", "min")
    alone = rank_across_groups(trials[1:], SWEEP, "val_mse", "min")
    assert [trial.record.number for trial in alone] == [2]


def test_a_trial_is_found_by_its_number() -> None:
    found = find_trial(SCALES, SWEEP, "val_psnr", 3)
    assert (found.record.number, found.epoch, found.value) == (3, 1, 20.0)
    with pytest.raises(UserError, match="--trial 9: the run does not have it; there are trials 1"):
        find_trial(SCALES, SWEEP, "val_psnr", 9)
    pending = record(4, TrialState.PENDING)
    with pytest.raises(UserError, match="--trial 4: it has no best epoch; its state is pending"):
        find_trial([pending], SWEEP, "val_psnr", 4)


def test_a_dependency_is_found_by_its_number_although_it_is_not_ranked() -> None:
    judge = record(1, losses=(0.5, 0.4))
    judge.is_dependency = True
    judge.end = TrialEnded(trial=1, state=TrialState.FINISHED, reason="", best_epoch=2)
    assert find_trial([judge], SWEEP, "val_loss", 1).epoch == 2


@given(
    st.lists(
        st.tuples(st.sampled_from(["mse", "l1", "bce"]), st.floats(0, 1, allow_nan=False)),
        min_size=1,
        max_size=12,
    )
)
def test_the_ranking_of_a_group_does_not_depend_on_other_groups(
    trials: list[tuple[str, float]],
) -> None:
    records = [in_group(number, group, loss) for number, (group, loss) in enumerate(trials)]
    for ranked in rank_by_group(records, SWEEP, "val_loss", None):
        own = [trial for trial in records if trial.group == ranked.group]
        assert [trial.record.number for trial in ranked.trials] == numbers(own)
