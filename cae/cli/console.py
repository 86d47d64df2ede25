"""The console of all commands."""

from __future__ import annotations

from typing import Any

import rich.console
from rich.text import Text
from typing_extensions import override

from cae.run.formatting import visible

PIPE_WIDTH = 10_000
"""Characters per line of what is not printed to a terminal: a row of a table is one line."""


class Console(rich.console.Console):
    """A console that wraps lines in terminals only, and reports a closed pipe as BrokenPipeError,
    for which rich would end the process."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if "width" not in options and not self.is_terminal:
            self.width = PIPE_WIDTH

    @override
    def render_str(self, text: str, **options: Any) -> Text:
        """Markup of ours is obeyed; control characters in the text are shown."""
        return super().render_str(visible(text), **options)

    @override
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
