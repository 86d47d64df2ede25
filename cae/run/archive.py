"""Archives of runs: sweep.json and the journal in one compressed file. Standard library only.

All numbers, tables, statistics and verdicts of a run are computed from these two files. Weights,
images and logs are not archived. An archive names neither the host nor the folders of the command:
hosts are numbered, the options --out, --data-dir and --notify are left out, and sweep files have
their names only. Values of the sweep itself, such as a folder of images, are kept.
"""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cae.errors import RunError
from cae.files import write_output
from cae.run.json_values import JsonObject
from cae.run.paths import RunDir

SUFFIX = ".tar.xz"
MAX_FILE_BYTES = 2**31
"""Of a file in an archive that is unpacked."""
FILES = ("sweep.json", "journal.jsonl")
MACHINE_OPTIONS = ("--out", "--data-dir", "--notify")
"""Options whose values are folders of the machine, or may contain secrets."""


def is_archive(location: str) -> bool:
    """Whether a location names an archive."""
    return location.endswith(SUFFIX)


def write_archive(run: RunDir, folder: Path) -> Path:
    """Write the archive of a run that has ended, NAME.tar.xz, and return its path.

    The same run gives the same bytes. Raises RunError if the folder is not a run, or is running.
    """
    run.read_sweep()
    if run.in_use():
        raise RunError(f"{run} is running: archive it when it has ended")
    run.check_file(run.journal)
    hosts = _Hosts()
    sweep = json.loads(run.sweep_json.read_text(encoding="utf-8-sig"))
    contents = {
        "sweep.json": json.dumps(_without_machine(sweep, hosts), indent=2) + "\n",
        "journal.jsonl": "".join(_journal_lines(run, hosts)),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in FILES:
            content = contents[name].encode()
            member = tarfile.TarInfo(f"{run.name}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    path = folder / f"{run.name}{SUFFIX}"
    _check_is_same_run(path, run)
    write_output(path, lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    return path


def unpack_archive(path: Path, folder: Path) -> RunDir:
    """Unpack an archive into a folder below `folder`, and return the run.

    Only the two files of a run are written, whatever else the archive contains. Raises RunError if
    it is missing or damaged, or lacks one of the files.
    """
    run = RunDir(folder / path.name.removesuffix(SUFFIX))
    run.path.mkdir(parents=True)
    try:
        with tarfile.open(path, "r:xz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name not in FILES or not member.isreg():
                    continue
                content = archive.extractfile(member)
                if content is not None:
                    _write_member(content, member, path, run.path / name)
    except FileNotFoundError:
        raise RunError(f"{path} does not exist") from None
    except (OSError, tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise RunError(f"{path} cannot be read as an archive of a run: {error}") from None
    for name in FILES:
        if not (run.path / name).exists():
            raise RunError(f"{path} is not an archive of a run: it has no {name}")
    return run


def first_trial(run: RunDir) -> str:
    """The time and the hash of the first planned trial: equal for a run and its archive.

    Empty without a journal on this machine.
    """
    if not run.journal.is_file():
        return ""
    with run.journal.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and event.get("event") == "trial":
                    return f"{event.get('time')} {event.get('hash')}"
    return ""


def _write_member(content: IO[bytes], member: tarfile.TarInfo, path: Path, target: Path) -> None:
    if member.size > MAX_FILE_BYTES:
        raise RunError(f"{path}: {member.name} is larger than {MAX_FILE_BYTES:,} bytes")
    with target.open("wb") as file:
        shutil.copyfileobj(content, file)


def _check_is_same_run(path: Path, run: RunDir) -> None:
    """Raise RunError if an archive of another run has the path: it would be lost."""
    if not path.exists():
        return
    with tempfile.TemporaryDirectory(prefix="cae-sweep-") as folder:
        is_same = first_trial(unpack_archive(path, Path(folder))) == first_trial(run)
    if not is_same:
        raise RunError(f"{path} is the archive of another run of this name: choose another folder")


class _Hosts:
    """Numbers for the hosts of a run, in the order in which they occur."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name(self, host: str) -> str:
        """Return "host 1" for the first host, and so on."""
        return self._names.setdefault(host, f"host {len(self._names) + 1}")


def _journal_lines(run: RunDir, hosts: _Hosts) -> Iterator[str]:
    with run.journal.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:  # the end of a journal after a kill; no reader uses it
                continue
            if isinstance(event, dict):
                text = json.dumps(_without_machine(event, hosts), separators=(",", ":"))
                yield text + "\n"


def _without_machine(fields: JsonObject, hosts: _Hosts) -> JsonObject:
    """The fields of sweep.json or of an event without names of hosts and folders."""
    changed = dict(fields)
    if changed.get("host"):
        changed["host"] = hosts.name(str(changed["host"]))
    if "command" in changed:
        changed["command"] = _portable_command(str(changed["command"]))
    for name in ("path", "relative_path"):
        if name in changed:
            changed[name] = ""
    if isinstance(changed.get("file"), str) and Path(changed["file"]).is_absolute():
        changed["file"] = f"sweeps/{Path(changed['file']).name}"
    if changed.get("error"):  # a traceback with paths
        changed["error"] = str(changed["error"]).strip().splitlines()[-1]
    return changed


def _portable_command(command: str) -> str:
    """A command without the options that name folders of the machine."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    kept: list[str] = []
    previous = ""
    for word in words:
        is_value = previous in MACHINE_OPTIONS
        previous = word
        if is_value or word.partition("=")[0] in MACHINE_OPTIONS:
            continue
        if Path(word).is_absolute() and word.endswith(".py"):
            word = f"sweeps/{Path(word).name}"
        kept.append(word)
    return shlex.join(kept)
