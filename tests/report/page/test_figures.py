"""Every figure draws every shape of run, and what it draws is what happened."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from cae.report.data import axis as scales
from cae.report.data import tables
from cae.report.page.figures import FIGURES, curves, progress, style
from cae.report.page.figures import parallel_coordinates as parallel
from cae.report.page.figures import parameters as axes
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState

Make = Callable[[str], RunDir]
Writer = Callable[..., Any]


@pytest.fixture(scope="module")
def results(make_run: Make) -> Callable[[str], tables.Results]:
    return functools.cache(lambda shape: tables.read([make_run(shape)]))


Read = Callable[[str], tables.Results]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_every_run_without_webgl(name: str, shape: str, results: Read) -> None:
    figure = FIGURES[name].draw(FIGURES[name].data(results(shape)))
    assert isinstance(figure, go.Figure)
    assert {trace.type for trace in figure.data} <= {"scatter", "heatmap"}
    assert len(figure.to_json()) < 1_500_000
    assert figure.to_json() == FIGURES[name].draw(FIGURES[name].data(results(shape))).to_json()


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_passes_on_markup_of_the_user(name: str, results: Read) -> None:
    text = FIGURES[name].draw(FIGURES[name].data(results("hostile"))).to_json()
    assert "<img" not in text
    assert "\\u003cimg" not in text
    assert "x" * 200 not in text


def test_every_state_has_a_symbol_and_colour_of_its_own() -> None:
    assert set(TrialState) == set(style.STATES)
    assert len({symbol for _, symbol in style.STATES.values()}) >= len(style.STATES) - 2
    assert len(set(style.STATES.values())) >= len(style.STATES) - 1


def test_progress_holds_the_best_so_far_in_the_order_of_ending(results: Read) -> None:
    read = results("thirty")
    data = progress.progress_data(read)
    assert len(data) == 30
    assert data["best"].ffill().dropna().is_monotonic_decreasing
    assert data["best"].min() == read.values.min()
    assert data["order"].tolist() == list(range(1, 31))


def test_progress_shows_trials_without_a_value_on_a_line_of_their_own(results: Read) -> None:
    figure = progress.progress_figure(progress.progress_data(results("all_failed")))
    assert [trace.name for trace in figure.data if trace.yaxis == "y2"] == ["failed, no value"]


def test_curves_mark_where_and_why_a_trial_was_stopped(results: Read) -> None:
    figure = curves.curves_figure(curves.curves_data(results("thirty")))
    marks = [trace for trace in figure.data if trace.name == "stopped"]
    assert marks
    assert all("above the cutoff" in text for trace in marks for text in trace.text)


def test_curves_of_a_thousand_trials_are_twenty_before_a_band(results: Read) -> None:
    data = curves.curves_data(results("thousand"))
    assert data.lines["trial"].nunique() == curves.TOP
    assert len(data.band) == 4
    assert (data.band["val_loss low"] <= data.band["val_loss high"]).all()
    assert len(curves.curves_figure(data).data) < 70


def test_curves_show_the_training_twin(results: Read) -> None:
    assert curves.curves_data(results("thirty")).metrics == ["val_loss", "train_loss"]


def test_parallel_passes_missing_values_through_a_tick_below_the_axis(results: Read) -> None:
    data = parallel.parallel_data(results("mixed"))
    figure = parallel.parallel_figure(data)
    assert [axis.name for axis in data.axes] == ["arch.padding", "val_loss"]
    assert data.axes[0].kind == "category"
    assert np.isnan(data.axes[0].positions).sum() == 1
    assert [note.text for note in figure.layout.annotations].count("none") == 1
    heights = np.concatenate([np.asarray(trace.y, dtype=float) for trace in figure.data])
    assert np.isclose(heights, parallel.NONE).sum() == 1


def test_parallel_draws_one_line_per_trial(results: Read) -> None:
    data = parallel.parallel_data(results("thirty"))
    gaps = sum(
        np.isnan(np.asarray(trace.y, dtype=float)).sum()
        for trace in parallel.parallel_figure(data).data
    )
    assert gaps == len(data.trials) == 30 - 2 + 2


def test_parallel_draws_at_most_a_thousand_lines_the_best_among_them(writer: Writer) -> None:
    sweep = writer()
    sweep.session(list(range(1, 1301)))
    for number in range(1, 1301):
        sweep.trial(number, {"arch.kernel_size": number % 7})
        sweep.start(number)
        sweep.epoch(number, 1, 1 / number)
        sweep.end(number, "finished")
    data = parallel.parallel_data(tables.read([sweep.close()]))
    assert len(data.trials) + data.left_out == 1300
    assert len(data.trials) <= parallel.MOST_LINES
    assert data.trials["label"].iloc[0] == "trial 1300"


def test_the_scale_of_an_axis_is_the_one_that_the_space_declares(results: Read) -> None:
    kinds = {axis.name: axis.kind for axis in axes.axes_data(results("thirty")).axes}
    assert kinds == {
        "arch.kernel_size": "linear",
        "arch.encoder_filters.1": "linear",
        "optimizer.lr": "log",
        "optimizer": "category",
    }


@pytest.mark.parametrize("values", [[0.0, 0.1], ["a", 0.1], [True, False]])
def test_values_that_a_log_axis_cannot_hold_become_categories(values: list[Any]) -> None:
    assert scales.axis("x", pd.Series(values, dtype=object), {"scale": "log"}).kind == "category"


def test_categories_stand_in_the_order_of_the_sweep_file() -> None:
    axis = scales.axis(
        "x",
        pd.Series(["sgd", "adam", "new"], dtype=object),
        {"scale": "category", "values": ["sgd", "lion", "adam"]},
    )
    assert [text for _, text in axis.ticks] == ["sgd", "adam", "new"]


def test_constant_parameters_have_no_panel(results: Read) -> None:
    assert axes.axes_data(results("constant")).axes == []


def test_the_line_runs_through_the_best_at_each_setting() -> None:
    axis = scales.axis("x", pd.Series([1, 1, 2, 2]), {"scale": "linear"})
    assert axes.best_line(axis, np.array([4.0, 3.0, 2.0, 5.0]), "min")["best"].tolist() == [
        3.0,
        2.0,
    ]
    assert axes.best_line(axis, np.array([4.0, 3.0, 2.0, 5.0]), "max")["best"].tolist() == [
        4.0,
        5.0,
    ]


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([0.1, 2.0], True),
        ([0.1, 0.9], False),
        ([0.0, 100.0], False),
        ([-1.0, 100.0], False),
        ([np.nan, 1.0, 50.0], True),
    ],
)
def test_values_over_more_than_a_decade_get_a_log_scale(values: list[float], log: bool) -> None:
    assert (style.value_axis("val_loss", np.array(values)).get("type") == "log") == log


def test_ticks_of_many_values_are_few_and_round() -> None:
    assert [text for _, text in scales.ticks(list(np.linspace(0, 1, 50)), "linear")] == [
        "0",
        "0.25",
        "0.5",
        "0.75",
        "1",
    ]
    assert [text for _, text in scales.ticks(list(np.logspace(-5, -1, 50)), "log")] == [
        "1e-05",
        "0.0001",
        "0.001",
        "0.01",
        "0.1",
    ]
