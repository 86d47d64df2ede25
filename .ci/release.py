"""A release: whether everything names the same version, and its notes. Standard library only.

python .ci/release.py check [TAG]     version, changelog, citation and tag agree
python .ci/release.py notes           the section of CHANGELOG.md of the version
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def version_of(root: Path) -> str:
    """The version of the package."""
    text = (root / "cae" / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        return ""
    return found[1]


def notes_of(root: Path, version: str) -> tuple[str, str]:
    """The date and the text of the changelog's section of a version; both empty without one."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = rf"^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)\n"
    found = re.search(heading + r"(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        return "", ""
    return found[1], found[2].strip()


def problems_of(root: Path, tag: str) -> list[str]:
    """What does not agree, one message each. `tag`: that of the release; empty: none yet."""
    version = version_of(root)
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return [f"cae/version.py: __version__ = {version!r}: should be MAJOR.MINOR.PATCH"]
    problems: list[str] = []
    if tag not in ("", f"v{version}"):
        problems.append(
            f"tag {tag}: the version in cae/version.py is {version}, its tag v{version}"
        )
    date, notes = notes_of(root, version)
    if not date:
        problems.append(f"CHANGELOG.md: there is no section `## [{version}] - YYYY-MM-DD`")
    elif not notes:
        problems.append(f"CHANGELOG.md: the section of {version} is empty")
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    if f"\nversion: {version}\n" not in citation:
        problems.append(f"CITATION.cff: should have the line `version: {version}`")
    if date and f'\ndate-released: "{date}"\n' not in citation:
        problems.append(f'CITATION.cff: should have the line `date-released: "{date}"`')
    recipe = (root / "cluster" / "rayjob.yaml").read_text(encoding="utf-8")
    for image in re.findall(r"image: (\S+)", recipe):
        if not image.endswith(f":{version}"):
            problems.append(f"cluster/rayjob.yaml: {image}: should end with :{version}")
    return problems


def main(arguments: list[str]) -> int:
    """Run a command; returns its exit code: 2 if something does not agree."""
    if arguments[:1] == ["notes"]:
        print(notes_of(ROOT, version_of(ROOT))[1])
        return 0
    if arguments[:1] != ["check"]:
        print(__doc__, file=sys.stderr)
        return 2
    problems = problems_of(ROOT, "".join(arguments[1:2]))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        return 2
    print(f"version {version_of(ROOT)}: package, changelog, citation and recipe agree")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
