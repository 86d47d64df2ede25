"""A sweep that is declared in a notebook or a script, and in no file of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from cae.errors import UserError
from cae.sweep.spec.published import read_published
from cae.sweep.spec.sweep import Sweep
from cae.sweep.spec.sweep_file import SweepFile
from cae.trial.config import Trial
from cae.trial.losses import Loss

DECLARED = "declared in Python"
"""The module of such a sweep: no file, so that nothing can be executed in its name."""


def declared_file(sweep: Sweep, name: Path) -> SweepFile:
    """Return a sweep as if a file had declared it.

    `name`: a path that ends in the name of the sweep and .py; relative paths of data sets belong to
    its folder. What is recorded as the source is a description: trials of built-in components do
    not execute any. Raises UserError for components of the user's own.
    """
    check_builtin(sweep)
    return SweepFile(
        path=name,
        source=_description(sweep),
        module=DECLARED,
        description="",
        sweep=sweep,
        published=read_published(sweep.published, name.parent),
    )


def check_builtin(sweep: Sweep) -> None:
    """Raise UserError if a sweep uses components that are defined in a notebook or script.

    Workers are other processes: they need the source code in a file, of which the run keeps a copy.
    """
    own = {component.__name__ for component in sweep.base.own_components()}
    named = _own_components_by_name()
    for value in _values(sweep.space):
        if isinstance(value, str) and value in named:
            own.add(named[value])
    if own:
        raise UserError(
            f"{', '.join(sorted(own))}: components of your own cannot be used in a Sweep object, "
            "because the processes that train need their source code: write them and the sweep to "
            "a file, my_sweep.py, and call cae.run_sweep('my_sweep.py')"
        )


def _own_components_by_name() -> dict[str, str]:
    """The class names of the components and losses of the user's own, by the name in a space."""
    named: dict[str, str] = {}
    registries = [kind.registry for kind in Trial.COMPONENTS.values()]
    registries.append(Loss.registry)
    for registry in registries:
        for name, component in registry.items():
            if not component.is_builtin():
                named[name] = component.__name__
    return named


def _values(value: object) -> Iterable[object]:
    """A value of a search space, and all values inside it."""
    yield value
    inner: Iterable[object] = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    elif hasattr(value, "categories"):  # tune.choice
        inner = value.categories
    for item in inner:
        yield from _values(item)


def _description(sweep: Sweep) -> str:
    """What the run keeps in place of a sweep file: comments in Python."""
    base = json.dumps(sweep.base.flat(), indent=2, default=str)
    lines = ["A sweep that was declared in a notebook or script. Its base:", *base.splitlines()]
    lines += ["Its search space:", *repr(sweep.space).splitlines()]
    return "".join(f"# {line}\n" for line in lines)
