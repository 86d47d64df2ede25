"""Errors that users can fix are collected, so that they see all of them at once."""

from __future__ import annotations

import pytest

from cae.errors import RunError, UserError, gather


def fail(*messages: str) -> None:
    raise UserError(list(messages))


def test_gather_returns_the_results_in_order() -> None:
    assert gather(lambda: 1, lambda: "two") == [1, "two"]


def test_gather_collects_the_messages_of_all_steps() -> None:
    with pytest.raises(UserError) as caught:
        gather(lambda: fail("a", "b"), lambda: 2, lambda: fail("c"))
    assert caught.value.messages == ["a", "b", "c"]
    assert str(caught.value) == "a\nb\nc"


def test_gather_does_not_hide_other_errors() -> None:
    with pytest.raises(ZeroDivisionError):
        gather(lambda: fail("a"), lambda: 1 / 0)


def test_an_error_with_one_message() -> None:
    assert RunError("the run is damaged").messages == ["the run is damaged"]
