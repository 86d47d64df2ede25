"""The command line as a user meets it: mistakes in one message each, and what every command tells of a real run."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from cae.cli.app import app
from cae.cli.options import mistakes_told
from cae.files import write_whole
from cae.run.events import EpochFinished, SessionStarted, TrialEnded, TrialPlanned, TrialStarted
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.spec.sweep_file import read_sweep_file
from tests.undisturbed import undisturbed

Write = Callable[..., Path]
Run = Callable[..., RunDir]
COMMAND = Path(sys.executable).parent / "cae-sweep"


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(*words: object) -> str:
    """The words of a mistake, once it is known that it was told as one and that nothing was written."""
    before = sorted(Path.cwd().rglob("*"))
    result = call(*words)
    assert result.exit_code == 2, result.output
    after = [path for path in Path.cwd().rglob("*") if "__pycache__" not in path.parts]
    assert sorted(after) == [path for path in before if "__pycache__" not in path.parts]
    assert all(line.startswith(("error: ", "  ")) for line in result.stderr.splitlines()), (
        result.stderr
    )
    return result.stderr


def test_a_key_that_no_part_has_is_told_with_the_nearest(sweep_file: Write) -> None:
    told = refused("run", sweep_file("{'arch.kernal_size': tune.grid_search([3, 5])}"))
    assert (
        told
        == "error: arch.kernal_size is not a parameter of arch = 'conv_autoencoder'; did you mean arch.kernel_size?\n"
    )


def test_a_key_that_the_architecture_would_ignore_is_told_with_the_reason(
    sweep_file: Write,
) -> None:
    assert "arch.negative_slope = 0.2 would be ignored: arch.activation is 'relu'" in refused(
        "run", sweep_file("{'arch.negative_slope': 0.2}")
    )


def test_a_wrong_type_is_told_with_value_and_rule(sweep_file: Write) -> None:
    said = refused("run", sweep_file(), "--set", "arch.kernel_size=three")
    assert "arch.kernel_size = 'three': should be an integer, or two: (height, width)" in said


def test_an_impossible_shape_is_told_with_layer_and_parameters(sweep_file: Write) -> None:
    told = refused("run", sweep_file("{'arch.kernel_size': 11, 'arch.padding': 'valid'}"))
    assert (
        "a 11x11 kernel without padding does not fit the 8x8 image at encoder layer 1 (arch.kernel_size = 11"
        in told
    )


def test_an_unknown_metric_is_told_with_those_there_are(sweep_file: Write) -> None:
    told = refused("run", sweep_file(more="metric='val_lost'"))
    assert (
        "metric = 'val_lost' is not one that these trials report: there are train_loss, val_loss, val_psnr"
        in told
    )


def test_a_data_set_that_is_not_there_is_told_with_what_to_put_where(sweep_file: Write) -> None:
    told = refused("run", sweep_file("{'dataset': 'mnist'}", name="mnist"), "--data-dir", "nowhere")
    for words in (
        "mnist",
        "train-images-idx3-ubyte",
        "cae-sweep data fetch mnist",
        "--data-dir",
        "nowhere",
    ):
        assert words in told


def test_a_file_with_no_sweep_is_told_with_how_one_ends(tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text("swep = 1\n")
    assert (
        refused("run", "none.py")
        == "error: none.py defines no `sweep`: a sweep file ends in `sweep = Sweep(base=Trial(...), space={...})`\n"
    )


def test_a_file_that_is_not_there_is_told_with_those_beside_it(sweep_file: Write) -> None:
    path = sweep_file()
    assert "small.py" in refused("run", path.with_name("smal.py"))


def test_a_file_that_fails_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import cae\n\ncae.Sweeep()\n")
    assert (
        "error: broken.py cannot be run: line 3: AttributeError: module 'cae' has no 'Sweeep'"
        in refused("run", "broken.py")
    )


def test_a_part_built_wrongly_is_told_with_its_line_and_the_nearest_name(sweep_file: Write) -> None:
    path = sweep_file()
    path.write_text(path.read_text().replace("pool_after=(1,)", "pool_aftr=(1,), padding='sam'"))
    told = refused("run", path)
    assert (
        f"error: {path}: line 11: ConvAutoencoder.pool_aftr is not a parameter here; did you mean pool_after?"
        in told
    )
    assert (
        "ConvAutoencoder.padding = 'sam': should be 'same' or 'valid'; did you mean 'same'?" in told
    )


def test_a_parameter_of_the_base_that_no_trial_heeds_is_told(sweep_file: Write) -> None:
    path = sweep_file("{'arch.kernel_size': tune.grid_search([3, 5])}")
    path.write_text(
        path.read_text().replace("pool_after=(1,)", "pool_after=(1,), negative_slope=0.3")
    )
    assert "arch.negative_slope = 0.3 would be ignored: arch.activation is 'relu'" in refused(
        "run", path
    )


def test_mistakes_of_several_parts_the_space_and_the_command_are_told_at_once(
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
    told = refused("run", path, "--gpus", 99, "--retry", "lost")
    for words in ("--gpus 99", "--retry lost"):
        assert words in told
    told = refused("run", path)
    for words in (
        "Digits.size = 'big'",
        "Reconstruct.loss = 'mze'",
        "did you mean 'mse'?",
        "Adam.lr = -1",
        "arch.kernl",
        "kernel_size",
    ):
        assert words in told


OWN = """
from torch import nn
from cae import Architecture, ConvAutoencoder as Ours

