"""Stores of files: the objects of a bucket, or a folder that hosts share."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from cae.errors import RunError
from cae.run.storage.s3_errors import REFUSED_READ, S3Error

RETRY_SECONDS = 600.0
"""While a sweep runs, an operation on a store that is down is retried for this long."""
FIRST_RETRY_SECONDS = 15.0
"""The same when a command starts: a wrong URL is more likely then than a store that is down."""
FIRST_PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 5.0
"""Pauses between retries double from the first one to this."""
URL_OPTIONS = ("endpoint_override", "scheme", "region")

Result = TypeVar("Result")


class StorageError(RunError):
    """A store cannot be used: which one, and why."""


def is_url(location: object) -> bool:
    """Whether a location is a URL and not a path."""
    return "://" in str(location)


def join_location(location: str, name: str) -> str:
    """The location of `name` inside a folder or a bucket; options of a URL stay at its end."""
    if not is_url(location):
        return str(Path(location) / name)
    parts = urlsplit(location)
    path = f"{parts.path.rstrip('/')}/{name}"
    return urlunsplit(parts._replace(path=path))


class Bucket:
    """The objects under s3://BUCKET/PATH, by their names relative to it.

    Every operation is retried for `retry_seconds` if the store does not respond, and raises
    StorageError after that or if retrying is useless.
    """

    def __init__(self, url: str, retry_seconds: float = RETRY_SECONDS) -> None:
        self.url = _normalize_url(url)
        self.retry_seconds = retry_seconds
        parts = urlsplit(self.url)
        options = dict(parse_qsl(parts.query))
        self.root = f"{parts.netloc}{parts.path}"
        from pyarrow import fs  # imported here because it takes half a second

        # With allow_delayed_open a small object takes one request instead of three.
        self._fs = fs.S3FileSystem(allow_delayed_open=True, **options)
        self._select = fs.FileSelector
        self._file = fs.FileType.File

    def __str__(self) -> str:
        return self.url

    def read(self, name: str) -> bytes:
        """The content of an object. Raises FileNotFoundError if it does not exist."""

        def read_object() -> bytes:
            with self._fs.open_input_stream(f"{self.root}/{name}") as stream:
                return bytes(stream.readall())

        return self._retry(read_object)

    def write(self, name: str, content: bytes) -> None:
        """Write an object as a whole."""

        def write_object() -> None:
            with self._fs.open_output_stream(f"{self.root}/{name}") as stream:
                stream.write(content)

        self._retry(write_object)

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside the store. It has to exist."""
        self._retry(lambda: self._fs.copy_file(f"{self.root}/{source}", f"{self.root}/{target}"))

    def delete(self, name: str) -> None:
        """Delete an object if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self._retry(lambda: self._fs.delete_file(f"{self.root}/{name}"))

    def list(self, folder: str) -> dict[str, tuple[int, float]]:
        """Size in bytes and time of the objects under a folder, by name.

        The time is in seconds since the epoch, by the store's clock.
        """
        selector = self._select(f"{self.root}/{folder}", recursive=True, allow_not_found=True)
        infos = self._retry(lambda: self._fs.get_file_info(selector))
        objects: dict[str, tuple[int, float]] = {}
        for info in infos:
            if info.type == self._file:
                name = info.path.removeprefix(f"{self.root}/")
                objects[name] = (int(info.size), float(info.mtime_ns or 0) / 1e9)
        return objects

    def _retry(self, operation: Callable[[], Result]) -> Result:
        deadline = time.monotonic() + self.retry_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return operation()
            except FileNotFoundError:
                raise
            except OSError as error:  # pyarrow raises nothing else: its message names the kind
                problem = S3Error(str(error))
                if problem.has_no_cause:
                    problem = self._find_cause(problem)
                if problem.is_permanent or time.monotonic() > deadline:
                    host = socket.gethostname()
                    message = f"{self.url} cannot be used from {host}: {problem}"
                    raise StorageError(message) from error
            time.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    def _find_cause(self, problem: S3Error) -> S3Error:
        """The error with its cause: the answer to a listing contains it, unlike that to HEAD."""
        try:
            self._fs.get_file_info(self._select(self.root, allow_not_found=True))
        except OSError as error:
            return S3Error(str(error))
        if problem.code == "AccessDenied":
            return S3Error(problem.text, REFUSED_READ)
        return problem


class Folder:
    """A folder, with the operations that hosts need to find out whether they share it.

    It is never created: on a host where it does not exist, it is not shared.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def read(self, name: str) -> bytes:
        """The content of a file. Raises FileNotFoundError if it does not exist."""
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        (self.path / name).write_bytes(content)

    def delete(self, name: str) -> None:
        """Delete a file if it exists."""
        (self.path / name).unlink(missing_ok=True)


def open_store(location: str) -> Bucket | Folder:
    """The store at a location. Raises StorageError for an invalid URL."""
    if is_url(location):
        return Bucket(location, FIRST_RETRY_SECONDS)
    return Folder(location)


def _normalize_url(url: str) -> str:
    """Add the endpoint and region of the environment to a URL: it means the same on all hosts then.

    Raises StorageError for an invalid one. The message never contains credentials.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if "@" in parts.netloc:
        raise StorageError(
            "s3://...@...: a URL must not contain credentials; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or use ~/.aws"
        )
    if parts.scheme != "s3" or not parts.netloc or parts.fragment:
        raise StorageError(f"{url}: should be a folder or s3://BUCKET/PATH")
    for name in options:
        if name not in URL_OPTIONS:
            allowed = ", ".join(URL_OPTIONS)
            raise StorageError(f"{url}: unknown option {name}; options: {allowed}")
    names = [name for name in parts.path.split("/") if name]
    if "." in names or ".." in names:
        raise StorageError(f"{url}: the path should not contain . or ..")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        options.setdefault("endpoint_override", endpoint)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        options.setdefault("region", region)
    path = ""
    if names:
        path = "/" + "/".join(names)
    return urlunsplit(parts._replace(path=path, query=urlencode(options, safe=":/")))
