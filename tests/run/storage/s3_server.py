"""A real S3 server in this process, which tests can stop and start."""

from __future__ import annotations

import functools
import logging
import urllib.request
from typing import Any


class S3Server:
    """An S3 server with a bucket named `bucket`. Its objects survive a stop."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer  # it has no type annotations

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server_class: Any = ThreadedMotoServer
        self._create = functools.partial(server_class, ip_address="127.0.0.1", verbose=False)
        self._server = self._create(port=0)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]
        self.endpoint = f"http://127.0.0.1:{self._port}"
        request = urllib.request.Request(f"{self.endpoint}/bucket", method="PUT")
        urllib.request.urlopen(request).read()

    def url(self, path: str) -> str:
        """The URL of a path in the bucket."""
        return f"s3://bucket/{path}?endpoint_override={self.endpoint}&region=us-east-1"

    def stop(self) -> None:
        """Stop the server."""
        self._server.stop()

    def start(self) -> None:
        """Start it again at the same port."""
        self._server = self._create(port=self._port)
        self._server.start()
