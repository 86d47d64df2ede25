"""The Python API: the checked script of a user has all of it, and `help()` is complete."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import cae
from tests.conftest import ROOT

SCRIPT = ROOT / "tests" / "typed" / "user_script.py"
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "run_sweep": cae.run_sweep,
    "open_run": cae.open_run,
    "load_model": cae.load_model,
    "best": cae.SavedRun.best,
    "figure": cae.SavedRun.figure,
    "model": cae.SavedRun.model,
    "inputs": cae.Model.inputs,
    "encode": cae.Model.encode,
    "decode": cae.Model.decode,
    "reconstruct": cae.Model.reconstruct,
    "interpolate": cae.Model.interpolate,
}


def test_the_script_that_mypy_checks_uses_every_public_function() -> None:
    used = {
        node.func.attr
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert FUNCTIONS.keys() <= used
    methods = {
        name
        for name in (*vars(cae.Model), *vars(cae.SavedRun))
        if not name.startswith("_")
        and inspect.isfunction(getattr(cae.Model, name, getattr(cae.SavedRun, name, None)))
    }
    assert methods - {"encode_prepared"} <= used


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_describes_every_argument_and_the_errors(name: str) -> None:
    function = FUNCTIONS[name]
    text = inspect.getdoc(function) or ""
    assert "UserError" in text
    for parameter in inspect.signature(function).parameters:
        if parameter == "self":
            continue
        assert parameter in text or "arguments" in text, f"{name}: {parameter}"
