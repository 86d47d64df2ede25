"""Values of configurations as cells of a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd


def to_cell(value: Any) -> Any:
    """Convert a value of a configuration to one cell: tuples to "16-32", mappings to JSON."""
    if isinstance(value, list | tuple):
        return "-".join(str(to_cell(item)) for item in value)
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True)
    return value


def is_missing(value: object) -> bool:
    """Whether a cell is None, pandas' missing value, or NaN."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