class Own(Architecture):
    features: int = 64

    def build(self, input_shape, output_shape):
        return nn.Sequential(nn.Flatten(), nn.Linear(self.features, 64), nn.Sigmoid(), nn.Unflatten(1, output_shape))
"""


def test_a_network_of_ones_own_that_does_not_fit_is_told_in_words(sweep_file: Write) -> None:
    path = sweep_file("{'arch': 'own', 'arch.features': 10}")
    path.write_text(OWN + path.read_text())
    assert "error: arch = 'own' cannot be built: RuntimeError:" in refused("run", path)


def test_a_part_may_not_take_the_name_of_one_of_ours(sweep_file: Write) -> None:
    path = sweep_file()
    path.write_text(
        OWN.replace("class Own(Architecture)", "class ConvAutoencoder(Architecture)")
        + path.read_text()
    )
    assert "class ConvAutoencoder: cae has a part of this name already" in refused("run", path)


def test_a_file_that_is_no_python_is_told(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# hello")
    assert "README.md is no Python file" in refused("plan", "README.md")


def test_published_numbers_without_their_columns_are_told(sweep_file: Write) -> None:
    Path("numbers.csv").write_text("quantity,metric\nloss,val_loss\n")
    assert "numbers.csv has no column value" in refused(
        "run", sweep_file(more="published='numbers.csv'")
    )


def test_another_metric_on_a_run_is_refused_for_its_weights_are_the_best_by_the_first(
    sweep_file: Write,
) -> None:
    Path("run").mkdir()
    Path("run/sweep.json").write_text('{"sweep": "small", "metric": "val_loss", "mode": "min"}')
    assert "run ranks by val_loss (min)" in refused(
        "run", sweep_file(more="metric='val_psnr', mode='max'"), "--out", "run"
    )


def test_a_title_is_the_sweeps_own_or_the_first_line_or_the_name(sweep_file: Write) -> None:
    path = sweep_file(more="title='Mine'")
    assert read_sweep_file(path).title == "Mine"
    path.write_text(path.read_text().replace('"""A sweep of digits: what the tests run."""', ""))
    assert read_sweep_file(path).title == "Mine"
    path.write_text(path.read_text().replace("title='Mine'", ""))
    assert read_sweep_file(path).title == "small"


def test_more_gpus_than_there_are_is_told_with_how_many(sweep_file: Write) -> None:
    there = torch.cuda.device_count()
    assert f"--gpus {there + 4}: this machine has {there} that torch can use" in refused(
        "run", sweep_file(), "--gpus", there + 4
    )


def test_a_run_in_use_by_another_process_is_told_with_that_process(sweep_file: Write) -> None:
    holder = "import sys, time; from cae.run.paths import RunDir\nwith RunDir('held').lock(): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        told = refused("run", sweep_file(), "--out", "held")
        other.kill()
    assert f"held is in use by process {other.pid}" in told


def test_several_mistakes_of_one_file_are_told_at_once(sweep_file: Write) -> None:
    told = refused(
        "run",
        sweep_file(
            "{'arch.kernal_size': 3, 'optimizer.lr': 'fast', 'epochs': 0, 'task.loss': 'mze'}"
        ),
    )
    assert len(told.splitlines()) == 4
    for name in ("arch.kernal_size", "optimizer.lr = 'fast'", "epochs = 0", "did you mean 'mse'?"):
        assert name in told


def test_a_folder_that_holds_another_sweeps_run_is_refused(sweep_file: Write) -> None:
    Path("run").mkdir()
    Path("run/sweep.json").write_text('{"sweep": "other"}')
    assert "run holds a run of another sweep, other" in refused("run", sweep_file(), "--out", "run")


@pytest.mark.parametrize(
    "words",
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
def test_a_run_that_is_not_there_is_told(words: list[str]) -> None:
    assert "run" in refused(*words)


def test_help_of_every_command_says_what_it_does() -> None:
    for words in (
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
        ["data"],
        ["data", "fetch"],
    ):
        result = call(*words, "--help")
        assert result.exit_code == 0
        assert len(result.output) > 200


def test_plan_lists_trials_with_parameters_time_and_disk_and_writes_no_run(
    sweep_file: Write,
) -> None:
    path = sweep_file(
        "{'arch.kernel_size': tune.grid_search([3, 5])}", more="scheduler=ASHA()", epochs=4
    )
    result = call("plan", path, "--csv", "plan.csv")
    assert result.exit_code == 0, result.output
    for words in ("2 trials", "judged at epochs 1, 3", "time: about", "disk: up to", "parameters"):
        assert words in result.output
    assert [line.split(",")[0] for line in Path("plan.csv").read_text().splitlines()] == [
        "trial",
        "1",
        "2",
    ]
    assert not Path("runs").exists()


@pytest.mark.usefixtures("one_ray")
def test_a_run_and_every_command_about_it_answer(sweep_file: Write) -> None:
    result = call("run", sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 1e-2])}", epochs=3))
    assert result.exit_code == 0, result.output
    states, best, page = result.stdout.splitlines()
    assert states == "2 finished"
    assert best.startswith("best: trial 2, epoch 3, val_loss 0.")
    assert page == "report: runs/small/report.html"
    finished = RunDir("runs/small")

    stands = json.loads(call("status", "small", "--json").stdout)
    assert stands["states"] == {"finished": 2}
    assert stands["best"]["trial"] == 2
    assert "2 of 2 trials ended: 2 finished" in call("status").output
    assert call("best", "--quiet").output == "runs/small/trials/0002/best.safetensors\n"
    assert call("best", "--metric", "test_ssim", "--top", "2").output.count("test_ssim") == 4
    assert "no trial has it; there are" in refused("best", "--metric", "val_ssimm")
    assert "small" in call("list").output
    assert "epoch 3: train_loss=" in call("logs", "small", 1).output
    assert "is not running" in refused("stop", "small")
    assert "is not running" in refused("kill", "small", 1)
    assert "report: runs/small/report.html" in call("report", "small").output
    assert {path.name for path in finished.path.glob("*.*")} >= {
        "trials.csv",
        "epochs.csv",
        "verdicts.json",
        "report.html",
    }

    exported = call("best", "small", "--metric", "val_loss", "-o", "model")
    assert exported.exit_code == 0, exported.output
    said = json.loads(Path("model/model.json").read_text())
    written = finished.records()[2].epochs[said["epoch"]]
    assert said["re_evaluated"]["val_loss"] == pytest.approx(written["val_loss"], abs=1e-6)
    assert "is there already" in refused("best", "small", "-o", "model")

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)).save(
        "picture.png"
    )
    assert "not there" in refused("reconstruct", "model", "absent.png")
    assert "cannot be read as a picture" in refused("reconstruct", "model", "model/model.json")
    made = call("reconstruct", "model", "picture.png", "-o", "out.png")
    assert made.exit_code == 0, made.output
    with Image.open("out.png") as picture:
        assert picture.size == (320, 160)

    weights = bytearray(Path("runs/small/trials/0002/best.safetensors").read_bytes())
    weights[-4:] = b"\x00\x00\x80\x3f"
    Path("runs/small/trials/0002/best.safetensors").write_bytes(weights)
    assert "its content is not what was written" in refused("best", "small", "-o", "other")


def epochs(run: RunDir) -> list[tuple[int, int]]:
    return [
        (event.trial, event.epoch) for event in run.events() if isinstance(event, EpochFinished)
    ]


def test_a_sweep_killed_outright_goes_on_and_ends_in_the_numbers_of_an_undisturbed_one(
    sweep_file: Write, run_sweep: Run
) -> None:
    path = sweep_file(
        "{'optimizer.lr': tune.grid_search([1e-3, 3e-3, 1e-2]), 'dataset.train_images': 500}",
        epochs=12,
    )
    killed = RunDir("killed")
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
    with subprocess.Popen(
        [COMMAND, "run", path, "--out", "killed", "--quiet"],
        env=environment,
        start_new_session=True,
    ) as driver:
        end = time.monotonic() + 90
        while len(epochs(killed)) < 5 and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(driver.pid, signal.SIGKILL)
    first = epochs(killed)
    assert 5 <= len(first) < 36
    assert not killed.in_use()
    assert "interrupted" in {record.state for record in killed.records().values()}
    with killed.journal.open("ab") as journal:
        journal.write(b'{"event":"epoch","trial":1,"ep')  # as if it had died within a line
    run_sweep(path, out=Path("killed"))
    assert sorted(epochs(killed)) == [
        (trial, epoch) for trial in (1, 2, 3) for epoch in range(1, 13)
    ]
    for number, record in killed.records().items():
        assert [record.epochs[epoch]["val_loss"] for epoch in range(1, 13)] == undisturbed(
            killed, number
        )
        log = (killed.trial(number) / "log.txt").read_text()
        assert [log.count(f"epoch {epoch}: ") for epoch in range(1, 13)] == [
            1
        ] * 12  # none was trained twice


def test_failed_trials_are_an_exit_code_of_1() -> None:
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


def test_images_are_listed_with_where_they_are_or_how_to_get_them() -> None:
    output = " ".join(call("data", "list", "--data-dir", "nowhere").output.split())
    assert "mnist" in output
    assert "cae-sweep data fetch mnist" in output
    assert "1,797" in output


def test_an_error_of_the_system_that_names_no_file_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(typer.Exit) as left, mistakes_told():
        write_whole(tmp_path / "file", "content")
    assert left.value.exit_code == 2
    assert re.fullmatch(
        r"error: the system, at files.py:\d+: No space left on device\n", capsys.readouterr().err
    )
