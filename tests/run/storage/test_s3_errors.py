"""Errors of an S3 store: the cause as far as it can be found, and what to check."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from cae.run.storage import Bucket, StorageError
from cae.run.storage.s3_errors import ADVICE, S3Error


class RefusingServer:
    """An S3 store that refuses requests with a code; HEAD requests have no body."""

    def __init__(self) -> None:
        self.code = ""
        self.status = 403
        self.allows_listing = False
        self.requests: list[str] = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def respond(self) -> None:
                owner.requests.append(f"{self.command} {self.path}")
                status = owner.status
                body = f"<Error><Code>{owner.code}</Code><Message>words</Message></Error>"
                if owner.allows_listing and "list-type" in self.path:
                    status = 200
                    body = "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
                if self.command == "HEAD":
                    body = ""
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_HEAD = do_PUT = respond

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def bucket(self) -> Bucket:
        endpoint = f"http://127.0.0.1:{self.server.server_port}"
        return Bucket(f"s3://bucket/run?endpoint_override={endpoint}&region=us-east-1", 600)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[RefusingServer]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    server = RefusingServer()
    yield server
    server.server.shutdown()
    server.server.server_close()


REFUSALS = {
    "ExpiredToken": (400, "the session token of the credentials has expired"),
    "InvalidToken": (400, "check AWS_SESSION_TOKEN"),
    "InvalidAccessKeyId": (403, "check AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": (403, "check AWS_SECRET_ACCESS_KEY"),
    "RequestTimeTooSkewed": (403, "the clock of this host"),
    "AccessDenied": (403, "needed are s3:ListBucket"),
    "AuthorizationHeaderMalformed": (400, "add \\?region=REGION"),
    "PermanentRedirect": (301, "add \\?region=REGION"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_the_cause_of_a_refusal_is_found_and_reported_without_retries(
    code: str, refusing: RefusingServer
) -> None:
    """A read begins with a HEAD request, whose answer does not contain the cause."""
    status, advice = REFUSALS[code]
    refusing.code = code
    refusing.status = status
    bucket = refusing.bucket
    with pytest.raises(StorageError, match=rf"cannot be used from .*: .*{advice}.* \(S3 error: "):
        bucket.read("sweep.json")
    assert refusing.requests[0].startswith("HEAD ")
    with pytest.raises(StorageError, match=advice):
        bucket.list("journal")


def test_a_refused_read_beside_an_allowed_listing_is_a_missing_permission(
    refusing: RefusingServer,
) -> None:
    refusing.code = "AccessDenied"
    refusing.allows_listing = True
    with pytest.raises(StorageError, match="the credentials need s3:GetObject"):
        refusing.bucket.read("sweep.json")


def test_an_error_that_may_pass_is_not_permanent() -> None:
    error = S3Error("When reading: AWS Error SLOW_DOWN during GetObject operation: reduce the rate")
    assert not error.is_permanent
    assert str(error) == "SLOW_DOWN during GetObject operation: reduce the rate"
    assert str(S3Error("curlCode: 7, Couldn't connect")) == "curlCode: 7, Couldn't connect"


def test_a_code_is_recognized_in_both_spellings() -> None:
    for code in ADVICE:
        unknown = f"AWS Error UNKNOWN (HTTP status 400) during X: ExceptionName: {code} Message: m"
        assert S3Error(unknown).code == code
    assert S3Error("AWS Error INVALID_ACCESS_KEY_ID during X: m").code == "InvalidAccessKeyId"
