"""The token with which the processes of a local Ray recognize each other."""

from __future__ import annotations

import functools
import os
import secrets
import sys
from pathlib import Path

from cae.sweep.places.private_folder import private_folder

USER_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Environment variables with which a user chooses the authentication."""


def use_private_token() -> None:
    """Make Ray use a token of this process, in a file that only this user can read.

    Ray's own token file, ~/.ray/auth_token, can be read by every user of the machine, who could
    then execute code as this one; and the home folder may be read-only. What the user has chosen in
    the environment stays. Ray reads these variables when it is imported: afterwards this has no
    effect.
    """
    if "ray" in sys.modules or any(os.environ.get(name) for name in USER_VARIABLES):
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(_token_file())


@functools.cache
def _token_file() -> Path:
    """The file of this process, the same for all its sessions: Ray reads the token once."""
    file = private_folder() / "token"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(secrets.token_hex(32))
    return file
