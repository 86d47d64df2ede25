"""What all parts of a trial share: a part is its parameters, validated when it is built, and the work they do.

A kind of part (Dataset, Task, Architecture, Optimizer, Schedule) is a direct subclass of Part. A part is a subclass of
a kind; defining it registers it under its kind by its snake_case name (ConvAutoencoder: `conv_autoencoder`), so a class
in a user's sweep file is as good as one of ours.
"""

from __future__ import annotations

import re
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from cae.errors import UserError

COLLECTED_ERRORS: ContextVar[list[tuple[ValidationError, int]] | None] = ContextVar(
    "COLLECTED_ERRORS", default=None
)
"""While a sweep file is read: its parts' mistakes and their lines. A part that has some stands in without what is wrong, so that
the file can be read to its end and all its mistakes told at once."""


def collect_error(error: ValidationError, line: int) -> int:
    """While a sweep file is read, keeps a mistake and its line for later, and returns how many there are; else raises it."""
    noted = COLLECTED_ERRORS.get()
    if noted is None:
        raise error
    noted.append((error, line))
    return len(noted)


class Component(BaseModel):
    """A frozen part of a trial. Unknown parameters, wrong types and values out of range raise pydantic.ValidationError."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers are to see the fields

        def __init__(self, **given: Any) -> None:
            try:
                super().__init__(**given)
            except ValidationError as error:
                collect_error(
                    error, sys._getframe(1).f_lineno
                )  # of the sweep file that is being read
                wrong = {item["loc"][0] for item in error.errors() if item["loc"]}
                super().__init__(
                    **{name: value for name, value in given.items() if name not in wrong}
                )

    name: ClassVar[str] = ""
    """How a sweep's `space`, the journal and the tables call this part."""
    dependency_names: ClassVar[tuple[str, ...]] = ()
    """Parameters that are trials of their own, which have to be finished before the trial of this part begins (see Need)."""
    registry: ClassVar[dict[str, type[Any]]]
    """The parts of this kind, by name."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if Component in cls.__bases__:
            cls.registry = {}
        elif not cls.__name__.startswith("_"):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
            known = cls.registry.get(
                cls.name, cls
            )  # a sweep file may be run again; one of ours may not be replaced
            if known.__module__.startswith("cae.") and known.__module__ != cls.__module__:
                raise UserError(
                    f"class {cls.__name__}: cae has a part of this name already; choose another name"
                )
            cls.registry[cls.name] = cls

    @classmethod
    def is_builtin(cls) -> bool:
        """Whether this part comes with cae, rather than with a sweep file."""
        return cls.__module__.startswith("cae.")

    def inactive_parameters(self) -> dict[str, str]:
        """Parameters that the other parameters of this part make idle, each with the reason. Setting one is an error:
        trials that differ only in an idle parameter would train alike."""
        return {}

    def parameters(self) -> dict[str, Any]:
        """The parameters by name, in the order of their declaration."""
        return {name: getattr(self, name) for name in type(self).model_fields}


def _whole_trial(value: Any) -> Any:
    if isinstance(value, Component) or not isinstance(
        value, BaseModel
    ):  # a trial is made of parts: its class is not known here
        raise ValueError("should be a Trial(...)")
    return value


Dependency = Annotated[Any, AfterValidator(_whole_trial)]
"""The type of a parameter that is a Trial: that trial runs first, and its network is at hand to the one that needs it."""
