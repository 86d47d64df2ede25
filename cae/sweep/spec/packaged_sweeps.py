"""The sweeps of this package, which `cae-sweep run` and `cae.run_sweep` find by name.

Their files, with the published numbers, have one copy in the repository, `sweeps/`. A wheel has
them in `cae/sweeps/` (setup.py).
"""

from __future__ import annotations

import difflib
from pathlib import Path

from cae.errors import UserError

PACKAGE = Path(__file__).parents[2]
"""Folder of the package `cae`."""


def packaged_folder(package: Path = PACKAGE) -> Path:
    """The folder of the package's sweeps: in an installed package, or else in its checkout."""
    installed = package / "sweeps"
    if not installed.is_dir() and (package.parent / "pyproject.toml").is_file():
        return package.parent / "sweeps"
    return installed


def packaged_sweeps() -> dict[str, Path]:
    """The files of the package's sweeps by name, sorted.

    Empty where only the folder `cae` was copied: a Ray job gets the sweep file itself.
    """
    return {path.stem: path for path in sorted(packaged_folder().glob("*.py"))}


def is_installed(file: Path) -> bool:
    """Whether a file belongs to an installed package: a repository around it is not its own."""
    return "site-packages" in file.parts or "dist-packages" in file.parts


def locate_sweep(argument: Path) -> Path:
    """The sweep file that a user names: its path, or the name of a sweep of the package.

    A file that exists wins. Raises UserError, with the nearest name, if there is no such sweep,
    and if a name fits the package's sweep and another file in the current folder.
    """
    if argument.is_file():
        return argument
    packaged = packaged_sweeps().get(str(argument))
    if packaged is None:
        raise UserError(_not_found(argument))
    own = Path(f"{argument}.py")
    if own.is_file() and own.read_bytes() != packaged.read_bytes():
        raise UserError(
            f"{argument}: is a sweep of the package, and {own} in this folder is another file: "
            f"write {own} for yours, or {packaged} for that of the package"
        )
    return packaged


def _not_found(argument: Path) -> str:
    names = packaged_sweeps()
    if len(argument.parts) == 1 and not argument.suffix:
        return _unknown_name(argument, names)
    message = f"{argument} does not exist"
    if argument.is_dir():
        message = f"{argument} is a folder, not a sweep file"
    if argument.stem in names:
        message += f"; the package has a sweep of this name: write {argument.stem}"
    folder = argument.parent
    if argument.is_dir():
        folder = argument
    files = [str(other) for other in sorted(folder.glob("*.py"))]
    if files:
        message += f"; {folder} contains {', '.join(files)}"
    return message


def _unknown_name(argument: Path, names: dict[str, Path]) -> str:
    message = f"{argument}: neither a sweep file nor the name of a sweep of the package"
    if argument.is_dir():
        message = f"{argument}: a folder, not a sweep file; nor the name of a sweep of the package"
    known = [*names, *(str(path) for path in sorted(Path().glob("*.py")))]
    nearest = difflib.get_close_matches(str(argument), known, n=1)
    own = Path(f"{argument}.py")
    if own.is_file():
        nearest = [str(own)]
    if nearest:
        message += f"; did you mean {nearest[0]}?"
    if names:
        message += f"; the package has {', '.join(names)}; a sweep file ends in .py"
    return message
