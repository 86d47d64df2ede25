"""Types of parameters of data sets, each with one rule in words."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, PositiveInt

from cae.trial.datasets.pixel_values import ValueRange, check_value_range


def _are_sizes(values: object, count: int) -> bool:
    """Whether a value is a sequence of so many whole numbers above 0."""
    if not isinstance(values, tuple | list) or len(values) != count:
        return False
    return all(type(value) is int and value > 0 for value in values)


def _check_shape(value: object) -> object:
    if not _are_sizes(value, 3):
        raise ValueError(
            "should be three whole numbers above 0, channels, height and width, such as "
            "(12, 96, 128); `cae-sweep data show FILE` prints them"
        )
    return value


def _check_size(value: object) -> object:
    if not _are_sizes([value], 1) and not _are_sizes(value, 2):
        raise ValueError("should be a whole number above 0, or height and width, such as (96, 160)")
    return value


def _check_range(value: object) -> ValueRange | None:
    if value is None:
        return None
    try:
        return check_value_range(value)
    except ValueError:
        raise ValueError(
            "should be two numbers, the values of black and white, such as (0, 4095)"
        ) from None


ImageShape = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], BeforeValidator(_check_shape)]
"""Channels, height and width."""
ImageSize = Annotated[PositiveInt | tuple[PositiveInt, PositiveInt], BeforeValidator(_check_size)]
"""Height and width; one number is both."""
StatedRange = Annotated[tuple[float, float] | None, BeforeValidator(_check_range)]
"""The values of black and white, or None."""
