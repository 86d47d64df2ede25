"""What a trial uses of its host, with a simulated NVML."""

from __future__ import annotations

import itertools
import os
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cae.sweep.engine import ray_compat, usage
from cae.sweep.engine.usage import GpuSampler, UsageMonitor
from cae.sweep.engine.worker_report import TrialUsage

UUID = "GPU-11111111-2222"
DEADLINE_SECONDS = 60


class NvmlError(Exception):
    """As pynvml.NVMLError."""


class SimulatedNvml:
    """The functions of pynvml that are used, for one GPU."""

    NVMLError = NvmlError

    def __init__(self, percent: list[int], processes: dict[int, int | None]) -> None:
        """`percent`: what each sample returns, again and again. `processes`: bytes by pid."""
        self._percent = itertools.cycle(percent)
        self._processes = processes
        self.samples = 0
        self.problem = ""

    def nvmlInit(self) -> None:
        if self.problem:
            raise NvmlError(self.problem)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        assert uuid == UUID
        return "handle"

    def nvmlDeviceGetUtilizationRates(self, device: str) -> SimpleNamespace:
        assert device == "handle"
        self.samples += 1
        return SimpleNamespace(gpu=next(self._percent), memory=1)

    def nvmlDeviceGetComputeRunningProcesses(self, device: str) -> list[SimpleNamespace]:
        assert device == "handle"
        return [
            SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self._processes.items()
        ]


def wait_for(sampler: GpuSampler, nvml: SimulatedNvml, samples: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while nvml.samples < samples:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    sampler.stop()


def sampled(nvml: SimulatedNvml, samples: int) -> GpuSampler:
    sampler = GpuSampler(nvml, UUID, seconds=0.002)
    wait_for(sampler, nvml, samples)
    return sampler


def test_busy_is_the_mean_of_the_samples() -> None:
    nvml = SimulatedNvml([30], {os.getpid(): 700, os.getpid() + 1: 900})
    sampler = sampled(nvml, 8)
    busy, unknown = sampler.busy()
    assert busy == pytest.approx(0.3)
    assert unknown == ""
    assert sampler.peak_process_bytes() == 700


def test_an_idle_gpu_is_busy_for_0_and_not_unknown() -> None:
    assert sampled(SimulatedNvml([0], {}), 8).busy() == (0.0, "")


@pytest.mark.parametrize("processes", [{}, {1: 500}, {os.getpid(): None}])
def test_memory_of_a_process_that_nvml_does_not_list_is_unknown(
    processes: dict[int, int | None],
) -> None:
    assert sampled(SimulatedNvml([10], processes), 5).peak_process_bytes() is None


def test_without_nvml_the_share_is_unknown_with_the_reason() -> None:
    nvml = SimulatedNvml([10], {})
    nvml.problem = "Driver Not Loaded"
    sampler = GpuSampler(nvml, UUID, seconds=0.002)
    sampler.stop()
    assert sampler.busy() == (None, "NVML: Driver Not Loaded")
    assert sampler.peak_process_bytes() is None


def test_a_trial_with_few_samples_has_no_share() -> None:
    sampler = GpuSampler(SimulatedNvml([10], {}), UUID, seconds=100)
    sampler.stop()
    assert sampler.busy() == (None, "the trial was too short for 4 samples")


def test_each_trial_is_measured_for_itself() -> None:
    nvml = SimulatedNvml([50], {os.getpid(): 700})
    sampler = sampled(nvml, 8)
    sampler.restart()
    assert sampler.busy()[0] is None
    assert sampler.peak_process_bytes() is None


def test_the_usage_is_described_in_words_and_unknown_is_not_zero() -> None:
    on_cpu = TrialUsage(peak_host_bytes=810_000_000)
    assert usage.describe_usage(on_cpu) == "memory of the worker: 0.81 GB at most; no GPU"
    assert usage.describe_usage(TrialUsage()).startswith("memory of the worker: unknown")
    on_gpu = TrialUsage(
        peak_gpu_bytes=2_500_000_000, peak_gpu_allocated_bytes=2_100_000_000, gpu_busy=0.314
    )
    assert usage.describe_usage(on_gpu).endswith(
        "of the GPU 2.10 GB, 2.50 GB reserved; the GPU was busy 31 % of the time"
    )
    without_nvml = TrialUsage(peak_gpu_bytes=1, gpu_busy_unknown="NVML: Not Supported")
    assert usage.describe_usage(without_nvml).endswith("is unknown: NVML: Not Supported")


@pytest.fixture
def simulated_gpu(monkeypatch: pytest.MonkeyPatch) -> SimulatedNvml:
    """torch.cuda with one GPU, as far as a UsageMonitor uses it."""
    nvml = SimulatedNvml([80], {os.getpid(): 3_000})
    properties = SimpleNamespace(uuid=UUID.removeprefix("GPU-"), total_memory=80_000)
    monkeypatch.setattr(ray_compat, "nvml", lambda: nvml)
    monkeypatch.setattr(usage, "SAMPLE_SECONDS", 0.002)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 2_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 1_500)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    return nvml


def test_a_trial_on_a_gpu_reports_memory_and_share(simulated_gpu: SimulatedNvml) -> None:
    monitor = UsageMonitor(torch.device("cuda"), 0.25)
    monitor.start_trial()
    sampler: Any = monitor._sampler
    wait_for(sampler, simulated_gpu, simulated_gpu.samples + 6)
    used = monitor.usage()
    assert used.gpus_per_trial == 0.25
    assert used.gpu_bytes == 80_000
    assert used.peak_gpu_bytes == 2_000
    assert used.peak_gpu_allocated_bytes == 1_500
    assert used.peak_gpu_process_bytes == 3_000
    assert used.gpu_busy == pytest.approx(0.8)
    assert used.gpu_busy_unknown == ""


def test_a_trial_on_a_cpu_has_no_values_of_a_gpu() -> None:
    monitor = UsageMonitor(torch.device("cpu"), 0)
    monitor.start_trial()
    used = monitor.usage()
    assert used == TrialUsage(peak_host_bytes=used.peak_host_bytes)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="only on Linux")
def test_the_peak_of_the_hosts_memory_is_that_of_each_trial() -> None:
    monitor = UsageMonitor(torch.device("cpu"), 0)
    size = 200 * 2**20
    monitor.start_trial()
    before = monitor.usage().peak_host_bytes
    held = np.ones(size, np.uint8)
    del held
    with_array = monitor.usage().peak_host_bytes
    monitor.start_trial()
    after = monitor.usage().peak_host_bytes
    assert before is not None
    assert with_array is not None
    assert after is not None
    assert with_array - before > 0.9 * size
    assert with_array - after > 0.8 * size


def test_a_peak_that_cannot_be_reset_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "reset_peak_host_bytes", lambda: False)
    monitor = UsageMonitor(torch.device("cpu"), 0)
    monitor.start_trial()
    assert monitor.usage().peak_host_bytes is None
