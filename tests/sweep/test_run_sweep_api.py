"""`cae.run_sweep`: sweeps from scripts and notebooks, each in a process of its own."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from typing_extensions import override

import cae
from cae import Adam, Digits, Reconstruct, Sweep, Trial
from cae.cli.app import run as run_command
from cae.errors import UserError
from cae.run.paths import RunDir
from cae.trial.networks.base import Architecture
from tests.trial.tasks.test_declared_metrics import AUTOENCODER

DEADLINE = 400.0
"""Seconds: the script and its sweep import torch and Ray, on a machine that may be busy."""

SCRIPT = """
from ray import tune
import cae

sweep = cae.Sweep(
    base=cae.Trial(
        dataset=cae.Digits(size=8, train_images=96, val_images=32, test_images=32),
        task=cae.Reconstruct(),
        arch=cae.ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=cae.Adam(lr=1e-3),
        batch_size=32,
        epochs=2,
    ),
    space={{"optimizer.lr": tune.grid_search([1e-3, 1e-2])}},
)
for _ in range({calls}):
    run = cae.run_sweep(sweep, out="runs/script", slots=1, settings={{"epochs": {epochs}}})
print(run.trials[["trial", "state", "epochs"]].to_string(index=False))
print("the script ends")
"""


def small_sweep(space: dict[str, Any] | None = None) -> Sweep:
    base = Trial(
        dataset=Digits(size=8, train_images=64, val_images=32, test_images=32),
        task=Reconstruct(),
        arch=AUTOENCODER,
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=1,
    )
    return Sweep(base=base, space=space or {})


def start_script(epochs: int, calls: int = 1) -> subprocess.Popen[str]:
    """Start a script without `if __name__ == "__main__"`."""
    Path("script.py").write_text(SCRIPT.format(epochs=epochs, calls=calls))
    return subprocess.Popen(
        [sys.executable, "script.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(cae.__file__).parents[1])},
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_script_runs_a_sweep_object_and_resumes_it() -> None:
    output, _ = start_script(epochs=1, calls=2).communicate()
    assert output.count("the script ends") == 1, output
    assert output.count("finished  trial") == 2, "the progress is shown as lines"
    run = RunDir(Path("runs/script"))
    assert [record.last_epoch for record in run.records().values()] == [1, 1]
    assert run.read_sweep().command == "cae.run_sweep('script')"
    assert "declared in a notebook or script" in run.read_sweep().source
    saved = cae.open_run("runs/script")
    assert saved.best()["state"].tolist() == ["finished"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_interrupt_saves_and_raises() -> None:
    process = start_script(epochs=100_000)
    run = RunDir(Path("runs/script"))
    end = time.monotonic() + DEADLINE
    while not run.journal.exists() or '"epoch":2,' not in run.journal.read_text():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "no epoch was trained"
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)  # to the script alone, as a notebook's kernel gets it
    output, _ = process.communicate()
    assert process.returncode != 0
    assert "KeyboardInterrupt: the sweep is saved: the same call resumes it" in output
    assert "the script ends" not in output
    assert '"event":"close"' in run.journal.read_text().splitlines()[-1]


def test_errors_of_the_sweep_are_raised_with_all_messages(
    sweep_file: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = sweep_file()
    with pytest.raises(UserError) as caught:
        cae.run_sweep(path, settings={"batch_size": -1, "optimizer.learning": 3})
    message = str(caught.value)
    assert "batch_size" in message
    assert "optimizer.learning" in message
    assert not Path("runs").exists()
    assert "Traceback" not in capfd.readouterr().out


class NotebookNetwork(Architecture):
    """A component that no file defines for workers."""

    @override
    def build(self, input_shape: Any, output_shape: Any) -> Any:
        return AUTOENCODER.build(input_shape, output_shape)


@pytest.mark.parametrize(
    "sweep",
    [
        small_sweep().model_copy(
            update={"base": small_sweep().base.model_copy(update={"arch": NotebookNetwork()})}
        ),
        small_sweep({"arch": tune.grid_search(["notebook_network"])}),
        small_sweep({"arch": tune.choice(["conv_autoencoder", "notebook_network"])}),
    ],
    ids=["base", "grid", "choice"],
)
def test_own_components_need_a_file(sweep: Sweep) -> None:
    with pytest.raises(UserError, match=r"NotebookNetwork: .* write them and the sweep to a"):
        cae.run_sweep(sweep, out="runs/own")


def test_a_sweep_object_needs_a_name_and_runs_here() -> None:
    with pytest.raises(UserError, match="out is missing"):
        cae.run_sweep(small_sweep())
    with pytest.raises(UserError, match="write it to a file to run it on a cluster"):
        cae.run_sweep(small_sweep(), out="runs/a", address="10.0.0.1:6379")
    with pytest.raises(UserError, match="cae-sweep run --address"):
        cae.run_sweep("sweep.py", address="http://head:8265")


def test_the_options_are_those_of_the_command() -> None:
    """Regression guard: an option that the command gets is also one of the function.

    Not --yes, because nothing is asked, and --watch, which serves a page beside a command.
    """
    of_command = set(inspect.signature(run_command).parameters)
    of_function = set(inspect.signature(cae.run_sweep).parameters)
    assert of_command - {"set_", "watch", "yes"} == of_function - {"settings"}
    defaults = inspect.signature(run_command).parameters
    for name, parameter in inspect.signature(cae.run_sweep).parameters.items():
        if name not in ("sweep", "settings", "retry"):
            assert parameter.default == defaults[name].default, name
    text = cae.run_sweep.__doc__ or ""
    for name in of_function | {"UserError", "RunError", "KeyboardInterrupt"}:
        assert name in text
