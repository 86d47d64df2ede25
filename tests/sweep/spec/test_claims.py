"""Claims of sweep files: invalid ones are errors that name what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from cae import BetterThan, Compares, SmallestAt, Threshold
from cae.sweep.spec.claims import Claim, check_claims

KERNEL = "arch.kernel_size"
KERNEL_3: dict[str, Any] = {KERNEL: 3}
INVALID_OPERATOR: Any = "="


def equal_groups() -> Claim:
    return BetterThan(id="C", text="x", metric="val_loss", this=KERNEL_3, that=KERNEL_3)


def equal_metrics() -> Claim:
    return Compares(id="C", text="x", left="a", op="<", right="a")


def empty_id() -> Claim:
    return SmallestAt(id="", text="x", metric="val_loss", axis=KERNEL, value=3)


def unknown_operator() -> Claim:
    return Threshold(id="C", text="x", metric="val_loss", op=INVALID_OPERATOR, bound=1.0)


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (equal_groups, "this and that should differ"),
        (equal_metrics, "left and right are both a"),
        (empty_id, "id"),
        (unknown_operator, "op"),
    ],
)
def test_an_invalid_claim_is_an_error(create: Callable[[], Claim], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create()


def test_duplicate_ids_and_unknown_names_are_errors() -> None:
    claim = SmallestAt(id="C1", text="x", metric="val_loss", axis="arch.kernel_sise", value=3)
    errors = check_claims([claim, claim], [KERNEL])
    assert "claims: 2 of them have the id 'C1'" in errors
    assert any("did you mean arch.kernel_size?" in message for message in errors)
