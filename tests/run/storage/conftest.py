"""An S3 server for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.run.storage.s3_server import S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    os.environ |= {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
    s3_server = S3Server()
    yield s3_server
    s3_server.stop()


@pytest.fixture
def url(server: S3Server, request: pytest.FixtureRequest) -> str:
    """A URL in the bucket that no other test uses."""
    return server.url(request.node.name[:40])
