"""Errors of data sets. Their messages name the files, and how to get or fix them."""

from __future__ import annotations

from cae.errors import UserError


class DatasetMissing(UserError):
    """The files of a data set do not exist in any of the searched folders."""


class DatasetDamaged(UserError):
    """A file of a data set exists, but its content is not what its format requires."""


class DatasetInvalid(UserError):
    """What a data set of the user's own returns is not usable; one message per error."""


def describe_error(error: Exception) -> str:
    """Return the message of an error of a decoder, which may be empty, with its class."""
    message = str(error) or "the file ends too early"
    return f"{message} [{type(error).__name__}]"
