"""Every figure draws every shape of run, and shows the values of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from cae.report.data import tables
from cae.report.data.axis import make_axis
from cae.report.page.figures import Figure, style
from cae.report.page.figures.curves import TOP, curves_data, draw_curves
from cae.report.page.figures.importance import interaction_data, marginals_data
from cae.report.page.figures.parallel_coordinates import (
    BINS,
    FEWER_EPOCHS,
    MAX_LINES,
    MISSING_HEIGHT,
    draw_parallel_coordinates,
    parallel_coordinates_data,
)
from cae.report.page.figures.parameters import (
    best_at_settings,
    draw_parameters,
    parameters_data,
)
from cae.report.page.figures.pareto import pareto_data
from cae.report.page.figures.progress import draw_progress, progress_data
from cae.report.page.sections import all_sections
from cae.run.metric_direction import Mode
from cae.run.trial_state import TrialState
from tests.report.page.conftest import ReadResults
from tests.report.planted_runs import configurations_with_seeds, grid
from tests.report.stopped_runs import PlantedTrial, all_stopped_at_one_setting, planted

Writer = Callable[..., Any]
FIGURES = [figure for section in all_sections() for figure in section.figures]
every_figure = pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)


@every_figure
def test_every_figure_draws_every_run_without_webgl(
    figure: Figure[Any], shape: str, read_results: ReadResults
) -> None:
    drawn = figure.build(read_results(shape))
    assert isinstance(drawn, go.Figure)
    assert {trace.type for trace in drawn.data} <= {"scatter", "heatmap"}
    assert len(drawn.to_json()) < 1_500_000
    assert drawn.to_json() == figure.build(read_results(shape)).to_json()


@every_figure
def test_no_figure_contains_markup_of_the_user(
    figure: Figure[Any], read_results: ReadResults
) -> None:
    text = figure.build(read_results("hostile")).to_json()
    assert "<img" not in text
    assert "\\u003cimg" not in text
    assert "x" * 200 not in text


def test_every_state_has_its_own_symbol_or_color() -> None:
    styles = style.STATE_STYLES
    assert set(styles) == set(TrialState)
    assert len({looks.symbol for looks in styles.values()}) >= len(styles) - 2
    assert len(set(styles.values())) >= len(styles) - 1


def test_progress_contains_the_best_so_far_in_the_order_of_ends(read_results: ReadResults) -> None:
    results = read_results("thirty")
    trials = progress_data(results).trials
    assert len(trials) == 30
    assert trials["best"].ffill().dropna().is_monotonic_decreasing
    assert trials["best"].min() == results.values.min()
    assert trials["order"].tolist() == list(range(1, 31))


def test_progress_shows_trials_without_a_value_on_their_own_axis(
    read_results: ReadResults,
) -> None:
    figure = draw_progress(progress_data(read_results("all_failed")))
    assert [trace.name for trace in figure.data if trace.yaxis == "y2"] == ["failed, no value"]


def test_curves_mark_stopped_trials_with_their_reason(read_results: ReadResults) -> None:
    figure = draw_curves(curves_data(read_results("thirty")))
    stopped = [trace for trace in figure.data if trace.name == "stopped"]
    assert stopped
    for trace in stopped:
        assert all("above the cutoff" in text for text in trace.text)


def test_curves_of_many_trials_are_the_best_over_a_band(read_results: ReadResults) -> None:
    data = curves_data(read_results("thousand"))
    assert data.lines["trial"].nunique() == TOP
    assert len(data.band) == 4
    assert (data.band["val_loss low"] <= data.band["val_loss high"]).all()
    assert len(draw_curves(data).data) < 70


def test_curves_show_the_same_metric_on_the_training_images(read_results: ReadResults) -> None:
    assert curves_data(read_results("thirty")).metrics == ["val_loss", "train_loss"]


def test_lines_without_a_parameter_pass_below_its_axis(read_results: ReadResults) -> None:
    data = parallel_coordinates_data(read_results("mixed"))
    figure = draw_parallel_coordinates(data)
    assert [scale.name for scale in data.axes] == ["arch.padding", "val_loss"]
    assert data.axes[0].kind == "category"
    assert np.isnan(data.axes[0].positions).sum() == 1
    assert [note.text for note in figure.layout.annotations].count("none") == 1
    heights = np.concatenate([np.asarray(trace.y, dtype=float) for trace in figure.data])
    assert np.isclose(heights, MISSING_HEIGHT).sum() == 1


def test_parallel_coordinates_have_one_line_per_trial(read_results: ReadResults) -> None:
    data = parallel_coordinates_data(read_results("thirty"))
    gaps = 0
    for trace in draw_parallel_coordinates(data).data:
        gaps += int(np.isnan(np.asarray(trace.y, dtype=float)).sum())
    assert gaps == len(data.trials) == 30


def test_parallel_coordinates_color_only_finished_trials(writer: Writer) -> None:
    """The best loss of a stopped trial is lower than the best finished one, after fewer epochs."""
    trials = [
        PlantedTrial(3, [0.4, 0.3, 0.2, 0.2]),
        PlantedTrial(5, [0.5, 0.4, 0.4, 0.4]),
        PlantedTrial(7, [0.1]),
    ]
    data = parallel_coordinates_data(planted(writer, trials))
    bins = data.trials.set_index("label")["bin"]
    assert bins.to_dict() == {"trial 1": 0, "trial 2": BINS - 1, "trial 3": FEWER_EPOCHS}
    names = [trace.name for trace in draw_parallel_coordinates(data).data]
    assert names[0] == "after fewer epochs"


def test_the_line_of_the_best_is_of_finished_trials(writer: Writer) -> None:
    data = parameters_data(all_stopped_at_one_setting(writer))
    figure = draw_parameters(data)
    (line,) = [trace for trace in figure.data if "best" in trace.name]
    assert list(line.x) == [3, 5]


def test_parallel_coordinates_of_many_trials_are_a_sample_with_the_best(writer: Writer) -> None:
    sweep = writer()
    sweep.session(list(range(1, 1301)))
    for number in range(1, 1301):
        sweep.trial(number, {"arch.kernel_size": number % 7})
        sweep.start(number)
        sweep.epoch(number, 1, 1 / number)
        sweep.end(number, "finished")
    data = parallel_coordinates_data(tables.read([sweep.close()]))
    assert len(data.trials) + data.omitted_trials == 1300
    assert len(data.trials) <= MAX_LINES
    assert data.trials["label"].iloc[0] == "trial 1300"


def test_axes_have_the_scale_that_the_search_space_declares(read_results: ReadResults) -> None:
    axes = parameters_data(read_results("thirty")).axes
    assert {scale.name: scale.kind for scale in axes} == {
        "arch.kernel_size": "linear",
        "arch.encoder_filters.1": "linear",
        "optimizer.lr": "log",
        "optimizer": "category",
    }


def test_constant_parameters_have_no_panel(read_results: ReadResults) -> None:
    assert parameters_data(read_results("constant")).axes == []


@pytest.mark.parametrize(("mode", "best"), [("min", [3.0, 2.0]), ("max", [4.0, 5.0])])
def test_the_line_shows_the_best_at_each_setting(mode: Mode, best: list[float]) -> None:
    scale = make_axis("x", pd.Series([1, 1, 2, 2]), {"scale": "linear"})
    line = best_at_settings(scale, np.array([4.0, 3.0, 2.0, 5.0]), mode)
    assert line["best"].tolist() == best


def test_the_pareto_front_consists_of_trials_that_no_other_beats(writer: Writer) -> None:
    results = configurations_with_seeds(writer, [0.0101, 0.020, 0.010, 0.030], 1, 0.0)
    fronts = pareto_data(results).fronts
    assert list(fronts) == ["parameters"]
    assert fronts["parameters"]["label"].tolist() == ["trial 1", "trial 3"]


def test_means_at_settings_of_a_full_grid(writer: Writer) -> None:
    results = grid(writer, lambda kernel_size, filters, _: kernel_size + filters / 32)
    panels = {panel.parameter: panel.means for panel in marginals_data(results).panels}
    means = panels["arch.kernel_size"]
    assert means["mean"].tolist() == pytest.approx(
        [kernel_size + (8 + 16 + 32) / 96 for kernel_size in (3, 5, 7)]
    )
    assert means["n"].tolist() == [30, 30, 30]


def test_cells_of_an_interaction_are_measured_means(writer: Writer) -> None:
    def value(kernel_size: int, filters: int, idle: int) -> float:
        return float((kernel_size == 3) == (filters == 8)) + 0.01 * idle + 1

    data = interaction_data(grid(writer, value))
    assert data is not None
    means = data.means
    if data.row_parameter == "arch.filters":
        means = means.T
    assert means.loc["3", "8"] == pytest.approx(2.045)
    assert means.loc["5", "8"] == pytest.approx(1.045)


@pytest.mark.parametrize(
    ("values", "is_log"),
    [
        ([0.1, 2.0], True),
        ([0.1, 0.9], False),
        ([0.0, 100.0], False),
        ([-1.0, 100.0], False),
        ([np.nan, 1.0, 50.0], True),
    ],
)
def test_values_over_more_than_a_decade_have_a_log_scale(values: list[float], is_log: bool) -> None:
    assert (style.value_axis("val_loss", np.array(values)).get("type") == "log") == is_log
