"""Reading a sweep file: it is executed, and all of its errors are reported together."""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

from pydantic import BaseModel, ValidationError

from cae.errors import UserError
from cae.sweep.schedulers.asha import ASHA
from cae.sweep.schedulers.screen import Screen
from cae.sweep.search.base import Grid, Random
from cae.sweep.search.model_based import ModelBased
from cae.sweep.spec.claims import KINDS as CLAIM_KINDS
from cae.sweep.spec.packaged_sweeps import locate_sweep
from cae.sweep.spec.published import read_published
from cae.sweep.spec.sweep import Sweep
from cae.sweep.spec.table_cells import check_cells
from cae.trial.component import COLLECTED_ERRORS
from cae.trial.config import Trial, from_flat
from cae.trial.flat_config import named_components
from cae.trial.messages import ConfigError, explain
from cae.trial.user_code import SWEEP_FILE_MODULE, imported_user_modules


@dataclass(frozen=True)
class SweepFile:
    """A sweep and the file that declares it."""

    path: Path
    source: str
    """The text that was executed."""
    module: str
    """Name of the module as which it was executed."""
    description: str
    """The docstring of the file."""
    sweep: Sweep
    published: list[dict[str, str]]
    """Published numbers, one row each."""
    errors: list[str] = field(default_factory=list)
    """Errors of trials and components that the file builds. They are built without their invalid
    parameters, so that the rest of the file can be checked too."""
    is_base_valid: bool = True
    """Whether none of the errors is of a trial or a component."""
    argument: str = ""
    """The sweep as the user named it: a path, or the name of a sweep of the package."""

    @property
    def name(self) -> str:
        """The file name without its suffix."""
        return self.path.stem

    @property
    def title(self) -> str:
        """The declared title, the first line of the docstring without a full stop, or the name."""
        if self.sweep.title:
            return self.sweep.title
        lines = self.description.strip().splitlines()
        if lines:
            return lines[0].removesuffix(".")
        return self.name


def read_sweep_file(argument: Path) -> SweepFile:
    """Execute a sweep file, which is trusted code, and return its sweep.

    `argument`: its path, or the name of a sweep of the package. Raises UserError if there is no
    such file, ConfigError with all errors of the file.
    """
    path = locate_sweep(argument)
    module, errors, is_base_valid = _execute_and_collect(path)
    if module is None:
        raise ConfigError(errors)
    sweep = getattr(module, "sweep", None)
    if not isinstance(sweep, Sweep):
        raise ConfigError(errors or [_missing_sweep(path, sweep)])
    published = read_published(sweep.published, path.parent)
    errors += check_cells(sweep, published)
    return SweepFile(
        path=path,
        source="".join(linecache.getlines(str(module.__file__))),
        module=module.__name__,
        description=module.__doc__ or "",
        sweep=sweep,
        published=published,
        errors=errors,
        is_base_valid=is_base_valid,
        argument=str(argument),
    )


def _execute_and_collect(path: Path) -> tuple[ModuleType | None, list[str], bool]:
    """Return the module of a sweep file, None if it could not be executed, its errors, and whether
    none of them is of a trial or a component."""
    collected: list[tuple[ValidationError, int | None]] = []
    token = COLLECTED_ERRORS.set(collected)  # components add their errors instead of raising them
    module = None
    failures: list[str] = []
    try:
        module = execute_sweep_file(path)
    except ValidationError as error:  # Sweep(...) raises its errors
        collected.append((error, _line_of(error, path)))
    except UserError as error:
        line = _line_of(error, path)
        if line is None:
            failures.append(str(error))
        else:
            failures.append(_at_line(f"{path}: ", line, str(error)))
    except (Exception, SystemExit) as error:  # such as sys.exit, or argparse with our options
        line = _line_of(error, path)
        description = f"{type(error).__name__}: {_text_of(error, path)}"
        failures.append(_at_line(f"{path} cannot be executed: ", line, description))
    finally:
        COLLECTED_ERRORS.reset(token)
    messages = _messages(collected, path)
    claims = {kind.__name__ for kind in CLAIM_KINDS}
    is_base_valid = all(error.title in claims for error, _ in collected)
    if is_base_valid:  # otherwise the file may fail because of the errors before
        messages += failures
    return module, messages, is_base_valid


def _missing_sweep(path: Path, sweep: object) -> str:
    definition = "no `sweep`"
    if sweep is not None:
        definition = f"`sweep` with the type {type(sweep).__name__}"
    example = "`sweep = Sweep(base=Trial(...), space={...})`"
    return f"{path} defines {definition}: a sweep file ends with {example}"


def _messages(collected: list[tuple[ValidationError, int | None]], path: Path) -> list[str]:
    """The messages of the collected errors, each once and with its line."""
    messages: dict[str, None] = {}  # an ordered set
    for error, line in collected:
        for message in _explain(error):
            messages[_at_line(f"{path}: ", line, message)] = None
    return list(messages)


