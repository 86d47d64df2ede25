"""What each section shows: numbers, groups and images of runs with a known result."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page import build
from cae.report.page.images import Pixels, reduce
from cae.report.page.section import SectionContent
from cae.report.page.sections import all_sections, reconstructions
from cae.report.page.sections.baselines import compare_with_baselines
from cae.report.page.sections.best import BestContent
from cae.report.page.sections.early_stopping import EarlyStoppingContent
from cae.report.page.sections.failures import FailuresContent
from cae.report.page.sections.galleries import GalleriesContent, galleries_section
from cae.report.page.sections.joined_runs import shared_trials, summarize
from cae.report.page.sections.summary import SummaryContent
from cae.report.page.summary_lines import NOTHING_WRONG, SummaryLine
from cae.report.statistics.parameter_effects import kruskal_wallis
from cae.run.trial_state import TrialState
from tests.report.page.conftest import ReadResults
from tests.report.planted_runs import configurations_with_seeds, grid
from tests.report.stopped_runs import PlantedTrial, planted
from tests.report.synthetic_runs import MakeWriter

Content = TypeVar("Content", bound=SectionContent)


def content_of(id: str, results: Results) -> SectionContent:
    """Compute the content of a section."""
    for section in all_sections():
        if section.id == id:
            return section.build(results)
    raise KeyError(id)


def content_as(content_type: type[Content], id: str, results: Results) -> Content:
    """Compute the content of a section that adds fields."""
    content = content_of(id, results)
    assert isinstance(content, content_type)
    return content


# Summary and best


def test_the_summary_counts_every_trial_once(shape: str, read_results: ReadResults) -> None:
    results = read_results(shape)
    content = content_as(SummaryContent, "summary", results)
    assert content.trials == len(results.trials) == sum(content.states.values())


def test_the_summary_refers_to_sections(shape: str, read_results: ReadResults) -> None:
    ids = {section.id for section in all_sections()}
    assert set(content_as(SummaryContent, "summary", read_results(shape)).answers) <= ids


def test_the_summary_has_at_most_five_lines(shape: str, read_results: ReadResults) -> None:
    content = content_as(SummaryContent, "summary", read_results(shape))
    ids = {section.id for section in all_sections()}
    assert content.verdict
    assert len(content.lines) <= 4
    for line in content.lines:
        assert line.text or line.commands
        assert len(line.commands) <= 2
        assert not line.section or line.section in ids


def summary_line(results: Results, title: str) -> SummaryLine:
    """The line of the summary with a title."""
    lines = content_as(SummaryContent, "summary", results).lines
    (line,) = [line for line in lines if line.title == title]
    return line


def test_the_summary_answers_five_questions(read_results: ReadResults) -> None:
    results = read_results("thirty")
    content = content_as(SummaryContent, "summary", results)
    assert content.verdict.startswith("Best is trial ")
    assert [line.title for line in content.lines] == [
        "Certainty",
        "What matters",
        "What looks wrong",
        "What to do next",
    ]
    assert "all ran with one seed" in summary_line(results, "Certainty").text
    wrong = summary_line(results, "What looks wrong")
    assert "failed: " in wrong.text
    assert "Slots were unused for " in wrong.text
    assert wrong.section == "failures"
    seeds = summary_line(results, "What to do next").commands[0]
    assert seeds.command.startswith(
        "cae-sweep run sweeps/cifar_grid.py --budget cpu --set seeds=3 --where "
    )


def test_the_summary_of_a_clear_result_exports_it(writer: MakeWriter) -> None:
    results = configurations_with_seeds(writer, [0.01, 0.02], 3, 0.0001)
    assert "is significantly better" in summary_line(results, "Certainty").text
    assert summary_line(results, "What looks wrong").text == NOTHING_WRONG
    (export,) = summary_line(results, "What to do next").commands
    assert export.command.endswith("-o best")


def test_the_summary_of_an_interrupted_sweep_resumes_it(read_results: ReadResults) -> None:
    """The session of this run has not ended, and no process holds its lock."""
    results = read_results("running")
    resume = summary_line(results, "What to do next").commands[0]
    assert resume.command == results.sweep.command


def test_the_summary_of_a_best_trial_at_an_edge_names_the_parameter(writer: MakeWriter) -> None:
    results = configurations_with_seeds(writer, [0.03, 0.02, 0.01], 1, 0.0)
    wrong = summary_line(results, "What looks wrong")
    assert "at the edge of what was tried: arch.kernel_size." in wrong.text
    assert wrong.section == "next_steps"
    assert (
        summary_line(results, "What to do next")
        .commands[1]
        .finding.startswith("The best arch.kernel_size")
    )


def test_the_export_command_has_the_name_of_the_run_and_no_path(read_results: ReadResults) -> None:
    content = content_as(BestContent, "best", read_results("thirty"))
    assert content.export_command == "cae-sweep best thirty --metric val_loss --mode min -o best"


def test_the_export_command_names_the_file_of_own_components(
    read_results: ReadResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = read_results("thirty")
    best = results.ranked["trial"].iloc[0]
    monkeypatch.setattr(results.runs[0].records[best], "code", "f9f7dfd9")
    content = content_as(BestContent, "best", results)
    assert content.export_command.endswith(f" --sweep {results.runs[0].sweep.file} -o best")
    assert results.runs[0].sweep.file.endswith(".py")


def test_configurations_are_shown_if_they_have_several_seeds(writer: MakeWriter) -> None:
    one_seed = configurations_with_seeds(writer, [0.01, 0.02], 1, 0.0)
    assert content_as(BestContent, "best", one_seed).configurations is None
    seeds = configurations_with_seeds(lambda **sweep: writer("seeds", **sweep), [0.01, 0.02], 3, 0)
    table = content_as(BestContent, "best", seeds).configurations
    assert table is not None
    assert len(table.rows) == 2


def test_a_configuration_that_is_not_compared_has_the_reason(writer: MakeWriter) -> None:
    kernels = {1: 3, 2: 3, 3: 5, 4: 5}
    run = writer(seeds=2)
    run.session(list(kernels))
    for number, kernel_size in kernels.items():
        run.trial(number, {"arch.kernel_size": kernel_size}, seed=number % 2)
        run.start(number)
        if number == 1:
            run.epoch(number, 1, math.nan)
            run.end(number, "diverged")
        else:
            run.epoch(number, 1, 0.01 * number)
            run.end(number, "finished")
    table = content_as(BestContent, "best", tables.read([run.close()])).configurations
    assert table is not None
    index = [column.name for column in table.columns].index("left out")
    assert [row[index].text for row in table.rows] == ["", "1 of 2 seeds finished"]


# Parameters and their importance


@pytest.mark.parametrize(
    ("losses", "verb"), [([0.1, 0.12, 0.15], "rises"), ([0.15, 0.12, 0.1], "falls")]
)
def test_a_trend_is_named_if_every_step_has_the_same_direction(
    writer: MakeWriter, losses: list[float], verb: str
) -> None:
    verdict = content_of("parameters", _one_parameter(writer, losses)).verdict
    assert verdict.startswith(f"val_loss {verb} with task.noise at every step, from ")


def test_no_trend_is_named_if_the_direction_changes(writer: MakeWriter) -> None:
    verdict = content_of("parameters", _one_parameter(writer, [0.1, 0.15, 0.12])).verdict
    assert verdict.startswith("No single parameter")


def _one_parameter(writer: MakeWriter, losses: list[float]) -> Results:
    noise_levels = [0.5, 0.7, 0.9]
    sweep = writer(axes={"task.noise": {"values": noise_levels, "scale": "linear"}})
    sweep.session([1, 2, 3])
    for number, (noise, loss) in enumerate(zip(noise_levels, losses, strict=True), 1):
        sweep.trial(number, {"task.noise": noise})
        sweep.start(number)
        sweep.epoch(number, 1, loss)
        sweep.end(number, "finished", best_epoch=1)
    return tables.read([sweep.close()])


def test_a_parameter_without_effect_is_not_significant() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=200)
    assert kruskal_wallis(pd.Series(random.choice(["a", "b"], 200)), values) > 0.05
    settings = pd.Series(np.where(values > 0, "a", "b"), dtype=object)
    assert kruskal_wallis(settings, values) < 1e-6


def test_additive_effects_have_no_interaction_chart(writer: MakeWriter) -> None:
    random = np.random.default_rng(0)

    def value(kernel_size: int, filters: int, _idle: int) -> float:
        return kernel_size + filters / 32 + 0.1 * float(random.normal())

    content = content_of("importance", grid(writer, value))
    assert set(content.captions) == {"importance", "marginals"}
    assert "arch.kernel_size matters most; also significant: arch.filters" in content.verdict


def test_an_interaction_has_a_chart(writer: MakeWriter) -> None:
    def value(kernel_size: int, filters: int, idle: int) -> float:
        return float((kernel_size == 3) == (filters == 8)) + 0.01 * idle + 1

    assert "interaction" in content_of("importance", grid(writer, value)).captions


def test_importance_is_not_shown_if_the_forest_predicts_nothing(writer: MakeWriter) -> None:
    random = np.random.default_rng(0)
    noise = grid(writer, lambda *_: 1 + float(random.normal()) ** 2)
    assert "importance" not in content_of("importance", noise).captions


def test_importance_at_the_first_stop_includes_stopped_trials(
    writer: MakeWriter,
) -> None:
    """Kernel size and stride decide together which trials are stopped; few of them finish."""
    sweep = writer()
    settings = list(itertools.product([3, 5, 7], [1, 2], range(6)))
    sweep.session(list(range(1, len(settings) + 1)))
    for number, (kernel_size, stride, idle) in enumerate(settings, 1):
        axes = {"arch.kernel_size": kernel_size, "arch.stride": stride, "arch.idle": idle}
        sweep.trial(number, axes)
        sweep.start(number)
        is_good = kernel_size == 3 and stride == 1
        value = 1 + 0.01 * idle - 0.5 * is_good
        sweep.epoch(number, 1, value)
        if is_good:
            sweep.epoch(number, 2, value)
            sweep.end(number, "finished")
        else:
            sweep.end(number, "stopped", reason="above", rung=1, value=value, cutoff=0.6)
    content = content_of("importance", tables.read([sweep.close()]))
    assert content.verdict.startswith("Importance is not shown: ")
    assert "interaction" in content.captions
    assert "arch.kernel_size" in content.captions["interaction"]
    assert "arch.stride" in content.captions["interaction"]


# Early stopping and the Pareto front


def test_rungs_count_trials_that_entered_and_were_stopped(read_results: ReadResults) -> None:
    results = read_results("thirty")
    rungs = content_as(EarlyStoppingContent, "early_stopping", results).rungs
    assert rungs is not None
    stopped = results.trials[results.trials["state"] == TrialState.STOPPED]
    for row in rungs.rows:
        rung = int(row[0].text)
        entered = (results.epochs["epoch"] == rung).sum()
        assert row[1].text == str(entered)
        assert row[2].text == str((stopped["rung"] == rung).sum())
    assert [row[0].text for row in rungs.rows] == ["1", "3"]


def test_trials_that_their_patience_ended_are_not_analyzed_as_rungs(writer: MakeWriter) -> None:
    trials = [PlantedTrial(3, [0.5, 0.4, 0.3, 0.2])]
    trials += [PlantedTrial(5, [0.5, 0.5], stopped_by="patience")] * 2
    trials += [PlantedTrial(7, [9.0], stopped_by="worst_value")]
    rules: dict[str, Any] = {"scheduler": None, "patience": 1, "worst_value": 2.0}
    results = planted(writer, trials, **rules)
    content = content_as(EarlyStoppingContent, "early_stopping", results)
    assert content.rungs is None
    assert content.captions == {}
    assert content.stopped is not None
    assert len(content.stopped.rows) == 3
    assert "ASHA" not in content.verdict
    assert content.verdict.startswith("2 trials were stopped by patience")
    assert "1 trial was stopped because val_loss was worse than worst_value." in content.verdict
    nothing_stopped = planted(writer, trials[:1], "nothing", **rules)
    verdict = content_of("early_stopping", nothing_stopped).verdict
    assert verdict == "No trial has been stopped early so far."


def test_the_smallest_network_close_to_the_best_is_named(writer: MakeWriter) -> None:
    results = configurations_with_seeds(writer, [0.0101, 0.020, 0.010, 0.030], 1, 0.0)
    verdict = content_of("pareto", results).verdict
    assert "The smallest network within 5\u00a0% of the best is trial 1" in verdict


# Worker utilization


def test_worker_utilization_is_stated_as_a_share(writer: MakeWriter) -> None:
    """Two trials of 23.5 s, one after the other, in two slots."""
    run = writer()
    run.session([1, 2])
    run.trial(1, {})
    run.trial(2, {})
    for number, state in ((1, "finished"), (2, "failed")):
        run.add("start", 10, trial=number, epoch=0, host="a", device="cpu", worker=1)
        run.epoch(number, 1, 0.1)
        run.end(number, state)
    verdict = content_of("worker_utilization", tables.read([run.close()])).verdict
    assert "trained for 27\u00a0% of 47 s" in verdict


def test_the_usage_of_each_device_is_shown(writer: MakeWriter) -> None:
    run = writer()
    run.session([1, 2, 3, 4])
    usages: dict[int, dict[str, float]] = {
        1: {"peak_host_bytes": 2_500_000_000, "peak_gpu_bytes": 1_250_000_000, "gpu_busy": 0.2},
        2: {"peak_host_bytes": 1_500_000_000, "peak_gpu_bytes": 3_000_000_000, "gpu_busy": 0.5},
        3: {"peak_host_bytes": 700_000_000},
        4: {},
    }
    for number, usage in usages.items():
        device = "H100"
        if number > 2:
            device = "cpu"
        run.trial(number, {})
        run.add("start", 10, trial=number, epoch=0, host="a", device=device, worker=1)
        run.epoch(number, 1, 0.1)
        run.add("end", 1, trial=number, state="finished", reason="", **usage)
    results = tables.read([run.close()])
    assert results.trials["peak_host_bytes"].tolist()[:3] == [2.5e9, 1.5e9, 0.7e9]
    assert results.trials["gpu_busy"].tolist()[:2] == [0.2, 0.5]
    table = content_of("worker_utilization", results).tables[1]
    texts = [[cell.text for cell in row] for row in table.rows]
    assert texts == [
        ["H100", "2", "2.50 GB", "3.00 GB", "35 %"],
        ["cpu", "1", "0.70 GB", "not measured", "not measured"],
    ]


# Failures


def test_errors_that_differ_in_numbers_are_one_group(read_results: ReadResults) -> None:
    content = content_as(FailuresContent, "failures", read_results("all_failed"))
    (group,) = content.groups
    assert (group.state, group.count) == (TrialState.FAILED, 3)
    assert group.message == "RuntimeError: shape mismatch at layer 1"
    assert group.numbers_by_epoch == {0: ["1", "2", "3"]}
    assert group.trials == "before the end of the first epoch: trials 1, 2, 3"
    assert group.traceback.startswith("Traceback (most recent call last)")


def test_every_failed_trial_is_in_a_group(shape: str, read_results: ReadResults) -> None:
    results = read_results(shape)
    states = [TrialState.FAILED, TrialState.OUT_OF_MEMORY, TrialState.DIVERGED, TrialState.KILLED]
    content = content_as(FailuresContent, "failures", results)
    count = int(results.trials["state"].isin(states).sum())
    assert sum(group.count for group in content.groups) == count


# Baselines and provenance


def test_a_network_that_does_not_beat_the_baselines_is_named(writer: MakeWriter) -> None:
    results = _with_baselines(writer, test_losses=[0.1, 0.3], mean_image_loss=0.2)
    comparison = compare_with_baselines(results)
    assert comparison is not None
    assert comparison.is_better.tolist() == [True, False]
    assert list(comparison.baselines) == ["mean image"]
    warning = summary_line(results, "What looks wrong")
    assert "1 trial of 2 does not beat the best baseline (trial 2)" in warning.text
    assert warning.section == "baselines"


def test_the_summary_does_not_mention_baselines_that_all_networks_beat(writer: MakeWriter) -> None:
    results = _with_baselines(writer, test_losses=[0.1, 0.15], mean_image_loss=0.2)
    assert "baseline (" not in summary_line(results, "What looks wrong").text
    assert content_of("baselines", results).verdict.startswith("Every finished trial beats")


def _with_baselines(
    writer: MakeWriter, test_losses: list[float], mean_image_loss: float
) -> Results:
    sweep = writer()
    sweep.session(list(range(1, len(test_losses) + 1)))
    for number, loss in enumerate(test_losses, 1):
        sweep.trial(number, {"arch.kernel_size": number})
        sweep.start(number)
        sweep.epoch(number, 1, loss)
        metrics = {"test_loss": loss, "test_baseline_mean_image": mean_image_loss}
        sweep.end(number, "finished", best_epoch=1, metrics=metrics)
    return tables.read([sweep.close()])


def test_values_are_counted_by_provenance(writer: MakeWriter) -> None:
    origins = [[3, "stated"], [5, "inferred"]]
    axis = {"values": [3, 5], "scale": "linear", "origins": origins}
    sweep = writer(axes={"arch.kernel_size": axis})
    sweep.session([1])
    sweep.trial(1, {"arch.kernel_size": 3})
    content = content_of("provenance", tables.read([sweep.close()]))
    assert content.verdict.startswith(
        "Of 2 values on 1 axis: 1 stated by the report and 1 inferred."
    )
    assert [cell.text for cell in content.tables[0].rows[0]] == ["arch.kernel_size", "3", "", "5"]


# Joined runs


@pytest.fixture
def joined_runs(writer: MakeWriter) -> Results:
    """Two runs with two trials in common, one of which has another value."""
    folders = []
    for name, difference in (("a", 0.0), ("b", 0.001)):
        sweep = writer(name)
        sweep.session([1, 2])
        for number in (1, 2):
            sweep.trial(number, {"arch.kernel_size": number})
            sweep.start(number)
            sweep.epoch(number, 1, 0.01 * number + difference * (number - 1))
            sweep.end(number, "finished")
        folders.append(sweep.close())
    return tables.read(folders)


def test_trials_of_joined_runs_are_matched_by_hash(joined_runs: Results) -> None:
    shared = shared_trials(joined_runs)
    assert shared["trial"].tolist() == ["trial 1 of a", "trial 2 of a"]
    assert shared["difference"].tolist() == pytest.approx([0, 0.001])
    assert "2 trials ran in several runs" in content_of("joined_runs", joined_runs).verdict


def test_joined_runs_are_summarized(joined_runs: Results) -> None:
    summary = summarize(joined_runs, "b")
    assert (summary.trials, summary.finished) == (2, 2)
    assert (summary.best, summary.best_trial) == (0.01, "trial 1")


def test_a_single_run_is_not_compared(read_results: ReadResults) -> None:
    assert content_of("joined_runs", read_results("one")).is_empty


# Images


def save_samples(path: Path, input: Pixels, target: Pixels, output: Pixels) -> Path:
    np.savez(path, input=input, target=target, output=output, epoch=np.array(1))
    return path


def test_the_sheet_contains_the_pixels_unchanged(writer: MakeWriter) -> None:
    sweep = writer()
    sweep.samples(1, 0.1, side=16, channels=3)
    samples = reconstructions.load_samples(sweep.run.trial(1) / "samples.npz")
    assert samples is not None
    error = reconstructions.error_images(samples.target, samples.output)
    image = reconstructions.compose_sheet([samples.input, samples.output, error], 16, 16)
    sheet = np.asarray(image)
    assert image.mode == "RGBA"
    assert sheet.shape == (3 * 17 - 1, 8 * 17 - 1, 4)
    for column in range(8):
        pixels = sheet[17:33, column * 17 : column * 17 + 16, :3]
        assert (pixels == samples.output[column].transpose(1, 2, 0)).all()
    assert Image.fromarray(sheet).mode == "RGBA"


def test_samples_after_fewer_epochs_are_marked(read_results: ReadResults) -> None:
    results = read_results("thirty")
    content = content_as(reconstructions.ReconstructionsContent, "reconstructions", results)
    states = results.trials["state"]
    marked = {strip.trial_index: "after" in strip.value for strip in content.strips}
    expected = {index: states[index] != TrialState.FINISHED for index in marked}
    assert marked == expected
    assert set(expected.values()) == {True, False}


def test_equal_inputs_and_targets_share_a_row(writer: MakeWriter) -> None:
    sweep = writer()
    sweep.samples(1, 0.1)
    sheet = reconstructions.make_sheet(sweep.run.trial(1) / "samples.npz")
    assert sheet is not None
    assert sheet.row_names == ["input and target", "output", "4 x |error|"]


def test_inputs_may_be_smaller_than_targets(tmp_path: Path) -> None:
    inputs = np.ones((5, 1, 8, 8), np.uint8)
    target = np.zeros((5, 3, 32, 32), np.uint8)
    path = save_samples(tmp_path / "samples.npz", input=inputs, target=target, output=target)
    sheet = reconstructions.make_sheet(path)
    assert sheet is not None
    assert sheet.row_names[:3] == ["input", "target", "output"]
    assert (sheet.columns, sheet.width) == (5, 5 * 33 - 1)


def test_large_images_are_reduced_by_a_whole_factor(tmp_path: Path) -> None:
    images = np.zeros((2, 1, 150, 130), np.uint8)
    path = save_samples(tmp_path / "samples.npz", input=images, target=images, output=images)
    sheet = reconstructions.make_sheet(path)
    assert sheet is not None
    assert (sheet.reduction_factor, sheet.width, sheet.height) == (3, 2 * 45 - 1, 3 * 51 - 1)


def test_reduced_pixels_are_means_and_edges_are_repeated() -> None:
    image = np.array([[[[0, 10, 20]]]], dtype=np.uint8)
    assert reduce(image, 2).tolist() == [[[[5, 20]]]]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY"])
def test_damaged_samples_are_left_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "samples.npz").write_bytes(content)
    assert reconstructions.make_sheet(tmp_path / "samples.npz") is None


def test_samples_that_need_unpickling_are_left_out(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    path = tmp_path / "samples.npz"
    np.savez(path, input=objects, target=objects, output=objects)
    assert reconstructions.make_sheet(path) is None


def test_galleries_of_tasks_are_shown_and_damaged_ones_left_out(writer: MakeWriter) -> None:
    sweep = writer()
    sweep.session([1, 2])
    for number in (1, 2):
        sweep.trial(number, {})
        sweep.start(number)
        sweep.epoch(number, 1, 0.1 * number)
        sweep.end(number, "finished", best_epoch=1, metrics={"test_loss": 0.1})
        sweep.run.trial(number).mkdir(parents=True, exist_ok=True)
    np.savez(
        sweep.run.trial(1) / "galleries.npz",
        names=np.array(["wrong"]),
        images_0=np.full((2, 1, 6, 6), 9, dtype=np.uint8),
        captions_0=np.array(["<b>7</b>, is 1", "4, is 9"]),
    )
    (sweep.run.trial(2) / "galleries.npz").write_bytes(b"PK damaged")
    html = build.build(sweep.close()).read_text()
    assert "trial 1: wrong" in html
    assert "trial 2: wrong" not in html
    assert "&lt;b&gt;7&lt;/b&gt;, is 1" in html
    assert html.count('<ul class="gallery">') == 1


def test_the_number_of_galleries_leaves_out_trials_whose_worst_images_are_not_shown(
    writer: MakeWriter,
) -> None:
    sweep = writer()
    numbers = range(1, 7)
    sweep.session(list(numbers))
    for number in numbers:
        sweep.trial(number, {})
        sweep.start(number)
        sweep.epoch(number, 1, 0.1 * number)
        sweep.end(number, "finished", best_epoch=1, metrics={"test_loss": 0.1})
        sweep.run.trial(number).mkdir(parents=True, exist_ok=True)
        np.savez(
            sweep.run.trial(number) / "galleries.npz",
            names=np.array(["worst"]),
            images_0=np.full((1, 1, 6, 6), 9, dtype=np.uint8),
            captions_0=np.array([""]),
        )
    content = galleries_section(tables.read([sweep.close()]))
    assert isinstance(content, GalleriesContent)
    assert [gallery.label for gallery in content.galleries] == ["trial 1"]
    assert content.verdict.startswith("1 trial has images")


# Agreement with the command line


def test_the_summary_agrees_with_status(make_run: Callable[[str], Any]) -> None:
    from cae.run.status import run_status

    run = make_run("thirty")
    build.build(run)
    progress = run_status(run).progress
    verdicts = json.loads(run.verdicts_json.read_text())["sections"]
    states = tables.read([run]).trials["state"].value_counts().to_dict()
    assert progress.counts == states
    assert progress.best is not None
    assert verdicts["summary"].startswith(f"Best is trial {progress.best.trial}: val_loss")
    assert not math.isnan(progress.best.value)
