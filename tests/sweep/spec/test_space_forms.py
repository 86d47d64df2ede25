"""Strange search spaces: each gives the plan that is meant, or one error that names the form."""

from __future__ import annotations

import enum
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from pydantic import ValidationError
from ray import tune

from cae import ASHA, Adam, Screen, Sweep
from cae.cli.plan_text import note_lines
from cae.run.sweep_json import SweepDescription
from tests.sweep.spec.plans import BASE, errors_of, plan_of


class Padding(enum.Enum):
    SAME = "same"
    VALID = "valid"


INVALID: dict[str, tuple[Any, str]] = {
    "nested dictionary": (
        {"arch": {"kernel_size": tune.grid_search([3, 5])}},
        'arch: a dictionary is not a value; write dotted names: {"arch.kernel_size": ...}',
    ),
    "values of W&B": (
        {"arch.kernel_size": {"values": [3, 5]}},
        'write {"arch.kernel_size": tune.grid_search([3, 5])}',
    ),
    "interval of W&B": (
        {"optimizer.lr": {"min": 1e-4, "max": 0.1, "distribution": "log_uniform_values"}},
        'write {"optimizer.lr": tune.uniform(0.0001, 0.1)}',
    ),
    "configuration of W&B": (
        {"method": "grid", "parameters": {"optimizer.lr": {"values": [1]}}},
        "parameters: is the form of another tool; write the parameters themselves",
    ),
    "categories of NNI": (
        {"arch.kernel_size": {"_type": "choice", "_value": [3, 5]}},
        'write {"arch.kernel_size": tune.grid_search([3, 5])}',
    ),
    "function of Optuna": (
        {"optimizer.lr": lambda trial: trial.suggest_float("lr", 1e-4, 0.1)},
        "is a function; write tune.sample_from(...)",
    ),
    "domain in a tuple": (
        {"arch.encoder_filters": (tune.choice([4, 8]), 2)},
        'name the element: "arch.encoder_filters.1": ...',
    ),
    "domain in a grid": (
        {"optimizer.lr": tune.grid_search([tune.uniform(0, 1), 0.1])},
        "a value of tune.grid_search contains another object of Ray Tune; write a list",
    ),
    "grid in a choice": (
        {"optimizer.lr": tune.choice([tune.grid_search([0.1]), 0.1])},
        "a value of tune.choice contains another object of Ray Tune; write a list",
    ),
    "dictionary in a choice": (
        {"arch": tune.choice([{"name": "dense_autoencoder"}])},
        "is a dictionary; write a list of search spaces with dotted names",
    ),
    "components": (
        {"optimizer": tune.grid_search([Adam(), Adam(lr=0.1)])},
        "optimizer: a component is selected by its name, 'adam'",
    ),
    "class of a component": (
        {"optimizer": Adam},
        "optimizer: a component is selected by its name, 'adam'",
    ),
    "number in a grid": ({"epochs": tune.grid_search(3)}, "tune.grid_search takes a list"),  # type: ignore[arg-type]
    "text in a grid": ({"arch.padding": tune.grid_search("same")}, "takes a list of values"),
    "set in a grid": ({"epochs": tune.grid_search({3, 4})}, "takes a list of values"),
    "set": ({"epochs": {3, 4}}, "did you mean tune.grid_search([...])?"),
    "empty choice": ({"epochs": tune.choice([])}, "epochs: tune.choice has no values"),
    "empty union": ([], "is an empty list"),
    "empty interval": ({"batch_size": tune.randint(8, 8)}, "from 8 to 8 has no values"),
    "reversed interval": ({"optimizer.lr": tune.uniform(0.2, 0.1)}, "0.2 to 0.1 has no values"),
    "steps outside the interval": (
        {"batch_size": tune.qrandint(33, 60, 32)},
        "no multiple of 32 is between 33 and 60",
    ),
    "another key than text": ({3: 4}, "should be a dictionary of dotted names"),
    "function in a list": ([{"epochs": len}], "epochs: <built-in function len> is a function"),
}


@pytest.mark.parametrize("form", INVALID)
def test_an_invalid_form_of_a_search_space_names_the_right_one(form: str) -> None:
    space, expected = INVALID[form]
    with pytest.raises(ValidationError) as caught:
        Sweep(base=BASE, space=space)
    (error,) = caught.value.errors()
    assert expected in error["msg"]


