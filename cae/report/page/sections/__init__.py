"""The sections of the page, one module each. A new module in this package is a new section."""

from __future__ import annotations

import importlib
import pkgutil

from cae.report.page.section import REGISTERED_SECTIONS, Section


def all_sections() -> list[Section]:
    """Import every module of this package and return the sections in the order of the page."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return sorted(REGISTERED_SECTIONS.values(), key=lambda section: section.order)
