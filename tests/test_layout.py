"""The rooms of DESIGN.md: who may import whom, what stays out of which room, and how large a file may be."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import cae

ROOT = Path(__file__).parents[1]
FILES = {path: path.relative_to(ROOT) for path in sorted((ROOT / "cae").rglob("*.py"))}
MODULES = {
    ".".join(name.with_suffix("").parts).removesuffix(".__init__"): path
    for path, name in FILES.items()
}
SHIPPED = [
    path
    for path in sorted((ROOT / "cae").rglob("*"))
    if path.suffix in (".py", ".css", ".js", ".html")
]
SWEEPS = sorted((ROOT / "sweeps").glob("*.py"))

MAY_IMPORT = {
    "errors": set(),
    "files": set(),
    "run": {"run", "errors", "files"},
    "trial": {"trial", "errors", "files"},
    "sweep": {"sweep", "trial", "run", "errors", "files"},
    "report": {"report", "run", "errors", "files"},
    "cli": {"cli", "report", "sweep", "trial", "run", "errors", "files"},
    "__main__": {"cli"},
    "words": {"sweep", "trial"},
}
"""The edges of DESIGN.md, section 1. `words` is cae/__init__.py, which hands out the rooms' names and imports none by itself."""

ONLY_IN = {
    "ray": {"sweep"},
    "torch": {"trial", "sweep"},
    "pandas": {"report"},
    "plotly": {"report"},
    "typer": {"cli"},
    "pyarrow": {"run"},
}
"""Which rooms may name a library at all."""


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "words"


def imported(module: str) -> set[str]:
    """The modules that the file of `module` imports anywhere in it, inside functions and for type checking too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import hides its room"
            source = node.module or ""
            found |= {
                f"{source}.{alias.name}" if f"{source}.{alias.name}" in MODULES else source
                for alias in node.names
            }
    return found


IMPORTS = {module: imported(module) for module in MODULES}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_every_file_is_in_a_room_of_the_design() -> None:
    assert {room(module) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_the_rooms_below_it(module: str) -> None:
    ours = {name for name in IMPORTS[module] if name.split(".")[0] == "cae"}
    assert ours <= MODULES.keys(), "an import that is no file of ours"
    beyond = {name for name in ours if room(name) not in MAY_IMPORT[room(module)]}
    assert not beyond, f"{module} (room {room(module)}) imports {beyond}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    graphlib.TopologicalSorter(
        {module: names & MODULES.keys() for module, names in IMPORTS.items()}
    ).prepare()


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_in_its_rooms(library: str) -> None:
    users = {
        module
        for module, names in IMPORTS.items()
        if any(name.split(".")[0] == library for name in names)
    }
    assert users, "this table is about libraries that are used"
    strangers = {module for module in users if room(module) not in ONLY_IN[library]}
    assert not strangers


@pytest.mark.parametrize("module", ["cae.errors", "cae.files", "cae.run.paths", "cae.run.events"])
def test_what_all_rooms_share_needs_the_standard_library_alone(module: str) -> None:
    assert {name.split(".")[0] for name in IMPORTS[module]} <= sys.stdlib_module_names | {"cae"}


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
        ).stdout.split()
    )


def test_the_command_line_and_the_package_import_nothing_heavy() -> None:
    loaded = loaded_by("import cae, cae.cli.app, cae.run.paths")
    assert not loaded & {
        "torch",
        "ray",
        "pandas",
        "plotly",
        "numpy",
        "scipy",
        "sklearn",
        "pydantic",
    }
    assert not {
        name for name in loaded if name.startswith(("cae.trial", "cae.sweep", "cae.report"))
    }


def test_what_only_reads_a_run_loads_neither_torch_nor_ray() -> None:
    """`status`, `best --quiet` and `list`: as long as they export nothing, they answer at once."""
    assert not loaded_by("import cae.cli.tables") & {"ray", "torch", "pandas"}


def test_the_report_loads_neither_torch_nor_ray_by_way_of_another_library() -> None:
    assert not loaded_by("import cae.report.page.build") & {"ray", "torch"}


def test_every_word_of_a_sweep_file_is_where_the_package_says() -> None:
    assert sorted(cae.__all__) == dir(cae)
    for module, words in cae._HOMES.items():
        body = ast.parse(MODULES[module].read_text()).body
        assert set(words) <= {
            node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)
        }


def test_there_are_sweep_files() -> None:
    assert SWEEPS
