"""`cae-sweep report`: the page or the Markdown file of runs and archives of runs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cae.errors import UserError
from cae.report.exporters import markdown as markdown_exporter
from cae.report.page import build, server
from cae.run import storage
from cae.run.archive import first_trial, is_archive, unpack_archive
from cae.run.paths import RunDir


def write_report(
    locations: Sequence[str], out: Path | None, markdown: Path | None, *, watch: bool
) -> Path:
    """Write the report of runs and archives, and return its path.

    Without locations, that of the newest run. Archives are unpacked into a temporary folder.
    Raises UserError.
    """
    has_archives = any(map(is_archive, locations))
    if watch and markdown is not None:
        raise UserError("--watch serves the page, and --markdown writes a file: leave one out")
    if has_archives and watch:
        raise UserError("--watch follows a run, and an archive does not change: leave it out")
    if has_archives and out is None and markdown is None:
        raise UserError("an archive has no folder for its page: name one with -o DIR")
    unpacked: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory(prefix="cae-sweep-") as temporary,
        _errors_name_archives(unpacked),
    ):
        runs: list[RunDir] = []
        archives: dict[str, str] = {}
        for number, location in enumerate(locations, start=1):
            if is_archive(location):
                path = Path(location)
                run = unpack_archive(path, Path(temporary) / f"archive {number}")
                archives[run.location()] = path.name
                unpacked[str(run)] = location
            else:
                run = storage.locate_run(location, Path("runs"))
            runs.append(run)
        if not locations:
            runs = [storage.locate_run(None, Path("runs"))]
        _check_are_different(runs)
        if watch:
            server.serve(runs, out)
        if markdown is not None:
            return markdown_exporter.write(runs, markdown, archives)
        if has_archives and out is not None:
            return build.build_joined(runs, out)
        return build.build_all(runs, out)


@contextlib.contextmanager
def _errors_name_archives(unpacked: Mapping[str, str]) -> Iterator[None]:
    """Let errors about unpacked files name the archive, not the temporary folder.

    `unpacked`: the archives by the folder of their run.
    """
    try:
        yield
    except UserError as error:
        messages: list[str] = []
        for message in error.messages:
            for folder, archive in unpacked.items():
                message = message.replace(folder, archive)
            messages.append(message)
        raise type(error)(messages) from None


def _check_are_different(runs: Sequence[RunDir]) -> None:
    """Raise UserError for a run and its archive: their trials would count twice."""
    names: dict[str, str] = {}
    for run in runs:
        first = first_trial(run)
        if first in names:
            raise UserError(
                f"{run.name}: is named twice, or is the same run as {names[first]}: leave one out"
            )
        if first:
            names[first] = run.name
