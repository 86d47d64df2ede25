"""`plan --json` and `plan --csv -`: the plan for other programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.run.events import TrialPlanned
from cae.run.paths import RunDir
from tests.run.events import epoch, session, started, write

SWEEP = '''"""Digits."""

from ray import tune
from cae import Adam, ConvAutoencoder, Digits, ModelBased, Reconstruct, Sweep, Trial

print("the sweep file prints")
sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=32, val_images=16, test_images=16),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(),
        epochs=3,
    ),
    space={"optimizer.lr": tune.grid_search([1e-3, 3e-3, 1e-2]), "batch_size": 16},
    MORE
)
'''


def output_of(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["plan", "digits.py", *arguments])
    assert result.exit_code == 0, result.output
    assert "the sweep file prints" in result.stderr
    return result.stdout


def plan_of(more: str = "") -> Any:
    Path("digits.py").write_text(SWEEP.replace("MORE", more))
    return json.loads(output_of("--json"))


def test_a_new_sweep_has_its_trials_time_and_disk() -> None:
    plan = plan_of()
    assert plan["run"].endswith("runs/digits")
    assert (plan["metric"], plan["mode"], plan["to_come"]) == ("val_loss", "min", 0)
    assert [trial["trial"] for trial in plan["trials"]] == [1, 2, 3]
    assert [trial["axes"]["optimizer.lr"] for trial in plan["trials"]] == [0.001, 0.003, 0.01]
    for trial in plan["trials"]:
        assert (trial["state"], trial["epochs"], trial["remaining_epochs"]) == ("new", 3, 3)
        assert trial["config"]["arch.encoder_filters"] == [4, 2]
        assert trial["sizes"]["parameters"] > 0
        assert trial["seconds_per_epoch"] > 0
    work = sum(3 * trial["seconds_per_epoch"] for trial in plan["trials"])
    assert plan["seconds"] > work / plan["slots"]
    assert plan["seconds"] == plan["seconds_without_early_stopping"]
    assert 0 < plan["disk_bytes"] < plan["free_bytes"]
    assert not Path("runs").exists()


def test_trials_of_the_run_have_their_state_and_remaining_epochs() -> None:
    trial = plan_of()["trials"][1]
    run = RunDir(Path("runs/digits"))
    run.path.mkdir(parents=True)
    known = {name: trial[name] for name in ("trial", "hash", "config", "axes", "sizes")}
    write(run, TrialPlanned(**known), session(2), started(2), epoch(1, 0.5, 2))
    run.trial(2).mkdir(parents=True)
    (run.trial(2) / "last.safetensors").touch()
    states = {trial["trial"]: trial for trial in json.loads(output_of("--json"))["trials"]}
    assert states[2]["state"] == "interrupted"
    assert states[2]["remaining_epochs"] == 2
    assert [states[number]["state"] for number in (3, 4)] == ["new", "new"]


def test_a_search_counts_the_trials_that_are_not_listed() -> None:
    plan = plan_of("search=ModelBased(initial_trials=1), samples=3,")
    assert len(plan["trials"]) == 1
    assert plan["to_come"] == 2


def test_csv_on_the_standard_output_is_nothing_but_csv() -> None:
    Path("digits.py").write_text(SWEEP.replace("MORE", ""))
    rows = list(csv.DictReader(io.StringIO(output_of("--csv", "-"))))
    assert [row["trial"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["arch.encoder_filters"] == "4-2"
    assert float(rows[0]["optimizer.lr"]) == 0.001


@pytest.mark.parametrize("command", [["plan", "digits.py"], ["list"]])
def test_json_and_csv_on_the_standard_output_are_refused(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--json", "--csv", "-"])
    assert result.exit_code == 2
    assert "both print to the standard output" in result.stderr
