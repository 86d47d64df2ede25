"""docs/reproduction.md and docs/results.md are what the archived runs give, byte for byte."""

from __future__ import annotations

import importlib.metadata
import lzma
import re
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from cae.cli.reports import write_report
from cae.report.exporters.markdown_header import HEADER, OLD_RULE_NOTE
from tests.conftest import ROOT

RUNS = ROOT / "docs" / "runs"
MAX_BYTES = 20_000_000
DOCUMENTS = {"reproduction": "reproduction.md", "results": "results.md"}
STATISTICS = ("numpy", "scipy", "scikit-learn", "pandas")
"""Packages whose versions may change the last digits of a statistic."""


def record_versions() -> dict[str, str]:
    text = (ROOT / "requirements" / "record.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))


@pytest.fixture
def record_environment() -> None:
    """Skip the test with other versions than those of record."""
    versions = record_versions()
    for name in STATISTICS:
        if importlib.metadata.version(name) != versions[name]:
            pytest.skip(f"{name} is not {versions[name]}, the version of record")


def archives(folder: str) -> list[Path]:
    return sorted((RUNS / folder).glob("*.tar.xz"))


@pytest.mark.parametrize("folder", DOCUMENTS)
@pytest.mark.usefixtures("record_environment")
def test_the_archived_runs_give_the_document(folder: str, tmp_path: Path) -> None:
    content = (ROOT / "docs" / DOCUMENTS[folder]).read_text()
    locations = [str(path) for path in archives(folder)]
    copy = tmp_path / "copy.md"
    copy.write_text(content)
    if locations:
        write_report(locations, None, copy, watch=False)
        assert copy.read_text() == content
    new = tmp_path / "new.md"
    if locations:
        write_report(locations, None, new, watch=False)
        _, *sections = HEADER.split(new.read_text())
        assert len(sections) == 2 * len(locations)
        for section in sections:  # also without the sections that are in the document
            assert section.strip() in content
    without_archive = content.count(OLD_RULE_NOTE)
    assert len(HEADER.findall(content)) == len(locations) + without_archive


def test_the_archives_are_small_and_name_no_folder_of_a_machine() -> None:
    paths = archives("reproduction") + archives("results")
    assert paths
    assert sum(path.stat().st_size for path in paths) <= MAX_BYTES
    for path in paths:
        content = lzma.decompress(path.read_bytes())
        assert not re.search(rb"/(root|home|Users)/", content), path.name


def test_the_versions_of_record_are_those_that_the_project_allows() -> None:
    versions = record_versions()
    for text in importlib.metadata.requires("cae-sweep") or []:
        match = re.match(r"([\w-]+)(?:\[\w+\])?([^;]*)(.*)", text)
        assert match is not None, text
        name, bounds, marker = match.groups()
        if marker:  # of an extra
            continue
        assert name in versions
        assert _allows(bounds, versions[name]), name


def _allows(bounds: str, version: str) -> bool:
    return SpecifierSet(bounds).contains(version)
