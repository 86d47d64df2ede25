"""The token of a local Ray: private, and that of the user where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cae.sweep.places.auth_token import USER_VARIABLES

PROGRAM = """
import os, stat
from pathlib import Path
from cae.sweep.places.auth_token import use_private_token
use_private_token()
use_private_token()
file = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
print(file)
print(oct(stat.S_IMODE(file.stat().st_mode)), oct(stat.S_IMODE(file.parent.stat().st_mode)))
print(len(file.read_text()), os.environ["RAY_AUTH_MODE"])
"""


def run(program: str, **variables: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name not in USER_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_token_can_be_read_by_its_user_only_and_is_deleted_at_the_end() -> None:
    file, modes, content = run(PROGRAM)
    assert modes == "0o600 0o700"
    assert content == "64 token"
    assert not Path(file).exists()


def test_each_process_has_a_token_of_its_own() -> None:
    program = PROGRAM + "\nprint(file.read_text())"
    assert run(program)[-1] != run(program)[-1]


@pytest.mark.parametrize("name", USER_VARIABLES)
def test_what_the_user_has_chosen_stays(name: str) -> None:
    program = (
        "import os; from cae.sweep.places.auth_token import use_private_token, USER_VARIABLES; "
        "use_private_token(); print([os.environ.get(name) for name in USER_VARIABLES])"
    )
    expected = [None, None, None]
    expected[USER_VARIABLES.index(name)] = "chosen"  # type: ignore[call-overload]
    assert run(program, **{name: "chosen"}) == [str(expected)]
