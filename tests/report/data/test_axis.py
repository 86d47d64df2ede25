"""Positions and ticks of axes, and the settings of trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cae.report.data.axis import (
    AxisKind,
    Tick,
    make_axis,
    relative_positions,
    settings_per_trial,
    spaced_labels,
    spaced_ticks,
    ticks,
    value_axis,
)


def column(*values: object) -> pd.Series[Any]:
    return pd.Series(list(values), dtype=object)


def test_a_linear_axis_has_the_values_as_positions() -> None:
    axis = make_axis("kernel", column(3, None, 7), {"scale": "linear"})
    assert axis.kind == AxisKind.LINEAR
    assert axis.positions.tolist() == pytest.approx([3, np.nan, 7], nan_ok=True)
    assert (axis.low, axis.high) == (3, 7)
    assert [tick.text for tick in axis.ticks] == ["3", "7"]


def test_a_log_axis_has_log10_values_as_positions() -> None:
    axis = make_axis("lr", column(0.001, 0.1), {"scale": "log"})
    assert axis.kind == AxisKind.LOG
    assert axis.positions.tolist() == pytest.approx([-3, -1])
    assert [tick.text for tick in axis.ticks] == ["0.001", "0.1"]


@pytest.mark.parametrize("values", [[0.0, 0.1], ["a", 0.1], [True, False]])
def test_values_that_a_log_axis_cannot_show_are_categories(values: list[Any]) -> None:
    assert make_axis("x", column(*values), {"scale": "log"}).kind == AxisKind.CATEGORY


def test_categories_have_the_order_of_the_sweep_file_then_undeclared_ones() -> None:
    declared = {"scale": "category", "values": ["sgd", "lion", "adam"]}
    axis = make_axis("x", column("sgd", "adam", "new"), declared)
    assert [tick.text for tick in axis.ticks] == ["sgd", "adam", "new"]
    assert axis.positions.tolist() == [0, 1, 2]


def test_undeclared_categories_are_sorted_with_numbers_before_text() -> None:
    axis = make_axis("x", column("same", 5, None, 3), {})
    assert [tick.text for tick in axis.ticks] == ["3", "5", "same"]
    assert axis.positions.tolist() == pytest.approx([2, 1, np.nan, 0], nan_ok=True)


def test_none_is_a_category_if_the_sweep_file_lists_it() -> None:
    """Regression: trials with clip_norm=None had no setting, and were not compared with others."""
    declared = {"values": [1.0, None, 0.5], "scale": "linear"}
    axis = make_axis("clip_norm", column(0.5, None, 1.0, None), declared)
    assert axis.kind == AxisKind.CATEGORY
    assert [tick.text for tick in axis.ticks] == ["1", "none", "0.5"]
    assert axis.positions.tolist() == [2, 1, 0, 1]
    # pandas stores None among floats as NaN
    stored = make_axis("clip_norm", pd.Series([0.5, np.nan, 1.0, np.nan]), declared)
    assert settings_per_trial(stored).tolist() == ["0.5", "none", "1", "none"]


def test_relative_positions_are_between_0_and_1() -> None:
    axis = make_axis("kernel", column(3, 5, 7), {})
    assert relative_positions(axis).tolist() == [0, 0.5, 1]
    constant = make_axis("kernel", column(3, 3), {})
    assert relative_positions(constant).tolist() == [0.5, 0.5]


def test_many_values_have_few_round_ticks() -> None:
    linear = ticks(list(np.linspace(0, 1, 50)), AxisKind.LINEAR)
    assert [tick.text for tick in linear] == ["0", "0.25", "0.5", "0.75", "1"]
    log = ticks(list(np.logspace(-5, -1, 50)), AxisKind.LOG)
    assert [tick.text for tick in log] == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]


def test_a_log_axis_over_few_decades_has_ticks_at_1_and_3_times_powers_of_10() -> None:
    log_ticks = ticks(list(np.geomspace(0.01, 0.1, 50)), AxisKind.LOG)  # exact ends
    assert [tick.text for tick in log_ticks] == ["0.01", "0.03", "0.1"]


def test_a_metric_without_finite_values_has_no_ticks() -> None:
    axis = value_axis("val_loss", np.array([np.nan, np.inf]), log=False)
    assert axis.ticks == []
    assert (axis.low, axis.high) == (0, 1)


def test_a_parameter_with_few_values_has_a_setting_per_value() -> None:
    axis = make_axis("kernel", column(3, None, 7), {})
    settings = settings_per_trial(axis)
    assert settings.dropna().tolist() == ["3", "7"]
    assert settings.isna().tolist() == [False, True, False]


def test_a_parameter_with_many_values_has_quartiles_as_settings() -> None:
    axis = make_axis("lr", column(*np.logspace(-4, -1, 40).tolist()), {"scale": "log"})
    settings = settings_per_trial(axis)
    assert settings.value_counts().tolist() == [10, 10, 10, 10]
    assert settings.iloc[-1] == "0.018 to 0.1"


def test_labels_of_values_close_together_do_not_overlap() -> None:
    marks = [Tick(value, str(value)) for value in (1, 3, 5, 64, 65)]
    sizes = [0.1] * len(marks)
    shown = [tick.position for tick in spaced_ticks(marks, 64, sizes)]
    assert shown == [1, 65]
    assert spaced_ticks(marks, 64, [0.01] * len(marks)) == marks
    assert spaced_ticks([], 1, []) == []
    assert spaced_ticks(marks[:1], 0, [0.1]) == marks[:1]


@pytest.mark.parametrize("count", [2, 5, 30])
def test_shown_labels_never_overlap(count: int) -> None:
    random = np.random.default_rng(count)
    positions = sorted(random.random(count).tolist())
    marks = [Tick(position, str(position)) for position in positions]
    shown = spaced_ticks(marks, 1.0, [0.08] * count)
    assert shown[0] == marks[0]
    assert np.diff([tick.position for tick in shown]).min(initial=1.0) >= 0.08
    for mark in marks:  # no label is left out that has room
        assert min(abs(mark.position - tick.position) for tick in shown) < 0.16


def test_labels_that_do_not_fit_are_left_out_evenly() -> None:
    assert spaced_labels(["a", "b", "c"], width=34) == [0, 1, 2]
    assert spaced_labels(["a long label"] * 6, width=34) == [0, 3]
    assert spaced_labels([]) == []
