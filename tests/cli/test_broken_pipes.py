"""Commands whose output is closed: they end quietly, and a sweep is not lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cae.run.paths import RunDir
from cae.sweep.places.auth_token import USER_VARIABLES

RUN = Path(__file__).parents[1] / "fixtures" / "runs_261f11c" / "finished" / "run"
QUICKSTART = Path(__file__).parents[2] / "sweeps" / "quickstart.py"
SWEEP = '''"""Two small trials."""

from ray import tune

from cae import Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=64, val_images=16, test_images=16),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(),
        epochs=2,
    ),
    space={"batch_size": tune.grid_search([16, 32])},
)
'''


def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    "arguments",
    [
        ["describe"],
        ["data", "list"],
        ["status", str(RUN)],
        ["status", str(RUN), "--json"],
        ["best", str(RUN), "--quiet"],
        ["logs", str(RUN), "1"],
        ["plan", str(QUICKSTART)],
    ],
    ids=" ".join,
)
def test_a_command_whose_output_is_closed_exits_quietly(arguments: list[str]) -> None:
    writer = closed_pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cae", *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["status", str(RUN)], ["describe"]])
def test_a_full_disk_under_the_output_is_an_error_without_a_traceback(
    arguments: list[str],
) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cae", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.endswith("No space left on device\n")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("redirection", ["2>&-", ">&-", ">&- 2>&-"])
def test_a_command_runs_without_standard_output_or_error(redirection: str) -> None:
    command = f"{sys.executable} -m cae status {RUN} {redirection}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1  # trials of this run failed
    assert done.stderr == ""


@pytest.mark.slow
def test_a_sweep_trains_all_trials_in_an_unfriendly_environment(tmp_path: Path) -> None:
    """Nobody reads its output, its home folder is a file, and files of the current folder have the
    names of modules that its workers import."""
    for name in ("numpy", "torch", "cae"):
        Path(f"{name}.py").write_text("raise RuntimeError('of the current folder')")
    path = tmp_path / "sweep.py"
    path.write_text(SWEEP)
    home = tmp_path / "home"
    home.write_text("not a folder")
    environment = {name: value for name, value in os.environ.items() if name not in USER_VARIABLES}
    run = RunDir(tmp_path / "run")
    cae_sweep = str(Path(sys.executable).parent / "cae-sweep")
    command = [cae_sweep, "run", str(path), "--out", str(run.path), "--slots=1"]
    writer = closed_pipe()
    try:
        done = subprocess.run(
            command,
            stdout=writer,
            stderr=writer,
            env=environment | {"HOME": str(home)},
            check=False,
        )
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert [record.state for record in run.records().values()] == ["finished", "finished"]
    assert run.report_html.exists()
    assert home.read_text() == "not a folder"