RAY = tuple(int(part) for part in ray.__version__.split(".")[:2])
VALID: dict[str, tuple[Any, str, list[Any]]] = {
    "range": ({"epochs": tune.grid_search(range(1, 4))}, "epochs", [1, 2, 3]),
    "array": ({"arch.kernel_size": tune.grid_search(np.array([3, 5]))}, "arch.kernel_size", [3, 5]),
    "array of filters": (
        {"arch.encoder_filters": tune.grid_search(np.array([[4, 2], [8, 2]]))},
        "arch.encoder_filters",
        [[4, 2], [8, 2]],
    ),
    "numpy text": ({"arch.padding": tune.grid_search([np.str_("same")])}, "arch.padding", ["same"]),
    "enumeration": (
        {"arch.padding": tune.grid_search(list(Padding))},
        "arch.padding",
        ["same", "valid"],
    ),
    "constant enumeration": ({"arch.padding": Padding.SAME}, "arch.padding", ["same"]),
    "one value": ({"epochs": tune.grid_search([3])}, "epochs", [3]),
    "tuples": (
        {"arch.encoder_filters": tune.grid_search([(4, 2), (8, 2)])},
        "arch.encoder_filters",
        [[4, 2], [8, 2]],
    ),
    "tensor": (
        {"batch_size": tune.grid_search(torch.tensor([3, 5]))},
        "batch_size",
        [3, 5],
    ),
    "decimal": (
        {"optimizer.lr": tune.grid_search([Decimal("0.5"), torch.tensor(0.25)])},
        "optimizer.lr",
        [0.5, 0.25],
    ),
    "None": (
        {"dataset.train_images": tune.grid_search([None, 64])},
        "dataset.train_images",
        [None, 64],
    ),
    "same interval twice": (
        [{"epochs": tune.grid_search([1, 2])}, {"epochs": tune.grid_search([1, 2])}],
        "epochs",
        [1, 2],
    ),
    "repeated values": ({"epochs": tune.grid_search([1, 1, 2])}, "epochs", [1, 2]),
    "empty spaces": ([{}, {}], "epochs", [4]),
    "grid beside samples": (
        {"epochs": tune.grid_search([1, 2]), "optimizer.lr": tune.choice([1e-3])},
        "epochs",
        [1, 2],
    ),
    "steps": ({"batch_size": tune.qrandint(32, 33, 32)}, "batch_size", [32]),
}


@pytest.mark.parametrize("form", VALID)
def test_a_strange_search_space_gives_its_trials(form: str) -> None:
    space, name, expected = VALID[form]
    if form == "steps" and RAY < (2, 60):
        pytest.skip("this Ray draws from an empty interval, which is an error")
    plan = plan_of(space, {"samples": 2})
    assert [trial.trial.flat()[name] for trial in plan.trials] == expected
    assert not any("tune.grid_search" in hint for hint in plan.hints)
    SweepDescription(axes=plan.axes).to_json()  # raises an error for a value that is not plain
    json.dumps([trial.axes for trial in plan.trials])


def test_a_path_is_text() -> None:
    (error,) = errors_of({"arch.padding": tune.grid_search([Path("same/x")])})
    assert error.startswith("arch.padding = 'same/x': ")


def test_an_unknown_value_is_not_a_number() -> None:
    (error,) = errors_of({"optimizer.lr": tune.grid_search([float("nan")])})
    assert error.startswith("optimizer.lr = nan: ")


def test_true_is_not_a_number() -> None:
    (error,) = errors_of({"epochs": tune.grid_search([True])})
    assert error.startswith("epochs = True: ")


def test_a_list_as_the_value_of_a_scalar_parameter_is_pointed_out() -> None:
    space = {"arch.kernel_size": [3, 5]}
    plan = plan_of(space)
    assert len(plan.trials) == 1, "a kernel of 3 x 5 pixels"
    assert note_lines(plan) == [
        "hint: arch.kernel_size = [3, 5] is one value of all trials; to vary it, write "
        "tune.grid_search([3, 5])"
    ]
    assert plan_of({"arch.kernel_size": (3, 5)}).hints == []
    assert plan_of({"arch.encoder_filters": [4, 2]}).hints == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("optimizer.lr", [1e-3, 1e-2]),
        ("arch.encoder_filters", [(4, 2), (8, 2)]),
        ("arch.padding", ["same", "valid"]),
        ("arch", ["conv_autoencoder", "dense_autoencoder"]),
    ],
)
def test_a_forgotten_grid_search_is_suspected(name: str, values: list[Any]) -> None:
    errors = errors_of({name: values})
    assert errors[0].endswith(f"; did you mean tune.grid_search({values!r})?")


