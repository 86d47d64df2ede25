"""Points of a search space as numbers."""

from __future__ import annotations

import numpy as np

from cae.sweep.search.features import features


def test_the_values_of_a_grid_are_equally_far_apart_whatever_their_scale() -> None:
    points = [{"lr": value} for value in (1e-4, 1e-2, 1e-3, 1e-3)]
    assert features(points).tolist() == [[0.0], [1.0], [0.5], [0.5]]


def test_each_value_that_is_no_number_has_a_column() -> None:
    points = [{"loss": loss} for loss in ("mse", "l1", "bce")]
    rows = features(points)
    assert rows.shape == (3, 3)
    assert np.array_equal(rows.sum(axis=1), [1, 1, 1])
    assert len({tuple(row) for row in rows.tolist()}) == 3


def test_two_values_have_one_column() -> None:
    assert features([{"a": True}, {"a": False}]).shape == (2, 1)
    assert features([{"a": [4, 2]}, {"a": [8, 2]}]).shape == (2, 1)


def test_a_parameter_with_one_value_has_no_column() -> None:
    assert features([{"a": 3, "b": "x"}, {"a": 3, "b": "x"}]).shape == (2, 0)


def test_a_missing_number_is_in_the_middle_and_has_a_column_of_its_own() -> None:
    points = [{"units": 8}, {"units": 16}, {}]
    assert features(points).tolist() == [[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]]


def test_parameters_come_in_the_order_of_their_names() -> None:
    assert features([{"b": 0, "a": 1}, {"a": 2, "b": 5}]).tolist() == [[0, 0], [1, 1]]
