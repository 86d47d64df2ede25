"""Reports compare trials only within their comparability groups."""

from __future__ import annotations

from typing import Any

import pytest

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page import build
from cae.report.page.figures.progress import progress_data
from cae.report.page.section import Scope
from cae.report.page.sections import all_sections
from cae.report.page.sections.reconstructions import reconstructions_section
from cae.report.page.sections.summary import SummaryContent, best_sentence, summary_section
from cae.report.statistics.best import compare_configurations
from tests.report.grouped_runs import (
    KERNEL,
    NOISE,
    GroupedTrial,
    denoised,
    random_trials,
    results_of,
    with_loss,
    write_trials,
)
from tests.report.synthetic_runs import MakeWriter

DENOISING = [
    denoised(0.3, 3, 0.10),
    denoised(0.3, 5, 0.12),
    denoised(0.9, 3, 0.30),
    denoised(0.9, 5, 0.20),
]
TIMES = ("hours",)
"""Columns of tables that depend on when the trials of other groups ran."""


def numbers_of(results: Results) -> list[int]:
    return [int(number) for number in results.ranked["trial"]]


def test_each_group_has_its_own_results(writer: MakeWriter) -> None:
    results = results_of(writer, *DENOISING)
    ranked = {group.label: numbers_of(group.results) for group in results.groups}
    assert ranked == {f"{NOISE} = 0.3": [1, 2], f"{NOISE} = 0.9": [4, 3]}
    assert results.group_differences == NOISE


def test_trials_csv_has_a_column_for_several_groups_only(writer: MakeWriter) -> None:
    assert list(results_of(writer, *DENOISING).trials["group"]) == [
        f"{NOISE} = 0.3",
        f"{NOISE} = 0.3",
        f"{NOISE} = 0.9",
        f"{NOISE} = 0.9",
    ]
    one = results_of(writer, *DENOISING[:2], name="one")
    assert "group" not in one.trials
    assert [group.label for group in one.groups] == [""]
    assert one.groups[0].results is one


def test_the_summary_has_an_answer_per_group(writer: MakeWriter) -> None:
    content = summary_section(results_of(writer, *DENOISING))
    assert isinstance(content, SummaryContent)
    assert content.verdict.startswith("The trials are in 2 groups that are not comparable")
    answers = content.group_answers
    assert list(answers) == [f"{NOISE} = 0.3", f"{NOISE} = 0.9"]
    assert answers[f"{NOISE} = 0.3"].startswith("Best is trial 1: val_loss 0.1")
    assert answers[f"{NOISE} = 0.9"].startswith("Best is trial 4: val_loss 0.2")
    assert "trial 4" not in answers[f"{NOISE} = 0.3"]


@pytest.mark.parametrize(("noises", "folded"), [((0.3, 0.9), 0), ((0.3, 0.5, 0.7, 0.9), 3)])
def test_of_more_than_two_groups_all_but_the_first_are_folded_to_their_answers(
    writer: MakeWriter, noises: tuple[float, ...], folded: int
) -> None:
    trials = [denoised(noise, kernel, noise * kernel) for noise in noises for kernel in (3, 5)]
    results = results_of(writer, *trials)
    best = next(section for section in all_sections() if section.id == "best")
    built = build.build_section(best, results)
    assert [part.label for part in built.parts if built.is_folded(part)] == [
        f"{NOISE} = {noise}" for noise in noises[1:][:folded]
    ]
    page = build.render(results, [built])
    assert page.count('<details class="group">') == folded
    for part in built.parts:
        assert part.content.verdict in page


