"""Reading a sweep file: it is executed, and every error is reported with its line."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, ValidationError

from cae.errors import UserError
from cae.sweep.schedulers.asha import ASHA
from cae.sweep.spec.claims import KINDS
from cae.sweep.spec.published import read_published
from cae.sweep.spec.sweep import Sweep
from cae.trial.component import COLLECTED_ERRORS
from cae.trial.config import ConfigError, Trial, from_flat
from cae.trial.messages import explain


@dataclass(frozen=True)
class SweepFile:
    """A sweep and the file that declares it."""

    path: Path
    source: str
    description: str
    """The docstring of the file."""
    sweep: Sweep
    published: list[dict[str, str]]
    """Published numbers, one row each."""
    errors: list[str] = field(default_factory=list)
    """Errors of components that the file builds. They are built without the invalid parameters, so
    that the rest of the sweep can be checked too."""

    @property
    def name(self) -> str:
        """The file name without its suffix."""
        return self.path.stem

    @property
    def title(self) -> str:
        """The declared title, the first line of the docstring, or the name."""
        if self.sweep.title:
            return self.sweep.title
        lines = self.description.strip().splitlines()
        if lines:
            return lines[0]
        return self.name


def read_sweep_file(path: Path) -> SweepFile:
    """Execute a sweep file (it is trusted code) and take its `sweep`.

    Raises ConfigError with all errors of the file.
    """
    if not path.is_file():
        raise ConfigError([_missing_file(path)])
    collected: list[tuple[ValidationError, int]] = []
    token = COLLECTED_ERRORS.set(collected)
    failure = ""
    module = None
    try:
        module = execute_sweep_file(path)
    except ValidationError as error:  # of the trial or the sweep
        collected.append((error, _line_of(error, path)))
    except UserError as error:
        failure = str(error)
        line = _line_of(error, path)
        if line:
            failure = f"{path}: line {line}: {error}"
    except Exception as error:
        line = _line_of(error, path)
        failure = f"{path} cannot be executed: line {line}: {type(error).__name__}: {error}"
    finally:
        COLLECTED_ERRORS.reset(token)
    errors = _messages(collected, path)
    sweep = getattr(module, "sweep", None)
    if failure:
        errors.append(failure)
    if failure or module is None or (errors and not isinstance(sweep, Sweep)):
        raise ConfigError(errors)
    if not isinstance(sweep, Sweep):
        raise ConfigError([_missing_sweep(path, sweep)])
    return SweepFile(
        path=path,
        source=path.read_text(),
        description=module.__doc__ or "",
        sweep=sweep,
        published=read_published(sweep.published, path.parent),
        errors=errors,
    )


def _missing_file(path: Path) -> str:
    message = f"{path} does not exist"
    if path.parent.is_dir():
        files = sorted(str(other) for other in path.parent.glob("*.py"))
        if files:
            message += f"; {path.parent} contains {', '.join(files)}"
    return message


def _missing_sweep(path: Path, sweep: object) -> str:
    found = "no `sweep`"
    if sweep is not None:
        found = f"a `sweep` that is a {type(sweep).__name__}"
    example = "`sweep = Sweep(base=Trial(...), space={...})`"
    return f"{path} defines {found}: a sweep file ends with {example}"


def _messages(collected: list[tuple[ValidationError, int]], path: Path) -> list[str]:
    """Each error of components, trial and sweep once, with its line."""
    messages: dict[str, None] = {}  # an ordered set
    for error, line in collected:
        for message in _explain(error):
            messages[f"{path}: line {line}: {message}"] = None
    return list(messages)


def _explain(error: ValidationError) -> list[str]:
    models: list[type[BaseModel]] = [Trial, Sweep, ASHA, *KINDS]
    for kind in Trial.COMPONENTS.values():
        models += kind.registry.values()
    names = {model.__name__: list(model.model_fields) for model in models}
    return explain(error, f"{error.title}.", valid=names.get(error.title, []))


def _line_of(error: Exception, path: Path) -> int:
    """The line of the sweep file at which an error was raised; 0 if it was elsewhere."""
    line = 0
    trace = error.__traceback__
    while trace:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == path.resolve():
            line = trace.tb_lineno
        trace = trace.tb_next
    if not line and isinstance(error, SyntaxError):
        line = error.lineno or 0
    return line


def from_config(flat: Mapping[str, object], path: Path) -> Trial:
    """The trial of a flat configuration. The sweep file is executed if it uses components of its
    own.

    Raises ConfigError.
    """
    kinds = Trial.COMPONENTS.items()
    has_own_components = any(flat.get(name) not in kind.registry for name, kind in kinds)
    if has_own_components and path.is_file():
        execute_sweep_file(path)
    return from_flat(flat)


def execute_sweep_file(path: Path) -> ModuleType:
    """Execute a sweep file as a module; the components that it defines are registered.

    Its folder is importable from then on.
    """
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    name = f"cae_sweep_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError([f"{path} is not a Python file: a sweep file ends in .py"])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic resolves the annotations of its classes there
    spec.loader.exec_module(module)
    return module
