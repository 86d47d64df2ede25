"""Claims on the page and in verdicts.json."""

from __future__ import annotations

import json

from cae import NotTestable
from cae.report.page import build
from tests.report.synthetic_runs import MakeWriter


def test_html_in_a_claim_is_text_on_the_page(writer: MakeWriter, evil: str) -> None:
    run = writer(claims=[NotTestable(id="C10", text=evil, reason=evil).described()])
    run.session([])
    html = build.build(run.close()).read_text()
    assert "<img src=x" not in html
    assert "Claims" in html
    assert '<span class="verdict verdict-not-testable">not testable</span>' in html
    verdicts = json.loads((run.run.path / "verdicts.json").read_text())
    assert [row["verdict"] for row in verdicts["claims"]] == ["not testable"]