def test_the_summary_states_once_what_is_equal_in_all_groups(writer: MakeWriter) -> None:
    falling = {3: (0.7, 0.6, 0.5, 0.4), 5: (0.6, 0.5, 0.4, 0.3), 7: (0.8, 0.7, 0.6, 0.5)}
    run = writer(axes={"arch.kernel_size": {"values": [3, 5, 7], "scale": "linear"}})
    run.session([1, 2, 3, 4, 5, 6])
    number = 0
    for noise in (0.3, 0.9):
        for kernel_size, losses in falling.items():
            number += 1
            config: dict[str, Any] = {"task": "denoise", NOISE: noise}
            run.trial(number, {"arch.kernel_size": kernel_size}, **config)
            run.start(number)
            for epoch, loss in enumerate(losses, start=1):
                run.epoch(number, epoch, loss * noise)
            run.end(number, "finished", best_epoch=4)
    content = summary_section(tables.read([run.close()]))
    assert isinstance(content, SummaryContent)
    (wrong,) = [line.text for line in content.lines if line.title == "What looks wrong"]
    assert wrong == (
        "In each of 2 groups: The best trials still improve: more epochs would likely help."
    )


def texts(content: Any) -> list[Any]:
    """What a section states, without times."""
    cells: list[Any] = []
    for table in content.tables:
        columns = [column.name for column in table.columns]
        kept = [index for index, name in enumerate(columns) if name not in TIMES]
        cells.append([[row[index].text for index in kept] for row in table.rows])
    return [content.verdict, content.method, dict(content.captions), content.is_empty, cells]


@pytest.mark.parametrize("seed", range(3))
def test_no_section_compares_trials_of_different_groups(writer: MakeWriter, seed: int) -> None:
    """The sections of a group are those of a run that has only the trials of this group."""
    trials = random_trials(seed, groups=3, trials_per_group=24)
    rungs = {"name": "asha", "rungs": [1, 3]}
    together = tables.read([write_trials(writer("together", scheduler=rungs), trials)])
    assert len(together.groups) == 3
    sections = [section for section in all_sections() if section.scope == Scope.GROUP]
    assert len(sections) > 8
    compared = 0
    for group in together.groups:
        own = {number: trials[number] for number in sorted(group.results.trials["trial"])}
        alone = tables.read([write_trials(writer(f"alone {group.label}", scheduler=rungs), own)])
        assert numbers_of(alone) == numbers_of(group.results)
        for section in sections:
            assert texts(section.build(group.results)) == texts(section.build(alone)), section.id
            compared += 1
        assert best_sentence(group.results) == best_sentence(alone)
    assert compared == 3 * len(sections)


