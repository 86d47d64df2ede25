"""The pages of docs/guide: every file and every command works, in their order.

A block of Python that starts with a comment such as `# digits.py` is a file, and one with
`# digits.py, continued` is appended to it; other blocks are executed. Of the blocks for a shell
each line is a command; a comment `# exit code 2` at its end states how it ends if not with 0.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.trial.component import Component
from cae.trial.config import Trial
from cae.trial.losses import Loss
from tests.conftest import ROOT

GUIDES = sorted((ROOT / "docs" / "guide").glob("*.md"))
WITHOUT_IMAGES = [guide for guide in GUIDES if guide.stem != "own_images"]
"""The guide on own images needs some: see test_own_images_guide.py."""
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\S+\.py)(, continued)?\n")
EXIT_CODE = re.compile(r"# exit code (\d+)$")


@dataclass(frozen=True)
class Block:
    language: str
    text: str


def blocks_of(guide: Path) -> list[Block]:
    return [Block(language, text) for language, text in BLOCK.findall(guide.read_text())]


def run_command(line: str) -> None:
    """Run a command of a guide in this process."""
    expected = 0
    stated = EXIT_CODE.search(line)
    if stated:
        expected = int(stated[1])
    command = shlex.split(line, comments=True)
    assert command[0] == "cae-sweep", line
    result = CliRunner().invoke(app, command[1:])
    assert result.exit_code == expected, f"{line}\n{result.output}\n{result.exception!r}"


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("guide", WITHOUT_IMAGES, ids=lambda guide: guide.stem)
def test_every_file_and_command_of_a_guide_works(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of(guide)
    assert blocks
    for block in blocks:
        if block.language == "sh":
            for line in block.text.splitlines():
                if line.strip():
                    run_command(line)
            continue
        file = FILE.match(block.text)
        if file:
            mode = "w"
            if file[2]:
                mode = "a"
            with Path(file[1]).open(mode) as text:
                text.write(block.text)
        else:
            exec(compile(block.text, str(guide), "exec"), {"__name__": "guide"})


@pytest.fixture(autouse=True)
def _images(tmp_path: Path) -> None:
    """The picture that the README names, for guides that need one."""
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "page.png", tmp_path / "docs")


@pytest.fixture(autouse=True)
def _restore_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests do not see the components of a guide."""
    kinds: list[type[Component]] = [*Trial.COMPONENTS.values(), Loss]
    for kind in kinds:
        monkeypatch.setattr(kind, "registry", dict(kind.registry))
