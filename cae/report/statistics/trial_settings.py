"""In which settings a trial differs from the sweep file, beyond the search space.

`overrides` of a sweep describe its newest command. A run also holds trials of earlier commands with
other settings (`--set epochs=2`), and trials with more epochs, which answer for those with fewer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cae.run.groups import parameter_text
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription


def own_overrides(record: Record, sweep: SweepDescription) -> dict[str, dict[str, Any]]:
    """Return settings of a trial that neither the sweep's base, its search space nor its overrides
    explain, as {name: {"full": value of the base, "here": value of the trial}}."""
    changed: dict[str, dict[str, Any]] = {}
    for name, value in record.config.items():
        if name == "seed" or name not in sweep.base or value == sweep.base[name]:
            continue
        if _is_part_of(name, sweep.axes) or _is_part_of(name, record.axes):
            continue
        full = parameter_text(name, sweep.base[name])
        here = parameter_text(name, value)
        override = sweep.overrides.get(name)
        is_override = override is not None and _is_equal(name, override.get("here"), here)
        if here != full and not is_override:
            changed[name] = {"full": full, "here": here}
    return changed


def _is_equal(name: str, override: Any, here: str) -> bool:
    return str(override) == here or parameter_text(name, override) == here


def _is_part_of(name: str, axes: Iterable[str]) -> bool:
    """Whether an axis is the parameter, an element of it, or a component that it belongs to."""
    return any(
        name == axis or name.startswith(f"{axis}.") or axis.startswith(f"{name}.") for axis in axes
    )
