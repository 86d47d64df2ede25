"""Every sweep file that we ship: what it plans, and that it runs from end to end on the embedded
images."""

from __future__ import annotations

import ast
import csv
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cae.report.data.cells import to_cell
from cae.report.page import build as page
from cae.run.paths import RunDir
from cae.sweep.spec.plan import Plan, make_plan
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.datasets.splits import Images, Split, with_fingerprint
from tests.conftest import ROOT

SWEEPS = sorted((ROOT / "sweeps").glob("*.py"))


@functools.cache
def plan(name: str) -> Plan:
    """A plan without the images: the counts of networks need none."""
    empty = Split(np.zeros((1, 1, 1, 1), np.uint8), np.zeros(1, np.int64))
    nothing: Images = with_fingerprint(empty, empty, empty, ())
    return make_plan(read_sweep_file(ROOT / "sweeps" / f"{name}.py").sweep, lambda _: nothing)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_runs_from_end_to_end_on_embedded_images(
    path: Path, run_sweep: Callable[..., RunDir]
) -> None:
    run = run_sweep(path, budget="smoke")
    records = run.records()
    assert records
    assert {record.state for record in records.values()} <= {"finished", "stopped"}
    sweep = run.read_sweep()
    assert all(
        record.best(sweep.metric, sweep.mode)
        for record in records.values()
        if not record.is_dependency
    )
    html = page.build(run).read_text()
    assert read_sweep_file(path).title in html


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_says_in_its_docstring_what_is_asked_and_what_to_expect(path: Path) -> None:
    description = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert "Expect" in description
    assert path.name in (ROOT / "README.md").read_text()


def test_the_baseline_of_report_000_has_4911_parameters_and_1024_latent_values() -> None:
    (trial,) = plan("cifar_baseline").trials
    assert (trial.sizes["parameters"], trial.sizes["latent_values"]) == (4_911, 1_024)


def test_the_grid_of_report_000_is_whole_legal_and_holds_its_best_network() -> None:
    grid = plan("cifar_grid")
    assert len(grid.trials) == grid.space_size == 1_536
    best = {
        "arch.padding": "same",
        "arch.kernel_size": 7,
        "arch.stride": 1,
        "arch.encoder_filters.1": 32,
        "arch.encoder_filters.2": 32,
        "arch.encoder_filters.3": 32,
        "arch.decoder_filters.1": 64,
    }
    (published,) = (trial for trial in grid.trials if trial.axes == best)
    assert (published.sizes["parameters"], published.sizes["latent_values"]) == (214_979, 2_048)
    baseline = {
        "arch.padding": "same",
        "arch.kernel_size": 3,
        "arch.stride": 1,
        "arch.encoder_filters.1": 8,
        "arch.encoder_filters.2": 12,
        "arch.encoder_filters.3": 16,
        "arch.decoder_filters.1": 12,
    }
    assert [trial.sizes["parameters"] for trial in grid.trials if trial.axes == baseline] == [4_911]


def test_the_denoiser_of_report_004_has_7265_parameters_at_three_noises() -> None:
    judge, *trials = plan("mnist_denoise").trials
    assert judge.is_dependency
    assert [trial.axes["task.noise_factor"] for trial in trials] == [0.5, 0.7, 0.9]
    assert {trial.sizes["parameters"] for trial in trials} == {7_265}
    assert {trial.trial.epochs for trial in trials} == {100}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "sweeps" / "published").glob("*.csv")), ids=lambda path: path.stem
)
def test_published_numbers_have_the_columns_of_the_report_and_join_planned_trials(
    path: Path,
) -> None:
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == [
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
    trials = plan(path.stem).trials
    for row in rows:
        conditions = [
            condition.split("=") for condition in row["trials"].split(";") if "=" in condition
        ]
        assert any(
            all(_cell(trial.trial.flat().get(key)) == value for key, value in conditions)
            for trial in trials
        ), row


def _cell(value: object) -> str:
    return str(to_cell(value))


def _counts(name: str) -> list[int]:
    """Parameters with the running statistics of batch normalisation, as Keras's summaries count."""
    return [one.sizes.get("total_parameters", one.sizes["parameters"]) for one in plan(name).trials]


def test_the_autoencoders_of_report_002_have_the_parameters_of_its_code() -> None:
    table = {
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
    assert set(table.values()) <= set(_counts("mnist_grid"))


def test_the_grid_of_report_002_plans_the_published_rows_and_five_arms_of_ours() -> None:
    with (ROOT / "sweeps" / "published" / "mnist_grid.csv").open() as lines:
        published = {
            row["trials"]
            for row in csv.DictReader(lines)
            if row["metric"].startswith("last_") and row["trials"]
        }
    assert len(published) == 14
    assert len(plan("mnist_grid").trials) == 14 + 5


def test_the_classifiers_of_report_002_include_their_encoders() -> None:
    with (ROOT / "sweeps" / "published" / "mnist_classifier.csv").open() as lines:
        published = {
            row["trials"] for row in csv.DictReader(lines) if row["metric"] == "last_val_accuracy"
        }
    assert len(published) == 15
    trials = plan("mnist_classifier").trials
    assert sum(one.is_dependency for one in trials) == 3
    assert sum(not one.is_dependency for one in trials) == 15 + 9 + 10 + 1


def test_the_inpainting_networks_of_report_001_have_the_parameters_of_its_code() -> None:
    assert {84_035, 84_931, 107_171, 107_875, 19_395, 13_731} <= set(_counts("inpaint_center"))


def test_the_halves_network_of_report_003_has_a_code_of_64_values() -> None:
    stated = plan("fashion_halves").trials[0]
    assert (stated.sizes["latent_values"], stated.trial.seed) == (64, 0)


def test_the_vae_of_report_004_is_the_one_of_the_keras_example() -> None:
    assert 134_165 in _counts("mnist_vae")


@pytest.mark.parametrize(
    "path", [path for path in SWEEPS if path.stem != "quickstart"], ids=lambda path: path.stem
)
def test_says_of_the_values_of_its_axes_whether_the_report_states_them(path: Path) -> None:
    axes = plan(path.stem).axes
    if axes:
        said = [origin for axis in axes.values() for _, origin in axis.get("origins", [])]
        assert "stated" in said
        assert set(said) <= {"stated", "repo", "inferred"}
