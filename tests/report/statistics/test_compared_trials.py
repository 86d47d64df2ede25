"""Statistics compare values after equally long training, on runs where early stopping misleads."""

from __future__ import annotations

import pytest

from cae.report.data import tables
from cae.report.statistics.compared_trials import (
    PopulationKind,
    finished_trials,
    has_stopped_seed,
    trials_at_same_epoch,
)
from cae.report.statistics.importance import analyze_importance
from cae.report.statistics.next_steps import next_steps
from cae.report.statistics.parameter_effects import (
    EffectVerdict,
    SettingWithoutFinished,
    analyze_effects,
)
from cae.report.statistics.published import compare_published
from cae.report.statistics.rate_distortion import rate_distortion
from tests.report.stopped_runs import (
    KERNEL,
    SURVIVING_SEED,
    PlantedTrial,
    all_stopped_at_one_setting,
    planted,
    slow_starters,
    trials_of_different_length,
)
from tests.report.synthetic_runs import PUBLISHED, MakeWriter


def test_a_slow_starter_that_wins_at_the_end_has_the_best_median(writer: MakeWriter) -> None:
    finished, at_same_epoch = analyze_effects(slow_starters(writer)).effects
    assert finished.verdict == EffectVerdict.DIFFERENCE
    assert finished.medians is not None
    assert finished.medians.to_dict() == pytest.approx({"7": 0.1025, "3": 0.2125})
    assert finished.medians.index[0] == "7"
    assert len(finished.compared.values) == 12
    assert at_same_epoch.compared.epoch == 1
    assert at_same_epoch.medians is not None
    assert at_same_epoch.medians.index.tolist() == ["3", "7"]
    assert at_same_epoch.medians["7"] == pytest.approx(0.8525)
    assert len(at_same_epoch.compared.values) == 18


def test_a_setting_whose_trials_were_all_stopped_is_unknown_after_all_epochs(
    writer: MakeWriter,
) -> None:
    """A median of their early values says that the setting is worse after full training."""
    analysis = analyze_effects(all_stopped_at_one_setting(writer))
    assert analysis.without_finished == [SettingWithoutFinished(KERNEL, "7", 6)]
    finished, at_same_epoch = analysis.effects
    assert finished.verdict == EffectVerdict.NONE
    assert at_same_epoch.verdict == EffectVerdict.DIFFERENCE
    assert at_same_epoch.parameter == KERNEL
    assert at_same_epoch.medians is not None
    assert at_same_epoch.medians.index[-1] == "7"


def test_without_a_stopped_trial_only_finished_trials_are_compared(writer: MakeWriter) -> None:
    trials = [
        PlantedTrial(3, [0.3, 0.2, 0.2, 0.2]),
        PlantedTrial(5, [0.3, 0.2, 0.2, 0.1]),
        PlantedTrial(7, [0.01], state="killed"),
    ]
    results = planted(writer, trials)
    assert trials_at_same_epoch(results) is None
    compared = finished_trials(results)
    assert compared.kind == PopulationKind.FINISHED
    assert compared.values.tolist() == [0.2, 0.1]


def test_finished_trials_of_different_length_are_compared_by_their_common_epochs(
    writer: MakeWriter,
) -> None:
    results = planted(writer, trials_of_different_length())
    compared = finished_trials(results)
    assert compared.epoch == 4
    assert compared.shorter == 1
    kernels = results.trials.loc[compared.values.index, KERNEL]
    assert compared.values[kernels == 7].tolist() == pytest.approx([0.21, 0.22, 0.23, 0.24, 0.25])
    assert 5 not in kernels.tolist()
    (effect,) = analyze_effects(results).effects
    assert effect.verdict == EffectVerdict.NONE


def test_of_two_equally_frequent_lengths_the_shorter_one_counts(writer: MakeWriter) -> None:
    trials = [PlantedTrial(3, [0.3, 0.2], epochs=2), PlantedTrial(5, [0.4, 0.3, 0.1], epochs=3)]
    compared = finished_trials(planted(writer, trials))
    assert compared.epoch == 2
    assert compared.shorter == 0
    assert compared.values.tolist() == [0.2, 0.3]


def test_finished_trials_are_compared_as_they_are_if_the_sweep_varies_their_length(
    writer: MakeWriter,
) -> None:
    axes = {KERNEL: {"values": [3, 5, 7]}, "epochs": {"values": [2, 4, 8]}}
    compared = finished_trials(planted(writer, trials_of_different_length(), axes=axes))
    assert compared.epoch is None
    assert len(compared.values) == 12
    assert compared.values.min() == 0.04


