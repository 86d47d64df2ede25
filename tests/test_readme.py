"""Every command of the README works; its links: test_documentation.py."""

from __future__ import annotations

import re
import shlex
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.sweep.spec.plan import make_plan
from cae.sweep.spec.sweep_file import read_sweep_file
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split(" #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweeps and images that a user has after cloning."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("sweeps", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.mark.usefixtures("one_ray")
def test_every_command_runs_in_the_order_of_the_readme(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone)
    ran = []
    for command in COMMANDS:
        if not command.startswith("cae-sweep"):
            continue
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
        ran.append(command.split()[1])
    assert {
        "plan",
        "run",
        "status",
        "best",
        "reconstruct",
        "report",
        "list",
        "logs",
        "data",
    } <= set(ran)
    for made in (
        "runs/quickstart/report.html",
        "runs/quickstart/trials.csv",
        "model/model.safetensors",
        "my_sweep.py",
        "mine.png",
    ):
        assert Path(made).exists()


@pytest.fixture(scope="module")
def blank_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST, FashionMNIST and CIFAR-10 as their publishers lay them out, every pixel 0 (sparse
    files)."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "cifar-10-batches-bin").mkdir()
    for data_set in ("MNIST/raw", "FashionMNIST/raw"):
        (folder / data_set).mkdir(parents=True)
        for name, count in (("train", 60_000), ("t10k", 10_000)):
            for kind, header in (
                ("images-idx3", (0x803, count, 28, 28)),
                ("labels-idx1", (0x801, count)),
            ):
                with (folder / data_set / f"{name}-{kind}-ubyte").open("wb") as file:
                    file.write(struct.pack(f">{len(header)}i", *header))
                    file.truncate(4 * len(header) + count * (784 if len(header) == 4 else 1))
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        with (folder / f"cifar-10-batches-bin/{name}.bin").open("wb") as file:
            file.truncate(30_730_000)
    return folder


@pytest.mark.parametrize(
    "command", re.findall(r"^\| `cae-sweep run ([^`]+)`", README, re.MULTILINE)
)
def test_every_command_of_the_results_table_can_be_planned(
    command: str, clone: Path, blank_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`plan` instead of `run`, on blank images: training takes minutes."""
    monkeypatch.chdir(clone)
    result = CliRunner().invoke(
        app, ["plan", *shlex.split(command), "--data-dir", str(blank_images)]
    )
    assert result.exit_code == 0, result.output
    assert "time: about" in result.output


@pytest.mark.parametrize(
    "command",
    re.findall(r"`cae-sweep run ([^`]+)` \|", (ROOT / "docs" / "reproduction.md").read_text()),
)
def test_every_command_of_the_reproduction_names_a_sweep_and_a_budget(command: str) -> None:
    path, *options = shlex.split(command)
    budget = options[options.index("--budget") + 1] if "--budget" in options else "full"
    assert read_sweep_file(ROOT / path).sweep.budget(budget) is not None


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make")])
def test_every_make_target_exists(command: str) -> None:
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "make test" in COMMANDS
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test-all"


def test_the_sweep_file_of_the_readme_can_be_planned(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "mine.py"
    path.write_text(source)
    plan = make_plan(read_sweep_file(path).sweep, lambda dataset: dataset.load([]))
    assert len(plan.trials) == 2 * 8
    assert plan.rungs == [1, 3]


def test_the_readme_fits_in_130_lines() -> None:
    assert len(README.splitlines()) <= 130


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.py")), ids=lambda path: path.stem)
def test_every_shipped_sweep_has_the_budgets_of_the_readme(path: Path) -> None:
    sweep = read_sweep_file(path).sweep
    budgets = ["full", "smoke"]
    if path.stem != "quickstart":
        budgets.append("cpu")
    for budget in budgets:
        sweep.budget(budget)  # raises an error for an unknown one
