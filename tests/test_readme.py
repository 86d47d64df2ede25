"""What the README says can be done, can be done: each of its commands is run here, as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
import struct
import subprocess
from collections.abc import Iterator
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
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a user has after cloning: the sweeps and the picture."""
    place = tmp_path_factory.mktemp("clone")
    for folder in ("sweeps", "docs"):
        shutil.copytree(ROOT / folder, place / folder)
    return place


def cae_commands() -> Iterator[str]:
    return (command for command in COMMANDS if command.startswith("cae-sweep"))


@pytest.mark.usefixtures("one_ray")
def test_every_command_of_the_first_page_runs_in_its_order(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    ran = []
    for command in cae_commands():
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
        "mine.png",
        "results.md",
    ):
        assert Path(made).exists()


@pytest.fixture(scope="module")
def blank_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST, FashionMNIST and CIFAR-10 in their publishers' sizes and layouts, every pixel 0; the files are sparse."""
    place = tmp_path_factory.mktemp("data")
    (place / "cifar-10-batches-bin").mkdir()
    for folder in ("MNIST/raw", "FashionMNIST/raw"):
        (place / folder).mkdir(parents=True)
        for name, count in (("train", 60_000), ("t10k", 10_000)):
            for kind, header in (
                ("images-idx3", (0x803, count, 28, 28)),
                ("labels-idx1", (0x801, count)),
            ):
                with (place / folder / f"{name}-{kind}-ubyte").open("wb") as file:
                    file.write(struct.pack(f">{len(header)}i", *header))
                    file.truncate(4 * len(header) + count * (784 if len(header) == 4 else 1))
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        with (place / f"cifar-10-batches-bin/{name}.bin").open("wb") as file:
            file.truncate(30_730_000)
    return place


@pytest.mark.parametrize(
    "command", re.findall(r"^\| `cae-sweep run ([^`]+)`", README, re.MULTILINE)
)
def test_every_command_of_the_table_of_results_is_one_that_plans(
    command: str, workplace: Path, blank_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `plan` in the place of `run`, on blank images: the real ones take minutes."""
    monkeypatch.chdir(workplace)
    result = CliRunner().invoke(
        app, ["plan", *shlex.split(command), "--data-dir", str(blank_images)]
    )
    assert result.exit_code == 0, result.output
    assert "time: about" in result.output


@pytest.mark.parametrize(
    "command",
    re.findall(r"`cae-sweep run ([^`]+)` \|", (ROOT / "docs" / "reproduction.md").read_text()),
)
def test_every_command_of_the_reproduction_is_one_of_a_sweep_and_its_budgets(command: str) -> None:
    path, *options = shlex.split(command)
    budget = options[options.index("--budget") + 1] if "--budget" in options else "full"
    assert read_sweep_file(ROOT / path).sweep.budget(budget) is not None


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make")])
def test_every_make_target_is_there(command: str) -> None:
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_ci_runs_exactly_the_readmes_test_command() -> None:
    assert "make test" in COMMANDS
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"


def test_the_readmes_own_sweep_file_plans(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "mine.py"
    path.write_text(source)
    plan = make_plan(read_sweep_file(path).sweep, lambda dataset: dataset.load([]))
    assert len(plan.trials) == 2 * 8
    assert plan.rungs == [1, 3]


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_fits_in_120_lines() -> None:
    assert len(README.splitlines()) <= 120
