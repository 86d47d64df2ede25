"""Buckets: URLs, and errors of the store."""

from __future__ import annotations

import time

import pytest

from cae.run.storage import Bucket, StorageError, bucket_run, open_store, run_at
from cae.run.storage.store import Folder, join_location
from tests.run.storage.s3_server import S3Server


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://key:secret@bucket/run", "a URL must not contain credentials"),
        ("http://key:secret@bucket/run", "a URL must not contain credentials"),
        ("s3:///run", "should be a folder or s3://BUCKET/PATH"),
        ("http://bucket/run", "should be a folder or s3://BUCKET/PATH"),
        ("s3://bucket/run#part", "should be a folder or s3://BUCKET/PATH"),
        ("s3://bucket/run?secret_key=x", "unknown option secret_key; options: endpoint_override"),
        ("s3://bucket/../other", "the path should not contain . or .."),
    ],
)
def test_an_invalid_url_is_refused_and_no_secret_is_repeated(url: str, message: str) -> None:
    with pytest.raises(StorageError) as caught:
        run_at(url)
    assert message in str(caught.value)
    assert "key:secret" not in str(caught.value)


def test_a_url_gets_endpoint_and_region_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    options = "endpoint_override=http://127.0.0.1:9&region=eu-west-1"
    assert str(Bucket("s3://bucket//a/b/")) == f"s3://bucket/a/b?{options}"
    assert str(Bucket("s3://bucket?region=us-east-1")) == (
        "s3://bucket?region=us-east-1&endpoint_override=http://127.0.0.1:9"
    )


def test_a_name_is_joined_before_the_options_of_a_url() -> None:
    assert join_location("s3://bucket/run?region=a", "trials/0001") == (
        "s3://bucket/run/trials/0001?region=a"
    )
    assert join_location("/runs/run", "trials/0001") == "/runs/run/trials/0001"


def test_objects_are_written_read_copied_listed_and_deleted(url: str) -> None:
    bucket = Bucket(url)
    bucket.write("folder/a", b"content")
    bucket.copy("folder/a", "folder/b")
    sizes = {name: size for name, (size, _) in bucket.list("folder").items()}
    assert sizes == {"folder/a": 7, "folder/b": 7}
    bucket.delete("folder/a")
    bucket.delete("folder/a")
    assert bucket.read("folder/b") == b"content"
    with pytest.raises(FileNotFoundError):
        bucket.read("folder/a")


def test_a_missing_bucket_is_reported_without_retries(server: S3Server) -> None:
    bucket = Bucket(f"s3://nowhere/run?endpoint_override={server.endpoint}&region=us-east-1")
    started = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot be used from .*: NO_SUCH_BUCKET"):
        bucket.write("name", b"")
    assert time.monotonic() - started < 30


def test_a_server_that_does_not_respond_is_reported_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bucket_run, "FIRST_RETRY_SECONDS", 0.5)
    with pytest.raises(StorageError, match="cannot be used from"):
        run_at("s3://bucket/run?endpoint_override=http://127.0.0.1:9&region=us-east-1")


def test_a_missing_folder_is_not_created(tmp_path: object) -> None:
    store = open_store(f"{tmp_path}/absent")
    assert isinstance(store, Folder)
    with pytest.raises(FileNotFoundError):
        store.write("name", b"")
    store.delete("name")
