"""Descriptions of parameters: the docstrings below the fields of a class.

They are read from the source when they are needed. pydantic's `use_attribute_docstrings` reads them
when a class is defined, which takes 0.13 seconds in every command and every worker.
"""

from __future__ import annotations

import ast
import functools
import inspect
from pathlib import Path

from pydantic import BaseModel


def parameter_descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return the description of each parameter that has one.

    A parameter that a class defines again without a docstring has that of the base class.
    """
    descriptions: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            classes = _field_docstrings(inspect.getfile(owner))
            descriptions |= classes.get(owner.__name__, {})
    return {name: descriptions[name] for name in model.model_fields if name in descriptions}


@functools.cache
def _field_docstrings(path: str) -> dict[str, dict[str, str]]:
    """Return the docstrings of the fields of all classes in a file, by class."""
    docstrings = {}
    for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            docstrings[node.name] = _docstrings_below(node)
    return docstrings


def _docstrings_below(definition: ast.ClassDef) -> dict[str, str]:
    docstrings = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if not isinstance(following, ast.Expr) or not isinstance(following.value, ast.Constant):
            continue
        if isinstance(following.value.value, str):
            docstrings[statement.target.id] = inspect.cleandoc(following.value.value)
    return docstrings
