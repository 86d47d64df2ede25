"""The direction of a metric, guessed from the words in its name. Standard library only."""

from __future__ import annotations

HIGHER_IS_BETTER = frozenset(
    {"psnr", "ssim", "accuracy", "f1", "auc", "elbo", "recall", "precision", "second"}
)
"""`second` is the last word of `images_per_second`."""
LOWER_IS_BETTER = frozenset(
    {"loss", "error", "mse", "mae", "bce", "rmse", "l1", "l2", "kl", "fid", "seconds"}
)


def guess_direction(metric: str) -> str | None:
    """ "max" or "min", whichever is better, by the words in the metric's name; None if unknown."""
    words = set(metric.split("_"))
    if words & HIGHER_IS_BETTER:
        return "max"
    if words & LOWER_IS_BETTER:
        return "min"
    return None