def test_the_same_epoch_is_the_last_one_that_no_stopped_trial_misses(writer: MakeWriter) -> None:
    """A trial that diverged later has a value there too: no trial is missing for its value."""
    trials = [
        PlantedTrial(3, [0.5, 0.4, 0.3, 0.2]),
        PlantedTrial(5, [0.6, 0.55, 0.5]),
        PlantedTrial(7, [0.7, 0.65]),
        PlantedTrial(9, [0.8, 0.75, float("nan")], state="diverged"),
        PlantedTrial(11, [0.9], state="failed"),
    ]
    compared = trials_at_same_epoch(planted(writer, trials))
    assert compared is not None
    assert compared.epoch == 2
    assert compared.values.tolist() == [0.4, 0.55, 0.65, 0.75]


def test_joined_runs_are_compared_at_the_earliest_stop_of_all(writer: MakeWriter) -> None:
    folders = []
    for name, epochs in (("early", 1), ("late", 3)):
        losses = [0.1 * epoch for epoch in range(1, epochs + 1)]
        results = planted(writer, [PlantedTrial(3, losses)], name)
        folders.append(results.runs[0].folder)
    compared = trials_at_same_epoch(tables.read(folders))
    assert compared is not None
    assert compared.epoch == 1
    assert compared.values.tolist() == [0.1, 0.1]


def test_the_mean_of_a_configuration_is_not_that_of_its_surviving_seeds(
    writer: MakeWriter,
) -> None:
    results = planted(writer, SURVIVING_SEED)
    assert has_stopped_seed(results).tolist() == [True, True, False, False]
    finished, at_same_epoch = analyze_importance(results)
    assert finished.population.values.tolist() == pytest.approx([0.225])
    assert at_same_epoch.population.values.tolist() == pytest.approx([0.7, 0.5])
    assert rate_distortion(results).configurations["n"].tolist() == [2]


def test_a_published_number_is_not_compared_with_surviving_seeds(writer: MakeWriter) -> None:
    published = dict.fromkeys(PUBLISHED[0], "") | {"value": "0.225", "metric": "val_loss"}
    results = planted(writer, SURVIVING_SEED, published=[published], overrides={})
    (comparison,) = compare_published(results)
    assert comparison.measurement is not None
    assert comparison.measurement.trials == [3, 4]
    assert comparison.measurement.mean == pytest.approx(0.225)


def converged(kernel_size: int, losses: list[float], seed: int = 0) -> PlantedTrial:
    return PlantedTrial(kernel_size, losses, seed=seed, epochs=9, stopped_by="patience")


def test_trials_that_their_patience_ended_are_compared_with_finished_ones(
    writer: MakeWriter,
) -> None:
    trials = [
        PlantedTrial(3, [0.5, 0.4, 0.3, 0.2], epochs=4),
        converged(5, [0.6, 0.1, 0.1]),
        converged(7, [0.7, 0.3, 0.3], seed=1),
        converged(7, [0.7, 0.4, 0.4], seed=2),
    ]
    results = planted(writer, trials, axes={KERNEL: {"values": [3, 5, 7]}, "epochs": {}})
    compared = finished_trials(results)
    assert compared.values.tolist() == pytest.approx([0.2, 0.1, 0.3, 0.4])
    assert compared.stopped == 0
    assert trials_at_same_epoch(results) is None
    assert not has_stopped_seed(results).any()
    assert analyze_effects(results).without_finished == []


@pytest.mark.parametrize("cause", ["scheduler", "worst_value"])
def test_a_trial_that_was_stopped_for_its_value_is_left_out_of_finished_ones(
    writer: MakeWriter, cause: str
) -> None:
    """At the epoch that all trials reached, no trial is missing, of whatever cause."""
    trials = [
        PlantedTrial(3, [0.5, 0.4, 0.3, 0.2]),
        PlantedTrial(5, [0.9, 0.8, 0.7], stopped_by=cause),
        PlantedTrial(7, [0.6, 0.1], stopped_by="patience"),
    ]
    results = planted(writer, trials)
    compared = finished_trials(results)
    assert compared.values.tolist() == pytest.approx([0.2, 0.1])
    assert compared.stopped == 1
    at_same_epoch = trials_at_same_epoch(results)
    assert at_same_epoch is not None
    assert at_same_epoch.epoch == 2
    assert at_same_epoch.values.tolist() == pytest.approx([0.4, 0.8, 0.1])
    assert has_stopped_seed(results).tolist() == [False, True, False]


def test_converged_trials_speak_against_training_longer(writer: MakeWriter) -> None:
    """Of the trials that trained all epochs alone, each had its best epoch last."""
    still_improving = [PlantedTrial(size, [0.5, 0.4, 0.3, 0.2]) for size in (3, 5, 7)]
    texts = [step.finding for step in next_steps(planted(writer, still_improving, "first"))]
    assert any("train longer" in text for text in texts)
    better = [PlantedTrial(size, [0.1, 0.1, 0.1], stopped_by="patience") for size in (9, 11, 13)]
    results = planted(writer, [*still_improving, *better], "second")
    texts = [step.finding for step in next_steps(results)]
    assert not any("train longer" in text for text in texts)
