"""Values of JSON files: conversion, and the range of numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cae.run.json_values import (
    is_count,
    is_finite_number,
    is_metric,
    to_json_value,
    to_metrics,
)
from cae.run.trial_state import TrialState


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**60, 2**60),
        (0.1, 0.1),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (math.nan, "NaN"),
        (np.float64(math.inf), "Infinity"),
        (-math.inf, "-Infinity"),
        ((1, (2.5, "a")), [1, [2.5, "a"]]),
        ({1: {"a": (1,)}}, {"1": {"a": [1]}}),
        (TrialState.FAILED, "failed"),
    ],
)
def test_values_are_converted_to_the_types_of_json(value: object, expected: object) -> None:
    converted = to_json_value(value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize("value", [object(), b"a", {1, 2}, np.zeros(3), [1, [2, object()]]])
def test_other_values_are_an_error(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        to_json_value(value)


def test_counts_are_exact_as_floats() -> None:
    assert [is_count(value) for value in (0, 2**53 - 1)] == [True, True]
    assert [is_count(value) for value in (-1, 2**53, True, 1.0, "1", None)] == [False] * 6


def test_finite_numbers_are_in_the_range_of_floats() -> None:
    assert all(map(is_finite_number, (0, -1.5, 1e300, 10**300)))
    assert not any(map(is_finite_number, (math.nan, math.inf, 10**400, True, "1", None)))


def test_metrics_are_numbers_or_names_of_numbers() -> None:
    assert all(map(is_metric, (0, 1.5, True, "NaN", "Infinity", "-Infinity")))
    assert not any(map(is_metric, ("nan", "0.5", None, [0.5], 10**400)))


def test_metrics_are_read_back() -> None:
    values = {"a": 0.5, "b": 3, "c": "NaN", "d": "-Infinity", "e": "Infinity", "f": "other"}
    metrics = to_metrics(values)
    assert str(metrics) == "{'a': 0.5, 'b': 3, 'c': nan, 'd': -inf, 'e': inf, 'f': nan}"


def test_rows_of_floats_share_the_strings_of_their_names() -> None:
    names = ["val_" + suffix for suffix in ("loss", "psnr")]  # not interned, as those of JSON
    first = to_metrics(dict.fromkeys(names, 0.5))
    second = to_metrics({"".join(list(name)): 1.5 for name in names})
    assert second == {"val_loss": 1.5, "val_psnr": 1.5}
    assert list(map(id, second)) == list(map(id, first))
    first["val_loss"] = 9.0
    assert to_metrics(dict.fromkeys(names, 2.0)) == {"val_loss": 2.0, "val_psnr": 2.0}
