"""The kinds of claims, one module per family. A new module in this package adds kinds."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from cae.report.statistics.claims.registry import REGISTERED_JUDGES, Judge


def all_judges() -> Mapping[str, Judge]:
    """Import every module of this package and return the judges by kind of claim."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return REGISTERED_JUDGES
