"""Which values of a metric are better. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from cae.run.table_cells import SEPARATOR, column_name

Mode = Literal["min", "max"]
"""Whether lower ("min") or higher ("max") values of a metric are better."""

SPLITS = ("train_", "val_", "test_")
"""Prefixes of metrics that name a split."""
OLD_HIGHER_IS_BETTER = frozenset(
    {"psnr", "ssim", "accuracy", "f1", "auc", "elbo", "recall", "precision", "second"}
)
"""`second` is the last word of `images_per_second`."""
OLD_LOWER_IS_BETTER = frozenset(
    {"loss", "error", "mse", "mae", "bce", "rmse", "l1", "l2", "kl", "fid", "seconds"}
)


def metric_direction(metric: str, directions: Mapping[str, str]) -> Mode | None:
    """Return which values of a metric are better; None if it is unknown or if neither are.

    Args:
        metric: A metric as it is reported: `val_psnr`, `last_val_psnr`, `lr`; or a cell of a
            table: `per_class:3:precision`.
        directions: The declared directions by metric, without splits (`SweepDescription`). Empty
            for runs of versions that did not record them.
    """
    if not directions:
        return _direction_in_old_runs(metric)
    name = metric.removeprefix("last_")
    if SEPARATOR in name:  # a cell: its column is declared
        table, _, rest = name.partition(SEPARATOR)
        name = column_name(table, rest.rpartition(SEPARATOR)[2])
    direction = directions.get(name)
    for split in SPLITS:
        if direction is None and name.startswith(split):
            direction = directions.get(name.removeprefix(split))
    match direction:
        case "min" | "max":
            return direction
        case _:
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


def _direction_in_old_runs(metric: str) -> Mode | None:
    """Guess the direction of a metric from its name, for runs that did not record it."""
    words = set(metric.split("_"))
    if words & OLD_HIGHER_IS_BETTER:
        return "max"
    if words & OLD_LOWER_IS_BETTER:
        return "min"
    return None
