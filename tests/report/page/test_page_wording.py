"""Sentences of the page, and that it contains no word that the style guide excludes."""

from __future__ import annotations

import dataclasses
import re

import pandas as pd
import pytest

from cae.report.page.sections import all_sections
from cae.report.page.sections.summary import best_sentence
from tests.report.page.conftest import ReadResults
from tests.report.stopped_runs import PlantedTrial, planted
from tests.report.synthetic_runs import MakeWriter
from tests.test_wording import excluded_phrases


def test_no_section_contains_an_excluded_phrase(shape: str, read_results: ReadResults) -> None:
    results = read_results(shape)
    for section in all_sections():
        content = section.build(results)
        texts = [section.title, content.verdict, content.method, *content.captions.values()]
        texts += [table.caption for table in content.tables]
        texts += [column.name for table in content.tables for column in table.columns]
        for text in texts:
            assert excluded_phrases(text) == [], f"{section.id}: {text}"


def test_the_best_sentence_compares_with_the_second_trial(read_results: ReadResults) -> None:
    assert re.match(
        r"Best is trial 2: val_loss \S+ at epoch 4, \S+ \(50\u00a0%\) lower than the second "
        r"\(trial 1, \S+\)\. ",
        best_sentence(read_results("two")),
    )


def test_the_best_sentence_states_which_values_are_from_fewer_epochs(writer: MakeWriter) -> None:
    stopped = [PlantedTrial(3, [0.5, 0.4, 0.3, 0.2]), PlantedTrial(5, [0.6, 0.3])]
    second_is_stopped = best_sentence(planted(writer, stopped, "second"))
    assert "at epoch 4, 0.100 (33\u00a0%) lower than the second" in second_is_stopped
    assert "(trial 2, 0.3000, stopped after 2 epochs)" in second_is_stopped
    best_is_stopped = best_sentence(planted(writer, [*stopped, PlantedTrial(7, [0.1])], "best"))
    assert best_is_stopped.startswith(
        "Best is trial 3: val_loss 0.1000 at epoch 1 (stopped after 1 epoch), 0.100 (50\u00a0%) "
        "lower than the second (trial 1, 0.2000)"
    )


def test_seeds_of_the_best_configuration_are_not_the_second(read_results: ReadResults) -> None:
    sentence = best_sentence(read_results("seeds"))
    assert "lower than the next configuration (trial 4," in sentence


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none", "No trial has been planned or run yet."),
        ("all_failed", "No trial has a finite val_loss, so there is no best one."),
        ("all_nan", "No trial has a finite val_loss, so there is no best one."),
    ],
)
def test_the_summary_states_why_there_is_no_best_trial(
    read_results: ReadResults, name: str, sentence: str
) -> None:
    assert best_sentence(read_results(name)) == sentence


def test_values_of_failed_trials_are_not_denied(read_results: ReadResults) -> None:
    results = read_results("all_failed")
    epochs = pd.DataFrame({"run": "run", "trial": [1], "epoch": [1], "val_loss": [0.5]})
    sentence = best_sentence(dataclasses.replace(results, epochs=epochs))
    assert "apart from trials that failed or diverged, so there is no best one" in sentence
