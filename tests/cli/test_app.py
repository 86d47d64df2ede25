"""The command line: errors before anything runs, and every command on a real run."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner, Result

import cae
from cae.cli.app import app
from cae.cli.errors import report_errors
from cae.files import write_whole
from cae.run.events import SessionStarted, TrialEnded, TrialPlanned, TrialStarted
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.spec.sweep_file import read_sweep_file

Write = Callable[..., Path]
Run = Callable[..., RunDir]
COMMAND = Path(sys.executable).parent / "cae-sweep"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


READING = "reading the sweep and the images"
STARTING = "starting Ray and the workers"
"""The first lines of `run`, each before something that takes seconds."""


def error_of(*arguments: object) -> str:
    """The error messages of a command that exits with code 2 and writes nothing."""
    before = sorted(Path.cwd().rglob("*"))
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    after = [path for path in Path.cwd().rglob("*") if "__pycache__" not in path.parts]
    assert sorted(after) == [path for path in before if "__pycache__" not in path.parts]
    lines = result.stderr.splitlines()
    errors = [line for line in lines if line not in (READING, STARTING)]
    assert all(line.startswith(("error: ", "  ")) for line in errors), errors
    return "".join(f"{line}\n" for line in errors)


def test_run_prints_what_it_does_at_once_also_into_a_file(sweep_file: Write) -> None:
    """Otherwise a log file would be empty until the first trial ends."""
    wrong = sweep_file("{'arch.kernal_size': tune.grid_search([3, 5])}")
    assert call("run", wrong).stderr.splitlines()[0] == READING
    quiet = call("run", wrong, "--quiet").stderr
    assert quiet.startswith("error: ")
    assert READING not in quiet


def test_an_unknown_parameter_names_the_nearest_one(sweep_file: Write) -> None:
    errors = error_of("run", sweep_file("{'arch.kernal_size': tune.grid_search([3, 5])}"))
    assert (
        errors == "error: arch.kernal_size is not a parameter of arch = 'conv_autoencoder'; "
        "did you mean arch.kernel_size?\n"
    )


def test_an_inactive_parameter_is_an_error_with_the_reason(
    sweep_file: Write,
) -> None:
    assert "arch.negative_slope = 0.2 would be ignored: arch.activation is 'relu'" in error_of(
        "run", sweep_file("{'arch.negative_slope': 0.2}")
    )


def test_a_wrong_type_is_an_error_with_value_and_rule(sweep_file: Write) -> None:
    errors = error_of("run", sweep_file(), "--set", "arch.kernel_size=three")
    assert "arch.kernel_size = 'three': should be an integer or a pair (height, width)" in errors


def test_an_impossible_shape_names_layer_and_parameters(sweep_file: Write) -> None:
    errors = error_of("run", sweep_file("{'arch.kernel_size': 11, 'arch.padding': 'valid'}"))
    assert (
        "arch.kernel_size = 11: a 11x11 kernel without padding does not fit the 8x8 image "
        "at encoder layer 1" in errors
    )


def test_an_unknown_metric_lists_the_metrics(sweep_file: Write) -> None:
    errors = error_of("run", sweep_file(more="metric='val_lost'"))
    assert (
        "metric = 'val_lost' is not a metric of these trials: "
        "they report train_loss, val_loss, val_psnr" in errors
    )


def test_a_missing_data_set_names_files_folder_and_command(sweep_file: Write) -> None:
    errors = error_of(
        "run", sweep_file("{'dataset': 'mnist'}", name="mnist"), "--data-dir", "nowhere"
    )
    for text in (
        "mnist",
        "train-images-idx3-ubyte",
        "cae-sweep data fetch mnist",
        "--data-dir",
        "nowhere",
    ):
        assert text in errors


def test_a_file_without_a_sweep_shows_how_one_ends(tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text("swep = 1\n")
    assert (
        error_of("run", "none.py") == "error: none.py defines no `sweep`: a sweep file ends with "
        "`sweep = Sweep(base=Trial(...), space={...})`\n"
    )


def test_a_missing_sweep_file_lists_the_files_beside_it(sweep_file: Write) -> None:
    path = sweep_file()
    assert "small.py" in error_of("run", path.with_name("smal.py"))


def test_an_exception_in_a_sweep_file_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import cae\n\ncae.Sweeep()\n")
    assert (
        "error: broken.py cannot be executed: line 3: AttributeError: module 'cae' has no 'Sweeep'"
        in error_of("run", "broken.py")
    )


def test_an_invalid_component_names_the_line_and_the_nearest_parameter(sweep_file: Write) -> None:
    path = sweep_file()
    path.write_text(path.read_text().replace("pool_after=(1,)", "pool_aftr=(1,), padding='sam'"))
    errors = error_of("run", path)
    location = f"{path}: line 12"
    unknown = "ConvAutoencoder.pool_aftr is not a parameter here; did you mean pool_after?"
    assert f"error: {location}: {unknown}" in errors
    assert (
        "ConvAutoencoder.padding = 'sam': should be 'same' or 'valid'; did you mean 'same'?"
        in errors
    )


def test_an_inactive_parameter_of_the_base_trial_is_an_error(sweep_file: Write) -> None:
    path = sweep_file("{'arch.kernel_size': tune.grid_search([3, 5])}")
    path.write_text(
        path.read_text().replace("pool_after=(1,)", "pool_after=(1,), negative_slope=0.3")
    )
    assert "arch.negative_slope = 0.3 would be ignored: arch.activation is 'relu'" in error_of(
        "run", path
    )


def test_errors_of_components_space_and_command_are_reported_together(
    sweep_file: Write,
) -> None:
    path = sweep_file("{'arch.kernl': 3}")
    text = (
        path.read_text()
        .replace("size=8,", "size='big',")
        .replace("Reconstruct()", "Reconstruct(loss='mze')")
        .replace("lr=1e-3", "lr=-1")
    )
    path.write_text(text)
    errors = error_of("run", path, "--gpus", 99, "--retry", "lost")
    for text in ("--gpus 99", "--retry lost"):
        assert text in errors
    errors = error_of("run", path)
    for text in (
        "Digits.size = 'big'",
        "Reconstruct.loss = 'mze'",
        "did you mean mse?",
        "Adam.lr = -1",
        "arch.kernl",
        "kernel_size",
    ):
        assert text in errors


OWN = """
from torch import nn
from cae import Architecture, ConvAutoencoder as Ours

