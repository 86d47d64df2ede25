"""Values of numpy and PyTorch, enumerations and paths as plain values of Python."""

from __future__ import annotations

import enum
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any

import numpy as np

_PLAIN_TYPES = frozenset({bool, float, int, str, type(None)})


def to_plain(value: Any) -> Any:
    """Return a value with all scalars and arrays in it as Python numbers and lists.

    Search spaces are often written with numpy (`np.logspace(-4, -2, 3)`); parameters, hashes and
    journals contain Python's own types only. Members of an enumeration become their values, paths
    become text.
    """
    kind = type(value)
    if kind in _PLAIN_TYPES:  # nearly all values, of thousands of trials
        return value
    if kind is list or kind is tuple:
        return kind([to_plain(item) for item in value])
    if isinstance(value, np.generic | np.ndarray) or _is_tensor(value):
        return value.tolist()
    if isinstance(value, Decimal | Fraction):
        return float(value)
    if isinstance(value, enum.Enum):
        return to_plain(value.value)
    if isinstance(value, PurePath):
        return str(value)
    return value


def _is_tensor(value: Any) -> bool:
    """Whether a value is a tensor, without importing torch, which takes a second."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
