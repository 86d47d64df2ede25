"""Components: the exchangeable parts of a trial.

A component is one class whose fields are its validated parameters.

A kind of component (Dataset, Task, Architecture, Optimizer, Schedule) is a direct subclass of
Component; a component is a subclass of a kind. Defining it registers it under its kind by its name
in snake_case (ConvAutoencoder: `conv_autoencoder`), so that a class in a user's sweep file is used
like a built-in one. Not registered are abstract classes and classes whose name begins with an
underscore.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from cae.errors import UserError
from cae.trial.plain_values import to_plain

COLLECTED_ERRORS: ContextVar[list[tuple[ValidationError, int | None]] | None] = ContextVar(
    "COLLECTED_ERRORS", default=None
)
"""The errors of the components of the sweep file that is being read, each with its line (None if
unknown). None if no file is being read.

A component with an invalid parameter is created without that parameter, so that the whole file can
be read and all errors are reported together. Such a component is incomplete and is never trained.
"""
INSTANCE_STATE = (
    "__dict__",
    "__pydantic_fields_set__",
    "__pydantic_extra__",
    "__pydantic_private__",
)
"""Where pydantic keeps the values of a model."""


def collect_error(error: ValidationError, line: int | None) -> int:
    """Collect an error of a sweep file and its line; return the number of collected errors.

    Raises `error` if no sweep file is being read.
    """
    collected = COLLECTED_ERRORS.get()
    if collected is None:
        raise error
    collected.append((error, line))
    return len(collected)


def create_incomplete(
    model: BaseModel, parameters: Mapping[str, object], error: ValidationError
) -> None:
    """Give a model the valid ones of its parameters, unchecked, and the defaults of the others.

    Required parameters without a valid value are None.
    """
    invalid = {item["loc"][0] for item in error.errors() if item["loc"]}
    fields = type(model).model_fields
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in parameters and name not in invalid:
            values[name] = parameters[name]
        elif field.is_required():
            values[name] = None
    blank = type(model).model_construct(**values)
    for name in INSTANCE_STATE:
        object.__setattr__(model, name, getattr(blank, name))


@contextlib.contextmanager
def raising_errors() -> Iterator[None]:
    """Raise the errors of components instead of collecting them."""
    token = COLLECTED_ERRORS.set(None)
    try:
        yield
    finally:
        COLLECTED_ERRORS.reset(token)


def calling_line() -> int:
    """Return the line of the nearest caller outside of this package and pydantic."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in ("cae", "pydantic"):
            break
        frame = frame.f_back
    return frame.f_lineno


class Component(BaseModel):
    """A part of a trial with its parameters. It cannot be changed once it is created.

    Unknown parameters, wrong types and values out of range raise pydantic.ValidationError. The
    docstring below a field is the description of the parameter in the documentation (see
    cae/trial/descriptions.py).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
    )

    if not TYPE_CHECKING:  # type checkers derive a signature with the fields

        def __init__(self, **parameters: object) -> None:
            parameters = {name: to_plain(value) for name, value in parameters.items()}
            try:
                super().__init__(**parameters)
            except ValidationError as error:
                collect_error(error, calling_line())
                create_incomplete(self, parameters, error)

    name: ClassVar[str] = ""
    """The component's name in search spaces, journals and tables."""
    dependency_names: ClassVar[tuple[str, ...]] = ()
    """Parameters that are trials, which have to finish before the trial of this component starts
    (see Dependency)."""
    later_parameters: ClassVar[frozenset[str]] = frozenset()
    """Parameters that were added after the first runs. They are left out of the flat configuration
    while they have their defaults, so that earlier trials keep their hashes."""
    registry: ClassVar[dict[str, type[Any]]]
    """All components of this kind, by name."""
    supports_cuda_graphs: ClassVar[bool] = False
    """Whether a training step with the component can be recorded once and replayed on a GPU.

    True for built-in components; another class has to declare it itself, it is not inherited. All
    that its code computes in Python, outside of tensors, has to be the same in every step: a
    replay repeats the kernels of the recorded step.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Register the component, or give a new kind of component its registry.

        Raises UserError if the name belongs to a built-in component: defining a class again, as in
        a sweep file that is read twice, replaces the earlier class, but built-in components cannot
        be replaced.
        """
        super().__pydantic_init_subclass__(**kwargs)
        if Component in cls.__bases__:
            cls.registry = {}
            return
        if cls.__name__.startswith("_") or inspect.isabstract(cls):
            return
        declared = cls.__dict__.get("supports_cuda_graphs")
        if declared is None:  # not inherited: overridden methods may compute in Python
            cls.supports_cuda_graphs = cls.is_builtin()
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        registered = cls.registry.get(cls.name)
        if (
            registered is not None
            and registered.is_builtin()
            and registered.__module__ != cls.__module__
        ):
            raise UserError(
                f"class {cls.__name__}: {cls.name!r} is the name of a built-in component; "
                "choose another name"
            )
        cls.registry[cls.name] = cls

    @classmethod
    def is_builtin(cls) -> bool:
        """Return whether this component belongs to this package, not to a sweep file."""
        return cls.__module__.startswith("cae.")

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Return the names of the parameters that can be set."""
        return list(cls.model_fields)

    @classmethod
    def parameter_default(
        cls,
        name: str,
        parameters: Mapping[str, object],  # noqa: ARG003
    ) -> object:
        """Return the default of a parameter beside the others that are set."""
        return cls.model_fields[name].default

    def inactive_parameters(self) -> dict[str, str]:
        """Return the parameters without an effect, each with the reason in the other parameters.

        Setting one of them is an error: trials that differ only in an inactive parameter would give
        the same results.
        """
        return {}

    def parameters(self) -> dict[str, Any]:
        """Return the parameters by name, in the order of their declaration.

        Later parameters are left out while they have their defaults (see `later_parameters`).
        """
        parameters: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name not in self.later_parameters or value != field.default:
                parameters[name] = value
        return parameters


def _validate_is_trial(value: object) -> object:
    # This module cannot import Trial, which consists of components; any other model is accepted in
    # its place.
    if isinstance(value, Component) or not isinstance(value, BaseModel):
        raise ValueError("should be a Trial(...)")
    return value


Dependency = Annotated[Any, AfterValidator(_validate_is_trial)]
"""Type of a parameter that is a Trial: that trial is trained first, and its trained network is
passed to the task."""
