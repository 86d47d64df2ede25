"""How many trials can share a GPU, from measurements of a run or from a prediction."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cae.cli import gpu_text
from cae.run.events import TrialEnded
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.engine import session
from cae.sweep.places import devices
from cae.sweep.places.base import Resources
from cae.sweep.spec import gpu_need
from cae.sweep.spec.gpu_need import CUDA_BYTES, GpuNeed, measured_need, trials_per_gpu

GIB = 2**30
GPU = 80 * GIB


def record(number: int, **usage: Any) -> Record:
    """A trial that ended with this usage."""
    end = TrialEnded(trial=number, state=TrialState.FINISHED, reason="", **usage)
    return Record(number=number, hash=str(number), config={"epochs": 1}, axes={}, sizes={}, end=end)


def test_trials_on_a_cpu_are_no_measurement() -> None:
    assert measured_need([record(1, peak_host_bytes=GIB)]) is None
    unfinished = replace(record(2), end=None)
    assert measured_need([unfinished]) is None


def test_a_trial_that_is_extended_was_measured_before() -> None:
    measured = record(1, peak_gpu_process_bytes=GIB, peak_gpu_bytes=GIB)
    extended = replace(measured, end=None, earlier_end=measured.end)
    assert measured_need([extended]) == GpuNeed(1, GIB, None, 1)


def test_the_trial_with_the_most_memory_counts_and_the_mean_busy_time() -> None:
    records = [
        record(1, peak_gpu_bytes=2 * GIB, gpus_per_trial=1.0, gpu_busy=0.2),
        record(2, peak_gpu_bytes=5 * GIB, gpus_per_trial=0.5, gpu_busy=0.8),
        record(3, peak_gpu_bytes=GIB, gpus_per_trial=1.0),
    ]
    need = measured_need(records)
    assert need is not None
    assert need.busy == pytest.approx(0.3)
    assert replace(need, busy=None) == GpuNeed(2, 5 * GIB + CUDA_BYTES, None, 3)


def test_the_memory_of_the_process_counts_where_it_is_known() -> None:
    need = measured_need([record(1, peak_gpu_bytes=2 * GIB, peak_gpu_process_bytes=3 * GIB)])
    assert need == GpuNeed(1, 3 * GIB, None, 1)


@pytest.mark.parametrize(
    ("process_bytes", "busy", "expected"),
    [
        (GIB, None, 8),
        (10 * GIB, None, 4),
        (30 * GIB, None, 2),
        (60 * GIB, None, 1),
        (75 * GIB, None, 0),
        (GIB, 0.27, 2),
        (GIB, 0.25, 4),
        (GIB, 0.05, 8),
        (GIB, 1.0, 1),
        (GIB, 0.0, 8),
        (30 * GIB, 0.1, 2),
    ],
)
def test_trials_share_a_gpu_by_memory_and_busy_time(
    process_bytes: int, busy: float | None, expected: int
) -> None:
    assert trials_per_gpu(GpuNeed(1, process_bytes, busy, 1), GPU) == expected


def test_the_line_says_whether_it_is_measured_or_predicted() -> None:
    predicted = gpu_text.describe_need(GpuNeed(7, 2_100_000_000), GPU, 1.0)
    assert predicted == (
        "GPU memory: up to 2.1 GB for trial 7 (predicted) of 85.9 GB; how busy a trial keeps the "
        "GPU is not known before one has run; proposed: --gpus-per-trial 0.125, 8 trials per GPU"
    )
    measured = gpu_text.describe_need(GpuNeed(7, 2_100_000_000, 0.3, 12), GPU, 0.5)
    assert measured == (
        "GPU memory: up to 2.1 GB for trial 7 (measured, 12 trials) of 85.9 GB; a trial keeps the "
        "GPU busy 30 % of the time; --gpus-per-trial 0.5 is as proposed"
    )
    too_large = gpu_text.describe_need(GpuNeed(7, 2 * GPU), GPU, 1.0)
    assert too_large.endswith("more than the GPU has; smaller batches need less")
    unknown_gpu = gpu_text.describe_need(GpuNeed(7, 2_100_000_000), None, 1.0)
    assert "proposed" not in unknown_gpu


@pytest.fixture
def prepare(sweep_file: Callable[..., Path]) -> Callable[..., session.Prepared]:
    def prepare_sweep(**options: Any) -> session.Prepared:
        path = sweep_file(**options)
        selection = session.Selection(path, Path("run"), "full", {}, None, None)
        return session.prepare(selection)

    return prepare_sweep


ONE_GPU = Resources(cpus=4, gpus=1, cpus_per_trial=1, gpus_per_trial=1.0)
NO_GPU = replace(ONE_GPU, gpus=0, gpus_per_trial=0)


def test_a_plan_without_gpus_says_nothing_about_them(
    prepare: Callable[..., session.Prepared],
) -> None:
    assert gpu_text.gpu_line(prepare(), NO_GPU) == ""


def test_a_plan_predicts_in_a_process_of_its_own(
    prepare: Callable[..., session.Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "gpu_memory", lambda: GPU)
    prepared = prepare(space="{'batch_size': tune.grid_search([16, 32])}")
    line = gpu_text.gpu_line(prepared, ONE_GPU)
    assert "(predicted) of 85.9 GB" in line
    assert "proposed: --gpus-per-trial 0.125, 8 trials per GPU" in line


def test_measurements_of_the_run_take_the_place_of_the_prediction(
    prepare: Callable[..., session.Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "gpu_memory", lambda: GPU)
    usage = {"peak_gpu_bytes": 30 * GIB, "gpus_per_trial": 1.0, "gpu_busy": 0.1}
    prepared = replace(prepare(), records={1: record(1, **usage)})
    line = gpu_text.gpu_line(prepared, ONE_GPU)
    assert "(measured, 1 trial)" in line
    assert "proposed: --gpus-per-trial 0.5, 2 trials per GPU" in line


def test_a_larger_trial_that_was_not_measured_is_predicted(
    prepare: Callable[..., session.Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "gpu_memory", lambda: GPU)
    monkeypatch.setattr(gpu_need, "predicted_need", lambda *_: GpuNeed(2, 60 * GIB))
    prepared = prepare(space="{'batch_size': tune.grid_search([8, 64])}")
    small = record(1, peak_gpu_bytes=2 * GIB, gpus_per_trial=1.0, gpu_busy=0.1)
    line = gpu_text.gpu_line(replace(prepared, records={1: small}), ONE_GPU)
    assert "for trial 2 (predicted) of" in line
    assert "busy 10 % of the time; --gpus-per-trial 1 is as proposed" in line
    large = record(2, peak_gpu_bytes=3 * GIB, gpus_per_trial=1.0, gpu_busy=0.1)
    line = gpu_text.gpu_line(replace(prepared, records={1: small, 2: large}), ONE_GPU)
    assert "for trial 2 (measured, 2 trials)" in line


def test_a_candidate_of_a_search_is_no_trial() -> None:
    line = gpu_text.describe_need(GpuNeed(0, 2_100_000_000), GPU, 1.0)
    assert line.startswith("GPU memory: up to 2.1 GB for a candidate (predicted)")


def test_a_network_that_needs_values_has_no_prediction() -> None:
    invalid = gpu_need.PredictionInput({"arch": "none"}, {}, "uint8", (0, 255))
    code = cast(Any, SimpleNamespace(file_name=""))
    assert isinstance(gpu_need.predict_peaks([invalid], code, Path("x.py")), str)


def test_the_largest_trials_are_those_with_most_parameters_operations_and_images(
    prepare: Callable[..., session.Prepared],
) -> None:
    space = textwrap.dedent(
        """[
        {'batch_size': tune.grid_search([8, 64])},
        {'arch.encoder_filters': tune.grid_search([(64, 32), (32, 64)]), 'batch_size': 16},
        ]"""
    )
    plan = prepare(space=space).plan
    largest = gpu_need.largest_trials(plan)
    assert {trial.trial.batch_size for trial in largest} >= {16, 64}
    assert max(plan.trials, key=lambda trial: trial.sizes["parameters"]) in largest
