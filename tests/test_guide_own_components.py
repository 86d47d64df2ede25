"""The guides about own components and recipes: every block of code and every command works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.sweep.spec.plan import make_plan
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.component import Component
from cae.trial.config import Trial
from cae.trial.losses import Loss
from tests.conftest import ROOT

GUIDE = ROOT / "docs" / "guide"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(autouse=True)
def _restore_components(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[type[Component]] = [*Trial.COMPONENTS.values(), Loss]
    for kind in kinds:
        monkeypatch.setattr(kind, "registry", dict(kind.registry))


@pytest.mark.timeout(600)  # new workers take long to start on a busy machine
@pytest.mark.usefixtures("one_ray")
def test_the_guide_to_own_components_works_word_by_word() -> None:
    text = (GUIDE / "own_components.md").read_text()
    file_part, _, commands_part = text.partition("\n## Run it\n")
    Path("deblur.py").write_text("\n\n".join(blocks(file_part, "python")))
    outputs: list[str] = []
    (commands,) = blocks(commands_part, "sh")
    for line in commands.splitlines():
        command = line.partition("  #")[0]
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
        outputs.append(result.output)
    plan, run, longer_plan, best = outputs
    assert "ranked by: val_edge_error, lower is better" in plan
    assert "2 finished" in run
    assert "2 trials trained anew: the first epochs depend on the number of epochs" in longer_plan
    assert "exported to deblur_model" in best
    (loading,) = blocks(commands_part, "python")
    names: dict[str, Any] = {}
    exec(loading, names)
    assert names["output"].shape == (1, 1, 16, 16)
    assert names["model"].trial.task.name == "deblur"


def test_the_recipe_can_be_planned(tmp_path: Path) -> None:
    (source,) = blocks((GUIDE / "recipes.md").read_text(), "python")
    path = tmp_path / "recipe.py"
    path.write_text(source)
    plan = make_plan(read_sweep_file(path).sweep, lambda dataset: dataset.load([]))
    assert len(plan.trials) == 2
    assert len({planned.hash for planned in plan.trials}) == 2


def test_the_links_of_the_guides_exist() -> None:
    for document in GUIDE.glob("*.md"):
        for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
            target = link.partition("#")[0]
            assert link.startswith("http") or (document.parent / target).exists(), link
