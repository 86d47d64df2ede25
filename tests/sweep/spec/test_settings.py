"""Values of --set in all forms that the product prints."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cae.run.formatting import format_value
from cae.sweep.spec.settings import adapt_settings, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 0.001),
        (".001", 0.001),
        ("1.e-3", 0.001),
        ("true", True),
        ("True", True),
        ("None", None),
        ("null", None),
        ("[3, 5]", [3, 5]),
        ("(3, 5)", (3, 5)),
        ("(32,)", (32,)),
        ("relu", "relu"),
        ("8-8-8", "8-8-8"),
        ("__import__('os')", "__import__('os')"),
        ("b'x'", "b'x'"),
        ("{1: 2}", "{1: 2}"),
        ("", ""),
    ],
)
def test_json_and_python_literals_are_parsed(text: str, value: Any) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("key", "value", "adapted"),
    [
        ("arch.hidden_units", 32, [32]),
        ("arch.hidden_units", "8-8-8", [8, 8, 8]),
        ("arch.hidden_units", [4], [4]),
        ("arch.hidden_units", True, True),
        ("arch.kernel_size", 5, 5),
        ("arch.kernel_size", "8-8", "8-8"),
        ("dataset.train_images", "all", None),
        ("arch.activation", "all", "all"),
    ],
)
def test_printed_forms_become_values_of_the_parameter(key: str, value: Any, adapted: Any) -> None:
    base = {"arch.hidden_units": [], "arch.kernel_size": 3, "dataset.train_images": 100}
    assert adapt_settings({key: value}, base) == {key: adapted}


@given(st.lists(st.integers(1, 512), min_size=2, max_size=5))
def test_lists_are_read_back_as_they_are_printed(values: list[int]) -> None:
    settings = {"arch.filters": parse_value(format_value(values))}
    assert adapt_settings(settings, {"arch.filters": [1]}) == {"arch.filters": values}
