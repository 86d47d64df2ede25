"""Slots of a machine, and trials that request GPUs."""

from __future__ import annotations

import signal

import pytest
import torch

from cae.sweep.places.base import ResourceOptions, Resources
from cae.sweep.places.devices import choose_device
from cae.sweep.places.local import LocalPlace
from cae.sweep.places.ray_start import _keep_sigterm_handler
from cae.trial.config import ConfigError


@pytest.mark.parametrize(
    ("cpus", "gpus", "cpus_per_trial", "gpus_per_trial", "slots"),
    [
        (8, 0, 1, 0, 8),
        (8, 0, 3, 0, 2),
        (8, 2, 1, 1, 2),
        (8, 2, 1, 0.5, 4),
        (8, 2, 1, 0.4, 4),
        (8, 4, 1, 2, 2),
        (2, 4, 1, 0.5, 2),
        (2, 0, 0.5, 0, 4),
    ],
)
def test_slots_are_limited_by_cpus_and_gpus(
    cpus: int, gpus: int, cpus_per_trial: float, gpus_per_trial: float, slots: int
) -> None:
    assert Resources(cpus, gpus, cpus_per_trial, gpus_per_trial).slots == slots


def test_all_options_that_the_machine_cannot_meet_are_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        LocalPlace(ResourceOptions(100, 1.5, 10_000)).resources()
    assert [message.split(":")[0] for message in caught.value.messages] == [
        "--gpus 100",
        "--gpus-per-trial 1.5",
        "--cpus-per-trial 10000",
    ]


def test_a_trial_without_gpus_uses_the_cpu() -> None:
    assert choose_device(0) == (torch.device("cpu"), "cpu")


def test_the_sigterm_handler_is_restored_after_ray_started() -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _keep_sigterm_handler():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
