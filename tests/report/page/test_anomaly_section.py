"""The section about anomaly scores."""

from __future__ import annotations

import math

import numpy as np

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page.figures.anomaly_scores import anomaly_scores_data, draw_anomaly_scores
from cae.report.page.sections.anomaly_scores import anomaly_scores_section
from tests.report.synthetic_runs import MakeWriter

HISTOGRAM = [
    {"from": 0.01, "to": 0.1, "normal": 9, "anomalous": 10},
    {"from": 0.1, "to": 1.0, "normal": 1, "anomalous": 90},
]


def scored(writer: MakeWriter, aurocs: list[float], pca: float = 0.9) -> Results:
    """A trial per AUROC, the first one with the lowest loss."""
    run = writer()
    run.session(list(range(1, len(aurocs) + 1)))
    for number, auroc in enumerate(aurocs, 1):
        run.trial(number, {"arch.kernel_size": number})
        run.start(number)
        run.epoch(number, 1, 0.1 * number)
        metrics = {"test_auroc": auroc, "test_pca_auroc": pca, "test_threshold": 0.1}
        run.end(
            number,
            "finished",
            best_epoch=1,
            metrics=metrics,
            tables={"score_histogram": HISTOGRAM},
        )
    return tables.read([run.close()])


def test_the_best_trial_is_compared_with_the_rules(writer: MakeWriter) -> None:
    content = anomaly_scores_section(scored(writer, [0.95, 0.85]))
    assert "is 0.9500." in content.verdict
    assert "reconstruction error of PCA: 0.9000" in content.verdict
    assert "1 of 2 finished trials are better" in content.verdict
    assert "anomaly_scores" in content.captions


def test_trials_that_are_all_worse_than_pca_are_said_to_be(writer: MakeWriter) -> None:
    content = anomaly_scores_section(scored(writer, [0.8, 0.7]))
    assert "No finished trial is better" in content.verdict


def test_the_histogram_is_drawn_as_shares_with_the_threshold(writer: MakeWriter) -> None:
    figure = draw_anomaly_scores(anomaly_scores_data(scored(writer, [0.95])))
    normal, anomalous = figure.data
    assert np.allclose(normal.x, [0.01, 0.1, 1.0])
    assert np.allclose(normal.y, [90, 10, 10])
    assert np.allclose(anomalous.y, [10, 90, 90])
    assert math.isclose(figure.layout.shapes[0].x0, 0.1)


def test_a_sweep_of_another_task_has_no_section(writer: MakeWriter) -> None:
    run = writer()
    run.session([1])
    run.trial(1, {"arch.kernel_size": 3})
    run.start(1)
    run.epoch(1, 1, 0.5)
    run.end(1, "finished", best_epoch=1, metrics={})
    content = anomaly_scores_section(tables.read([run.close()]))
    assert content.is_left_out