def _at_line(start: str, line: int | None, message: str) -> str:
    """A message with its line, if it has one."""
    if line is None:
        return f"{start}{message}"
    return f"{start}line {line}: {message}"


def _explain(error: ValidationError) -> list[str]:
    """The messages of an error, with the nearest valid parameter of its class."""
    models: list[type[BaseModel]] = [
        Trial,
        Sweep,
        ASHA,
        Screen,
        Grid,
        Random,
        ModelBased,
        *CLAIM_KINDS,
    ]
    for component in Trial.COMPONENTS.values():
        models += component.registry.values()
    parameters = {model.__name__: list(model.model_fields) for model in models}
    return explain(error, f"{error.title}.", valid=parameters.get(error.title, []))


def _line_of(error: BaseException, path: Path) -> int | None:
    """The line of the sweep file at which an error was raised; None if it has none there."""
    if _is_syntax_error_of(error, path):
        return error.lineno or None  # 0 if the encoding is unknown
    line = None
    trace = error.__traceback__
    while trace:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == path.resolve():
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _text_of(error: BaseException, path: Path) -> str:
    """The message of an error. That of a syntax error would repeat the file and the line."""
    if _is_syntax_error_of(error, path):
        return error.msg
    return str(error)


def _is_syntax_error_of(error: BaseException, path: Path) -> TypeGuard[SyntaxError]:
    """Whether the sweep file itself, and not a module that it imports, has invalid syntax."""
    if not isinstance(error, SyntaxError) or error.filename is None:
        return False
    return Path(error.filename).resolve() == path.resolve()


def load_components(path: str | os.PathLike[str]) -> None:
    """Execute a sweep file, which is trusted code, for the components that it defines.

    Models with these components can be loaded afterwards (`load_model`). `path` may be the name of
    a sweep of the package. Raises UserError if there is no such file, ConfigError with all errors
    of the file.
    """
    path = locate_sweep(Path(path))
    _, errors, _ = _execute_and_collect(path)
    if errors:
        raise ConfigError(errors)


def unregistered_components(flat: Mapping[str, object]) -> list[str]:
    """The components of a flat configuration that are not defined: `arch = 'my_network'`."""
    unregistered: dict[str, None] = {}  # an ordered set
    for name, component in named_components(flat):
        if component is None:
            unregistered[f"{name} = {flat[name]!r}"] = None
    return list(unregistered)


def from_config(flat: Mapping[str, object], path: Path) -> Trial:
    """The trial of a flat configuration.

    If the configuration names components that are not registered, the sweep file is executed first.
    Raises ConfigError if a parameter is invalid.
    """
    if unregistered_components(flat) and path.is_file():
        execute_sweep_file(path)
    return from_flat(flat)


def execute_sweep_file(path: Path) -> ModuleType:
    """Execute a sweep file as a module; the components that it defines are registered.

    The folder of the file is appended to sys.path. The file is read once: what is executed is what
    `inspect.getsource` returns, also after the file was changed. Modules beside the file that an
    earlier execution has imported are imported again.
    """
    if path.suffix != ".py":
        raise ConfigError([f"{path} is not a Python file: a sweep file ends in .py"])
    return execute_source(importlib.util.decode_source(path.read_bytes()), path)


def execute_source(text: str, path: Path) -> ModuleType:
    """Execute the text of a sweep file as if it were in the file `path`."""
    folder = path.resolve().parent
    _import_from(str(folder))
    module = ModuleType(f"{SWEEP_FILE_MODULE}{path.stem}")
    module.__file__ = str(path.absolute())
    forget_modules(_IMPORTED_MODULES)
    lines = text.splitlines(keepends=True)
    # An entry without a time is never compared with the file.
    linecache.cache[module.__file__] = (len(text), None, lines, module.__file__)
    sys.modules[module.__name__] = module  # pydantic resolves the annotations of its classes there
    code = compile(text, module.__file__, "exec", dont_inherit=True)
    try:
        exec(code, module.__dict__)
    finally:
        for imported in imported_user_modules(module.__name__):
            is_beside = Path(imported.file).resolve().is_relative_to(folder)
            if imported.name in sys.modules and is_beside:
                _IMPORTED_MODULES.add(imported.name)
    return module


_IMPORTED_MODULES: set[str] = set()
"""Modules beside a sweep file that it has imported."""
_ADDED_FOLDERS: list[str] = []
"""The entry of sys.path that was added for the newest sweep file."""


def _import_from(folder: str) -> None:
    """Append a folder to sys.path, instead of that of the sweep file before: both may contain a
    module of the same name."""
    while _ADDED_FOLDERS:
        added = _ADDED_FOLDERS.pop()
        if added in sys.path:
            sys.path.remove(added)
    if folder not in sys.path:
        sys.path.append(folder)
        _ADDED_FOLDERS.append(folder)


def forget_modules(names: set[str]) -> None:
    """Make Python import modules again, from their files as they are now."""
    for name in names:
        module = sys.modules.pop(name, None)
        if module is not None and module.__file__:
            linecache.cache.pop(module.__file__, None)
    names.clear()
    importlib.invalidate_caches()
