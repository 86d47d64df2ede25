"""The reference of the Python API, generated from the names that `import cae` offers."""

from __future__ import annotations

import inspect
import re

import cae
from cae.sweep.spec.catalog import catalog
from cae.sweep.spec.catalog_markdown import HEADINGS

RESULTS = ["SavedRun", "Model"]
"""Classes of which functions return objects."""
DATA_OF_DATASETS = ["Source", "Split"]
"""What `Dataset.read` returns."""
INTERNAL_MEMBERS = "registry, model_config"
"""Members of components that are not for their authors."""


def render() -> str:
    """Return the Markdown of all public names."""
    listed = {entry.class_name for entry in catalog()}
    functions: list[str] = []
    bases: list[str] = []
    for name in sorted(dir(cae)):
        if inspect.isfunction(getattr(cae, name)):
            functions.append(name)
        elif name not in listed and name not in RESULTS and name not in DATA_OF_DATASETS:
            bases.append(name)
    parts = ["\n## Functions\n"]
    parts += [_directive("autofunction", name) for name in functions]
    parts.append("## What they return\n")
    parts += [_directive("autoclass", name, members=True) for name in RESULTS]
    parts.append("## Components and sweeps\n")
    parts.append(_component_tables())
    parts.append("## Base classes of your own components\n")
    parts.append("[Your own components](guide/own_components.md) shows how they are used.\n")
    parts += [_directive("autoclass", f"{name}()", members=True) for name in bases]
    parts += [_directive("autoclass", name, members=True) for name in DATA_OF_DATASETS]
    return "\n".join(parts)


def _directive(kind: str, name: str, *, members: bool = False) -> str:
    """A heading and a directive of autodoc; `NAME()` hides the parameters of a class."""
    lines = [f".. {kind}:: cae.{name}"]
    if members:
        lines += ["   :members:", f"   :exclude-members: {INTERNAL_MEMBERS}"]
    block = "\n".join(lines)
    title = name.removesuffix("()")
    return f"### {title}\n\n```{{eval-rst}}\n{block}\n```\n"


def _component_tables() -> str:
    """A table per kind of component: its classes, which are described in parameters.md."""
    parts = []
    for kind, heading in HEADINGS.items():
        rows = []
        for entry in catalog():
            if entry.kind == kind and entry.class_name in dir(cae):
                anchor = _anchor(entry.class_name, entry.name)
                name = f"[`{entry.class_name}`](parameters.md#{anchor})"
                rows.append(f"| {name} | {entry.meaning} |")
        if rows:
            table = "\n".join(["| name | meaning |", "| --- | --- |", *rows])
            parts.append(f"### {heading}\n\n{table}\n")
    return "\n".join(parts)


def _anchor(class_name: str, name: str) -> str:
    """The anchor of the heading of a component in parameters.md."""
    title = class_name
    if name != class_name:
        title += f" {name}"
    return re.sub(r"\s", "-", title.lower())
