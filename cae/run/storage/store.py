"""A place where files are kept: the objects of a bucket, or a folder that hosts share."""

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

PATIENCE_S = 600.0
"""A store that is down is waited for so long while a sweep runs."""
FIRST_PATIENCE_S = 15.0
"""When a command begins, a wrong address is likelier than a store that is down."""
NEVER = (
    "NO_SUCH_BUCKET",
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
    "EXPIRED_TOKEN",
)
"""Words in errors of a store that trying again does not mend."""
OPTIONS = ("endpoint_override", "scheme", "region")

Result = TypeVar("Result")


class StorageError(RunError):
    """A store that cannot be used: which, and why."""


def is_url(place: object) -> bool:
    return "://" in str(place)


def below(place: str, name: str) -> str:
    """`name` inside a place: a path, or an address with its options behind it."""
    if not is_url(place):
        return str(Path(place) / name)
    parts = urlsplit(place)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


class Bucket:
    """The objects below s3://BUCKET/PATH, by their names relative to it."""

    def __init__(self, url: str, patience_s: float = PATIENCE_S) -> None:
        self.url, self.patience_s = _whole(url), patience_s
        parts = urlsplit(self.url)
        options = dict(parse_qsl(parts.query))
        self.root = f"{parts.netloc}{parts.path}"
        from pyarrow import fs  # half a second, and only runs in buckets need it

        self._fs = fs.S3FileSystem(
            allow_delayed_open=True, **options
        )  # small objects in one request instead of three
        self._select = fs.FileSelector
        self._file = fs.FileType.File

    def __str__(self) -> str:
        return self.url

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError where there is none."""

        def act() -> bytes:
            with self._fs.open_input_stream(f"{self.root}/{name}") as stream:
                return bytes(stream.readall())

        return self._patiently(act)

    def write(self, name: str, content: bytes) -> None:
        def act() -> None:
            with self._fs.open_output_stream(f"{self.root}/{name}") as stream:
                stream.write(content)

        self._patiently(act)

    def copy(self, source: str, target: str) -> None:
        """Inside the store. Raises FileNotFoundError where there is no source."""
        self._patiently(
            lambda: self._fs.copy_file(f"{self.root}/{source}", f"{self.root}/{target}")
        )

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._patiently(lambda: self._fs.delete_file(f"{self.root}/{name}"))

    def list(self, folder: str) -> dict[str, tuple[int, float]]:
        """Objects below a folder: name -> (bytes, seconds since the epoch by the store's clock)."""
        place = f"{self.root}/{folder}"
        found = self._patiently(
            lambda: self._fs.get_file_info(
                self._select(place, recursive=True, allow_not_found=True)
            )
        )
        files = (one for one in found if one.type == self._file)
        return {
            one.path.removeprefix(f"{self.root}/"): (int(one.size), float(one.mtime_ns or 0) / 1e9)
            for one in files
        }

    def _patiently(self, act: Callable[[], Result]) -> Result:
        end, pause = time.monotonic() + self.patience_s, 0.2
        while True:
            try:
                return act()
            except FileNotFoundError:
                raise
            except (
                OSError
            ) as error:  # pyarrow has no other kind, and tells which one it was in words
                if any(word in str(error) for word in NEVER) or time.monotonic() > end:
                    raise StorageError(
                        f"{self.url} cannot be used from {socket.gethostname()}: {_short(error)}"
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, 5.0)


class Folder:
    """A folder, as far as hosts need one to see whether they share it. It is never made here: where it is not, it is not shared."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        (self.path / name).write_bytes(content)

    def delete(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)


def open_store(place: str) -> Bucket | Folder:
    return Bucket(place, FIRST_PATIENCE_S) if is_url(place) else Folder(place)


def _whole(url: str) -> str:
    """The address with what the environment says of the endpoint, so that it means the same on every host."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if parts.scheme != "s3" or not parts.netloc or parts.fragment:
        raise StorageError(f"{url}: a run is kept in a folder or at s3://BUCKET/PATH")
    if "@" in parts.netloc:
        raise StorageError(
            "s3://...@...: credentials do not belong into an address; AWS_ACCESS_KEY_ID and its kin, or ~/.aws, hold them"
        )
    if strange := [name for name in options if name not in OPTIONS]:
        raise StorageError(
            f"{url}: {strange[0]} is no option of an address; there are {', '.join(OPTIONS)}"
        )
    if any(part in (".", "..") for part in parts.path.split("/")):
        raise StorageError(f"{url}: should name its folder without . and ..")
    if (
        endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    ) and "endpoint_override" not in options:
        options["endpoint_override"] = endpoint
    if (
        region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    ) and "region" not in options:
        options["region"] = region
    path = "/" + "/".join(filter(None, parts.path.split("/")))
    return urlunsplit(
        parts._replace(path="" if path == "/" else path, query=urlencode(options, safe=":/"))
    )


def _short(error: OSError) -> str:
    """pyarrow's words from the point at which they tell something."""
    text = str(error)
    return (
        text[text.find("AWS Error") :].removeprefix("AWS Error ") if "AWS Error" in text else text
    )
