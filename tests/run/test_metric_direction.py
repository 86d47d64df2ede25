"""The direction of a metric, by the words in its name."""

from __future__ import annotations

import pytest

from cae.run.metric_direction import guess_direction


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("val_loss", "min"),
        ("test_psnr", "max"),
        ("val_channel_argmax_error", "min"),
        ("images_per_second", "max"),
        ("seconds", "min"),
        ("lr", None),
    ],
)
def test_the_direction_follows_from_the_words_of_the_name(
    metric: str, direction: str | None
) -> None:
    assert guess_direction(metric) == direction
