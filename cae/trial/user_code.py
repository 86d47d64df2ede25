"""The source code of a user's components, with everything of the user's that it uses.

A component of a sweep file behaves as its class, its base classes, and the functions, classes,
constants and imports that they name. All of these identify a trial: after a change of any of them
the same configuration gives other numbers. Modules of the standard library, installed packages and
this package are not part of it.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import importlib.util
import inspect
import linecache
import symtable
import sys
import sysconfig
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SWEEP_FILE_MODULE = "cae_sweep_file_"
"""How the names of the modules begin as which sweep files are executed."""
DIGEST_LENGTH = 12
"""Hexadecimal digits of a digest."""


@dataclass(frozen=True)
class Import:
    """A name that an import statement binds."""

    bound: str
    module: str
    """The imported module."""
    name: str = ""
    """The imported name; "" for the module itself, "*" for all names."""

    @property
    def text(self) -> str:
        """A normalized import statement."""
        if not self.name:
            return f"import {self.module} as {self.bound}\n"
        return f"from {self.module} import {self.name} as {self.bound}\n"


@dataclass(frozen=True)
class Statement:
    """A statement at the top level of a module."""

    first_line: int
    text: str
    names: frozenset[str]
    """Global names that it uses."""
    imports: tuple[Import, ...]
    """Imports inside functions."""


@dataclass
class Source:
    """The source code of a module of the user's."""

    module: str
    text: str
    statements: dict[str, list[Statement]] = field(default_factory=dict)
    """The statements that define or change a global name."""
    imports: dict[str, list[Import]] = field(default_factory=dict)
    """The imports that bind a global name; those of all names as "*"."""

    def defines(self, name: str) -> bool:
        """Whether the module defines or imports a global name."""
        return name in self.statements or name in self.imports


def digest(text: str) -> str:
    """A short hash of source code; empty for an empty text."""
    if not text:
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


@functools.lru_cache(maxsize=1024)
def class_source(component: type) -> str:
    """The source code of a class alone."""
    return inspect.getsource(component)


@functools.lru_cache(maxsize=1024)
def code_of(component: type) -> str:
    """The source code of a class, followed by that of everything of the user's that it uses."""
    own = class_source(component)
    statement = _make_statement(own, 0, component.__module__)
    used = _Closure()
    used.add_statement(component.__module__, statement)
    used.add_bases(component)
    return own + used.text(without=own)


def code_in_text(text: str, component: type) -> str:
    """What `code_of` would return if the module of the class had this text.

    Empty if the text does not define the class.
    """
    source = _parse(component.__module__, text)
    own = class_source(component)
    for statement in source.statements.get(component.__name__, []):
        if statement.text.rstrip() == own.rstrip():
            used = _Closure({source.module: source})
            used.add_statement(source.module, statement)
            used.add_bases(component)
            return own + used.text(without=own)
    return ""


class _Closure:
    """Collects the statements that a statement uses, directly or indirectly."""

    def __init__(self, sources: dict[str, Source] | None = None) -> None:
        self._sources = sources or {}
        self._names: set[tuple[str, str]] = set()
        self._parts: dict[str, None] = {}  # an ordered set
        self._pending: deque[tuple[str, str]] = deque()

    def text(self, without: str) -> str:
        """What is used, in the order in which it is found, except for one statement."""
        while self._pending:
            self._collect(*self._pending.popleft())
        parts = [part for part in self._parts if part.rstrip() != without.rstrip()]
        return "".join(parts)

    def add_statement(self, module: str, statement: Statement) -> None:
        """Add what a statement uses."""
        for imported in statement.imports:
            self._add_import(imported)
        self._pending += [(module, name) for name in sorted(statement.names)]

    def add_bases(self, component: type) -> None:
        """Add the base classes of a class, also those to which another name refers.

        The class itself is the first of them, for the statements that change it afterwards.
        """
        self._pending += [(base.__module__, base.__qualname__) for base in component.__mro__]

    def _collect(self, module: str, name: str) -> None:
        """Collect the statements that define a global name of a module."""
        source = self._source(module)
        if source is None or (module, name) in self._names:
            return
        self._names.add((module, name))
        for statement in source.statements.get(name, []):
            self._parts[statement.text] = None
            self.add_statement(module, statement)
        for imported in source.imports.get(name, []):
            self._parts[imported.text] = None
            self._add_import(imported)
        if not source.defines(name) and not hasattr(builtins, name):
            for imported in source.imports.get("*", []):
                self._parts[imported.text] = None
                self._pending.append((imported.module, name))

    def _add_import(self, imported: Import) -> None:
        """Add what is imported, if it is the user's."""
        source = self._source(imported.module)
        if source is None:
            return
        submodule = f"{imported.module}.{imported.name}"
        if imported.name and source.defines(imported.name):
            self._pending.append((imported.module, imported.name))
        elif imported.name and self._source(submodule) is not None:
            self._add_module(submodule)
        else:
            self._add_module(imported.module)

    def _add_module(self, module: str) -> None:
        """Add everything of a module."""
        source = self._source(module)
        if source is not None:
            self._pending += [(module, name) for name in [*source.statements, *source.imports]]

    def _source(self, module: str) -> Source | None:
        if module not in self._sources:
            found = find_user_module(module)
            if found is None:
                return None
            self._sources[module] = _parse(module, found.text)
        return self._sources[module]


# Modules of the user's


