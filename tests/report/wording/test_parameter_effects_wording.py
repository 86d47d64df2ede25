"""Sentences about the effect of each parameter by itself."""

from __future__ import annotations

from cae.report.wording.parameter_effects import effects_sentences
from tests.report.stopped_runs import (
    PlantedTrial,
    all_stopped_at_one_setting,
    planted,
    slow_starters,
    trials_of_different_length,
)
from tests.report.synthetic_runs import MakeWriter


def test_each_sentence_states_which_trials_it_compares(writer: MakeWriter) -> None:
    assert effects_sentences(slow_starters(writer)).replace("\u00a0", " ") == (
        "arch.kernel_size makes the most significant difference: median val_loss 0.1025 at 7 and "
        "0.2125 at 3 (p = 0.004, 12 finished trials, without 6 that were stopped early). At "
        "epoch 1, before any trial was stopped: arch.kernel_size makes the most significant "
        "difference: median val_loss 0.4025 at 3 and "
        "0.8525 at 7 (p = 0.0007, 18 trials)."
    )


def test_a_setting_without_a_finished_trial_is_named(writer: MakeWriter) -> None:
    text = effects_sentences(all_stopped_at_one_setting(writer))
    assert text.startswith(
        "No single parameter makes a significant difference between these 12 finished trials, "
        "without 6 that were stopped early."
    )
    assert text.endswith(
        "No trial finished with arch.kernel_size 7 (6 stopped): what it reaches after all epochs "
        "is unknown."
    )


def test_values_of_trials_that_have_not_finished_are_not_compared(writer: MakeWriter) -> None:
    trials = [PlantedTrial(3, [0.3], state="killed"), PlantedTrial(5, [0.1], state="killed")]
    assert effects_sentences(planted(writer, trials)) == (
        "No trial has finished, so nothing is compared after all epochs."
    )


def test_the_common_epochs_of_finished_trials_are_stated(writer: MakeWriter) -> None:
    assert effects_sentences(planted(writer, trials_of_different_length())) == (
        "No single parameter makes a significant difference between these 11 finished trials up "
        "to epoch 4, without 1 with fewer epochs."
    )