def test_the_page_has_a_part_per_group(writer: MakeWriter) -> None:
    run = write_trials(writer(overrides={}), dict(enumerate(DENOISING, start=1)))
    html = build.build(run).read_text()
    assert html.count(f"{NOISE} = 0.9</h3>") > 5
    assert 'id="best-plot"' in html
    assert 'id="best-2-plot"' in html
    assert "cae-sweep best run --trial 1 -o best" in html
    assert "cae-sweep best run --trial 4 -o best" in html
    ids = [part.split('"')[0] for part in html.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_a_page_with_many_groups_shows_the_first_ones(writer: MakeWriter) -> None:
    trials = [denoised(0.01 * number, 3, 0.1) for number in range(1, 31)]
    results = results_of(writer, *trials)
    (section,) = [section for section in all_sections() if section.id == "best"]
    built = build.build_section(section, results)
    assert len(built.parts) == build.MAX_GROUPS
    assert f"The first {build.MAX_GROUPS} are shown" in built.introduction
    assert len(summary_section(results).group_answers) == 30  # type: ignore[attr-defined]


def test_dependencies_are_in_no_group_and_not_in_the_progress(writer: MakeWriter) -> None:
    """A judge has a loss of another task."""
    run = writer(overrides={})
    run.session([1, 2])
    run.add(
        "trial",
        trial=1,
        hash="judge",
        config={"task": "classify", "epochs": 1},
        axes={},
        sizes={"parameters": 1, "megaflops": 1.0},
        is_dependency=True,
    )
    run.trial(2, {KERNEL: 3}, task="denoise")
    for number, loss in ((1, 0.01), (2, 0.2)):
        run.start(number)
        run.epoch(number, 1, loss)
        run.end(number, "finished", best_epoch=1)
    results = tables.read([run.close()])
    (group,) = results.groups
    assert numbers_of(group.results) == [2]
    (section,) = [section for section in all_sections() if section.id == "progress"]
    (part,) = build.build_section(section, results).parts
    assert list(progress_data(group.results).trials["label"]) == ["trial 2"]
    assert part.content.verdict == "One trial so far, with val_loss 0.2000."


def test_the_best_trial_of_another_configuration_than_the_best_mean(writer: MakeWriter) -> None:
    """One answer: the configuration with the best mean; the lucky seed is named as such."""
    losses = {3: (0.05, 0.30, 0.31), 5: (0.10, 0.11, 0.12)}
    trials = [
        denoised(0.3, kernel, loss, seed=seed)
        for kernel, of_seeds in losses.items()
        for seed, loss in enumerate(of_seeds)
    ]
    results = results_of(writer, *trials, seeds=3)
    compared = compare_configurations(results).compared
    assert compared["label"].iloc[0] == "trial 4"
    assert numbers_of(results)[0] == 1
    sentence = best_sentence(results)
    assert sentence.startswith("Best is the configuration of trial 4: mean val_loss 0.1100")
    assert "The best single trial is trial 1 (0.05000)" in sentence
    assert "the mean of its configuration is 0.2200" in sentence
    assert "Best is trial 1" not in sentence


def test_joined_runs_are_compared_within_groups(writer: MakeWriter) -> None:
    runs = [
        write_trials(writer("easy", overrides={}), {1: denoised(0.3, 3, 0.1)}),
        write_trials(writer("hard", overrides={}), {1: denoised(0.9, 3, 0.3)}),
        write_trials(writer("hard_too", overrides={}), {1: denoised(0.9, 5, 0.2)}),
    ]
    results = tables.read(runs)
    ranked = {group.label: list(group.results.labels) for group in results.groups}
    assert ranked == {
        f"{NOISE} = 0.3": ["trial 1 of easy"],
        f"{NOISE} = 0.9": ["trial 1 of hard", "trial 1 of hard_too"],
    }
    (section,) = [section for section in all_sections() if section.id == "joined_runs"]
    parts = build.build_section(section, results).parts
    assert parts[1].content.verdict.startswith("hard_too has the lowest val_loss: 0.2000")


@pytest.mark.parametrize("limit", [2_000_000, 400_000])
def test_the_worst_reconstructions_are_the_worst_under_any_size_limit(
    writer: MakeWriter, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr("cae.report.page.sections.reconstructions.MAX_BYTES", limit)
    run = writer(overrides={})
    count = 16
    trials = {
        number: GroupedTrial({KERNEL: number}, (0.01 * number,)) for number in range(1, count + 1)
    }
    for number in trials:
        run.samples(number, 0.1, side=32, channels=3)
    results = tables.read([write_trials(run, trials)])
    strips = reconstructions_section(results).strips  # type: ignore[attr-defined]
    worst = [strip.label for strip in strips if strip.group == "worst"]
    best = [strip.label for strip in strips if strip.group == "best"]
    assert best[0] == "trial 1"
    assert worst[-1] == "trial 16"
    assert best == [f"trial {number}" for number in range(1, len(best) + 1)]
    assert set(worst) == {"trial 14", "trial 15", "trial 16"}
    if limit > 1_000_000:
        assert worst == ["trial 14", "trial 15", "trial 16"]
        assert len(best) == 10
    else:
        assert len(best) < 10


def test_groups_of_earlier_sweeps_are_shown(writer: MakeWriter) -> None:
    """A run only grows."""
    run = writer(overrides={})
    trials = {1: denoised(0.3, 3, 0.1), 2: with_loss("l1", 3, 0.2)}
    write_trials(run, trials)
    again = writer(overrides={})
    again.session([1])
    results = tables.read([again.close()])
    assert [numbers_of(group.results) for group in results.groups] == [[1], [2]]
    assert [bool(group.label) for group in results.groups] == [True, True]
