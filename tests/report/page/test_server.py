"""The local server: it serves one page to this machine and rebuilds it when a journal has grown."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from cae.errors import RunError
from cae.report.page.server import PageSource, start_server
from cae.run.paths import RunDir
from tests.report.page.pages import needs_chromium

Writer = Callable[..., Any]


class Response(NamedTuple):
    status: int
    content: bytes


@pytest.fixture
def running_sweep(writer: Writer) -> Any:
    """A sweep with one finished and one running trial."""
    sweep = writer()
    sweep.session([1, 2])
    for number in (1, 2):
        sweep.trial(number, {"arch.kernel_size": 2 * number + 1})
    sweep.start(1)
    sweep.epoch(1, 1, 0.5)
    sweep.end(1, "finished")
    sweep.start(2)
    return sweep


@pytest.fixture
def port(running_sweep: Any) -> Iterator[int]:
    """The port of a server whose clock stands still, so that it rebuilds without delay."""
    source = PageSource([running_sweep.run], None, clock=lambda: 0.0)
    with start_server(source) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def request(port: int, path: str, host: str = "127.0.0.1") -> Response:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": host})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return Response(response.status, content)


def test_the_served_page_is_the_file_with_its_version_and_a_connection(
    running_sweep: Any, port: int
) -> None:
    status, content = request(port, "/")
    assert status == 200
    version = request(port, "/version").content.decode()
    text = content.decode()
    for addition in ("; connect-src &#39;self&#39;", f' data-version="{version}"'):
        assert addition in text
        text = text.replace(addition, "", 1)
    assert text == running_sweep.run.report_html.read_text()


def test_other_hosts_and_paths_are_refused(port: int) -> None:
    assert request(port, "/", host="evil.example").status == 403
    for path in ("/../journal.jsonl", "/journal.jsonl", "/report.html"):
        assert request(port, path).status == 404


def test_the_page_is_rebuilt_only_if_the_journal_has_grown(running_sweep: Any, port: int) -> None:
    first = request(port, "/version")
    assert request(port, "/version") == first
    running_sweep.epoch(2, 1, 0.1)
    assert request(port, "/version") != first
    assert b"Best is trial 2" in request(port, "/").content


def test_a_run_that_cannot_be_read_for_a_while_is_reported(
    running_sweep: Any, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RunError("the bucket is unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(running_sweep.run, "refresh", fail)
        assert request(port, "/version") == (503, b"the bucket is unavailable")
    assert request(port, "/version").status == 200


def test_the_page_is_not_rebuilt_too_often(running_sweep: Any) -> None:
    now = 0.0
    source = PageSource([running_sweep.run], None, clock=lambda: now)
    version = source.newest().version
    source.next_build = 10.0
    running_sweep.epoch(2, 1, 0.1)
    assert source.newest().version == version
    now = 10.0
    assert source.newest().version != version


@needs_chromium
def test_an_open_page_reloads_itself_and_keeps_the_selection(
    running_sweep: Any, port: int, browser: Any
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/#sel=2&f=kernel_size%3E3")
    assert "Best is trial 1" in page.locator("#summary").inner_text()
    running_sweep.epoch(2, 1, 0.1)
    page.locator("#summary", has_text="Best is trial 2").wait_for(timeout=60_000)
    assert page.locator("#filter").input_value() == "kernel_size>3"
    assert page.locator("#trials-table tr.selected").count() == 1
    assert page.locator("#trials-table tbody tr:not([hidden])").count() == 1
    context.close()


def test_the_next_port_is_used_if_one_is_in_use(writer: Writer) -> None:
    run: RunDir = writer("empty").close()
    source = PageSource([run], None)
    with start_server(source) as first, start_server(source) as second:
        assert first.server_port < second.server_port
