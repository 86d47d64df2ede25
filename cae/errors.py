"""What a user can mend. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class UserError(Exception):
    """Something that the user did or has, told so that it can be mended: one message per mistake."""

    def __init__(self, messages: str | list[str]) -> None:
        self.messages = [messages] if isinstance(messages, str) else messages
        super().__init__("\n".join(self.messages))


def gather(*steps: Callable[[], Any]) -> list[Any]:
    """What each step returns. Raises UserError with the messages of all that fail, so that one mistake does not hide another."""
    results, messages = [], []
    for step in steps:
        try:
            results.append(step())
        except UserError as error:
            messages += error.messages
    if messages:
        raise UserError(messages)
    return results


RESUME_HINT = (
    "what is finished is in the checkpoints; fix the problem and run the same command to resume"
)


class RunError(UserError):
    """Something is wrong with a run's folder."""