class Own(Architecture):
    features: int = 64

    def build(self, input_shape, output_shape):
        layer = nn.Linear(self.features, 64)
        return nn.Sequential(nn.Flatten(), layer, nn.Sigmoid(), nn.Unflatten(1, output_shape))
"""


def test_a_user_network_that_does_not_fit_is_an_error(sweep_file: Write) -> None:
    path = sweep_file("{'arch': 'own', 'arch.features': 10}")
    path.write_text(OWN + path.read_text())
    assert "error: arch = 'own' cannot be built: RuntimeError:" in error_of("run", path)


def test_a_user_component_cannot_replace_a_built_in_one(sweep_file: Write) -> None:
    path = sweep_file()
    path.write_text(
        OWN.replace("class Own(Architecture)", "class ConvAutoencoder(Architecture)")
        + path.read_text()
    )
    assert "'conv_autoencoder' is the name of a built-in component" in error_of("run", path)


def test_a_file_that_is_not_python_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# hello")
    assert "README.md is not a Python file" in error_of("plan", "README.md")


def test_published_numbers_without_required_columns_are_an_error(sweep_file: Write) -> None:
    Path("numbers.csv").write_text("quantity,metric\nloss,val_loss\n")
    assert "numbers.csv has no column value" in error_of(
        "run", sweep_file(more="published='numbers.csv'")
    )


def test_a_run_cannot_change_its_metric(
    sweep_file: Write,
) -> None:
    Path("run").mkdir()
    Path("run/sweep.json").write_text('{"sweep": "small", "metric": "val_loss", "mode": "min"}')
    assert "run ranks by val_loss (min)" in error_of(
        "run", sweep_file(more="metric='val_psnr', mode='max'"), "--out", "run"
    )


def test_the_title_is_declared_or_the_first_line_or_the_file_name(sweep_file: Write) -> None:
    path = sweep_file(more="title='Mine'")
    assert read_sweep_file(path).title == "Mine"
    path.write_text(path.read_text().replace('"""A sweep of digits: what the tests run."""', ""))
    assert read_sweep_file(path).title == "Mine"
    path.write_text(path.read_text().replace("title='Mine'", ""))
    assert read_sweep_file(path).title == "small"
    path.write_text('"""Sharp fields.\n\nFrom blurred ones."""\n' + path.read_text())
    assert read_sweep_file(path).title == "Sharp fields"


def test_too_many_gpus_names_the_number_available(sweep_file: Write) -> None:
    there = torch.cuda.device_count()
    assert f"--gpus {there + 4}: torch can use {there} GPUs of this machine" in error_of(
        "run", sweep_file(), "--gpus", there + 4
    )


def test_a_run_in_use_names_the_other_process(sweep_file: Write) -> None:
    holder = (
        "import time\n"
        "from cae.run.paths import RunDir\n"
        "with RunDir('held').lock():\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        path = sweep_file()
        errors = error_of("run", path, "--out", "held")
        output = call("run", path, "--out", "held").stderr
        other.kill()
    assert f"held is in use by process {other.pid}" in errors
    assert STARTING not in output


def test_several_errors_of_one_file_are_reported_together(sweep_file: Write) -> None:
    errors = error_of(
        "run",
        sweep_file(
            "{'arch.kernal_size': 3, 'optimizer.lr': 'fast', 'epochs': 0, 'task.loss': 'mze'}"
        ),
    )
    assert len(errors.splitlines()) == 4
    for name in ("arch.kernal_size", "optimizer.lr = 'fast'", "epochs = 0", "did you mean mse?"):
        assert name in errors


def test_a_folder_with_a_run_of_another_sweep_is_error_of(sweep_file: Write) -> None:
    Path("run").mkdir()
    Path("run/sweep.json").write_text('{"sweep": "other"}')
    assert "run contains a run of another sweep, other" in error_of(
        "run", sweep_file(), "--out", "run"
    )


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["best"],
        ["report"],
        ["stop"],
        ["status", "nothing"],
        ["logs", "nothing", "1"],
        ["kill", "nothing", "1"],
    ],
)
def test_a_missing_run_is_an_error(command: list[str]) -> None:
    assert "run" in error_of(*command)


def test_the_version_is_that_of_the_package() -> None:
    result = call("--version")
    assert result.exit_code == 0
    assert result.output.strip() == f"cae-sweep {cae.__version__}"


def test_every_command_has_a_help_text() -> None:
    for command in (
        [],
        ["run"],
        ["plan"],
        ["status"],
        ["best"],
        ["report"],
        ["list"],
        ["logs"],
        ["stop"],
        ["kill"],
        ["reconstruct"],
        ["encode"],
        ["data"],
        ["data", "fetch"],
    ):
        result = call(*command, "--help")
        assert result.exit_code == 0
        assert len(result.output) > 200


def test_plan_lists_trials_and_writes_no_run(
    sweep_file: Write,
) -> None:
    path = sweep_file(
        "{'arch.kernel_size': tune.grid_search([3, 5])}", more="scheduler=ASHA()", epochs=4
    )
    result = call("plan", path, "--csv", "plan.csv")
    assert result.exit_code == 0, result.output
    for text in (
        "2 trials",
        "early stopping: at epochs 1, 3",
        "time: about",
        "disk: up to",
        "parameters",
    ):
        assert text in result.output
    assert [line.split(",")[0] for line in Path("plan.csv").read_text().splitlines()] == [
        "trial",
        "1",
        "2",
    ]
    assert not Path("runs").exists()


@pytest.mark.usefixtures("one_ray")
def test_all_commands_work_on_a_finished_run(sweep_file: Write) -> None:
    result = call("run", sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 1e-2])}", epochs=3))
    assert result.exit_code == 0, result.output
    states, best, page = result.stdout.splitlines()
    assert states == "2 finished"
    assert best.startswith("best: trial 2, epoch 3, val_loss 0.")
    assert page == "report: runs/small/report.html"
    finished = RunDir("runs/small")

    status = json.loads(call("status", "small", "--json").stdout)
    assert status["states"] == {"finished": 2}
    assert status["best"]["trial"] == 2
    assert "2 of 2 trials ended: 2 finished" in call("status").output
    assert call("best", "--quiet").output == "runs/small/trials/0002/best.safetensors\n"
    assert call("best", "--metric", "test_ssim", "--top", "2").output.count("test_ssim") == 4
    message = error_of("best", "--metric", "val_ssimm")
    assert "no trial has a finite value of it; metrics:" in message
    assert "small" in call("list").output
    assert "epoch 3: train_loss=" in call("logs", "small", 1).output
    assert "is not running" in error_of("stop", "small")
    assert "is not running" in error_of("kill", "small", 1)
    assert "report: runs/small/report.html" in call("report", "small").output
    assert {path.name for path in finished.path.glob("*.*")} >= {
        "trials.csv",
        "epochs.csv",
        "verdicts.json",
        "report.html",
    }

    exported = call("best", "small", "--metric", "val_loss", "-o", "model")
    assert exported.exit_code == 0, exported.output
    exported_model = json.loads(Path("model/model.json").read_text())
    written = finished.records()[2].epochs[exported_model["epoch"]]
    assert exported_model["re_evaluated"]["val_loss"] == pytest.approx(
        written["val_loss"], abs=1e-6
    )
    assert "exists already" in error_of("best", "small", "-o", "model")

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)).save(
        "picture.png"
    )
    assert "it does not exist" in error_of("reconstruct", "model", "absent.png")
    assert "cannot be read as an image" in error_of("reconstruct", "model", "model/model.json")
    made = call("reconstruct", "model", "picture.png", "-o", "out.png")
    assert made.exit_code == 0, made.output
    with Image.open("out.png") as picture:
        assert picture.size == (320, 160)

    weights = bytearray(Path("runs/small/trials/0002/best.safetensors").read_bytes())
    weights[-4:] = b"\x00\x00\x80\x3f"
    Path("runs/small/trials/0002/best.safetensors").write_bytes(weights)
    assert "its content differs from what was written" in error_of("best", "small", "-o", "other")

    Path("runs/small/trials/0002/best.safetensors").unlink()
    assert "best.safetensors does not exist any more" in error_of("best", "--quiet")
    assert "best.safetensors does not exist any more" in call("best").output


def test_failed_trials_give_exit_code_1() -> None:
    run = RunDir("runs/small")
    run.path.mkdir(parents=True)
    run.sweep_json.write_text(
        json.dumps({"title": "t", "metric": "val_loss", "mode": "min", "sweep": "small"})
    )
    journal = Journal(run.journal)
    journal.append(TrialPlanned(trial=1, hash="a", config={"epochs": 2}, axes={}, sizes={}))
    journal.append(SessionStarted(trials=[1]))
    journal.append(TrialStarted(trial=1, epoch=0))
    journal.append(
        TrialEnded(
            trial=1,
            state=TrialState.FAILED,
            reason="RuntimeError: tired",
            error="Traceback ...\nRuntimeError: tired",
        )
    )
    journal.close()
    result = call("status", "small")
    assert result.exit_code == 1
    assert "trial 1 failed: RuntimeError: tired" in result.output
    assert "Traceback" in call("logs", "small", 1).output


def test_data_list_shows_locations_and_commands() -> None:
    output = " ".join(call("data", "list", "--data-dir", "nowhere").output.split())
    assert "mnist" in output
    assert "cae-sweep data fetch mnist" in output
    assert "1,797" in output


def test_a_system_error_without_file_names_the_line_of_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(typer.Exit) as left, report_errors():
        write_whole(tmp_path / "file", "content")
    assert left.value.exit_code == 2
    assert re.fullmatch(
        r"error: the system, at files.py:\d+: No space left on device\n", capsys.readouterr().err
    )
