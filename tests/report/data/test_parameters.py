"""Which parameters differ between trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from cae.report.data import tables
from cae.report.data.parameters import (
    confounded_parameters,
    has_several_values,
    independent_parameters,
    varying_parameters,
)
from cae.report.data.results import Results
from cae.run.paths import RunDir
from tests.report.synthetic_runs import MakeWriter


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


def test_seeds_are_no_recurrence_of_a_value() -> None:
    """Regression: with three seeds, a drawn learning rate determined every other parameter."""
    trials = pd.DataFrame({"lr": [0.1, 0.2, 0.3, 0.4] * 3, "kernel": [3, 5, 3, 5] * 3})
    assert independent_parameters(trials, ["lr", "kernel"]) == ["lr", "kernel"]


def settings_of(writer: MakeWriter, points: list[dict[str, Any]]) -> Results:
    axes = {name: {"values": None, "scale": "linear"} for point in points for name in point}
    run = writer(axes=axes)
    run.session(list(range(1, len(points) + 1)))
    for number, point in enumerate(points, start=1):
        run.trial(number, point)
    return tables.read([run.close()])


KERNEL = "arch.kernel_size"
RATE = "optimizer.lr"


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({3: [0.1], 5: [0.2], 7: [0.3]}, [RATE]),  # each kernel size has its learning rate
        ({3: [0.1], 5: [0.2], 7: [0.2]}, [RATE]),  # two kernel sizes have the same one
        ({3: [0.1, 0.2], 5: [0.1, 0.2]}, []),  # both are free
    ],
)
def test_axes_of_a_grid_that_change_together_are_confounded(
    rates: dict[int, list[float]], expected: list[str], writer: MakeWriter
) -> None:
    points = []
    for kernel, of_kernel in rates.items():
        for rate in of_kernel:
            for filters in (8, 16, 32):
                points.append({KERNEL: kernel, RATE: rate, "arch.filters": filters})
    results = settings_of(writer, points)
    assert confounded_parameters(results, results.trials, [KERNEL]) == {KERNEL: expected}


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1], [RATE]),
        ([0.6, 0.5, 0.4, 0.3, 0.1, 0.2], []),
    ],
)
def test_drawn_numbers_are_confounded_if_they_have_the_same_or_the_opposite_order(
    rates: list[float], expected: list[str], writer: MakeWriter
) -> None:
    results = settings_of(writer, [{KERNEL: k, RATE: rate} for k, rate in enumerate(rates)])
    assert confounded_parameters(results, results.trials, [KERNEL]) == {KERNEL: expected}


def test_a_component_is_not_confounded_with_its_own_parameter(writer: MakeWriter) -> None:
    points: list[dict[str, Any]] = [{"arch": "dense", "arch.units": 8}]
    points += [{"arch": "dense", "arch.units": 16}, {"arch": "conv"}]
    results = settings_of(writer, points)
    assert confounded_parameters(results, results.trials, ["arch"]) == {"arch": []}


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
