"""The files of a run. Standard library only.

sweep.json        what was requested: the resolved sweep, versions, git commit, device, command
journal.jsonl     what happened: one event per line (see cae/run/events.py), appended and flushed
                  per event, one writer at a time
trials.csv  epochs.csv  verdicts.json  report.html
                  computed from the two files above, at any time
trials/0007/      best.safetensors  last.safetensors  previous.safetensors  samples.npz
                  galleries.npz  latent.npz  log.txt
code/             the user's code with which trials were trained: a folder per version
control/          requests to the process that runs the sweep: `stop`, `kill-0007`
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from cae.errors import RunError
from cae.files import pause_garbage_collection, write_whole
from cae.run.events import Event, SessionStarted
from cae.run.journal import read_events
from cae.run.lock import hold_lock, in_use_message, is_locked, owner_of
from cae.run.records import Record, replay
from cae.run.sweep_json import LostSweepJson, SweepDescription, read_sweep_json


class RunDir:
    """The files of one run. Constructing it touches nothing on the disk."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.sweep_json = self.path / "sweep.json"
        self.journal = self.path / "journal.jsonl"
        self.lock_file = self.path / "run.lock"
        self.trials_csv = self.path / "trials.csv"
        self.epochs_csv = self.path / "epochs.csv"
        self.report_html = self.path / "report.html"
        self.verdicts_json = self.path / "verdicts.json"
        self.code = self.path / "code"
        self.control = self.path / "control"
        self.stop_request = self.control / "stop"
        self.abort_reason = ""
        """Why the run's files can no longer be stored, in words; empty if they can."""

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    def trial(self, number: int) -> Path:
        """The folder of a trial."""
        return self.path / "trials" / f"{number:04d}"

    def location(self, number: int | None = None) -> str:
        """Where a worker, on any host, finds the run or a trial's folder in it: a path or a URI."""
        if number is None:
            return str(self.path.resolve())
        return str(self.trial(number).resolve())

    def delete_trial_files(self, number: int, *names: str) -> None:
        """Delete files of a trial."""
        for name in names:
            (self.trial(number) / name).unlink(missing_ok=True)

    def trials_with(self, name: str) -> set[int]:
        """Numbers of the trials that have a file of this name."""
        folders = [path.parent.name for path in (self.path / "trials").glob(f"*/{name}")]
        return {int(folder) for folder in folders if folder.isdecimal()}

    def delete_trial(self, number: int) -> None:
        """Delete a trial's folder."""
        shutil.rmtree(self.trial(number), ignore_errors=True)

    def refresh(self) -> None:
        """Copy sweep.json and the journal to this machine. Nothing to do: they are here."""

    def fetch(self, *names: str, number: int | None = None) -> None:
        """Copy files of one trial, or of all, to this machine. Nothing to do: they are here."""

    def publish(self, *paths: Path) -> None:
        """Copy files of the run to where others read them. Nothing to do: they are there."""

    def request(self, name: str) -> None:
        """Send a request to the process that runs the sweep: `stop`, `kill-0007`."""
        write_whole(self.control / name, "")

    def kill_request(self, number: int) -> Path:
        """The file that requests to kill a trial."""
        return self.control / f"kill-{number:04d}"

    def kill_requests(self) -> list[int]:
        """The trials that somebody requested to kill."""
        names = [path.name.removeprefix("kill-") for path in self.control.glob("kill-*")]
        return [int(name) for name in names if name.isdecimal()]

    def clear_requests(self) -> None:
        """Delete requests to a process that has ended."""
        for path in self.control.glob("*"):
            path.unlink(missing_ok=True)

    def read_sweep(self) -> SweepDescription:
        """The resolved sweep of this run. Raises RunError if it is missing or damaged."""
        self.check_file(self.sweep_json)
        try:
            return read_sweep_json(self.sweep_json)
        except LostSweepJson as error:
            if not self.exists():
                message = f"{self} is not a run: it has no {self.sweep_json.name}"
                raise LostSweepJson(message) from None
            command = "the `cae-sweep run` command of this sweep"
            session = self.last_session()
            if session is not None and session.command.isprintable() and session.command:
                command = f"`{session.command}`"
            message = f"{error}; the trials are not affected: {command} writes it again"
            raise LostSweepJson(message) from None

    def exists(self) -> bool:
        """Whether there is a run: it has a sweep.json or a journal."""
        return self.sweep_json.exists() or self.journal.exists()

    def last_session(self) -> SessionStarted | None:
        """The newest start of a `run` command in the journal; None if there is none."""
        last: SessionStarted | None = None
        for event in self.events():
            if isinstance(event, SessionStarted):
                last = event
        return last

    def check_files(self) -> None:
        """Raise RunError if a folder has the name of one of the run's files, or the reverse.

        And if one of them is a link out of the run's folder: what is there would be overwritten.
        """
        messages: list[str] = []
        files = (self.sweep_json, self.journal, self.lock_file)
        for path in (*files, self.path / "trials", self.code, self.control):
            try:
                self.check_file(path)
            except RunError as error:
                messages += error.messages
        for path in files:
            if path.is_dir():
                messages.append(f"{path} is a folder, and should be a file: move it away")
        for path in (self.path, self.path / "trials", self.code, self.control):
            if path.exists() and not path.is_dir():
                messages.append(f"{path} is a file, and should be a folder: move it away")
        if messages:
            raise RunError(messages)

    def check_file(self, path: Path) -> None:
        """Raise RunError if a file of the run is a link out of its folder, or not a regular file.

        Somebody else may have made the folder: what is read from it has to be in it. Nothing is
        raised for a missing file.
        """
        target = path.resolve()
        if not self.contains(path):
            raise RunError(
                f"{path} leads to {target}, outside of the run: move what is there into the "
                "folder of the run"
            )
        if target.exists() and not target.is_dir() and not target.is_file():
            raise RunError(f"{path} is a pipe, a socket or a device, and should be a file")

    def contains(self, path: Path) -> bool:
        """Whether a path, after all links, is in the run's folder."""
        return path.resolve().is_relative_to(self.path.resolve())

    def trial_file(self, number: int, name: str) -> Path:
        """A file of a trial, for reading. Raises RunError if it is not in the run's folder."""
        path = self.trial(number) / name
        self.check_file(path)
        return path

    def undefined_trials(self, records: Collection[int]) -> list[int]:
        """Trials with a folder and with events, but without the line that defines them.

        The journal is damaged then: nobody knows their configuration.

        Args:
            records: The numbers of the trials that the journal defines.
        """
        folders = (path.name for path in (self.path / "trials").glob("*"))
        numbers = {int(name) for name in folders if name.isdecimal()} - set(records)
        if not numbers:
            return []
        events = self.events()
        return sorted(numbers & {getattr(event, "trial", -1) for event in events})

    def events(self, *, epochs: Collection[int] | None = None) -> Iterator[Event]:
        """The valid events of the journal in their order (see `read_events`)."""
        self.check_file(self.journal)
        return read_events(self.journal, epochs=epochs)

    def records(self) -> dict[int, Record]:
        """What the journal records about each trial, by number."""
        with pause_garbage_collection():
            return replay(self.events(), is_running=self.in_use())

    def lock(self) -> AbstractContextManager[None]:
        """Hold the run for this process. Raises RunError if another process holds it."""
        return hold_lock(self.lock_file)

    def check_unused(self) -> None:
        """Raise RunError if a process runs this sweep now.

        Only `lock` excludes other processes; this reports one early.
        """
        if self.in_use():
            raise RunError(self.in_use_message(self.lock_owner()))

    def in_use_message(self, owner: str) -> str:
        """Why a command cannot run this sweep now, and what to do."""
        return in_use_message(str(self), owner)

    def lock_owner(self) -> str:
        """The process that runs this sweep, in words."""
        return owner_of(self.lock_file)

    def in_use(self) -> bool:
        """Whether a process runs this sweep now."""
        return is_locked(self.lock_file)