@dataclass(frozen=True)
class UserModule:
    """A module of the user's: imported already, or found where it would be imported from."""

    name: str
    file: str
    is_package: bool

    @property
    def text(self) -> str:
        """The source code, as it was executed if it was."""
        lines = linecache.getlines(self.file)
        if lines == ["\n"]:  # of an empty file, since Python 3.13
            return ""
        return "".join(lines)


def find_user_module(name: str) -> UserModule | None:
    """A module of the user's; None if there is no such module, or it is not the user's."""
    module = sys.modules.get(name)
    if module is not None:
        file = getattr(module, "__file__", None)
        is_package = hasattr(module, "__path__")
    else:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        if spec is None:
            return None
        file = spec.origin
        linecache.checkcache(file)  # it may have been changed since it was read
        is_package = spec.submodule_search_locations is not None
    if file is None or not _is_user_file(name, str(file)):
        return None
    return UserModule(name, str(file), is_package)


def _is_user_file(module: str, file: str) -> bool:
    """Whether a module is neither of this package, nor of an installed one or of Python."""
    if module.startswith(SWEEP_FILE_MODULE):
        return True
    if not file.endswith(".py") or module.partition(".")[0] in ("cae", "__main__"):
        return False
    path = Path(file).resolve()
    if "site-packages" in path.parts or "dist-packages" in path.parts:
        return False
    return not any(path.is_relative_to(folder) for folder in _installation_folders())


@functools.lru_cache(maxsize=1)
def _installation_folders() -> list[Path]:
    paths = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return [Path(paths[name]).resolve() for name in names]


def imported_user_modules(name: str) -> list[UserModule]:
    """The modules of the user's that a module imports, directly or indirectly, by name."""
    found: dict[str, UserModule] = {}
    pending = [name]
    while pending:
        current = pending.pop()
        module = find_user_module(current)
        if module is None:
            continue
        if current != name:
            found[current] = module
        for imported in _imports_of(module):
            for candidate in _module_names(imported):
                if candidate not in found and candidate != name:
                    pending.append(candidate)
    return [found[key] for key in sorted(found)]


def _imports_of(module: UserModule) -> list[Import]:
    try:
        return list(_all_imports(ast.parse(module.text), module.name))
    except SyntaxError:  # it was changed on the disk and was never imported
        return []


def _module_names(imported: Import) -> Iterator[str]:
    """The modules that an import may import: the packages around it, itself, and its name."""
    parts = imported.module.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])
    if imported.name:
        yield f"{imported.module}.{imported.name}"


# Parsing


def _parse(module: str, text: str) -> Source:
    source = Source(module, text)
    lines = text.splitlines(keepends=True)
    try:
        tree = ast.parse(text)
    except SyntaxError:  # it was changed on the disk after it was imported
        return source
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for imported in _imports(node, module):
                key = imported.bound
                if imported.name == "*":
                    key = "*"
                source.imports.setdefault(key, []).append(imported)
            continue
        first_line = _first_line(node)
        segment = "".join(lines[first_line - 1 : node.end_lineno])
        statement = _make_statement(segment, first_line, module)
        for name in _defined_names(node, segment):
            source.statements.setdefault(name, []).append(statement)
    return source


def _first_line(node: ast.stmt) -> int:
    decorators: Iterable[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _make_statement(text: str, first_line: int, module: str) -> Statement:
    dedented = textwrap.dedent(text)
    try:
        table = symtable.symtable(dedented, "<code>", "exec")
        tree = ast.parse(dedented)
    except SyntaxError:
        return Statement(first_line, text, frozenset(), ())
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    for inner in _inner_tables(table):
        names |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_global()}
    return Statement(first_line, text, frozenset(names), tuple(_all_imports(tree, module)))


def _inner_tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inner_tables(child)


def _defined_names(node: ast.stmt, text: str) -> set[str]:
    """The global names that a statement defines or changes.

    `Net.build = build`, `register(Net)` and `setattr(Net, ...)` change `Net`.
    """
    try:
        table = symtable.symtable(text, "<code>", "exec")
    except SyntaxError:
        return set()
    symbols = table.get_symbols()
    if isinstance(node, ast.Expr):
        return {symbol.get_name() for symbol in symbols if symbol.is_referenced()}
    names = {
        symbol.get_name()
        for symbol in symbols
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }
    for part in ast.walk(node):
        targets: list[ast.expr] = []
        if isinstance(part, ast.Assign):
            targets = part.targets
        elif isinstance(part, ast.AugAssign | ast.AnnAssign):
            targets = [part.target]
        for target in targets:
            while isinstance(target, ast.Attribute | ast.Subscript):
                target = target.value
                if isinstance(target, ast.Name):
                    names.add(target.id)
    return names


def _all_imports(tree: ast.AST, module: str) -> Iterator[Import]:
    """All imports below a node, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node, module)


def _imports(node: ast.Import | ast.ImportFrom, module: str) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                yield Import(alias.asname, alias.name)
            else:
                yield Import(alias.name.partition(".")[0], alias.name)
        return
    imported = node.module or ""
    if node.level:
        imported = _resolve(node.level, imported, module)
    for alias in node.names:
        yield Import(alias.asname or alias.name, imported, alias.name)


def _resolve(level: int, name: str, module: str) -> str:
    """The absolute name of a relative import."""
    package = getattr(sys.modules.get(module), "__package__", None) or module.rpartition(".")[0]
    try:
        return importlib.util.resolve_name("." * level + name, package)
    except ImportError:
        return name
