"""Values and durations as text."""

from __future__ import annotations

import pytest

from cae.run.formatting import format_axes, format_duration, format_value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (12, "12"), ([16, 32.0], "16-32"), ((), ""), (True, "True"), ("a", "a")],
)
def test_values(value: object, text: str) -> None:
    assert format_value(value) == text


def test_axes_are_shown_without_the_name_of_the_component() -> None:
    axes = {"arch.kernel_size": 3, "arch.padding": "same", "optimizer": "adam"}
    assert format_axes(axes) == "kernel_size=3 padding=same optimizer=adam"
