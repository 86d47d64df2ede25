"""What results suggest to try next."""

from __future__ import annotations

import math
import shlex
from typing import Any

import pytest

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page.sections.next_steps import NextStepsContent, next_steps_section
from cae.report.statistics import next_steps as module
from cae.report.statistics.next_steps import next_steps
from tests.report.synthetic_runs import MakeWriter


@pytest.mark.parametrize(
    ("distinct", "edge", "is_log", "expected"),
    [
        ([3, 5, 7], "largest", False, 9),
        ([3, 5, 7], "smallest", False, 1),
        ([16, 32, 64], "largest", False, 128),
        ([16, 32, 64], "smallest", False, 8),
        ([1e-4, 1e-3, 1e-2], "largest", True, 0.1),
        ([0.1, 0.2, 0.3], "smallest", False, 0.058),
        ([0.0, 0.5, 1.0], "largest", False, 1.5),
        ([-2.5, 0.0, 1.0], "smallest", False, -4.2),
    ],
)
def test_the_next_value_continues_the_grid(
    distinct: list[float], edge: str, is_log: bool, expected: float
) -> None:
    assert module._beyond(distinct, edge, is_log=is_log) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "declared", "expected"),
    [
        (7.0, {"values": [3, 5, 7]}, "largest"),
        (5.0, {"values": [3, 5, 7]}, ""),
        (3.0, {"values": [3, 5, 7]}, "smallest"),
        (6.9, {"values": None, "low": 3, "high": 7}, "largest"),
        (6.0, {"values": None, "low": 3, "high": 7}, ""),
    ],
)
def test_the_edge_of_a_range_is_its_outer_part(
    value: float, declared: dict[str, Any], expected: str
) -> None:
    distinct = sorted({3.0, 5.0, 7.0, value})
    assert module._edge(value, distinct, declared, is_log=False) == expected


def kernels(
    writer: MakeWriter,
    losses: dict[int, list[float]],
    sizes: tuple[int, ...] = (3, 5, 7),
    **sweep: Any,
) -> Results:
    """A trial per kernel size, with its losses by epoch. sweep: keys of sweep.json."""
    run = writer(axes={"arch.kernel_size": {"values": list(sizes), "scale": "linear"}}, **sweep)
    run.session(list(range(1, len(losses) + 1)))
    for number, (size, values) in enumerate(losses.items(), 1):
        run.trial(number, {"arch.kernel_size": size})
        run.start(number)
        for epoch, loss in enumerate(values, 1):
            run.epoch(number, epoch, loss)
        best_epoch = values.index(min(values)) + 1
        run.end(number, "finished", best_epoch=best_epoch, metrics={})
    return tables.read([run.close()])


FALLING = [0.4, 0.3, 0.2, 0.1]
RISING = [0.4, 0.1, 0.2, 0.3]


def test_the_largest_value_that_was_best_is_to_be_extended(writer: MakeWriter) -> None:
    losses = {3: RISING, 5: RISING, 7: [0.4, 0.05, 0.1, 0.1]}
    (step,) = next_steps(kernels(writer, losses))
    assert step.changes == {"arch.kernel_size": 9}
    assert step.finding == (
        "The best arch.kernel_size, 7, is the largest that was tried: extend the range, for "
        "example to 9."
    )


@pytest.mark.parametrize(("sizes", "expected"), [((0, 1, 2), []), ((-1, 0, 1), [-2])])
def test_no_negative_value_is_suggested_beyond_values_that_are_not_negative(
    writer: MakeWriter, sizes: tuple[int, ...], expected: list[int]
) -> None:
    losses = dict.fromkeys(sizes, RISING) | {sizes[0]: [0.4, 0.05, 0.1, 0.1]}
    steps = next_steps(kernels(writer, losses, sizes))
    assert [step.changes["arch.kernel_size"] for step in steps] == expected


def test_all_trials_that_were_best_last_are_to_be_trained_longer(writer: MakeWriter) -> None:
    losses = {3: FALLING, 5: [value / 2 for value in FALLING], 7: FALLING}
    results = kernels(writer, losses)
    (step,) = next_steps(results)
    assert step.changes == {"epochs": 8}
    assert "All 3 finished trials had their best epoch last" in step.finding
    content = next_steps_section(results)
    assert isinstance(content, NextStepsContent)
    assert content.verdict == "More epochs would likely help."
    command = shlex.split(content.steps[0].command)
    assert command[:2] == ["cae-sweep", "run"]
    settings = dict(pair.split("=") for pair in command[command.index("--set") + 1 :: 2])
    assert settings["arch.kernel_size"] == "5"
    assert settings["epochs"] == "8"
    assert settings["space"] == "none"


@pytest.mark.parametrize(
    ("budget", "command", "options"),
    [
        ("cpu", "cae-sweep run sweeps/cifar_grid.py --budget cpu", "--budget cpu"),
        ("cpu", "cae-sweep run a.py --budget cpu --out /d/r", "--budget cpu --out /d/r"),
        ("full", "cae-sweep run a.py", ""),
    ],
)
def test_the_command_adds_the_trial_to_the_same_run(
    writer: MakeWriter, budget: str, command: str, options: str
) -> None:
    losses = {3: FALLING, 5: [value / 2 for value in FALLING], 7: FALLING}
    results = kernels(writer, losses, budget=budget, command=command)
    content = next_steps_section(results)
    assert isinstance(content, NextStepsContent)
    before_flags = content.steps[0].command.partition(" --set ")[0]
    assert before_flags == f"cae-sweep run sweeps/cifar_grid.py {options}".rstrip()


def test_a_best_value_inside_and_a_best_epoch_before_the_last_need_nothing(
    writer: MakeWriter,
) -> None:
    losses = {3: RISING, 5: [0.4, 0.05, 0.1, 0.1], 7: RISING}
    results = kernels(writer, losses)
    assert next_steps(results) == []
    assert next_steps_section(results).is_empty


def test_two_values_have_no_inside(writer: MakeWriter) -> None:
    losses = {3: RISING, 5: [0.4, 0.05, 0.1, 0.1]}
    assert next_steps(kernels(writer, losses, (3, 5))) == []


def test_without_a_value_there_is_nothing_to_suggest(writer: MakeWriter) -> None:
    assert next_steps(kernels(writer, {3: [math.nan, math.nan]})) == []


def test_the_page_claims_nothing_about_ranges_that_are_too_small_to_examine(
    writer: MakeWriter,
) -> None:
    """Two trials: the best has the largest value and its best epoch last."""
    results = kernels(writer, {3: [0.5, 0.4], 5: [0.4, 0.3]}, sizes=(3, 5))
    content = next_steps_section(results)
    assert content.is_empty
    assert "if at least 3 different values of it were tried" in content.verdict
    assert "inside the ranges" not in content.verdict


def test_one_epoch_does_not_show_that_more_would_help(writer: MakeWriter) -> None:
    """Regression: the best epoch of one is always the last one."""
    assert next_steps(kernels(writer, {3: [0.3], 5: [0.1], 7: [0.2]})) == []


def test_equal_values_at_the_edge_and_inside_suggest_no_other_range(writer: MakeWriter) -> None:
    """Regression: of equal trials the first one is the best, and was "at the edge"."""
    assert next_steps(kernels(writer, {3: RISING, 5: RISING, 7: [0.4, 0.2, 0.3, 0.3]})) == []
