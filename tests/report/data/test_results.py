"""Values, ranks and configurations of the trials of a run."""

from __future__ import annotations

import math
from collections.abc import Callable

from cae.report.data import tables
from cae.report.data.results import Results, settings_without_seed
from cae.run.paths import RunDir
from tests.report.synthetic_runs import MakeWriter

MakeRun = Callable[[str], RunDir]


def results_with_dependency(writer: MakeWriter) -> Results:
    """Trial 1 is only a dependency, trial 2 diverged, and trials 3 to 5 finished."""
    losses = {1: 0.01, 2: math.nan, 3: 0.3, 4: 0.2, 5: 0.2}
    run = writer()
    run.session(list(losses))
    for number, loss in losses.items():
        run.add(
            "trial",
            trial=number,
            hash=str(number),
            config={"epochs": 4, "seed": number, "arch.kernel_size": number % 2},
            axes={},
            sizes={},
            is_dependency=number == 1,
        )
        run.start(number)
        run.epoch(number, 1, loss)
        state = "finished"
        if math.isnan(loss):
            state = "diverged"
        run.end(number, state)
    return tables.read([run.close()])


def test_trials_are_ranked_by_value_and_then_by_number(writer: MakeWriter) -> None:
    results = results_with_dependency(writer)
    assert results.ranked["trial"].tolist() == [4, 5, 3]


def test_larger_values_are_better_with_mode_max(writer: MakeWriter) -> None:
    run = writer(metric="val_psnr", mode="max")
    run.session([1, 2])
    for number in (1, 2):
        run.trial(number, {})
        run.start(number)
        run.epoch(number, 1, 0.1 / number)
        run.end(number, "finished")
    assert tables.read([run.close()]).ranked["trial"].tolist() == [2, 1]


def test_dependencies_and_diverged_trials_have_no_value(writer: MakeWriter) -> None:
    results = results_with_dependency(writer)
    assert results.values.isna().tolist() == [True, True, False, False, False]
    assert results.is_dependency.tolist() == [True, False, False, False, False]
    assert results.is_requested.tolist() == [False, True, True, True, True]
    assert results.runs[0].requested_trials == [2, 3, 4, 5]


def test_withdrawn_trials_are_not_requested(writer: MakeWriter) -> None:
    run = writer()
    run.session([1, 2])
    run.trial(1, {})
    run.trial(2, {})
    run.session([1])
    assert tables.read([run.close()]).is_requested.tolist() == [True, False]


def test_a_configuration_is_shared_by_trials_that_differ_only_in_their_seed(
    writer: MakeWriter,
) -> None:
    results = results_with_dependency(writer)
    assert results.configurations.nunique() == 2
    ranked = results.ranked.index
    assert results.trials.loc[results.same_configuration(ranked), "trial"].tolist() == [4]
    first_configuration = results.same_configuration(results.trials.index)
    assert results.trials.loc[first_configuration, "trial"].tolist() == [1, 3, 5]


def test_settings_are_sorted_without_the_seed() -> None:
    config = {"seed": 1, "epochs": 4, "arch.filters": [8, 16]}
    assert settings_without_seed(config) == [("arch.filters", "[8, 16]"), ("epochs", "4")]


def test_labels_of_joined_runs_name_the_run(make_run: MakeRun) -> None:
    two = tables.read([make_run("two")])
    joined = tables.read([make_run("two"), make_run("one")])
    assert two.labels.tolist() == ["trial 1", "trial 2"]
    assert joined.labels.tolist() == ["trial 1 of two", "trial 2 of two", "trial 1 of one"]
