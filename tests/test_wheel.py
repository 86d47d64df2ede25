"""The wheel works without the repository, and a source distribution builds the same wheel.

`make wheel` installs it with all of its dependencies; here it uses those of the test environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import cae
from tests.conftest import ROOT

BUILT_FROM = [
    "cae",
    "sweeps",
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
]
SESSION_SECONDS = 600


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository: a build leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a "wheel" or an "sdist" with the setuptools of the test environment."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, cwd=source, check=True, capture_output=True, text=True).stdout
    return target / output.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def names_of(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def test_the_wheel_has_the_version_of_the_package(wheel: Path) -> None:
    assert wheel.name == f"cae_sweep-{cae.__version__}-py3-none-any.whl"


def test_the_wheel_has_every_sweep_and_every_published_number(wheel: Path) -> None:
    names = names_of(wheel)
    expected = [*(ROOT / "sweeps").glob("*.py"), *(ROOT / "sweeps").glob("published/*.csv")]
    for path in expected:
        assert f"cae/{path.relative_to(ROOT)}" in names
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"cae", f"cae_sweep-{cae.__version__}.dist-info"}


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "cae"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    missing = [name for name in tracked if (ROOT / name).exists() and name not in names_of(wheel)]
    assert missing == []


def test_a_source_distribution_builds_the_same_wheel(
    source: Path, wheel: Path, tmp_path: Path
) -> None:
    packed = build("sdist", source, tmp_path)
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build("wheel", tmp_path / packed.name.removesuffix(".tar.gz"), tmp_path)
    assert names_of(again) == names_of(wheel)


@pytest.mark.slow
@pytest.mark.timeout(SESSION_SECONDS)
def test_the_first_session_of_a_user_works_with_the_wheel_alone(
    wheel: Path, tmp_path: Path
) -> None:
    installed = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", installed, wheel], check=True, cwd=tmp_path)
    environment = os.environ | {
        "PYTHONPATH": str(installed),
        "PATH": f"{installed / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    session = subprocess.run(
        [ROOT / ".ci" / "first_session"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    output = session.stdout + session.stderr
    assert session.returncode == 0, output
    assert f"cae-sweep {cae.__version__}" in output
    assert output.count("2 finished") == 2
    assert "written: codes.npz" in output
    assert str(ROOT / "cae") not in output
