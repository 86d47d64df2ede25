"""The console of all commands."""

from __future__ import annotations

import rich.console
from typing_extensions import override

PIPE_WIDTH = 160
"""Characters per line of a table that is not printed to a terminal: wide enough to cut nothing."""


class Console(rich.console.Console):
    """A console that reports a closed pipe as BrokenPipeError; rich would end the process."""

    @override
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
