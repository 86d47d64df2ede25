"""Statements of the page about runs in uncommon shapes."""

from __future__ import annotations

import pytest

from cae.report.data import tables
from cae.report.data.parameters import varying_parameters
from cae.report.data.results import Results
from cae.report.page.figures.best import best_data, draw_best
from cae.report.page.sections import reconstructions
from cae.report.page.sections.about import trials_text
from cae.report.page.sections.joined_runs import common_trials, shared_trials
from cae.report.statistics.parameter_effects import EffectVerdict, analyze_effects
from tests.report.page.test_sections import content_as, content_of
from tests.report.planted_runs import configurations_with_seeds
from tests.report.stopped_runs import PlantedTrial, planted
from tests.report.synthetic_runs import MakeWriter


def results_with_none(writer: MakeWriter) -> Results:
    """Trials without clipping have a fifth of the loss."""
    axes = {
        "clip_norm": {"values": [None, 1.0], "scale": "linear"},
        "arch.kernel_size": {"values": [3, 5, 7, 9], "scale": "linear"},
    }
    run = writer(axes=axes, scheduler=None)
    run.session(list(range(1, 9)))
    number = 0
    for clip_norm, loss in ((None, 0.01), (1.0, 0.05)):
        for kernel_size in (3, 5, 7, 9):
            number += 1
            run.trial(number, {"clip_norm": clip_norm, "arch.kernel_size": kernel_size})
            run.start(number)
            run.epoch(number, 1, loss + 1e-5 * number)
            run.end(number, "finished", best_epoch=1)
            run.samples(number, 0.1)
    return tables.read([run.close()])


def test_a_setting_of_none_is_compared_with_the_others(writer: MakeWriter) -> None:
    """Regression: no parameter made a difference, where clip_norm=None had a fifth of the loss."""
    results = results_with_none(writer)
    (effect,) = analyze_effects(results).effects
    assert (effect.verdict, effect.parameter) == (EffectVerdict.DIFFERENCE, "clip_norm")
    assert effect.medians is not None
    assert list(effect.medians.index) == ["none", "1"]
    strips = content_as(reconstructions.ReconstructionsContent, "reconstructions", results).strips
    assert "clip_norm\u00a0none" in strips[0].settings


def test_a_chart_has_the_probabilities_of_the_sentences(writer: MakeWriter) -> None:
    """Regression: 100 % on hover, and over 99 % in the sentence."""
    results = configurations_with_seeds(writer, [0.01, 0.02], 3, 0.0001)
    figure = draw_best(best_data(results))
    texts = [text for trace in figure.data for text in trace.text or ()]
    assert any("with a probability of over 99 %" in text for text in texts)
    assert any("with a probability of under 1 %" in text for text in texts)
    assert not any("100 %" in text for text in texts)


def test_joined_runs_without_trials_have_a_page(writer: MakeWriter) -> None:
    """Regression: KeyError 'seconds'."""
    results = tables.read([writer("a").close(), writer("b").close()])
    content = content_of("joined_runs", results)
    assert content.is_empty
    assert content.verdict == "None of the 2 runs has a trial yet."


def test_trials_in_common_that_have_not_finished_are_counted(writer: MakeWriter) -> None:
    """Regression: "no two trials have the same settings", of two runs of the same sweep."""
    runs = []
    for name, last in (("a", 2), ("b", 1)):
        run = writer(name)
        run.session([1, 2])
        for number in (1, 2):
            run.trial(number, {"arch.kernel_size": number})
        run.start(1)
        run.epoch(1, 1, 0.01)
        if last == 2:
            run.end(1, "finished", best_epoch=1)
        runs.append(run.close())
    results = tables.read(runs)
    assert common_trials(results) == 2
    assert "have 2 trials in common" in content_of("joined_runs", results).verdict


def test_trials_that_their_patience_ended_are_compared_between_runs(writer: MakeWriter) -> None:
    folders = []
    for name, loss in (("a", 0.3), ("b", 0.1)):
        trials = [PlantedTrial(3, [loss, loss], stopped_by="patience")]
        folders.append(planted(writer, trials, name, patience=1).runs[0].folder)
    shared = shared_trials(tables.read(folders))
    assert shared[["a", "b"]].to_numpy().tolist() == [[0.3, 0.1]]
    assert shared["difference"].tolist() == [pytest.approx(0.2)]


def test_a_component_differs_beside_an_axis_of_its_parameter(writer: MakeWriter) -> None:
    """Regression: runs with other networks differed in arch.latent only, not in arch."""
    runs = []
    for name, arch in (("a", "conv_autoencoder"), ("b", "dense_autoencoder")):
        run = writer(name, axes={"arch.latent": {"values": [8, 16], "scale": "linear"}})
        run.session([1, 2])
        for number, latent in ((1, 8), (2, 16)):
            run.trial(number, {"arch.latent": latent}, arch=arch)
        runs.append(run.close())
    results = tables.read(runs)
    assert varying_parameters(results, results.trials) == ["arch.latent", "arch"]


@pytest.mark.parametrize(
    ("epochs", "best_epochs", "expected"),
    [
        (1, [1, 1, 1], ""),
        (4, [4, 4, 4], "3 of 3 finished trials were best in the last epoch: more epochs"),
        (4, [2, 3, 4], "1 of 3 finished trials was best in the last epoch."),
        (4, [2, 3, 3], "None of 3 finished trials was still improving."),
    ],
)
def test_more_epochs_are_advised_where_the_next_steps_advise_them(
    writer: MakeWriter, epochs: int, best_epochs: list[int], expected: str
) -> None:
    """Regression: also after trials of one epoch, and if one of many was best in its last epoch."""
    run = writer(scheduler=None)
    run.session([1, 2, 3])
    for number, best in enumerate(best_epochs, start=1):
        run.trial(number, {"arch.kernel_size": 3 + number}, epochs=epochs)
        run.start(number)
        for epoch in range(1, epochs + 1):
            run.epoch(number, epoch, 0.01 * number + 0.001 * abs(epoch - best))
        run.end(number, "finished", best_epoch=best)
    results = tables.read([run.close()])
    verdict = content_of("curves", results).verdict
    if not expected:
        assert "last epoch" not in verdict
    assert expected in verdict
    has_advice = "more epochs" in content_of("next_steps", results).verdict
    assert ("more epochs would likely help" in verdict) == has_advice


def test_the_trials_of_a_search_space_are_counted_with_their_seeds(writer: MakeWriter) -> None:
    """Regression: "7 trials of a search space of 2", of which one was a dependency."""
    run = writer(space=2, seeds=3)
    run.session(list(range(1, 8)))
    run.trial(1, {}, is_dependency=True)
    for number in range(2, 8):
        axes = {"arch.kernel_size": number % 2}
        run.trial(number, axes, seed=number // 2 - 1, dependencies={"task.encoder": 1})
    results = tables.read([run.close()])
    assert trials_text(results.runs[0]) == (
        "6 trials of a search space of 2 configurations, 3 seeds of each; "
        "1 trial that they depend on"
    )
