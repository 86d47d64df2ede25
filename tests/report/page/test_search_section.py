"""The section about suggestions."""

from __future__ import annotations

import numpy as np

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page.figures.hypervolume import draw_hypervolume, hypervolume_data
from cae.report.page.figures.search import draw_search, search_data
from cae.report.page.sections.hypervolume import hypervolume_section
from cae.report.page.sections.search import search_section
from tests.report.synthetic_runs import MakeWriter


def searched(writer: MakeWriter, values: list[float]) -> Results:
    """Two trials of the initial design, then one per value, predicted as 0.1 (0.05 to 0.2)."""
    run = writer(search={"name": "model-based", "learns": True})
    run.session([])
    initial = {"method": "initial design", "reason": "initial design, 1 of 2"}
    predicted = {"method": "model", "reason": "", "mean": 0.1, "low": 0.05, "high": 0.2}
    for number, value in enumerate([0.5, 0.4, *values], 1):
        suggestion = predicted if number > 2 else initial
        run.trial(number, {"arch.kernel_size": number}, suggestion=suggestion)
        run.start(number)
        run.epoch(number, 1, value)
        run.end(number, "finished", best_epoch=1, metrics={})
    return tables.read([run.close()])


def test_the_share_of_values_in_their_intervals_is_stated(writer: MakeWriter) -> None:
    results = searched(writer, [0.06, 0.1, 0.3, 0.19])
    content = search_section(results)
    assert "4 by model, 2 by initial design" in content.verdict
    assert "Of 4 finished trials with a prediction, 3 (75\u00a0%)" in content.verdict
    assert list(search_data(results).trials["covered"]) == [True, True, False, True]
    assert list(results.trials["predicted"].notna()) == [False, False, True, True, True, True]


def test_bounds_and_points_are_drawn_as_predicted(writer: MakeWriter) -> None:
    figure = draw_search(search_data(searched(writer, [0.06, 0.1, 0.3])))
    points = figure.data[1]
    assert np.allclose(points.x, 0.1)
    assert np.allclose(points.y, [0.06, 0.1, 0.3])
    assert np.allclose(points.error_x.array, 0.1)
    assert np.allclose(points.error_x.arrayminus, 0.05)


def test_few_predictions_are_not_judged(writer: MakeWriter) -> None:
    content = search_section(searched(writer, [0.06]))
    assert content.is_empty
    assert "too few to judge" in content.verdict


def test_a_sweep_without_a_search_has_no_section(writer: MakeWriter) -> None:
    run = writer()
    run.session([1])
    run.trial(1, {"arch.kernel_size": 3})
    run.start(1)
    run.epoch(1, 1, 0.5)
    run.end(1, "finished", best_epoch=1, metrics={})
    assert search_section(tables.read([run.close()])).is_left_out


def with_second_objective(writer: MakeWriter) -> Results:
    """Five trials, whose parameters are 5008, 5105, ...; the best value is found last but one."""
    run = writer(search={"name": "model-based", "learns": True, "second_objective": "parameters"})
    run.session([])
    for number, value in enumerate([0.4, 0.3, 0.35, 0.1, 0.2], 1):
        run.trial(number, {"arch.kernel_size": number})
        run.start(number)
        run.epoch(number, 1, value)
        run.end(number, "finished", best_epoch=1, metrics={})
    return tables.read([run.close()])


def test_the_hypervolume_grows_to_that_of_the_final_front(writer: MakeWriter) -> None:
    results = with_second_objective(writer)
    values = np.log([0.4, 0.3, 0.35, 0.1, 0.2])
    sizes = np.log(4911 + 97 * np.arange(1, 6))
    first = (values - values.min()) / (values.max() - values.min())
    second = (sizes - sizes.min()) / (sizes.max() - sizes.min())
    areas = []
    grid = np.linspace(0, 1.1, 1101)[:-1] + 0.0005
    covered = np.zeros((1100, 1100), bool)
    for value, size in zip(first, second, strict=True):
        covered |= (grid[:, None] >= value) & (grid[None, :] >= size)
        areas.append(covered.mean())
    data = hypervolume_data(results)
    assert data.cost == "parameters"
    assert np.allclose(data.shares, np.array(areas) / areas[-1], atol=0.003)
    content = hypervolume_section(results)
    assert "after 4 of 5 finished trials" in content.verdict
    assert "hypervolume" in content.captions
    figure = draw_hypervolume(data)
    assert list(figure.data[0].x) == [1, 2, 3, 4, 5]
    assert np.allclose(figure.data[0].y, 100 * np.array(data.shares), rtol=1e-3)


def test_without_a_second_objective_no_hypervolume_is_shown(writer: MakeWriter) -> None:
    results = searched(writer, [0.06, 0.1, 0.3])
    assert hypervolume_data(results).shares == []
    assert hypervolume_section(results).is_left_out
