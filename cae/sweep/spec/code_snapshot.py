"""The user's code as it was planned: what workers execute, whatever happens to the files meanwhile.

A snapshot holds the text of a sweep file and of the modules of the user's that it imports. Workers
receive it with the trials; a copy for readers is in `code/` of the run's folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import linecache
import sys
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from typing_extensions import override

from cae.files import write_whole
from cae.sweep.spec.sweep_file import SweepFile, execute_source, forget_modules
from cae.trial.config import Trial, from_flat
from cae.trial.flat_config import named_components
from cae.trial.user_code import DIGEST_LENGTH, imported_user_modules


@dataclass(frozen=True)
class ModuleCode:
    """A module that the sweep file imports."""

    text: str
    file: str
    """Its file when it was planned. On another host it may not exist."""
    is_package: bool


@dataclass(frozen=True)
class CodeSnapshot:
    """The text of a sweep file and of the user's modules that it imports."""

    file_name: str = ""
    """Name of the sweep file, with its suffix."""
    text: str = ""
    modules: dict[str, ModuleCode] = field(default_factory=dict)
    """By name."""

    @property
    def name(self) -> str:
        """A digest of all texts: equal for equal code. Empty if there is no sweep file."""
        if not self.file_name:
            return ""
        content = hashlib.sha256(f"{self.file_name}\0{self.text}".encode())
        for name, module in sorted(self.modules.items()):
            content.update(f"\0{name}\0{module.text}".encode())
        return content.hexdigest()[:DIGEST_LENGTH]

    def write(self, folder: Path) -> list[Path]:
        """Write the files into `folder`, and return them."""
        texts = {self.file_name: self.text}
        for name, module in self.modules.items():
            path = name.replace(".", "/") + ".py"
            if module.is_package:
                path = name.replace(".", "/") + "/__init__.py"
            texts[path] = module.text
        written: list[Path] = []
        for path, text in texts.items():
            write_whole(folder / path, _encoded(text))
            written.append(folder / path)
        return written


def _encoded(text: str) -> bytes:
    """The text of a module in the encoding that it declares."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(text.encode(errors="replace")).readline)
    return text.encode(encoding, errors="backslashreplace")


def take_snapshot(file: SweepFile) -> CodeSnapshot:
    """The code of a sweep file that was executed, and of what it has imported since."""
    modules: dict[str, ModuleCode] = {}
    for module in imported_user_modules(file.module):
        modules[module.name] = ModuleCode(module.text, module.file, module.is_package)
    return CodeSnapshot(file.path.name, file.source, modules)


def build_trial(flat: Mapping[str, object], snapshot: CodeSnapshot, sweep_file: Path) -> Trial:
    """The trial of a flat configuration.

    If the configuration names components of the sweep file, the snapshot is executed first, once
    per process.

    Args:
        flat: The configuration.
        snapshot: The code.
        sweep_file: `__file__` of the executed sweep file, which may read files beside itself.

    Raises ConfigError if a parameter is invalid.
    """
    if _names_own_component(flat) and snapshot.file_name and _executed != [snapshot.name]:
        _execute(snapshot, sweep_file)
    return from_flat(flat)


_executed: list[str] = []
"""Name of the snapshot that this process has executed last."""


def _names_own_component(flat: Mapping[str, object]) -> bool:
    """Whether a component of a configuration, or of its dependencies, is not built in."""
    for _, component in named_components(flat):
        if component is None or not component.is_builtin():
            return True
    return False


def _execute(snapshot: CodeSnapshot, sweep_file: Path) -> None:
    finder = _SnapshotFinder(snapshot.modules)
    forget_modules(set(snapshot.modules))
    sys.meta_path.insert(0, finder)  # it stays, for imports inside functions
    execute_source(snapshot.text, sweep_file)
    _executed[:] = [snapshot.name]


class _SnapshotFinder(MetaPathFinder, Loader):
    """Imports the modules of a snapshot."""

    def __init__(self, modules: Mapping[str, ModuleCode]) -> None:
        self._modules = modules

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        module = self._modules.get(fullname)
        if module is None:
            return None
        folders = None
        if module.is_package:
            folders = [str(Path(module.file).parent)]
        return importlib.util.spec_from_file_location(
            fullname, module.file, loader=self, submodule_search_locations=folders
        )

    @override
    def exec_module(self, module: ModuleType) -> None:
        code = self._modules[module.__name__]
        lines = code.text.splitlines(keepends=True)
        linecache.cache[code.file] = (len(code.text), None, lines, code.file)
        exec(compile(code.text, code.file, "exec", dont_inherit=True), module.__dict__)
