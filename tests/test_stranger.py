"""A run's folder from a stranger: reading it never executes code that it contains or names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cae.run.paths import RunDir
from tests.sweep.engine.test_growing_runs import own_sweep

COMMANDS = [
    ["status", "run"],
    ["best", "run"],
    ["best", "run", "-o", "model"],
    ["best", "run", "-o", "unverified", "--no-verify"],
    ["report", "run"],
    ["export", "run"],
    ["logs", "run", "1"],
    ["stop", "run"],
    ["kill", "run", "1"],
    ["best", "run", "-o", "model", "--sweep", "trusted.py"],
]
INVOKE = """
import json, sys
from pathlib import Path
from typer.testing import CliRunner
from cae.cli.app import app
for words in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, words)
    is_executed = Path("executed").exists()
    print(json.dumps([result.exit_code, result.output, repr(result.exception), is_executed]))
"""


@pytest.fixture
def hostile_run(sweep_file: Callable[..., Path], run_sweep: Callable[..., RunDir]) -> RunDir:
    """A run whose sweep.json and code name files that leave a trace when they are executed."""
    path = own_sweep(sweep_file, epochs=1)
    run: RunDir = run_sweep(path)
    hostile = f"open({str(Path('executed').resolve())!r}, 'w').close()\n" + path.read_text()
    path.write_text(hostile)
    for copy in run.code.glob("*/*.py"):
        copy.write_text(hostile)
    for name in (
        "evil.py",
        "run/evil.py",
        "run/small.py",
        "run/__init__.py",
        "run/sitecustomize.py",
    ):
        Path(name).write_text(hostile)
    description = json.loads(run.sweep_json.read_text())
    description |= {"path": "evil.py", "file": "evil.py", "relative_path": "evil.py"}
    run.sweep_json.write_text(json.dumps(description))
    return run


@pytest.mark.slow
def test_only_a_file_that_the_user_names_is_executed(hostile_run: RunDir) -> None:
    """All commands in one process, in which no sweep file was read before."""
    (copy,) = hostile_run.code.glob("*/small.py")
    copy.rename("trusted.py")
    process = subprocess.run(
        [sys.executable, "-P", "-c", INVOKE, json.dumps(COMMANDS)],
        capture_output=True,
        text=True,
        check=True,
    )
    results = [json.loads(line) for line in process.stdout.splitlines()]
    codes = [code for code, *_ in results]
    assert codes == [0, 0, 2, 0, 0, 0, 0, 2, 2, 0], results
    assert [is_executed for *_, is_executed in results] == [False] * 9 + [True]
    _, refusal, *_ = results[2]
    assert "arch = 'layers' is not built in" in refusal
    assert "--sweep FILE" in refusal
    assert json.loads(Path("unverified/model.json").read_text())["config"]["arch"] == "layers"
    assert json.loads(Path("model/model.json").read_text())["re_evaluated"]["val_loss"] > 0
