"""Error messages about configurations: `NAME = VALUE: rule; nearest valid choice`."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cae.errors import UserError

MAX_VALUE_LENGTH = 120
"""Characters of a value in a message; a longer value is cut."""


class ConfigError(UserError):
    """Errors of a configuration, one message each: name, value, rule and nearest valid choice."""


class ImpossibleCombination(str):
    """A message about values that are valid one by one, but impossible together."""


def with_prefix(prefix: str, message: str) -> str:
    """Return a message behind the name of the dependency that it is about."""
    text = f"{prefix}: {message}"
    if isinstance(message, ImpossibleCombination):
        return ImpossibleCombination(text)
    return text


def explain(
    error: ValidationError, prefix: str, skip: Collection[str] = (), valid: Collection[str] = ()
) -> list[str]:
    """Return one message per error that pydantic found.

    `prefix` is written before each parameter's name; errors of the parameters in `skip` are left
    out. For an unknown parameter the message names the nearest of the names in `valid`.
    """
    messages = []
    for item in error.errors():
        location = [str(step) for step in item["loc"]]
        if location and location[0] in skip:
            continue
        messages.append(_explain_item(item, prefix, location, valid))
    return list(dict.fromkeys(messages))


def _explain_item(
    item: ErrorDetails, prefix: str, location: list[str], valid: Collection[str]
) -> str:
    rule: str = item["msg"].removeprefix("Value error, ")
    if not location:  # a rule about several parameters, whose message names them
        return ImpossibleCombination(rule)
    name = prefix + location[0]
    if item["type"] == "missing":
        return f"{name} is missing"
    if item["type"] == "extra_forbidden":
        message = f"{name} is not a parameter here"
        if valid:
            message += f"; {nearest(location[0], valid)}"
        return message
    if len(location) > 1 and location[1].isdigit():
        name += f" (element {int(location[1]) + 1})"
    rule = rule.replace("Input should be", "should be")
    return f"{name} = {short_repr(item['input'])}: {rule}{_nearest_literal(item)}"


def short_repr(value: object) -> str:
    """Return a value as text of limited length."""
    text = repr(value)
    if len(text) > MAX_VALUE_LENGTH:
        return f"{text[: MAX_VALUE_LENGTH - 3]}..."
    return text


def _nearest_literal(item: ErrorDetails) -> str:
    """The nearest choice of a Literal, as the end of a message; empty for other errors."""
    if item["type"] != "literal_error":
        return ""
    choices = item["ctx"]["expected"].replace(" or ", ", ").split(",")
    close = difflib.get_close_matches(
        str(item["input"]), [choice.strip("' ") for choice in choices], n=1
    )
    if not close:
        return ""
    return f"; did you mean {close[0]!r}?"


def unknown_component(kind: str, value: object, names: Iterable[str]) -> str:
    """Return the message for a component that is not registered.

    `names`: the registered components of the kind.
    """
    names = sorted(names)
    message = f"{kind} = {value!r} is not known; "
    close = difflib.get_close_matches(str(value), names, n=1)
    if close:
        message += f"did you mean {close[0]!r}? "
    return f"{message}available: {', '.join(names)}"


def nearest(wrong: str, valid: Collection[str]) -> str:
    """Return a question with the most similar name in `valid`, or else the available names."""
    candidates = list(valid)
    if "." in wrong:  # the name of a component, such as arch, is not a choice in place of arch.zzz
        candidates = [name for name in valid if "." in name]
    close = difflib.get_close_matches(wrong, candidates, n=1)
    if not close:  # the same parameter with its component: arch.kernel_size for kernel_size
        parameter = wrong.rpartition(".")[2]
        close = [name for name in valid if name.rpartition(".")[2] == parameter]
    if close:
        return f"did you mean {' or '.join(close)}?"
    same_component = [name for name in valid if name.startswith(f"{wrong.split('.')[0]}.")]
    return f"available: {', '.join(same_component or valid)}"
