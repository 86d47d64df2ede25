"""Whether a metric depends on training."""

from __future__ import annotations

from cae.run.metric_direction import SPLITS
from cae.run.sweep_json import SweepDescription
from cae.run.table_cells import SEPARATOR, parse_cell

OLD_UNTRAINED_COLUMNS = ("images", "support")
"""Columns of tables, for runs of versions that did not record which metrics depend on training."""
OLD_UNTRAINED_PREFIXES = ("baseline_", "floor")


def is_untrained(metric: str, sweep: SweepDescription) -> bool:
    """Whether a metric, or a cell of a table, is declared not to depend on training."""
    name = metric.removeprefix("last_")
    for split in SPLITS:
        name = name.removeprefix(split)
    column = ""
    if SEPARATOR in metric:
        try:
            cell = parse_cell(metric)
        except ValueError:  # of a run of somebody else
            return False
        if cell is not None:
            name = cell.column_name
            column = cell.column
    if sweep.untrained_metrics:
        return name in sweep.untrained_metrics
    return column in OLD_UNTRAINED_COLUMNS or name.startswith(OLD_UNTRAINED_PREFIXES)
