"""Every sweep file that we ship: what it plans, and that it runs from end to end on the embedded images."""

from __future__ import annotations

import ast
import csv
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cae.report import page
from cae.rundir import RunDir
from cae.sweep.plan import Plan, make_plan
from cae.sweep.spec import read_sweep_file
from cae.trial.datasets import Images, Split
from cae.trial.splits import images as with_fingerprint
from tests.conftest import ROOT

SWEEPS = sorted((ROOT / "sweeps").glob("*.py"))


@functools.cache
def plan(name: str) -> Plan:
    """A plan without the images: the counts of networks need none."""
    empty = Split(np.zeros((1, 1, 1, 1), np.uint8), np.zeros(1, np.int64))
    nothing: Images = with_fingerprint(empty, empty, empty, ())
    return make_plan(read_sweep_file(ROOT / "sweeps" / f"{name}.py").sweep, lambda _: nothing)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_runs_from_end_to_end_on_embedded_images(path: Path, run_sweep: Callable[..., RunDir]) -> None:
    run = run_sweep(path, budget="smoke")
    records = run.records()
    assert records
    assert {record.state for record in records.values()} <= {"finished", "stopped"}
    assert all(record.best("val_loss", "min") for record in records.values())
    html = page.build(run).read_text()
    assert read_sweep_file(path).title in html


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_says_in_its_docstring_what_is_asked_and_what_to_expect(path: Path) -> None:
    description = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert "Expect" in description
    assert len(path.read_text().splitlines()) < 60
    assert path.name in (ROOT / "README.md").read_text()


def test_the_baseline_of_report_000_has_4911_parameters_and_1024_latent_values() -> None:
    (trial,) = plan("cifar_baseline").trials
    assert (trial.sizes["parameters"], trial.sizes["latent_values"]) == (4_911, 1_024)


def test_the_grid_of_report_000_is_whole_legal_and_holds_its_best_network() -> None:
    grid = plan("cifar_grid")
    assert len(grid.trials) == grid.space_size == 1_536
    best = {"arch.padding": "same", "arch.kernel_size": 7, "arch.stride": 1, "arch.encoder_filters.1": 32, "arch.encoder_filters.2": 32,
            "arch.encoder_filters.3": 32, "arch.decoder_filters.1": 64}  # fmt: skip
    (published,) = (trial for trial in grid.trials if trial.axes == best)
    assert (published.sizes["parameters"], published.sizes["latent_values"]) == (214_979, 2_048)
    baseline = {"arch.padding": "same", "arch.kernel_size": 3, "arch.stride": 1, "arch.encoder_filters.1": 8, "arch.encoder_filters.2": 12,
                "arch.encoder_filters.3": 16, "arch.decoder_filters.1": 12}  # fmt: skip
    assert [trial.sizes["parameters"] for trial in grid.trials if trial.axes == baseline] == [4_911]


def test_the_denoiser_of_report_004_has_7265_parameters_at_three_noises() -> None:
    trials = plan("mnist_denoise").trials
    assert [trial.axes["task.noise_factor"] for trial in trials] == [0.5, 0.7, 0.9]
    assert {trial.sizes["parameters"] for trial in trials} == {7_265}
    assert {trial.trial.epochs for trial in trials} == {100}


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps" / "published").glob("*.csv")), ids=lambda path: path.stem)
def test_published_numbers_have_the_columns_of_the_report_and_join_planned_trials(path: Path) -> None:
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["report", "where", "quantity", "value", "unit", "definition", "metric", "trials", "comment"]
    trials = plan(path.stem).trials
    for row in rows:
        conditions = [condition.split("=") for condition in row["trials"].split(";") if "=" in condition]
        assert any(all(str(trial.trial.flat()[key]) == value for key, value in conditions) for trial in trials), row
