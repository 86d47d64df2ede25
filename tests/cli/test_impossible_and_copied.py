"""A sweep with impossible points: what the commands and the page print, and the copied flags."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.report.page import build
from cae.run.paths import RunDir

SPACE = """[
    {
        "arch.padding": tune.grid_search(["same", "valid"]),
        "arch.kernel_size": tune.grid_search([3, 7]),
    },
    {"optimizer.lr": 0.01},
]"""
LEFT_OUT = "left out as impossible: 1 point of 5"


def call(*arguments: object, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == exit_code, result.output
    return result.output


@pytest.mark.slow
def test_impossible_points_are_named_and_copied_flags_plan_one_trial(
    sweep_file: Callable[..., Path], run_sweep: Callable[..., RunDir]
) -> None:
    path = sweep_file(SPACE, epochs=1, more="seeds=2")
    assert "(2 of 10 trials)" in call("plan", path, "--strict", exit_code=2)
    run = run_sweep(path)
    assert len(run.records()) == 8
    assert LEFT_OUT in call("plan", path, "--out", run.path)
    status = call("status", run.path)
    assert LEFT_OUT in status
    assert "a 7x7 kernel without padding does not fit" in status
    assert json.loads(call("status", run.path, "--json"))["left_out"][0]["points"] == 1
    page = build.build(run).read_text(encoding="utf-8")
    assert LEFT_OUT in page
    flags = json.loads(re.search(r'"flags": (\[.*?"\])', page)[1])  # type: ignore[index]
    assert len(flags) == 8
    for number in (4, 7):
        words = shlex.split(flags[number - 1])
        plan = call("plan", path, "--out", run.path, *words)
        assert re.findall(r"^ +(\d+) +finished", plan, re.MULTILINE) == [str(number)]
