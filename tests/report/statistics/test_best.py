"""The comparison of the best configuration, on runs whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.statistics.best import (
    BestVerdict,
    compare_configurations,
    distinguishing_settings,
    smallest_tied,
    suggested_seeds,
)
from cae.report.statistics.inference import welch_difference
from cae.report.wording.best import comparison_sentence, distinction_texts

Writer = Callable[..., Any]


def run_with_seeds(writer: Writer, means: list[float], seeds: int, spread: float) -> Results:
    """One configuration per mean, with values that are normally distributed over the seeds."""
    run = writer("run", seeds=seeds)
    random = np.random.default_rng(1)
    run.session(list(range(1, len(means) * seeds + 1)))
    number = 0
    for seed in range(seeds):
        for kernel, mean in enumerate(means):
            number += 1
            run.trial(number, {"arch.kernel_size": kernel}, seed=seed)
            run.start(number)
            run.epoch(number, 1, mean + spread * float(random.normal()))
            run.end(number, "finished", best_epoch=1, metrics={})
    return tables.read([run.close()])


def test_a_configuration_that_is_better_than_the_spread_of_seeds_is_better(
    writer: Writer,
) -> None:
    results = run_with_seeds(writer, [0.010, 0.020, 0.021], 5, 0.0005)
    comparison = compare_configurations(results)
    assert comparison.verdict == BestVerdict.BETTER
    assert comparison.tied == []
    assert comparison.table["probability"].iloc[0] > 0.99
    assert comparison.table["difference_low"].iloc[1] > 0
    sentence = comparison_sentence(results, comparison)
    assert "is significantly better than each of the 2 others" in sentence


def test_equal_configurations_are_tied(writer: Writer) -> None:
    results = run_with_seeds(writer, [0.010, 0.010, 0.030], 4, 0.001)
    comparison = compare_configurations(results)
    assert comparison.verdict == BestVerdict.TIED
    assert len(comparison.tied) == 1
    assert comparison.table["probability"].sum() == pytest.approx(1)
    smallest = smallest_tied(results, comparison)
    assert smallest is not None
    assert smallest.row in (0, comparison.tied[0])
    sentence = comparison_sentence(results, comparison)
    assert "is tied with" in sentence
    assert "smallest" in sentence


def test_the_best_of_equal_configurations_is_rarely_better_than_the_second() -> None:
    """Of twelve, a hundred times: selecting the best with the same data does not bias the test."""
    random = np.random.default_rng(0)
    significant = 0
    for _ in range(100):
        samples = [random.normal(size=4) for _ in range(12)]
        samples.sort(key=lambda sample: float(sample.mean()))
        difference = welch_difference(samples[1], samples[0])
        if difference.p_value() < 0.05:
            significant += 1
    assert significant <= 8


def test_one_seed_per_configuration_is_unknown(writer: Writer) -> None:
    results = run_with_seeds(writer, [0.01, 0.02], 1, 0.0)
    comparison = compare_configurations(results)
    assert comparison.verdict == BestVerdict.UNKNOWN
    assert suggested_seeds(results) == 3
    assert "--set seeds=3" in comparison_sentence(results, comparison)


def test_a_configuration_with_a_failed_seed_is_not_compared(writer: Writer) -> None:
    run = writer(seeds=2)
    run.session([1, 2, 3, 4])
    for number in (1, 2, 3, 4):
        kernel = {1: 3, 2: 3, 3: 5, 4: 5}[number]
        run.trial(number, {"arch.kernel_size": kernel}, seed=number % 2)
        run.start(number)
        if number == 1:
            run.epoch(number, 1, math.nan)
            run.end(number, "diverged")
        else:
            run.epoch(number, 1, 0.01 * number)
            run.end(number, "finished")
    table = compare_configurations(tables.read([run.close()])).table
    assert table["is_complete"].tolist() == [True, False]
    assert table["n"].tolist() == [2, 1]
    assert table["requested"].tolist() == [2, 2]


def test_labels_name_unusual_settings_and_omit_determined_ones(writer: Writer) -> None:
    usual: dict[str, Any] = {
        "arch.kernel_size": 3,
        "arch.layers": 2,
        "arch.pools": 1,
        "optimizer.lr": 0.01,
        "optimizer": "adam",
    }
    changes: list[dict[str, Any]] = [
        {},
        {"arch.kernel_size": 5},
        {"arch.layers": 4, "arch.pools": 3},
        {"optimizer.lr": 0.1},
        {"optimizer": "sgd"},
    ]
    run = writer()
    run.session(list(range(1, len(changes) + 1)))
    for number, change in enumerate(changes, 1):
        run.trial(number, usual | change)
    results = tables.read([run.close()])
    all_trials = distinguishing_settings(results, list(results.trials.index))
    texts = distinction_texts(all_trials)
    assert texts[1:] == ["kernel_size 5", "layers 4", "lr 0.1", "optimizer sgd"]
    assert all_trials.settings[0] == []
    two_trials = distinguishing_settings(results, [0, 1])
    assert distinction_texts(two_trials) == ["kernel_size 3", "kernel_size 5"]
