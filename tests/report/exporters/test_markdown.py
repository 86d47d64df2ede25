"""Published numbers and claims of many runs in one file, which collects sections over many days."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.errors import UserError
from cae.report.exporters import markdown
from cae.report.exporters.markdown_header import OLD_RULE_NOTE, RULE
from cae.report.exporters.markdown_top import OWN_TITLE, TITLE
from cae.run.paths import RunDir
from tests.conftest import ROOT
from tests.report.synthetic_runs import MakeWriter

PUBLISHED = {
    "report": "000",
    "where": "Ex 1",
    "quantity": "best loss",
    "value": "0.020",
    "unit": "loss",
    "metric": "val_loss",
    "trials": "",
}
CLAIM = {
    "kind": "NotTestable",
    "id": "C1",
    "text": "It is <b>good</b> | bad.",
    "provenance": "stated",
    "reason": "nothing measures it",
}
MakeRun = Callable[..., RunDir]


@pytest.fixture
def make_finished_run(writer: Callable[..., Any]) -> MakeRun:
    """Make a run of one finished trial with a published number, a claim and a baseline."""

    def make(name: str, loss: float, **sweep: Any) -> RunDir:
        settings: dict[str, Any] = {
            "overrides": {},
            "published": [PUBLISHED],
            "claims": [CLAIM],
            "description": "",
        }
        run = writer(name, **settings | sweep)
        run.session([1])
        run.trial(1, {"arch.kernel_size": 3})
        run.start(1)
        run.epoch(1, 1, loss)
        metrics = {"test_loss": loss, "test_baseline_mean_image": 0.5}
        run.end(1, "finished", best_epoch=1, metrics=metrics)
        closed: RunDir = run.close()
        return closed

    return make


def test_a_section_contains_command_date_commit_hardware_numbers_and_claims(
    make_finished_run: MakeRun, tmp_path: Path
) -> None:
    text = markdown.write([make_finished_run("one", 0.0204)], tmp_path / "r.md").read_text()
    for part in (
        "cae-sweep run sweeps/cifar_grid.py --budget cpu",
        "2026-01-01",
        "abc1234",
        "cpu (2 x generic)",
        "torch 2.9.0",
        "| 000 | best loss | 0.020 loss | 0.02040 | 1 | reproduced | `one` |",
        "Every finished trial beats every baseline",
        "C1: It is &lt;b>good&lt;/b> \\| bad.",
        "**not testable**",
    ):
        assert part in text


def test_numbers_with_other_settings_are_only_in_their_section(
    make_finished_run: MakeRun, tmp_path: Path
) -> None:
    overrides = {"epochs": {"full": 10, "here": 1}}
    run = make_finished_run("few", 0.0204, overrides=overrides)
    top, section = markdown.write([run], tmp_path / "r.md").read_text().split("<!-- run ")
    assert "best loss" not in top
    assert "1 not comparable" in top
    assert "epochs 1 instead of 10" in section
    assert "| 0.020 loss | 0.02040 | 1 | not comparable |" in section


def test_sections_of_other_runs_are_kept(make_finished_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "r.md"
    one = make_finished_run("one", 0.02)
    two = make_finished_run("two", 0.5, published=[PUBLISHED | {"report": "-->"}])
    together = markdown.write([one, two], path).read_text()
    path.unlink()
    markdown.write([one], path)
    markdown.write([two], path)
    assert path.read_text() == together
    assert markdown.write([one], path).read_text() == together
    assert together.count("<!-- run ") == 2
    assert "one seed" in together


def test_files_of_earlier_versions_keep_their_sections(
    make_finished_run: MakeRun, tmp_path: Path
) -> None:
    path = markdown.write([make_finished_run("one", 0.02)], tmp_path / "r.md")
    text = path.read_text()
    path.write_text(text.replace(TITLE, markdown.OLD_TITLE, 1))
    assert markdown.write([], path).read_text() == text


def test_a_section_that_was_changed_by_hand_is_an_error(
    make_finished_run: MakeRun, tmp_path: Path
) -> None:
    path = markdown.write([make_finished_run("one", 0.02)], tmp_path / "r.md")
    path.write_text(path.read_text().replace("0.02000 (trial 1", "0.01000 (trial 1"))
    with pytest.raises(UserError, match="the section of one was changed by hand"):
        markdown.write([], path)


def test_docs_reproduction_is_unchanged_by_writing_it_again(tmp_path: Path) -> None:
    content = (ROOT / "docs" / "reproduction.md").read_bytes()
    copy = tmp_path / "r.md"
    copy.write_bytes(content)
    assert markdown.write([], copy).read_bytes() == content


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("# My notes\n", "was not written by this command"),
        (f"{TITLE}\n\n<!-- run {{1}} -->\n", "cannot be read"),
        (f"{TITLE}\n\n<!-- run {{}} -->\n", "cannot be read"),
    ],
)
def test_another_file_is_not_overwritten(
    text: str, rule: str, make_finished_run: MakeRun, tmp_path: Path
) -> None:
    path = tmp_path / "r.md"
    path.write_text(text)
    with pytest.raises(UserError, match=rule):
        markdown.write([make_finished_run("one", 0.02)], path)
    assert path.read_text() == text


def test_claims_of_a_sweep_without_a_report_have_no_provenance(
    make_finished_run: MakeRun, tmp_path: Path
) -> None:
    overrides = {"epochs": {"full": 30, "here": 8}}
    own = make_finished_run("own", 0.02, published=[], overrides=overrides)
    text = markdown.write([own], tmp_path / "r.md").read_text()
    assert "| claim | verdict |" in text
    assert "differ from the full sweep's**: epochs 8 instead of 30" in text
    assert "the report's**" not in text


def test_tested_claims_of_all_runs_have_q_values(
    writer: Callable[..., Any], tmp_path: Path
) -> None:
    runs: list[RunDir] = []
    for name in ("one", "two"):  # two tests of one claim
        claim = {
            "kind": "BetterThan",
            "id": "C1",
            "text": "Small kernels are better.",
            "metric": "val_loss",
            "this": {"arch.kernel_size": 3},
            "that": {"arch.kernel_size": 5},
        }
        run = writer(name, overrides={}, published=[], claims=[claim], description="")
        run.session([1, 2, 3, 4])
        for number, (kernel, seed) in enumerate([(3, 0), (3, 1), (5, 0), (5, 1)], start=1):
            run.trial(number, {"arch.kernel_size": kernel}, seed=seed)
            run.start(number)
            run.epoch(number, 1, kernel / 10 + seed / (1000 * kernel))
            run.end(number, "finished", best_epoch=1)
        runs.append(run.close())
    text = markdown.write(runs, tmp_path / "r.md").read_text()
    assert text.startswith(OWN_TITLE)
    assert "rate of 5 %: 2 of 2 tests of 1 claim (q" in text
    assert markdown.write([], tmp_path / "r.md").read_text() == text
    kept = markdown.write(runs[:1], tmp_path / "one.md").read_text()
    assert "1 of 1 test of 1 claim (q" in kept


def test_sizes_and_settings_have_a_table_of_their_own(
    writer: Callable[..., Any], tmp_path: Path
) -> None:
    size = PUBLISHED | {"quantity": "weights", "value": "5008", "metric": "parameters"}
    run = writer("own", overrides={}, published=[PUBLISHED, size], claims=[], description="")
    run.session([1])
    run.trial(1, {"arch.kernel_size": 3})
    run.start(1)
    run.epoch(1, 1, 0.0204)
    run.end(1, "finished", best_epoch=1)
    text = markdown.write([run.close()], tmp_path / "r.md").read_text()
    top, section = text.split("<!-- run ")
    assert "| 1 reproduced |" in top
    compared, folded = section.split("<details><summary>Sizes and settings</summary>")
    assert "best loss" in compared
    assert "weights" not in compared.split("-->\n")[1]
    assert "| weights | 5008 loss | 5,008 | 1 | equal |" in folded


def test_a_section_of_an_earlier_version_says_so(
    make_finished_run: MakeRun, tmp_path: Path
) -> None:
    path = markdown.write([make_finished_run("old", 0.0204)], tmp_path / "r.md")
    path.write_text(path.read_text().replace(f'"rule": "{RULE}"', '"rule": ""'))
    text = markdown.write([], path).read_text()
    assert text.count(OLD_RULE_NOTE) == 1
    assert "| reproduced (old rule) |" in text
    assert "1 reproduced (old rule, sizes included)" in text
    assert markdown.write([], path).read_text() == text
    new = markdown.write([make_finished_run("old", 0.0204)], path).read_text()
    assert OLD_RULE_NOTE not in new


def test_the_score_of_a_report_counts_each_claim_once(
    writer: Callable[..., Any], tmp_path: Path
) -> None:
    """The run with the report's settings counts, not the one with fewer epochs."""
    claim = {
        "kind": "BetterThan",
        "id": "C1",
        "text": "Small kernels are better.",
        "metric": "val_loss",
        "this": {"arch.kernel_size": 3},
        "that": {"arch.kernel_size": 5},
        "provenance": "stated",
    }
    runs: list[RunDir] = []
    for name, sign, overrides in (
        ("full", 1, {}),
        ("few", -1, {"epochs": {"full": 10, "here": 1}}),
    ):
        claims = [claim, CLAIM | {"id": "C2"}]
        run = writer(name, overrides=overrides, published=[PUBLISHED], claims=claims)
        run.session([1, 2, 3, 4])
        for number, (kernel, seed) in enumerate([(3, 0), (3, 1), (5, 0), (5, 1)], start=1):
            run.trial(number, {"arch.kernel_size": kernel}, seed=seed)
            run.start(number)
            run.epoch(number, 1, 1 + sign * kernel / 10 + seed / (1000 * kernel))
            run.end(number, "finished", best_epoch=1)
        runs.append(run.close())
    text = markdown.write(runs, tmp_path / "r.md").read_text()
    assert "| 000 | 2 | 1 | 1 | 0 | 50 % |" in text
    # The claim in the other run, and the published number in this one.
    assert text.count("Unexplained.") == 2


