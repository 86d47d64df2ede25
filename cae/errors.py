"""Errors that a user can fix. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ENVIRONMENT_ERROR = 3
"""Exit code: the disk, the storage or Ray failed while a sweep ran. Everything is saved."""
RESUME_HINT = (
    "what is finished is in the checkpoints; fix the problem and run the same command to resume"
)
"""What a user can do after a sweep ended because of an error."""


class UserError(Exception):
    """One or several errors that the user can fix, with one message each.

    A message has the form `NAME = VALUE: what is wrong; what is allowed; nearest valid choice`.
    """

    def __init__(self, messages: str | list[str]) -> None:
        if isinstance(messages, str):
            self.messages = [messages]
        else:
            self.messages = messages
        super().__init__("\n".join(self.messages))


class RunError(UserError):
    """The files of a run are missing, damaged, in use or cannot be written."""


class SweepAborted(RunError):
    """The disk, the storage or Ray failed while a sweep ran. What had finished is saved."""


def gather(*steps: Callable[[], Any]) -> list[Any]:
    """Call each step and return the results.

    Raises UserError with the messages of all steps that fail, so that users see all errors at once.
    """
    results: list[Any] = []
    messages: list[str] = []
    for step in steps:
        try:
            results.append(step())
        except UserError as error:
            messages += error.messages
    if messages:
        raise UserError(messages)
    return results
