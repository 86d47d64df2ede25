"""Loss and probe accuracy by latent size: planted values, and whether the best loss has the best
code."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page.figures.rate_distortion import draw_rate_distortion
from cae.report.page.sections.rate_distortion import rate_distortion_section
from cae.report.statistics.inference import MeanDifference
from cae.report.statistics.rate_distortion import CodeAnswer, rate_distortion
from cae.report.wording.latent_code import code_sentence, size_sentence
from tests.report.synthetic_runs import MakeWriter, RunWriter


@dataclass(frozen=True)
class Size:
    """A configuration: its latent size, and loss and probe accuracy of each seed."""

    values: int
    losses: list[float]
    accuracies: list[float | None]


def write_sizes(writer: MakeWriter, sizes: list[Size], **sweep: object) -> Results:
    axes = {"arch.latent_dim": {"values": [size.values for size in sizes], "scale": "linear"}}
    run = writer(axes=axes, **sweep)
    number = 0
    for size in sizes:
        for seed, (loss, accuracy) in enumerate(zip(size.losses, size.accuracies, strict=True)):
            number += 1
            metrics = {"test_loss": loss}
            if accuracy is not None:
                metrics["test_probe_accuracy"] = accuracy
                metrics["test_probe_accuracy_pca"] = 0.5 + size.values / 100
                metrics["test_probe_accuracy_random_encoder"] = 0.4
            add_trial(run, number, size.values, seed, loss, metrics)
    return tables.read([run.close()])


def add_trial(
    run: RunWriter, number: int, values: int, seed: int, loss: float, metrics: dict[str, float]
) -> None:
    sizes = {"parameters": 10, "latent_values": values, "latent_shape": [values], "megaflops": 1.0}
    run.add(
        "trial",
        trial=number,
        hash=f"{number:016x}",
        config={"dataset": "cifar10", "arch.latent_dim": values, "epochs": 1, "seed": seed},
        axes={"arch.latent_dim": values},
        sizes=sizes,
        is_audit=False,
        suggestion={},
    )
    run.start(number)
    run.epoch(number, 1, loss)
    run.end(number, "finished", best_epoch=1, metrics=metrics)


def test_the_best_trial_of_each_size_and_the_floors_are_read(writer: MakeWriter) -> None:
    results = write_sizes(
        writer, [Size(4, [0.3, 0.2], [0.7, 0.8]), Size(8, [0.1, 0.15], [0.9, 0.9])]
    )
    data = rate_distortion(results)
    best = data.trials[data.trials["is_best"]]
    assert dict(zip(best["size"], best["loss"], strict=True)) == {8: 0.1, 4: 0.2}
    assert data.sizes == [4, 8]
    pca = data.accuracy_floors["pca"]
    assert dict(zip(pca["size"], pca["value"], strict=True)) == pytest.approx({4: 0.54, 8: 0.58})
    assert set(data.accuracy_floors) == {"pca", "random_encoder"}
    assert data.loss_floors == {}
    assert list(data.configurations["loss"]) == pytest.approx([0.125, 0.25])


def test_the_loss_of_principal_components_is_a_floor_of_the_loss(writer: MakeWriter) -> None:
    run = writer(axes={"arch.latent_dim": {"values": [4, 8], "scale": "linear"}})
    add_trial(run, 1, 4, 0, 0.3, {"test_loss": 0.3, "test_loss_pca": 0.25})
    add_trial(run, 2, 8, 0, 0.2, {"test_loss": 0.2, "test_loss_pca": 0.1})
    add_trial(run, 3, 8, 1, 0.2, {"test_loss": 0.2})  # of an older version
    results = tables.read([run.close()])
    data = rate_distortion(results)
    assert data.loss == "test_loss"
    assert data.loss_floors["pca"].to_dict("list") == {"size": [4.0, 8.0], "value": [0.25, 0.1]}
    figure = draw_rate_distortion(data)
    (curve,) = [trace for trace in figure.data if trace.name == "PCA of the images"]
    assert list(curve.y) == [0.25, 0.1]
    section = rate_distortion_section(results)
    assert "test_loss_pca is the loss of the images restored" in section.method


def test_a_floor_of_rounding_errors_does_not_flatten_the_chart(writer: MakeWriter) -> None:
    run = writer(axes={"arch.latent_dim": {"values": [4, 8], "scale": "linear"}})
    add_trial(run, 1, 4, 0, 0.3, {"test_loss": 0.3, "test_loss_pca": 0.25})
    add_trial(run, 2, 8, 0, 0.2, {"test_loss": 0.2, "test_loss_pca": 1e-15})
    figure = draw_rate_distortion(rate_distortion(tables.read([run.close()])))
    (curve,) = [trace for trace in figure.data if trace.name == "PCA of the images"]
    assert list(curve.y) == [0.25]
    assert figure.layout.yaxis.type != "log"


def test_each_curve_is_once_in_the_legend(writer: MakeWriter) -> None:
    run = writer(axes={"arch.latent_dim": {"values": [4, 8], "scale": "linear"}})
    for number, values in enumerate((4, 8), start=1):
        metrics = {"test_loss": 0.3 / values, "test_loss_pca": 0.2 / values}
        metrics |= {"test_probe_accuracy": 0.9, "test_probe_accuracy_pca": 0.8}
        add_trial(run, number, values, 0, 0.3 / values, metrics)
    figure = draw_rate_distortion(rate_distortion(tables.read([run.close()])))
    drawn = [trace.name for trace in figure.data]
    shown = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert drawn.count("PCA of the images") == 2
    assert sorted(shown) == sorted(set(drawn))


ANSWERS = {
    "no: another code is better by far": (
        [
            Size(4, [0.3, 0.31, 0.3], [0.95, 0.951, 0.95]),
            Size(8, [0.1, 0.1, 0.1], [0.8, 0.801, 0.8]),
        ],
        CodeAnswer.NO,
    ),
    "yes: it is better than both others": (
        [
            Size(4, [0.3, 0.31, 0.3], [0.7, 0.701, 0.7]),
            Size(8, [0.1, 0.1, 0.1], [0.9, 0.901, 0.9]),
            Size(16, [0.2, 0.2, 0.2], [0.8, 0.801, 0.8]),
        ],
        CodeAnswer.YES,
    ),
    "undecided: the seeds differ more than the configurations": (
        [Size(4, [0.3, 0.3, 0.3], [0.7, 0.9, 0.8]), Size(8, [0.1, 0.1, 0.1], [0.9, 0.7, 0.79])],
        CodeAnswer.UNDECIDED,
    ),
    "one seed": ([Size(4, [0.3], [0.9]), Size(8, [0.1], [0.7])], CodeAnswer.ONE_SEED),
    "one seed of the other": (
        [Size(4, [0.3], [0.9]), Size(8, [0.1, 0.1], [0.7, 0.71])],
        CodeAnswer.ONE_SEED,
    ),
    "not measured": ([Size(4, [0.3], [None]), Size(8, [0.1], [0.7])], CodeAnswer.NOT_MEASURED),
    "not measured for all seeds": (
        [Size(4, [0.3, 0.3], [0.9, None]), Size(8, [0.1, 0.1], [0.7, 0.71])],
        CodeAnswer.NOT_MEASURED,
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_whether_the_lowest_loss_has_the_best_code(name: str, writer: MakeWriter) -> None:
    sizes, answer = ANSWERS[name]
    data = rate_distortion(write_sizes(writer, sizes))
    assert data.comparison.answer == answer
    if answer in (CodeAnswer.NO, CodeAnswer.YES, CodeAnswer.UNDECIDED):
        low, high = data.comparison.interval
        assert data.comparison.best_loss is not None
        assert data.comparison.best_loss.size == 8
        assert (low > 0) == (answer == CodeAnswer.NO)
        assert (high < 0) == (answer == CodeAnswer.YES)


def test_the_sentence_names_sizes_accuracies_and_the_interval(writer: MakeWriter) -> None:
    data = rate_distortion(write_sizes(writer, ANSWERS["no: another code is better by far"][0]))
    sentence = code_sentence(data)
    assert sentence.startswith("The lowest test_loss does not have the best code: ")
    assert "(latent size 4) is 0.9503" in sentence
    assert "(latent size 8) is 0.8003" in sentence
    low, high = data.comparison.interval
    assert f"difference {low:.3f} to {high:.3f}, 95 %)" in sentence
    assert size_sentence(data).startswith("Of 2 latent sizes, from 4 to 8 values, 8 has the lowest")


def test_with_one_seed_the_sentence_says_undecided(writer: MakeWriter) -> None:
    sentence = code_sentence(rate_distortion(write_sizes(writer, ANSWERS["one seed"][0])))
    assert "One seed: undecided." in sentence


def test_the_interval_is_wider_for_several_comparisons() -> None:
    difference = MeanDifference(
        first_mean=1.0,
        second_mean=0.0,
        first_count=3,
        second_count=3,
        is_paired=True,
        standard_error=0.1,
        degrees_of_freedom=2,
    )
    half_width = difference.interval()[1] - 1
    assert half_width == pytest.approx(0.1 * 4.30265, rel=1e-4)
    assert difference.interval(5)[1] - 1 == pytest.approx(0.1 * 9.92484, rel=1e-4)


def test_without_a_probe_the_loss_is_drawn_alone(writer: MakeWriter) -> None:
    results = write_sizes(writer, [Size(4, [0.3], [None]), Size(8, [0.1], [None])])
    content = rate_distortion_section(results)
    assert not content.is_empty
    assert "probe" not in content.verdict
    assert draw_rate_distortion(rate_distortion(results)).layout.meta["panels"] == 1


def test_without_a_test_loss_the_metric_of_the_sweep_is_the_loss(writer: MakeWriter) -> None:
    run = writer(metric="val_psnr", mode="max")
    run.session([1, 2])
    for number, values in ((1, 4), (2, 8)):
        add_trial(run, number, values, 0, 0.1 / number, {})
    data = rate_distortion(tables.read([run.close()]))
    assert (data.loss, data.mode) == ("val_psnr", "max")
    assert "8 has the highest val_psnr" in size_sentence(data)


def test_one_size_without_a_probe_is_left_out(writer: MakeWriter) -> None:
    results = write_sizes(writer, [Size(4, [0.3, 0.2], [None, None])])
    content = rate_distortion_section(results)
    assert content.is_empty
    assert content.is_left_out


def test_trials_that_did_not_finish_are_left_out(writer: MakeWriter) -> None:
    run = writer()
    run.session([1, 2])
    add_trial(run, 1, 4, 0, 0.1, {"test_loss": 0.1})
    run.trial(2, {"arch.latent_dim": 8})
    run.start(2)
    run.epoch(2, 1, 0.01)
    run.end(2, "stopped")
    data = rate_distortion(tables.read([run.close()]))
    assert data.sizes == [4]
    assert all(math.isfinite(loss) for loss in data.trials["loss"])


def test_a_configuration_with_a_diverged_seed_has_no_mean(writer: MakeWriter) -> None:
    """Regression: it was the mean of the seed that survived."""
    run = writer(seeds=2)
    run.session([1, 2, 3, 4])
    for number, seed in ((1, 0), (2, 1), (3, 0)):
        values = {1: 4, 2: 4, 3: 8}[number]
        metrics = {"test_loss": 0.1 * number, "test_probe_accuracy": 0.9}
        add_trial(run, number, values, seed, 0.1 * number, metrics)
    config = {"dataset": "cifar10", "arch.latent_dim": 8, "epochs": 1, "seed": 1}
    axes = {"arch.latent_dim": 8}
    run.add("trial", trial=4, hash=f"{4:016x}", config=config, axes=axes, sizes={}, suggestion={})
    run.start(4)
    run.end(4, "diverged")
    data = rate_distortion(tables.read([run.close()]))
    assert data.sizes == [4, 8]
    assert data.configurations["size"].tolist() == [4]
    assert data.comparison.answer == CodeAnswer.NOT_MEASURED
