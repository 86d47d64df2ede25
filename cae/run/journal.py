"""The journal of a run: an append-only file with one event per line. Standard library only."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from cae.errors import RESUME_HINT, RunError
from cae.files import check_regular, sync_folder
from cae.run.events import (
    Event,
    SessionEnded,
    SessionStarted,
    TrialEnded,
    event_fields,
    parse_event,
)
from cae.run.json_values import without_surrogates

LAST_EVENT_TIMEOUT_SECONDS = 5.0
SYNC_SECONDS = 2.0
"""A power cut loses at most the events of so many last seconds."""
MAX_LINE_BYTES = 2**26
"""A journal with a longer line is not read: the line need not fit into memory."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Some editors write it at the beginning of a file."""
SYNCED_EVENTS = (SessionStarted, TrialEnded, SessionEnded)
"""Events that are on the disk before anything else happens. With the start of a session those that
name its trials are too, before a trial has files."""


class Journal:
    """Appends events to a journal. Hold the run's lock while one is open.

    Events survive the death of the process immediately, and a power cut after SYNC_SECONDS.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = path.open("ab+")
        sync_folder(path.parent)
        self._has_unsynced_events = False
        self._sync_error: OSError | None = None
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_often, daemon=True, name="journal-sync")
        self._syncer.start()
        self._file.seek(0, os.SEEK_END)
        if self._file.tell():
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                # The process before this one died while it wrote a line: end that line.
                self._file.write(b"\n")

    def append(self, event: Event) -> None:
        """Write an event and set its time.

        Raises InvalidEvent for an event that a reader would not accept, and RunError if the file
        cannot be written.
        """
        with self._lock:
            self._append(event)

    def append_last(self, event: Event) -> None:
        """Write an event after which this process ends: later calls of other threads wait forever.

        A thread that is in the middle of an event, on a disk that hangs, is not waited for.
        """
        self._lock.acquire(timeout=LAST_EVENT_TIMEOUT_SECONDS)
        self._append(event)

    def _append(self, event: Event) -> None:
        event.time = round(time.time(), 3)
        line = json.dumps(event_fields(event), allow_nan=False, separators=(",", ":"))
        try:
            if self._sync_error is not None:
                raise self._sync_error
            self._file.write(line.encode() + b"\n")
            self._file.flush()
            if isinstance(event, SYNCED_EVENTS):
                os.fsync(self._file.fileno())
            else:
                self._has_unsynced_events = True
        except OSError as error:
            message = f"{self._file.name} cannot be written ({error.strerror}): {RESUME_HINT}"
            raise RunError(message) from error

    def _sync_often(self) -> None:
        """Sync every SYNC_SECONDS, in a thread of its own: the disk may take its time."""
        while not self._closing.wait(SYNC_SECONDS):
            if not self._has_unsynced_events:
                continue
            self._has_unsynced_events = False
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                self._sync_error = error  # the next `append` reports it
                return

    def close(self) -> None:
        """Sync and close the file. Nothing happens if it is closed already."""
        if self._file.closed:
            return
        self._closing.set()
        self._syncer.join(LAST_EVENT_TIMEOUT_SECONDS)
        with contextlib.suppress(OSError):  # a full disk, which `append` has reported
            os.fsync(self._file.fileno())
        with contextlib.suppress(OSError):
            self._file.close()


def read_events(path: Path, *, epochs: Collection[int] | None = None) -> Iterator[Event]:
    """The events of a journal in their order; none if the file does not exist.

    A torn line (the process died while writing it) and a line that is no valid event are skipped.
    Raises RunError for a line that is too long, and OSError for a path that is no regular file.

    Args:
        path: The journal.
        epochs: Only events of these epochs; most lines then need not be decoded.
    """
    no_epochs = epochs is not None and not epochs
    if no_epochs or not path.exists():
        return
    check_regular(path)
    decode = json.JSONDecoder().raw_decode
    has_epoch = _epoch_pattern(epochs or ()).search
    with path.open("rb") as lines:
        if lines.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
            lines.seek(0)
        for line in iter(functools.partial(lines.readline, MAX_LINE_BYTES), b""):
            if len(line) == MAX_LINE_BYTES:
                raise RunError(f"{path} is damaged: a line has more than {MAX_LINE_BYTES:,} bytes")
            if epochs is not None and not has_epoch(line):
                continue
            try:
                text = line.decode().strip()
                fields, end = decode(text)
                if b"\\u" in line:
                    fields = without_surrogates(fields)
            except (ValueError, RecursionError):
                continue
            if end != len(text):
                continue
            event = parse_event(fields)
            if event is not None:
                yield event


def _epoch_pattern(epochs: Collection[int]) -> re.Pattern[bytes]:
    """Matches lines that name one of the epochs."""
    numbers = b"|".join(b"%d" % epoch for epoch in epochs)
    return re.compile(rb'"epoch"\s*:\s*(?:%s)\b' % numbers)
