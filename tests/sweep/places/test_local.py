"""Slots of a machine, and trials that request GPUs."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
import torch

from cae.sweep.places import devices
from cae.sweep.places.base import Available, ResourceOptions, Resources, allocate_gpus
from cae.sweep.places.devices import GpuProbe, Probe, UnusableGpu, choose_device
from cae.sweep.places.local import LocalPlace
from cae.sweep.places.ray_start import _keep_sigterm_handler
from cae.trial.messages import ConfigError


@pytest.mark.parametrize(
    ("cpus", "gpus", "cpus_per_trial", "gpus_per_trial", "slots"),
    [
        (8, 0, 1, 0, 8),
        (8, 0, 3, 0, 2),
        (8, 2, 1, 1, 2),
        (8, 2, 1, 0.5, 4),
        (8, 2, 1, 0.4, 4),
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


@pytest.fixture
def two_gpus_by_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver lists two GPUs; CUDA is not available."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old\nmore text")

    monkeypatch.setattr(torch.cuda, "init", init)


@pytest.mark.usefixtures("two_gpus_by_nvml")
@pytest.mark.parametrize("gpus", [None, 1, 2])
def test_gpus_that_torch_cannot_use_are_an_error(gpus: int | None) -> None:
    with pytest.raises(ConfigError) as caught:
        LocalPlace(ResourceOptions(gpus)).check_options()
    (message,) = caught.value.messages
    assert "The NVIDIA driver on your system is too old" in message
    assert "more text" not in message
    assert "--gpus 0" in message


@pytest.mark.usefixtures("two_gpus_by_nvml")
def test_a_run_without_gpus_does_not_need_them() -> None:
    assert LocalPlace(ResourceOptions(0)).resources().gpus_per_trial == 0


@pytest.mark.usefixtures("two_gpus_by_nvml")
def test_a_worker_never_replaces_its_gpu_by_the_cpu() -> None:
    with pytest.raises(UnusableGpu, match="driver on your system is too old"):
        choose_device(1)


def test_a_trial_uses_one_gpu() -> None:
    available = Available(4, "there are 4", 8, "there are 8")
    for per_trial in (2, 1.5):
        with pytest.raises(ConfigError) as caught:
            allocate_gpus(ResourceOptions(4, per_trial), available)
        assert [message.split(":")[0] for message in caught.value.messages] == [
            f"--gpus-per-trial {per_trial:g}"
        ]
    assert allocate_gpus(ResourceOptions(4, 0.25), available) == (4, 0.25)


@pytest.mark.parametrize(
    ("resources", "share"),
    [
        (Resources(2, 4, cpus_per_trial=1, gpus_per_trial=1), 0.5),
        (Resources(2, 4, cpus_per_trial=1, gpus_per_trial=0.5), 0.25),
        (Resources(8, 4, cpus_per_trial=3, gpus_per_trial=1), 2),
    ],
)
def test_idle_gpus_are_reported_with_a_number_of_cpus_that_uses_them(
    resources: Resources, share: float
) -> None:
    assert f"--cpus-per-trial {share:g} " in resources.idle_gpus_hint()
    remedied = replace(resources, cpus_per_trial=share)
    assert remedied.slots == resources.gpus * resources.trials_per_gpu
    assert remedied.idle_gpus_hint() == ""


def test_no_gpu_is_idle_without_gpus_or_with_enough_cpus() -> None:
    assert Resources(2, 0, 1, 0).idle_gpus_hint() == ""
    assert Resources(8, 4, 1, 1).idle_gpus_hint() == ""


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="this machine has a GPU")
def test_a_machine_without_gpus_has_nothing_to_probe() -> None:
    assert GpuProbe().result() == Probe()


def test_the_reason_of_a_failed_probe_is_that_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "raise RuntimeError('CUDA error: no kernel image is available\\nmore text')"
    monkeypatch.setattr(devices, "PROBE", program)
    assert GpuProbe().result().problem == "CUDA error: no kernel image is available"
    monkeypatch.setattr(devices, "PROBE", "import os; os._exit(3)")
    assert GpuProbe().result().problem


def test_the_sigterm_handler_is_restored_after_ray_started() -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _keep_sigterm_handler():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
