"""The layout of docs/design.md: which package may import which, and where a library may be used."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import cae

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "cae" / "templates"
"""Sweep files that `cae-sweep new` copies; they are no modules."""
FILES = sorted(path for path in (ROOT / "cae").rglob("*.py") if path.parent != TEMPLATES)
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}

MAY_IMPORT = {
    "container_limits": set(),
    "errors": set(),
    "files": {"errors"},
    "signals": set(),
    "version": set(),
    "run": {"run", "errors", "files"},
    "trial": {"trial", "container_limits", "errors", "files"},
    "sweep": {
        "sweep",
        "trial",
        "run",
        "container_limits",
        "errors",
        "files",
        "signals",
        "version",
    },
    "report": {"report", "run", "errors", "files"},
    "api": {"api", "report", "sweep", "trial", "run", "errors"},
    "cli": {"cli", "report", "sweep", "trial", "run", "errors", "files", "signals", "version"},
    "__main__": {"cli"},
    "__init__": {"api", "sweep", "trial", "version"},
}
"""Which packages, or modules of the top level, a package may import."""

LIBRARIES = {
    "ray": {"sweep"},
    "torch": {"trial", "sweep"},
    "pandas": {"api", "report"},
    "plotly": {"api", "report"},
    "typer": {"cli"},
    "pyarrow": {"run", "sweep"},
}
"""The packages that may import a library."""

STANDARD_LIBRARY_ONLY = [
    "cae.container_limits",
    "cae.errors",
    "cae.files",
    "cae.signals",
    "cae.run.paths",
    "cae.run.events",
    "cae.run.journal",
    "cae.run.records",
    "cae.run.sweep_json",
    "cae.run.trial_state",
]


def package_of(module: str) -> str:
    """The part of a module's name after `cae`."""
    if "." not in module:
        return "__init__"
    return module.split(".")[1]


def imports_of(module: str) -> set[str]:
    """All modules that a file imports, also inside functions and for type checking."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative imports are not used"
            source = node.module or ""
            for alias in node.names:
                name = f"{source}.{alias.name}"
                if name not in MODULES:
                    name = source
                imported.add(name)
    return imported


IMPORTS = {module: imports_of(module) for module in MODULES}


def modules_loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return set(result.stdout.split())


def test_every_module_belongs_to_a_package_of_the_design() -> None:
    assert {package_of(module) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    own = {name for name in IMPORTS[module] if name.split(".")[0] == "cae"}
    assert own <= MODULES.keys(), "an import of a module that does not exist"
    allowed = MAY_IMPORT[package_of(module)]
    assert {name for name in own if package_of(name) not in allowed} == set()


def test_commands_print_by_functions_that_show_control_characters() -> None:
    for module in MODULES:
        if module.startswith("cae.cli.") and module != "cae.cli.output":
            names = [
                node.func.id
                for node in ast.walk(ast.parse(MODULES[module].read_text()))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            ]
            assert "print" not in names, f"{module}: use echo of cae.cli.output"


def test_there_are_no_import_cycles() -> None:
    graph = {module: names & MODULES.keys() for module, names in IMPORTS.items()}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_in_its_packages_only(library: str) -> None:
    users: set[str] = set()
    for module, names in IMPORTS.items():
        if library in {name.split(".")[0] for name in names}:
            users.add(package_of(module))
    assert users, "the table lists libraries that are used"
    assert users <= LIBRARIES[library]


@pytest.mark.parametrize("module", STANDARD_LIBRARY_ONLY)
def test_the_base_modules_import_the_standard_library_only(module: str) -> None:
    roots = {name.split(".")[0] for name in IMPORTS[module]}
    assert roots <= sys.stdlib_module_names | {"cae"}


def test_the_command_line_and_the_package_import_nothing_heavy() -> None:
    loaded = modules_loaded_by("import cae, cae.cli.app, cae.run.paths")
    heavy = {"torch", "ray", "pandas", "plotly", "numpy", "scipy", "sklearn", "pydantic"}
    assert loaded & heavy == set()
    assert not [
        name for name in loaded if name.startswith(("cae.trial", "cae.sweep", "cae.report"))
    ]


def test_commands_that_only_read_load_neither_torch_nor_ray() -> None:
    """`status`, `best --quiet` and `list` answer immediately."""
    assert modules_loaded_by("import cae.cli.tables") & {"ray", "torch", "pandas"} == set()


def test_the_report_loads_neither_torch_nor_ray() -> None:
    assert modules_loaded_by("import cae.report.page.build") & {"ray", "torch"} == set()


def test_every_public_name_can_be_imported() -> None:
    names = [name for name in dir(cae) if not name.startswith("__")]
    assert len(names) > 40
    for name in names:
        assert getattr(cae, name).__name__ == name
    with pytest.raises(AttributeError, match="did you mean 'Sweep'"):
        getattr(cae, "Sweeep")  # noqa: B009
