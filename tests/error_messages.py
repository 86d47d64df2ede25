"""The messages of all errors that a user can fix, found by parsing the sources.

A message is a template: `…` stands for every part that is inserted at run time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

INSERTED = "…"
ROOT_ERROR = "UserError"
CONFIGURATION_ERROR = "ValueError"
"""In cae/trial, components raise it for values that do not fit; it is reported as a UserError."""
Function = ast.FunctionDef | ast.AsyncFunctionDef
MAX_DEPTH = 6


@dataclass(frozen=True)
class Message:
    """A template, and where it is written."""

    template: str
    path: str
    line: int


@dataclass
class Module:
    """A parsed source file."""

    path: Path
    tree: ast.Module
    functions: dict[str, Function] = field(default_factory=dict)
    constants: dict[str, ast.expr] = field(default_factory=dict)


@cache
def messages(package: Path) -> list[Message]:
    """Return the messages of all errors that are raised in a package."""
    modules = [_parse(path) for path in sorted(package.rglob("*.py"))]
    errors = _error_classes(modules)
    found: dict[tuple[str, str], Message] = {}
    for module in modules:
        names = set(errors)
        if "trial" in module.path.relative_to(package).parts:
            names.add(CONFIGURATION_ERROR)
        for template, line in _messages_of(module, names):
            path = str(module.path.relative_to(package.parent))
            found.setdefault((template, path), Message(template, path, line))
    return list(found.values())


def _parse(path: Path) -> Module:
    module = Module(path, ast.parse(path.read_text()))
    for node in ast.walk(module.tree):
        if isinstance(node, Function):
            module.functions[node.name] = node
    for statement in module.tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            module.constants[statement.targets[0].id] = statement.value
    return module


def _error_classes(modules: list[Module]) -> set[str]:
    """The names of UserError and of all classes derived from it."""
    names = {ROOT_ERROR}
    count = 0
    while count < len(names):
        count = len(names)
        for module in modules:
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ClassDef):
                    bases = {_name(base) for base in node.bases}
                    if bases & names:
                        names.add(node.name)
    return names


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    return ""


def _messages_of(module: Module, errors: set[str]) -> Iterator[tuple[str, int]]:
    for owner in [module.tree, *module.functions.values()]:
        for node in _own_nodes(owner):
            if isinstance(node, ast.Call) and _name(node.func) in errors and node.args:
                for template in _templates(node.args[0], owner, module, MAX_DEPTH):
                    if any(character.isalpha() for character in template):
                        yield " ".join(template.split()), node.lineno


def _own_nodes(owner: ast.AST) -> Iterator[ast.AST]:
    """The nodes below a function or module that are not in a function inside of it."""
    for child in ast.iter_child_nodes(owner):
        if not isinstance(child, Function):
            yield child
            yield from _own_nodes(child)


def _templates(node: ast.expr, owner: ast.AST, module: Module, depth: int) -> list[str]:
    """The templates that an expression may be; empty if it is another error's message."""
    if depth == 0:
        return []
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return [node.value]
        return []
    if isinstance(node, ast.JoinedStr):
        return _formatted(node, module)
    if isinstance(node, ast.List | ast.Tuple):
        return _of_all(node.elts, owner, module, depth)
    if isinstance(node, ast.BinOp):
        left = _templates(node.left, owner, module, depth - 1)
        right = _templates(node.right, owner, module, depth - 1)
        joined: list[str] = []
        for start in left or [INSERTED]:
            joined += [start + end for end in right or [INSERTED]]
        return joined
    if isinstance(node, ast.IfExp):
        return _of_all([node.body, node.orelse], owner, module, depth)
    if isinstance(node, ast.BoolOp):
        return _of_all(node.values, owner, module, depth)
    if isinstance(node, ast.Name):
        return _of_variable(node.id, owner, module, depth - 1)
    if isinstance(node, ast.Call):
        function = module.functions.get(_name(node.func))
        if function is not None:
            return _of_function(function, module, depth - 1)
        return _of_all(node.args, owner, module, depth - 1)
    return []


def _of_all(nodes: list[ast.expr], owner: ast.AST, module: Module, depth: int) -> list[str]:
    found: list[str] = []
    for node in nodes:
        found += _templates(node, owner, module, depth)
    return found


def _formatted(node: ast.JoinedStr, module: Module) -> list[str]:
    parts = []
    for value in node.values:
        text = INSERTED
        if isinstance(value, ast.Constant):
            text = str(value.value)
        elif isinstance(value, ast.FormattedValue):
            constant = module.constants.get(_name(value.value))
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                text = constant.value
        parts.append(text)
    return ["".join(parts)]


def _of_variable(name: str, owner: ast.AST, module: Module, depth: int) -> list[str]:
    """The templates that are assigned to a variable of a function or appended to it."""
    found: list[str] = []
    for node in _own_nodes(owner):
        if isinstance(node, ast.Assign) and _name(node.targets[0]) == name:
            found += _templates(node.value, owner, module, depth)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and _name(node.target) == name:
            if node.value is not None:
                found += _templates(node.value, owner, module, depth)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("append", "extend")
            and _name(node.func.value) == name
        ):
            found += _of_all(node.args, owner, module, depth)
    if not found and name in module.constants:
        found += _templates(module.constants[name], module.tree, module, depth)
    return found


def _of_function(function: Function, module: Module, depth: int) -> list[str]:
    """The templates that a function of the module returns or yields."""
    found: list[str] = []
    for node in _own_nodes(function):
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
            found += _templates(node.value, function, module, depth)
    return found
