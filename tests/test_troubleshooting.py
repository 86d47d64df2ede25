"""docs/troubleshooting.md has an entry for every error that a user can meet."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from cae.cli.errors import INTERRUPTED, USAGE_ERROR
from cae.cli.output import BROKEN_PIPE
from cae.errors import ENVIRONMENT_ERROR
from tests.conftest import ROOT
from tests.error_messages import INSERTED, Message, messages

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
LEAST_LETTERS = 8
"""A message whose fixed part is shorter cannot be searched for: it repeats another error's text."""

PARTS_OF_OTHER_MESSAGES = {
    "the shape …",  # the cause in `…: expected an array that numpy.save wrote, found: …`
    "searched ……",  # the list in `…: the files were not found`
}


def entries() -> list[str]:
    """The messages on the page: the code at the beginning of its entries, with `…`."""
    text = re.sub(r"\n  +", " ", PAGE)
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith("- `"):
            head = line.partition("`: ")[0]
            found += re.findall(r"`([^`]+)", head.replace("`, `", "``"))
    return found


@cache
def as_pattern(entry: str) -> re.Pattern[str]:
    """An expression for messages that begin as an entry does."""
    parts = [re.escape(part) for part in entry.rstrip(INSERTED + " ").split(INSERTED)]
    return re.compile(".*".join(parts), re.DOTALL)


def searchable_messages() -> list[Message]:
    found = []
    for message in messages(ROOT / "cae"):
        is_part = message.template.startswith(";") or message.template in PARTS_OF_OTHER_MESSAGES
        letters = [character for character in message.template if character.isalpha()]
        if len(letters) >= LEAST_LETTERS and not is_part:
            found.append(message)
    return found


def template_of(text: ast.JoinedStr) -> str:
    parts = []
    for value in text.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        else:
            parts.append(INSERTED)
    return "".join(parts)


def texts_in_the_code() -> str:
    """All string literals of the package, with `…` for what is inserted."""
    texts = [message.template for message in messages(ROOT / "cae")]
    for path in sorted((ROOT / "cae").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append(template_of(node))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(" ".join(text.split()) for text in texts)


def test_the_messages_of_the_code_are_found() -> None:
    templates = {message.template for message in messages(ROOT / "cae")}
    assert "--mode …: should be min or max" in templates, "in a call of UserError"
    assert "… does not exist" in templates, "returned by a function"
    assert len(templates) > 350


def test_every_error_has_an_entry() -> None:
    patterns = [as_pattern(entry) for entry in entries()]
    missing = []
    for message in searchable_messages():
        if not any(pattern.match(message.template) for pattern in patterns):
            missing.append(f"{message.path}:{message.line}: {message.template}")
    assert missing == []


def test_every_entry_is_a_message_of_the_code() -> None:
    texts = texts_in_the_code()
    stale = []
    for entry in entries():
        parts = [part.strip() for part in entry.split(INSERTED)]
        longest = max(parts, key=len)
        if longest not in texts:
            stale.append(entry)
    assert stale == []


@pytest.mark.parametrize("entry", ["…", "… = …", "…: …"])
def test_no_entry_matches_every_message(entry: str) -> None:
    assert entry not in entries()


def test_the_table_of_exit_codes_is_that_of_the_code() -> None:
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert codes == [0, 1, USAGE_ERROR, ENVIRONMENT_ERROR, INTERRUPTED, BROKEN_PIPE]
