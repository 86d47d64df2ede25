"""Every `cae-sweep` command in the documents has arguments and options that exist."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from _pytest.mark import ParameterSet

from cae.cli.app import app
from tests.conftest import ROOT

DOCUMENTS = [
    *sorted(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.ipynb")),
    *sorted((ROOT / "cluster").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
"""Without the changelog, whose commands are those of its time."""
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
SENTENCE = re.compile(r"`(cae-sweep [^`]+)`")
VARIABLES = re.compile(r"^(\w+=\S+ )+")
PLACEHOLDER_NUMBERS = {"N", "TRIAL"}
PATTERNS = ("...", "…", "$", "*", "[", "<", "{", "COMMAND")
"""A command with one of these is a pattern for several commands."""
ENDS = ("|", ">", ";", "&&")
INCOMPLETE = {"MissingParameter", "BadOptionUsage"}
"""Names of errors about missing values: typer's version decides whose class it is."""


def in_blocks(document: Path) -> list[str]:
    """The commands of the blocks for a shell."""
    commands = []
    for block in BLOCK.findall(document.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            command = VARIABLES.sub("", line.strip())
            if command.startswith("cae-sweep"):
                commands.append(command)
    return complete(commands)


def in_sentences(document: Path) -> list[str]:
    """The commands in the code of sentences, maybe without their arguments."""
    return complete([" ".join(text.split()) for text in SENTENCE.findall(document.read_text())])


def complete(commands: list[str]) -> list[str]:
    """The commands that are not patterns, each once."""
    return [
        command
        for command in dict.fromkeys(commands)
        if not any(pattern in command for pattern in PATTERNS)
    ]


def cases(commands: dict[Path, list[str]]) -> list[ParameterSet]:
    parameters: list[ParameterSet] = []
    for document, found in commands.items():
        parameters += [pytest.param(command, id=f"{document.name}: {command}") for command in found]
    return parameters


BLOCKS = cases({document: in_blocks(document) for document in DOCUMENTS})
SENTENCES = cases({document: in_sentences(document) for document in DOCUMENTS})


@cache
def root_command() -> Any:
    return typer.main.get_command(app)


def parse(command: str) -> None:
    """Parse a command line as the program does; nothing is called."""
    words = shlex.split(command, comments=True)[1:]
    for end in ENDS:
        if end in words:
            words = words[: words.index(end)]
    words = ["1" if word in PLACEHOLDER_NUMBERS else word for word in words]
    parser = root_command()
    context = typer.Context(parser, info_name="cae-sweep")
    while hasattr(parser, "commands") and words and not words[0].startswith("-"):
        assert words[0] in parser.commands, f"there is no command {words[0]}"
        parser = parser.commands[words[0]]
        context = typer.Context(parser, info_name=words[0], parent=context)
        words = words[1:]
    if words not in ([], ["--help"], ["--version"]):
        parser.make_context("cae-sweep", words, parent=context)


def test_commands_are_found() -> None:
    assert len(BLOCKS) > 50
    assert len(SENTENCES) > 50


@pytest.mark.parametrize("command", BLOCKS)
def test_every_command_of_a_block_can_be_parsed(command: str) -> None:
    parse(command)


@pytest.mark.parametrize("command", SENTENCES)
def test_every_command_of_a_sentence_can_be_parsed(command: str) -> None:
    try:
        parse(command)
    except Exception as error:
        if type(error).__name__ not in INCOMPLETE:
            raise


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("cae-sweep run a.py --no-such-option", "No such option"),
        ("cae-sweep rum a.py", "no command rum"),
        ("cae-sweep plan a.py --slots=many", "valid integer"),
    ],
)
def test_a_wrong_command_is_refused(command: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        parse(command)
