"""The direction of a metric: declared, or for old runs by the words of its name."""

from __future__ import annotations

import pytest

from cae.run.metric_direction import common_directions, metric_direction

DECLARED = {"loss": "min", "psnr": "max", "recognised": "max", "gradient_energy": "none"}


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("val_loss", "min"),
        ("test_psnr", "max"),
        ("last_val_psnr", "max"),
        ("test_recognised", "max"),
        ("psnr", "max"),
        ("val_gradient_energy", None),
        ("val_error", None),
        ("val_", None),
    ],
)
def test_the_declaration_decides(metric: str, direction: str | None) -> None:
    assert metric_direction(metric, DECLARED) == direction


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("val_loss", "min"),
        ("test_psnr", "max"),
        ("val_channel_argmax_error", "min"),
        ("images_per_second", "max"),
        ("seconds", "min"),
        ("lr", None),
        ("test_recognised", None),
    ],
)
def test_words_of_the_name_decide_in_runs_without_declarations(
    metric: str, direction: str | None
) -> None:
    assert metric_direction(metric, {}) == direction


def test_declarations_that_differ_are_left_out() -> None:
    directions = common_directions([{"loss": "min", "score": "min"}, {"score": "max", "f1": "max"}])
    assert directions == {"loss": "min", "f1": "max"}
