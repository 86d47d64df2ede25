"""How a machine is cut into slots, and what becomes of trials that ask for GPUs."""

from __future__ import annotations

import signal

import pytest
import torch

from cae.sweep.places.devices import choose_device
from cae.sweep.places.local import Resources, local_resources, sigterm_kept
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
def test_slots_are_what_cpus_and_whole_gpus_allow(
    cpus: int, gpus: int, cpus_per_trial: float, gpus_per_trial: float, slots: int
) -> None:
    assert Resources(cpus, gpus, cpus_per_trial, gpus_per_trial).slots == slots


def test_every_option_that_the_machine_cannot_fulfil_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        local_resources(gpus=100, gpus_per_trial=1.5, cpus_per_trial=10_000)
    assert [message.split(":")[0] for message in caught.value.messages] == [
        "--gpus 100",
        "--gpus-per-trial 1.5",
        "--cpus-per-trial 10000",
    ]


def test_a_trial_that_asks_for_no_gpu_has_the_cpu() -> None:
    assert choose_device(0) == (torch.device("cpu"), "cpu")


def test_sigterm_is_ours_again_once_ray_has_started() -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with sigterm_kept():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
