"""Texts that users see do not contain phrases that the style guide excludes (docs/glossary.md)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from cae.cli.app import app
from tests.conftest import ROOT

EXCLUDED = {
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\btold\b|\btells?\b": "reports, prints, logs",
    r"\bsays?\b|\bsaid\b": "states, shows",
    r"\bgo(es|ing)? on\b": "continues, is running",
    r"\btak(e|es|en) up again\b|\bbeg[iau]ns? again\b": "resume, restart, retry",
    r"\blet(s|ting)? go\b": "delete, prune",
    r"\bdear\b": "expensive",
    r"\bothers need\b|\bneeded by others\b|\bneeded trials?\b": "dependency",
    r"\bended otherwise\b": "failed",
    r"\bfor good\b": "final",
    r"\bwhose turn\b": "trial queue",
    r"\blifelines?\b": "Ray watchdog",
    r"\bsigns? of life\b": "heartbeat",
    r"\bwhat stopping ended\b": "early-stopping analysis",
    r"\bsurrogates?\b": "random forest",
    r"\bfronts\b": "Pareto front, Pareto-optimal",
    r"\btrivial answers?\b": "baseline",
    r"\blearnt\b": "does not beat the baseline",
    r"\bspared\b": "audit trial, exempt from early stopping",
    r"\bwhose values\b|\borigins\b": "provenance",
    r"\bwhat came out\b|\bwhat it promises\b": "results, guarantees",
    r"\b(values|size) of the code\b": "latent size",
    r"\bgiven\b": "input",
    r"\bpictures?\b|\bpictured\b": "image",
    r"\bat once\b": "immediately, or together",
    r"\bnil\b": "zero",
    r"\bseeds folded\b": "means over seeds",
}
"""Regular expressions, and what to write instead."""
PATTERNS = {phrase: re.compile(phrase, re.IGNORECASE) for phrase in EXCLUDED}

ALLOWED = {
    "# What the reports say, and what came out",  # a title that earlier versions wrote
    "The given NumPy array is not writable",  # a warning of PyTorch
}
"""Texts of others, which are recognized."""

CHECKED_PACKAGES = ["cae", "sweeps"]
"""Packages whose messages are checked."""
PAGE = ROOT / "cae" / "report" / "page"
PAGE_FILES = [*PAGE.glob("templates/*"), *PAGE.glob("scripts/*")]
DOCSTRING_OWNERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def excluded_phrases(text: str) -> list[str]:
    """Return the excluded phrases in a text, each with what to write instead."""
    phrases = []
    for name, pattern in PATTERNS.items():
        match = pattern.search(text)
        if match:
            phrases.append(f"{match[0]!r}: write {EXCLUDED[name]}")
    return phrases


def messages(source: str) -> Iterator[str]:
    """Yield the string literals of a module with several words that are not docstrings."""
    tree = ast.parse(source)
    documentation = set()
    for node in ast.walk(tree):
        if isinstance(node, DOCSTRING_OWNERS):
            # Docstrings, and the strings under attributes that document them.
            for statement in node.body:
                if isinstance(statement, ast.Expr):
                    documentation.add(id(statement.value))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in documentation:
            continue
        if isinstance(node.value, str) and " " in node.value.strip():
            yield node.value


def modules() -> list[Path]:
    paths: list[Path] = []
    for package in CHECKED_PACKAGES:
        paths += sorted((ROOT / package).rglob("*.py"))
    return paths


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_messages_contain_no_excluded_phrase(path: Path) -> None:
    for message in messages(path.read_text()):
        assert message in ALLOWED or excluded_phrases(message) == [], message


@pytest.mark.parametrize("path", PAGE_FILES, ids=lambda path: path.name)
def test_templates_and_scripts_contain_no_excluded_phrase(path: Path) -> None:
    assert excluded_phrases(path.read_text()) == []


@pytest.mark.parametrize("command", ["", *sorted(typer.main.get_group(app).commands)])
def test_help_contains_no_excluded_phrase(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert excluded_phrases(result.output) == []


def test_phrases_are_recognized_in_sentences_only() -> None:
    source = '"""It goes on."""\nx = "It goes on."\ny = "mend"\n'
    assert list(messages(source)) == ["It goes on."]
    assert len(excluded_phrases("It goes on, at once.")) == 2
    assert excluded_phrases("The run continues.") == []
