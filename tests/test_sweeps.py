"""Every sweep file of the project: its plan, its docstring, and a run on the embedded images."""

from __future__ import annotations

import ast
import csv
import functools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cae.report.data.cells import to_cell
from cae.report.page import build as page
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.spec.plan import Plan, make_plan
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.datasets.splits import Images, Split, with_fingerprint
from tests.conftest import ROOT

SWEEPS = sorted((ROOT / "sweeps").glob("*.py"))
OWN_QUESTIONS = {
    "quickstart",
    "code_depths",
    "code_widths",
    "denoise_networks",
    "few_photos",
    "vae_beta",
}
"""Sweeps that reproduce no report."""
REPRODUCTIONS = [path for path in SWEEPS if path.stem not in OWN_QUESTIONS]
PUBLISHED = sorted((ROOT / "sweeps" / "published").glob("*.csv"))


FEW_IMAGES = {"dataset.train_images": 64, "dataset.val_images": 32, "dataset.test_images": 32}
"""Half of those of the smoke budget: a test shows that everything runs."""
MORE_IMAGES = {"anomaly_mnist": {"dataset.val_images": 64}}
"""Sweeps that need more: two validation images of each class."""
plans = pytest.mark.xdist_group("plans")
"""Tests that share the plans of one process: to plan 1,536 networks takes seconds."""


@functools.cache
def plan(name: str) -> Plan:
    """The plan of a sweep file without its images, which the sizes of networks do not depend on."""
    labels = np.repeat(np.arange(10), 20)  # what the detection of anomalies needs
    black = Split(np.zeros((len(labels), 1, 1, 1), np.uint8), labels)
    images: Images = with_fingerprint(black, black, black, ())
    return make_plan(read_sweep_file(ROOT / "sweeps" / f"{name}.py").sweep, lambda _: images)


def read_published(name: str) -> list[dict[str, str]]:
    with (ROOT / "sweeps" / "published" / f"{name}.csv").open() as lines:
        return list(csv.DictReader(lines))


def parameter_counts(name: str) -> list[int]:
    """Parameters of the planned networks.

    They include the running statistics of batch normalization, as in Keras's summaries.
    """
    counts: list[int] = []
    for planned in plan(name).trials:
        counts.append(planned.sizes.get("total_parameters", planned.sizes["parameters"]))
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_runs_from_end_to_end_on_embedded_images(
    path: Path, run_sweep: Callable[..., RunDir]
) -> None:
    settings = FEW_IMAGES | MORE_IMAGES.get(path.stem, {})
    run = run_sweep(path, budget="smoke", settings=settings)
    records = run.records().values()
    assert records
    sweep = run.read_sweep()
    for record in records:
        assert record.state in (TrialState.FINISHED, TrialState.STOPPED)
        assert record.is_dependency or record.best(sweep.metric, sweep.mode)
    html = page.build(run).read_text()
    assert read_sweep_file(path).title in html


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_docstring_states_what_is_varied_expected_and_the_duration(path: Path) -> None:
    description = ast.get_docstring(ast.parse(path.read_text())) or ""
    for label in ("Varied", "Expected", "Duration"):
        assert re.search(rf"^{label}\b.*:", description, re.MULTILINE), label


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_readme_lists_the_sweep(path: Path) -> None:
    assert path.name in (ROOT / "README.md").read_text()


@plans
def test_the_baseline_of_report_000_has_4911_parameters_and_1024_latent_values() -> None:
    (trial,) = plan("cifar_baseline").trials
    assert trial.sizes["parameters"] == 4_911
    assert trial.sizes["latent_values"] == 1_024


@plans
def test_the_grid_of_report_000_plans_every_point() -> None:
    grid = plan("cifar_grid")
    assert len(grid.trials) == 1_536
    assert grid.space_size == 1_536


@plans
def test_the_grid_of_report_000_contains_its_best_network_and_its_baseline() -> None:
    trials = plan("cifar_grid").trials
    best_axes = {
        "arch.padding": "same",
        "arch.kernel_size": 7,
        "arch.stride": 1,
        "arch.encoder_filters.1": 32,
        "arch.encoder_filters.2": 32,
        "arch.encoder_filters.3": 32,
        "arch.decoder_filters.1": 64,
    }
    baseline_axes = {
        "arch.padding": "same",
        "arch.kernel_size": 3,
        "arch.stride": 1,
        "arch.encoder_filters.1": 8,
        "arch.encoder_filters.2": 12,
        "arch.encoder_filters.3": 16,
        "arch.decoder_filters.1": 12,
    }
    (best,) = [trial for trial in trials if trial.axes == best_axes]
    assert best.sizes["parameters"] == 214_979
    assert best.sizes["latent_values"] == 2_048
    (baseline,) = [trial for trial in trials if trial.axes == baseline_axes]
    assert baseline.sizes["parameters"] == 4_911


