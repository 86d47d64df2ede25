"""Metrics that are evaluated again on another kind of device may differ more."""

from __future__ import annotations

import pytest

from cae.errors import UserError
from cae.run.events import TrialStarted
from cae.run.records import Record
from cae.sweep.export import (
    TOLERANCE,
    TOLERANCE_ACROSS_DEVICES,
    _check_metrics,
    _was_trained_on_gpu,
)


def record_on(device: str) -> Record:
    record = Record(1, "abc", {"epochs": 1}, {}, {})
    record.starts.append(TrialStarted(trial=1, epoch=0, device=device))
    return record


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("", False),
        ("cpu", False),
        ("cpu (1 GPU was asked for, but torch finds none)", False),
        ("NVIDIA H100 80GB HBM3", True),
    ],
)
def test_the_device_of_a_record(device: str, expected: bool) -> None:
    assert _was_trained_on_gpu(record_on(device)) == expected


@pytest.mark.parametrize("tolerance", [TOLERANCE, TOLERANCE_ACROSS_DEVICES])
@pytest.mark.parametrize("expected", [0.5, 20.0])
def test_a_metric_may_differ_by_the_tolerance(tolerance: float, expected: float) -> None:
    record = record_on("cpu")
    allowed = tolerance * max(1.0, expected)
    _check_metrics(
        record, {"val_loss": expected + 0.9 * allowed}, {"val_loss": expected}, tolerance
    )
    with pytest.raises(UserError, match="val_loss"):
        _check_metrics(
            record, {"val_loss": expected + 1.1 * allowed}, {"val_loss": expected}, tolerance
        )


def test_a_metric_that_is_not_a_number_is_an_error() -> None:
    with pytest.raises(UserError):
        _check_metrics(record_on("cpu"), {"val_loss": float("nan")}, {"val_loss": 0.5}, TOLERANCE)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_metric_of_the_user_may_be_no_number_in_both(value: float) -> None:
    """Regression: "its weights give val_iou nan, but the journal contains nan"."""
    journal = {"val_loss": 0.5, "val_iou": value}
    _check_metrics(record_on("cpu"), {"val_loss": 0.5, "val_iou": value}, journal, TOLERANCE)
    with pytest.raises(UserError, match="val_iou"):
        _check_metrics(record_on("cpu"), {"val_iou": 0.5}, journal, TOLERANCE)


def test_a_metric_of_a_later_version_is_not_compared() -> None:
    """Regression: KeyError, for runs of versions without the metric."""
    _check_metrics(
        record_on("cpu"), {"val_loss": 0.5, "val_new": 1.0}, {"val_loss": 0.5}, TOLERANCE
    )
