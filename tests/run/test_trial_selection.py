"""Choosing trials by the values of their parameters, as `best --where` does."""

from __future__ import annotations

from typing import Any

import pytest

from cae.errors import UserError
from cae.run.records import Record
from cae.run.selection import parse_conditions, select_trials
from tests.run.events import record

CONFIG = {
    "dataset.train_images": None,
    "task.loss": "mse",
    "task.noise_factor": 0.5,
    "task.redraw": False,
    "arch.filters": [8, 16],
    "seed": 1,
}


def trial(number: int, **config: Any) -> Record:
    chosen = record(number, losses=(0.5,))
    changes = {name.replace("__", "."): value for name, value in config.items()}
    chosen.config = chosen.config | CONFIG | changes
    return chosen


def selected(*conditions: str) -> list[int]:
    trials = [trial(1), trial(2, task__noise_factor=0.9, seed=2), trial(3, arch__filters=[8, 32])]
    return [found.number for found in select_trials(trials, parse_conditions(conditions))]


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ("task.noise_factor=0.5", [1, 3]),
        ("task.noise_factor=.9", [2]),
        ("task.noise_factor=9e-1", [2]),
        ("task.loss=mse", [1, 2, 3]),
        ("dataset.train_images=all", [1, 2, 3]),
        ("dataset.train_images=None", [1, 2, 3]),
        ("dataset.train_images=null", [1, 2, 3]),
        ("arch.filters=8-16", [1, 2]),
        ("arch.filters=[8, 32]", [3]),
        ("arch.filters=(8, 32)", [3]),
        ("arch.filters.2=32", [3]),
        ("task.redraw=false", [1, 2, 3]),
        ("task.redraw=False", [1, 2, 3]),
        ("seed=1", [1, 3]),
    ],
)
def test_values_are_accepted_in_all_forms_that_are_printed(
    condition: str, numbers: list[int]
) -> None:
    assert selected(condition) == numbers


def test_several_conditions_are_all_met() -> None:
    assert selected("task.noise_factor=0.5", "arch.filters=8-32") == [3]


def test_of_conditions_on_one_parameter_any_is_met() -> None:
    values = ("task.noise_factor=0.9", "task.noise_factor=0.5")
    assert selected(*values) == [1, 2, 3]
    assert selected(*values, "seed=1") == [1, 3]
    with pytest.raises(UserError, match=r"task\.noise_factor=0\.4"):
        selected("task.noise_factor=0.5", "task.noise_factor=0.4")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("task.noise_factor=0.4", "no trial has this value; the values are 0.5, 0.9"),
        ("task.noise_facto=0.5", "no trial has this parameter; did you mean task.noise_factor?"),
        ("seed=true", "no trial has this value; the values are 1, 2"),
        ("seed", "should be KEY=VALUE"),
        ("=1", "should be KEY=VALUE"),
    ],
)
def test_a_condition_that_no_trial_meets_is_an_error(condition: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"--where {condition}: ") as error:
        selected(condition)
    assert message in error.value.messages[0]
