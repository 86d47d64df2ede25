"""Statements of the page about runs in uncommon shapes."""

from __future__ import annotations

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page.figures.best import best_data, draw_best
from cae.report.page.sections import reconstructions
from cae.report.statistics.parameter_effects import EffectVerdict, analyze_effects
from tests.report.page.test_sections import content_as
from tests.report.planted_runs import configurations_with_seeds
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