def test_a_parameter_of_another_value_names_the_list_of_spaces() -> None:
    errors = errors_of(
        {
            "arch": tune.grid_search(["conv_autoencoder", "dense_autoencoder"]),
            "arch.pooling": tune.grid_search(["max", "average"]),
        }
    )
    (error,) = errors
    assert error.startswith("arch.pooling is not a parameter of arch = 'dense_autoencoder'; ")
    assert error.endswith(
        "(2 of 4 trials); to vary arch.pooling only where it applies, write a list of search "
        'spaces: space=[{..., "arch.pooling": ...}, {...}]'
    )
    slopes = {
        "arch.activation": tune.grid_search(["relu", "leaky_relu"]),
        "arch.negative_slope": tune.grid_search([0.1, 0.2]),
    }
    assert all("write a list of search spaces" in error for error in errors_of(slopes))


def test_samples_without_a_random_dimension_are_pointed_out() -> None:
    (hint,) = plan_of({"epochs": tune.grid_search([1, 2])}, {"samples": 3}).hints
    assert hint.startswith("samples = 3 has no effect")


def test_a_scheduler_that_stops_nothing_is_pointed_out() -> None:
    (hint,) = plan_of({}, {"scheduler": ASHA(grace_epochs=4)}).hints
    assert hint.startswith("the scheduler has no effect")
    assert plan_of({}, {"scheduler": ASHA(grace_epochs=3)}).hints == []


def test_the_axis_of_seeds_has_the_seeds_of_the_trials() -> None:
    plan = plan_of({"seed": tune.grid_search([0, 1])}, {"seeds": 2})
    assert [trial.axes["seed"] for trial in plan.trials] == [0, 1, 2]
    assert [trial.trial.seed for trial in plan.trials] == [0, 1, 2]
    assert plan.duplicates == 1


@pytest.mark.parametrize("scheduler", ["asha", ASHA, {"grace_epochs": 1}])
def test_another_scheduler_is_an_error(scheduler: Any) -> None:
    with pytest.raises(ValidationError, match=r"should be a scheduler of cae-sweep, such as ASHA"):
        Sweep(base=BASE, scheduler=scheduler)


def test_numbers_of_numpy_are_settings() -> None:
    budget = {"epochs": np.int64(3), "seeds": np.int64(2), "max_trials": np.int64(2)}
    sweep: dict[str, Any] = {"seeds": np.int64(1), "budgets": {"few": budget}}
    plan = plan_of({}, sweep, budget="few")
    assert [trial.trial.epochs for trial in plan.trials] == [3, 3]


def test_a_function_that_fails_is_an_error() -> None:
    function = tune.sample_from(lambda config: config["optimizer.rate"])
    (error,) = errors_of({"optimizer.lr": function})
    assert error.startswith("space: optimizer.lr: the function of tune.sample_from raised KeyError")


def test_functions_of_specifications_print_no_warnings(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:

    def batch_size(specification: Any) -> Any:
        return specification.config["arch.kernel_size"] * 4

    space = {"arch.kernel_size": tune.choice([3, 5]), "batch_size": tune.sample_from(batch_size)}
    plan = plan_of(space, {"samples": 4})
    assert {trial.axes["batch_size"] for trial in plan.trials} <= {12, 20}
    assert "deprecated" not in capfd.readouterr().err + caplog.text


@pytest.mark.parametrize("metric", ["psnr", "val_pnsr"])
def test_a_misspelled_metric_names_the_nearest_one(metric: str) -> None:
    (error,) = errors_of({}, {"metric": metric})
    assert error.endswith("; did you mean 'val_psnr'?")


@pytest.mark.parametrize(("keep", "has_effect"), [(3, True), (4, False), (9, False)])
def test_a_screen_that_keeps_all_trials_has_no_effect(keep: int, has_effect: bool) -> None:
    space = {"arch.kernel_size": tune.grid_search([1, 3, 5, 7])}
    hints = plan_of(space, {"scheduler": Screen(keep=keep)}).hints
    assert has_effect == (hints == [])
    if not has_effect:
        (hint,) = hints
        assert hint.startswith("the scheduler has no effect")
