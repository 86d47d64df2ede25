"""Which parameters differ between trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from cae.report.data import tables
from cae.report.data.parameters import (
    has_several_values,
    independent_parameters,
    varying_parameters,
)
from cae.run.paths import RunDir


def test_parameters_that_vary_are_axes_without_constant_ones(
    make_run: Callable[[str], RunDir],
) -> None:
    thirty = tables.read([make_run("thirty")])
    assert varying_parameters(thirty, thirty.trials) == [
        "arch.kernel_size",
        "arch.encoder_filters.1",
        "optimizer.lr",
        "optimizer",
    ]
    constant = tables.read([make_run("constant")])
    assert varying_parameters(constant, constant.trials) == []


def test_the_seed_is_not_a_parameter(make_run: Callable[[str], RunDir]) -> None:
    results = tables.read([make_run("seeds")])
    assert varying_parameters(results, results.trials) == ["arch.kernel_size"]


def test_a_parameter_that_is_determined_by_an_earlier_one_is_not_independent() -> None:
    trials = pd.DataFrame(
        {
            "encoder": [8, 8, 16, 16, 8, 16],
            "decoder": [4, 4, 2, 2, 4, 2],
            "kernel": [3, 5, 3, 5, 3, 5],
        }
    )
    assert independent_parameters(trials, ["encoder", "decoder", "kernel"]) == [
        "encoder",
        "kernel",
    ]


def test_a_parameter_with_unique_values_does_not_determine_others() -> None:
    trials = pd.DataFrame({"lr": [0.1, 0.2, 0.3, 0.4], "kernel": [3, 5, 3, 5]})
    assert independent_parameters(trials, ["lr", "kernel"]) == ["lr", "kernel"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 3], False),
        ([3, 5], True),
        ([3, None], True),
        ([1, True], True),
        ([None, float("nan")], False),
        ([], False),
    ],
)
def test_values_differ_in_value_or_type(values: list[Any], expected: bool) -> None:
    assert has_several_values(pd.Series(values, dtype=object)) == expected
