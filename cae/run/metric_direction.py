"""Which values of a metric are better. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping

SPLITS = ("train_", "val_", "test_")
"""Prefixes of metrics that name a split."""
OLD_HIGHER_IS_BETTER = frozenset(
    {"psnr", "ssim", "accuracy", "f1", "auc", "elbo", "recall", "precision", "second"}
)
"""`second` is the last word of `images_per_second`."""
OLD_LOWER_IS_BETTER = frozenset(
    {"loss", "error", "mse", "mae", "bce", "rmse", "l1", "l2", "kl", "fid", "seconds"}
)


def metric_direction(metric: str, directions: Mapping[str, str]) -> str | None:
    """Return "min" or "max", whichever is better; None if it is unknown or if neither is.

    Args:
        metric: A metric as it is reported: `val_psnr`, `last_val_psnr`, `lr`.
        directions: The declared directions by metric, without splits (`SweepDescription`). Empty
            for runs of versions that did not record them.
    """
    if not directions:
        return _direction_in_old_runs(metric)
    name = metric.removeprefix("last_")
    direction = directions.get(name)
    for split in SPLITS:
        if direction is None and name.startswith(split):
            direction = directions.get(name.removeprefix(split))
    if direction in ("min", "max"):
        return direction
    return None


def common_directions(declarations: list[dict[str, str]]) -> dict[str, str]:
    """Return the directions of all metrics on which the declarations agree."""
    directions: dict[str, str] = {}
    conflicts: set[str] = set()
    for declared in declarations:
        for name, direction in declared.items():
            if directions.setdefault(name, direction) != direction:
                conflicts.add(name)
    return {name: value for name, value in directions.items() if name not in conflicts}


def _direction_in_old_runs(metric: str) -> str | None:
    """The direction of the metrics of versions that did not record it, by words of the name."""
    words = set(metric.split("_"))
    if words & OLD_HIGHER_IS_BETTER:
        return "max"
    if words & OLD_LOWER_IS_BETTER:
        return "min"
    return None