def test_an_archived_run_names_its_file(make_finished_run: MakeRun, tmp_path: Path) -> None:
    run = make_finished_run("one", 0.0204)
    path = tmp_path / "r.md"
    text = markdown.write([run], path, {run.location(): "one.tar.xz"}).read_text()
    assert "| `one.tar.xz` |" in text


def test_all_commands_of_a_run_are_in_its_section(
    writer: Callable[..., Any], tmp_path: Path
) -> None:
    commands = ["cae-sweep run a.py", "cae-sweep run a.py --set space=none --set seed=2"]
    run = writer("two", overrides={}, published=[], claims=[], command=commands[0])
    for command in [*commands, commands[0]]:
        run.add("session", trials=[1], command=command)
    text = markdown.write([run.close()], tmp_path / "r.md").read_text()
    assert "\n".join(["```sh", *commands, "```"]) in text
    assert "| `two` | `cae-sweep run a.py` and 1 more command (below) |" in text


def test_a_best_trial_that_did_not_finish_is_marked(writer: MakeWriter, tmp_path: Path) -> None:
    run = writer("some", published=[], claims=[])
    run.session([1, 2])
    for number, loss, state in ((1, 0.01, "killed"), (2, 0.02, "finished")):
        run.trial(number, {"arch.kernel_size": 2 * number + 1})
        run.start(number)
        run.epoch(number, 1, loss)
        run.end(number, state, best_epoch=1)
    text = markdown.write([run.close()], tmp_path / "r.md").read_text()
    assert "Best val_loss: 0.01000 (trial 1, epoch 1, killed after 1 epoch)." in text


def test_formulas_and_commands_are_shown_as_they_are(writer: MakeWriter, tmp_path: Path) -> None:
    """Regression: 0.8*mse + 0.2*ssim was printed in italics, and brackets in commands escaped."""
    command = "cae-sweep run x.py --where 'a=[1, 2]'"
    run = writer("some", title="Loss 0.8*mse + 0.2*ssim", command=command, claims=[])
    for more in (command, f"{command} --slots 1"):
        run.add("session", trials=[1], command=more)
    text = markdown.write([run.close()], tmp_path / "r.md").read_text()
    assert "## some: Loss 0.8\\*mse + 0.2\\*ssim" in text
    assert f"`{command}` and 1 more command (below)" in text
