"""docs/design.md names functions that exist, in the files that it names."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT

DESIGN = (ROOT / "docs" / "design.md").read_text()
REFERENCE = re.compile(r"`(?P<name>\w+)`\s+\((?P<path>cae/[\w/]+\.py)\)")
MAX_HOPS = 12


def references() -> list[tuple[str, str]]:
    return sorted({(match["path"], match["name"]) for match in REFERENCE.finditer(DESIGN)})


@pytest.mark.parametrize(("path", "name"), references())
def test_every_named_function_exists(path: str, name: str) -> None:
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    tree = ast.parse((ROOT / path).read_text())
    names = {node.name for node in ast.walk(tree) if isinstance(node, definitions)}
    assert name in names


def test_the_first_training_step_is_twelve_steps_from_the_command() -> None:
    journey = DESIGN.split("to the first training step\n")[1]
    steps = re.findall(r"^(\d+)\. ", journey, flags=re.MULTILINE)
    assert steps == [str(number) for number in range(1, MAX_HOPS + 1)]


def test_the_journeys_are_read() -> None:
    assert len(references()) > 30