@plans
def test_the_denoiser_of_report_004_has_7265_parameters_and_three_noise_factors() -> None:
    judge, *trials = plan("mnist_denoise").trials
    assert judge.is_dependency
    assert [trial.axes["task.noise_factor"] for trial in trials] == [0.5, 0.7, 0.9]
    assert {trial.sizes["parameters"] for trial in trials} == {7_265}
    assert {trial.trial.epochs for trial in trials} == {100}


@plans
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_numbers_have_all_columns_and_refer_to_planned_trials(path: Path) -> None:
    rows = read_published(path.stem)
    columns = [
        "report",
        "where",
        "quantity",
        "value",
        "unit",
        "definition",
        "provenance",
        "metric",
        "trials",
        "comment",
    ]
    margins = ["margin", "margin_reason"]
    allowed = (columns, [*columns, *margins], [*columns, *margins, "explanation"])
    assert list(rows[0]) in allowed
    trials = plan(path.stem).trials
    for row in rows:
        conditions: dict[str, str] = {}
        for condition in row["trials"].split(";"):
            name, equals, value = condition.partition("=")
            if equals:
                conditions[name] = value
        assert any(has_values(planned, conditions) for planned in trials), row


def has_values(planned: PlannedTrial, conditions: dict[str, str]) -> bool:
    """Whether the parameters of a trial have these values, written as in trials.csv."""
    parameters = planned.trial.flat()
    return all(str(to_cell(parameters.get(name))) == value for name, value in conditions.items())


@plans
def test_the_autoencoders_of_report_002_have_the_parameters_of_its_code() -> None:
    counts = {
        "L4F32": 1_369_345,
        "L4F32k2": 611_265,
        "L4F64": 5_466_625,
        "L4F16": 343_681,
        "L5F32": 5_503_233,
        "L5F16": 1_378_433,
        "L6F16": 5_512_321,
        "L4F32k4": 2_430_657,
        "L6F32": 22_028_545,
    }
    assert set(counts.values()) <= set(parameter_counts("mnist_grid"))


@plans
def test_the_grid_of_report_002_plans_the_published_rows_and_five_more_trials() -> None:
    published = set()
    for row in read_published("mnist_grid"):
        if row["metric"].startswith("last_") and row["trials"]:
            published.add(row["trials"])
    assert len(published) == 14
    assert len(plan("mnist_grid").trials) == 14 + 5


@plans
def test_the_classifiers_of_report_002_have_three_encoders_as_dependencies() -> None:
    published = set()
    for row in read_published("mnist_classifier"):
        if row["metric"] == "last_val_accuracy":
            published.add(row["trials"])
    assert len(published) == 15
    trials = plan("mnist_classifier").trials
    encoders = [planned for planned in trials if planned.is_dependency]
    assert len(encoders) == 3
    assert len(trials) - len(encoders) == 15 + 9 + 10 + 1


@plans
def test_the_inpainting_networks_of_report_001_have_the_parameters_of_its_code() -> None:
    assert {84_035, 84_931, 107_171, 107_875, 19_395, 13_731} <= set(
        parameter_counts("inpaint_center")
    )


@plans
def test_the_network_of_report_003_has_a_latent_code_of_64_values() -> None:
    stated = plan("fashion_halves").trials[0]
    assert stated.sizes["latent_values"] == 64
    assert stated.trial.seed == 0


@plans
def test_the_vae_of_report_004_has_the_parameters_of_the_keras_example() -> None:
    assert 134_165 in parameter_counts("mnist_vae")


@plans
def test_the_autoencoder_of_deep_svdd_has_32_latent_values_and_a_trial_per_class() -> None:
    trials = plan("anomaly_mnist").trials
    normal = [planned.axes["task.normal_classes"] for planned in trials]
    assert normal == [(number,) for number in range(10)]
    assert {planned.sizes["latent_values"] for planned in trials} == {32}
    assert {planned.trial.epochs for planned in trials} == {350}


@plans
@pytest.mark.parametrize("path", REPRODUCTIONS, ids=lambda path: path.stem)
def test_axes_have_the_provenance_of_their_values(path: Path) -> None:
    axes = plan(path.stem).axes
    if not axes:
        return
    provenances = set()
    for axis in axes.values():
        for _, provenance in axis.get("origins", []):
            provenances.add(provenance)
    assert "stated" in provenances
    assert provenances <= {"stated", "repo", "inferred"}
