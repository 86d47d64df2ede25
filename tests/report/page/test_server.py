"""The page that follows a run: served to this machine alone, built when something happened, and nothing chosen is lost."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cae.errors import RunError
from cae.report.page import server as watch
from cae.run.paths import RunDir
from tests.report.page.pages import needs_chromium

Writer = Callable[..., Any]


@pytest.fixture
def going(writer: Writer) -> Any:
    """A run that goes on: one trial has ended, one trains."""
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
def served(going: Any) -> Iterator[tuple[Any, int]]:
    with watch.server(
        watch.Page([going.run], None, clock=lambda: 0.0)
    ) as listening:  # building takes no time
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield going, listening.server_port
        listening.shutdown()
        thread.join()


def ask(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_the_page_is_served_to_this_machine_alone_and_is_the_file(served: tuple[Any, int]) -> None:
    sweep, port = served
    status, content = ask(port, "/")
    assert status == 200
    version = f' data-version="{ask(port, "/version")[1].decode()}"'
    allowed = "; connect-src &#39;self&#39;"
    assert allowed in content.decode()
    assert (
        content.decode().replace(allowed, "", 1).replace(version, "", 1)
        == sweep.run.report_html.read_text()
    )
    assert ask(port, "/", host="evil.example")[0] == 403
    assert [
        ask(port, path)[0] for path in ("/../journal.jsonl", "/journal.jsonl", "/report.html")
    ] == [404] * 3


def test_it_is_built_anew_when_the_journal_has_grown_and_only_then(served: tuple[Any, int]) -> None:
    sweep, port = served
    first = ask(port, "/version")
    assert ask(port, "/version") == first
    sweep.epoch(2, 1, 0.1)
    assert ask(port, "/version") != first
    assert b"Best is trial 2" in ask(port, "/")[1]


def test_a_run_that_cannot_be_read_for_a_while_is_told_and_comes_back(
    served: tuple[Any, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, port = served

    def away() -> None:
        raise RunError("the bucket is away")

    with monkeypatch.context() as patch:
        patch.setattr(sweep.run, "refresh", away)
        assert ask(port, "/version") == (503, b"the bucket is away")
    assert ask(port, "/version")[0] == 200


def test_building_takes_a_small_share_of_the_time(going: Any) -> None:
    now = [0.0]
    shown = watch.Page([going.run], None, clock=lambda: now[0]).newest()
    shown.rests_until = 10.0
    before = shown.version
    going.epoch(2, 1, 0.1)
    assert shown.newest().version == before
    now[0] = 10.0
    assert shown.newest().version != before


@needs_chromium
def test_an_open_page_loads_itself_anew_and_keeps_what_was_chosen(
    served: tuple[Any, int], browser: Any
) -> None:
    sweep, port = served
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/#sel=2&f=kernel_size%3E3")
    assert "Best is trial 1" in page.locator("#summary").inner_text()
    sweep.epoch(2, 1, 0.1)
    page.locator("#summary", has_text="Best is trial 2").wait_for(timeout=60_000)
    assert page.locator("#filter").input_value() == "kernel_size>3"
    assert page.locator("#trials-table tr.selected").count() == 1
    assert page.locator("#trials-table tbody tr:not([hidden])").count() == 1
    context.close()


def test_a_port_that_is_taken_is_passed_by(writer: Writer) -> None:
    run: RunDir = writer("empty").close()
    with (
        watch.server(watch.Page([run], None)) as first,
        watch.server(watch.Page([run], None)) as second,
    ):
        assert first.server_port < second.server_port
