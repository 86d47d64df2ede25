"""The files for GitHub and for releases: valid, and about commands and files that exist."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import cae
from tests.conftest import ROOT

GITHUB = ROOT / ".github"
HADOLINT = Path(sys.executable).parent / "hadolint"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def jobs_of(path: Path) -> dict[str, Any]:
    jobs: dict[str, Any] = load(path)["jobs"]
    return jobs


def commands_of(path: Path) -> list[str]:
    commands: list[str] = []
    for job in jobs_of(path).values():
        for step in job["steps"]:
            commands += step.get("run", "").splitlines()
    return commands


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_command_of_a_workflow_exists(path: Path) -> None:
    commands = commands_of(path)
    assert commands
    for command in commands:
        name, *arguments = command.split()
        if name == "make":
            targets = {argument for argument in arguments if "=" not in argument}
            assert targets <= MAKEFILE_TARGETS, command
        for word in (name, *arguments):
            if word.startswith(".ci/"):
                assert (ROOT / word).is_file(), command


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_can_only_read_unless_they_say_so_and_end_in_time(path: Path) -> None:
    assert load(path)["permissions"] == {"contents": "read"}
    for job in jobs_of(path).values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            # What others write, such as the name of a branch, is never part of a script
            assert "${{" not in step.get("run", "")


def test_the_tests_run_on_every_supported_python() -> None:
    matrix = jobs_of(GITHUB / "workflows" / "tests.yml")["test"]["strategy"]["matrix"]
    supported = [
        found[1]
        for classifier in PROJECT["project"]["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier))
    ]
    assert supported[0] == PROJECT["project"]["requires-python"].removeprefix(">=")
    assert set(supported) <= set(matrix["python-version"])


def test_the_workflows_use_constraint_files_that_exist() -> None:
    job = jobs_of(GITHUB / "workflows" / "tests.yml")["constraints"]
    for versions in job["strategy"]["matrix"]["versions"]:
        assert (ROOT / "requirements" / f"{versions}.txt").is_file()


def constraints(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def requirements_of(entries: list[str]) -> dict[str, str]:
    """What pyproject.toml says about each package, such as >=2.9,<2.15, without its extras."""
    found: dict[str, str] = {}
    for entry in entries:
        parts = re.fullmatch(r"([A-Za-z0-9_-]+)(?:\[.*\])?(.*)", entry)
        assert parts is not None
        found[parts[1]] = parts[2]
    return found


def test_the_lowest_versions_are_the_lower_bounds() -> None:
    lowest = constraints("lowest")
    for name, bounds in requirements_of(PROJECT["project"]["dependencies"]).items():
        lower = bounds.partition(",")[0].removeprefix(">=")
        pinned = lowest[name]
        assert pinned == lower or pinned.startswith(f"{lower}."), name


def test_every_dependency_has_a_version_of_record() -> None:
    record = constraints("record")
    assert set(requirements_of(PROJECT["project"]["dependencies"])) <= set(record)


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("dependabot", ".github/dependabot.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("citation-file-format", "CITATION.cff"),
    ],
)
def test_every_file_has_the_schema_of_its_kind(schema: str, files: str) -> None:
    pytest.importorskip("check_jsonschema")
    paths = sorted(ROOT.glob(files))
    assert paths
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    result = subprocess.run([*command, *paths], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_an_issue_form_has_all_that_github_needs(name: str) -> None:
    form = load(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert {"name", "description", "body"} <= form.keys()
    identifiers = [field["id"] for field in form["body"]]
    assert len(set(identifiers)) == len(identifiers)
    for field in form["body"]:
        assert field["attributes"]["label"]


def test_dependabot_updates_what_there_is() -> None:
    ecosystems = {
        update["package-ecosystem"] for update in load(GITHUB / "dependabot.yml")["updates"]
    }
    assert ecosystems == {"pip", "github-actions", "docker"}


# Releases


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_tool", ROOT / ".ci" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.3] - 2026-11-28

### Added

- x

## [1.2.2] - 2025-01-01
"""
CITATION = 'cff-version: 1.2.0\nversion: 1.2.3\ndate-released: "2026-11-28"\nlicense: MIT\n'


@pytest.fixture
def releasable(tmp_path: Path) -> Path:
    for folder in ("cae", "cluster"):
        (tmp_path / folder).mkdir()
    (tmp_path / "cae" / "version.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "CITATION.cff").write_text(CITATION)
    (tmp_path / "cluster" / "rayjob.yaml").write_text("image: registry/cae-sweep:1.2.3\n")
    return tmp_path


def test_a_release_in_which_all_agree_has_no_problem(release: ModuleType, releasable: Path) -> None:
    assert release.problems_of(releasable, "v1.2.3") == []
    assert release.problems_of(releasable, "") == []
    assert release.notes_of(releasable, "1.2.3") == ("2026-11-28", "### Added\n\n- x")


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("cae/version.py", "1.2.3", "1.2", "MAJOR.MINOR.PATCH"),
        ("CHANGELOG.md", " - 2026-11-28", "", "no section `## [1.2.3] - YYYY-MM-DD`"),
        ("CHANGELOG.md", "### Added\n\n- x\n\n", "", "the section of 1.2.3 is empty"),
        ("CITATION.cff", "1.2.3", "1.2.2", "`version: 1.2.3`"),
        ("CITATION.cff", "2026-11-28", "2026-11-27", '`date-released: "2026-11-28"`'),
        ("cluster/rayjob.yaml", "1.2.3", "1.2.2", "should end with :1.2.3"),
    ],
)
def test_whatever_does_not_agree_is_named(
    release: ModuleType, releasable: Path, file: str, old: str, new: str, problem: str
) -> None:
    path = releasable / file
    path.write_text(path.read_text().replace(old, new))
    (message,) = release.problems_of(releasable, "")
    assert problem in message


def test_a_tag_of_another_version_is_named(release: ModuleType, releasable: Path) -> None:
    (message,) = release.problems_of(releasable, "v1.2.4")
    assert "tag v1.2.4" in message
    assert "v1.2.3" in message


def test_the_version_is_stated_in_one_place(release: ModuleType) -> None:
    assert release.version_of(ROOT) == cae.__version__
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert f"version: {cae.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_package_states_no_address_that_the_repository_does_not() -> None:
    assert "urls" not in PROJECT["project"]


# The container image


def test_the_image_runs_as_another_user_than_root_below_tini() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000"]
    assert lines.index("USER 1000") > lines.index("FROM ${BASE_IMAGE}")
    assert 'ENTRYPOINT ["tini", "--", "cae-sweep"]' in lines


def test_all_that_the_image_copies_exists_and_is_sent_to_the_builder() -> None:
    sent = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copies = re.findall(
        r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    copied = [name for line in copies for name in line.split()]
    assert len(copied) > 5
    for name in copied:
        assert (ROOT / name).exists()
        assert name.partition("/")[0] in sent


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    if not HADOLINT.exists():
        pytest.skip("hadolint is not installed")
    result = subprocess.run(
        [HADOLINT, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
