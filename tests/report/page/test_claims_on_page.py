"""Claims on the page and in verdicts.json."""

from __future__ import annotations

import json

from cae import BetterThan, NotTestable
from cae.report.page import build
from cae.run.verdicts import read_verdicts
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


def test_the_page_says_what_would_decide_a_claim_and_counts_numbers_apart(
    writer: MakeWriter,
) -> None:
    kernel = "arch.kernel_size"
    claim = BetterThan(id="C1", text="x", metric="val_loss", this={kernel: 3}, that={kernel: 5})
    loss = {"quantity": "loss", "value": "0.010", "metric": "val_loss", "trials": f"{kernel}=3"}
    size = {"quantity": "weights", "value": "5008", "metric": "parameters", "trials": f"{kernel}=3"}
    context = {"quantity": "context", "value": "1"}
    run = writer(claims=[claim.described()], overrides={}, published=[loss, size, context])
    run.session([1, 2, 3, 4])
    values = [(3, 0, 0.010), (3, 1, 0.013), (5, 0, 0.012), (5, 1, 0.0135)]
    for number, (size_of_kernel, seed, value) in enumerate(values, start=1):
        run.trial(number, {kernel: size_of_kernel}, seed=seed)
        run.start(number)
        run.epoch(number, 1, value)
        run.end(number, "finished", best_epoch=1)
    page = build.build(run.close())
    html = page.read_text()
    section = html[html.index('id="published"') :]
    before_folded, folded = section.split("1 size or setting, which do not depend on training")
    assert ">loss<" in before_folded
    assert ">weights<" in folded
    assert ">weights<" not in before_folded
    claims = html[html.index('id="claims"') :]
    assert "What would decide the others" in claims
    assert "--set space=none" in claims
    verdicts = read_verdicts(page.parent / "verdicts.json")
    assert verdicts.counts["numbers"] == {"inconclusive": 1}  # two seeds of 0.010 and 0.013
    assert verdicts.counts["sizes_and_settings"] == {"equal": 1}
    assert verdicts.counts["score"]["decided"] == 0
    (judged,) = verdicts.claims
    assert judged.need == "seeds"
    assert judged.more_seeds == judged.seeds_needed - 2
    assert judged.seconds_needed == 2 * judged.more_seeds * 12.5
    assert len(judged.commands) == 2
