"""Types of the networks' parameters, each with its validation and its range."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Lt
from pydantic import PlainValidator


def _integer_or_tuple(rule: str, length: int | None = None) -> PlainValidator:
    """Accept a positive integer, or a tuple of them (of `length`, if any).

    pydantic could validate a union of the two types itself, but would report an error once per
    type.
    """

    def validate(value: object) -> object:
        items = value
        if not isinstance(value, tuple):
            items = (value,)
        elif length is not None and len(value) != length:
            raise ValueError(f"should be {rule}")
        _validate_integers(items, 1, rule)
        return value

    return PlainValidator(validate)


def _keyword_or_tuple(keyword: str, rule: str, minimum: int = 1) -> PlainValidator:
    """Accept `keyword`, or a tuple of integers that are at least `minimum`."""

    def validate(value: object) -> object:
        if value != keyword:
            _validate_integers(value, minimum, rule)
        return value

    return PlainValidator(validate)


def _validate_integers(items: object, minimum: int, rule: str) -> None:
    """Raise ValueError unless `items` is a tuple of integers that are at least `minimum`."""
    if not isinstance(items, tuple) or any(type(item) is not int for item in items):
        raise ValueError(f"should be {rule}")
    if any(item < minimum for item in items):
        raise ValueError(f"should be at least {minimum}")


Kernel = Annotated[
    int | tuple[int, int], _integer_or_tuple("an integer or a pair (height, width)", length=2)
]
PerLayer = Annotated[
    int | tuple[int, ...], _integer_or_tuple("an integer, or a tuple with one per layer")
]
Layers = Annotated[
    tuple[int, ...] | Literal["all"],
    _keyword_or_tuple("all", "'all' or a tuple of layer numbers, counted from 1"),
]
LayersAndInput = Annotated[
    tuple[int, ...] | Literal["all"],
    _keyword_or_tuple(
        "all",
        "'all' or a tuple of layer numbers, counted from 1, with 0 before the first layer",
        minimum=0,
    ),
]
MirroredUnits = Annotated[
    tuple[int, ...] | Literal["mirrored"],
    _keyword_or_tuple("mirrored", "'mirrored' or a tuple with the units of each layer"),
]
DropoutRate = Annotated[float, Ge(0), Lt(1)]
Initialization = Literal["glorot_uniform", "pytorch"]
"""`glorot_uniform`: Glorot & Bengio 2010, with biases of 0. `pytorch`: the default of PyTorch's
layers."""


def validate_layer_numbers(name: str, numbers: tuple[int, ...] | str, layers: int) -> None:
    """Raise ValueError unless layer numbers increase and are at most `layers`.

    `name`: the parameter they belong to.
    """
    if isinstance(numbers, str):
        return
    increase = list(numbers) == sorted(set(numbers))
    if not increase or any(number > layers for number in numbers):
        raise ValueError(
            f"arch.{name} = {list(numbers)}: should be layer numbers in increasing order, "
            f"at most {layers}"
        )


def is_selected(numbers: tuple[int, ...] | str, number: int) -> bool:
    """Return whether a layer is among the layer numbers of a parameter.

    `all` selects every layer from 1; it does not include 0, the input.
    """
    if isinstance(numbers, str):
        return number > 0
    return number in numbers
