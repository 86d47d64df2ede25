"""What a trial uses of its host: memory of the GPU and of the host, and how busy the GPU is.

What cannot be measured is None, and a text says why: never a zero.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
from pathlib import Path
from typing import Any

import torch

from cae.sweep.engine import ray_compat
from cae.sweep.engine.worker_report import TrialUsage

SAMPLE_SECONDS = 0.5
"""NVML averages over a sixth of a second to a second. A sample takes less than a millisecond."""
MIN_SAMPLES = 4
"""With fewer samples the mean says little, and the share is not known."""
GB = 1e9
RESET_PEAK = "5"
"""What resets the peak in /proc/self/clear_refs (proc(5))."""


class GpuSampler:
    """Samples a GPU in a thread, with NVIDIA's Management Library (NVML)."""

    def __init__(self, nvml: Any, uuid: str, seconds: float) -> None:
        """Start the thread.

        Args:
            nvml: The module pynvml.
            uuid: Which GPU, as `GPU-...`.
            seconds: Between two samples.
        """
        self._nvml = nvml
        self._seconds = seconds
        self._lock = threading.Lock()
        self._busy: list[float] = []
        self._process_bytes: list[int] = []
        self._problem = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, args=(uuid,), daemon=True)
        self._thread.start()

    def restart(self) -> None:
        """Forget the samples: another trial starts."""
        with self._lock:
            self._busy.clear()
            self._process_bytes.clear()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()

    def busy(self) -> tuple[float | None, str]:
        """Share of the time in which the GPU executed a kernel, of any process; why it is not
        known."""
        with self._lock:
            if len(self._busy) >= MIN_SAMPLES:
                return statistics.fmean(self._busy), ""
            if self._problem:
                return None, self._problem
            return None, f"the trial was too short for {MIN_SAMPLES} samples"

    def peak_process_bytes(self) -> int | None:
        """The most memory of the GPU that this process has had, with that of CUDA itself.

        None if NVML does not list the process, as in most containers.
        """
        with self._lock:
            return max(self._process_bytes, default=None)

    def _sample(self, uuid: str) -> None:
        nvml = self._nvml
        try:
            nvml.nvmlInit()
            device = nvml.nvmlDeviceGetHandleByUUID(uuid)
            while not self._stopped.wait(self._seconds):
                busy = nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100
                with self._lock:
                    self._busy.append(busy)
                self._sample_memory(device)
        except (nvml.NVMLError, OSError) as error:  # a GPU instance, a driver without NVML
            with self._lock:
                self._problem = f"NVML: {error}"

    def _sample_memory(self, device: object) -> None:
        with contextlib.suppress(self._nvml.NVMLError):
            for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(device):
                if process.pid == os.getpid() and process.usedGpuMemory:
                    with self._lock:
                        self._process_bytes.append(process.usedGpuMemory)


class UsageMonitor:
    """Measures the trials of a worker, one after another."""

    def __init__(self, device: torch.device, gpus_per_trial: float) -> None:
        """Start to sample if the worker has a GPU."""
        self._device = device
        self._gpus_per_trial = gpus_per_trial
        self._has_host_peak = False
        self._sampler: GpuSampler | None = None
        if device.type == "cuda":
            uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
            self._sampler = GpuSampler(ray_compat.nvml(), uuid, SAMPLE_SECONDS)

    def start_trial(self) -> None:
        """Measure from here on."""
        self._has_host_peak = reset_peak_host_bytes()
        if self._sampler is not None:
            torch.cuda.reset_peak_memory_stats()
            self._sampler.restart()

    def usage(self) -> TrialUsage:
        """What the trial has used so far."""
        peak_host_bytes = None
        if self._has_host_peak:
            peak_host_bytes = read_peak_host_bytes()
        if self._sampler is None:
            return TrialUsage(peak_host_bytes=peak_host_bytes)
        busy, problem = self._sampler.busy()
        return TrialUsage(
            peak_host_bytes=peak_host_bytes,
            gpus_per_trial=self._gpus_per_trial,
            gpu_bytes=torch.cuda.get_device_properties(self._device).total_memory,
            peak_gpu_bytes=torch.cuda.max_memory_reserved(),
            peak_gpu_allocated_bytes=torch.cuda.max_memory_allocated(),
            peak_gpu_process_bytes=self._sampler.peak_process_bytes(),
            gpu_busy=busy,
            gpu_busy_unknown=problem,
        )


def describe_usage(usage: TrialUsage) -> str:
    """The usage in words, for the log of a trial."""
    host = "unknown"
    if usage.peak_host_bytes is not None:
        host = f"{usage.peak_host_bytes / GB:.2f} GB"
    text = f"memory of the worker: {host} at most"
    if usage.peak_gpu_bytes is None:
        return f"{text}; no GPU"
    allocated = (usage.peak_gpu_allocated_bytes or 0) / GB
    text += f"; of the GPU {allocated:.2f} GB, {usage.peak_gpu_bytes / GB:.2f} GB reserved"
    if usage.gpu_busy is None:
        return f"{text}; how busy the GPU was is unknown: {usage.gpu_busy_unknown}"
    return f"{text}; the GPU was busy {100 * usage.gpu_busy:.0f} % of the time"


def reset_peak_host_bytes() -> bool:
    """Let the peak of this process's memory start now; False where that is not possible."""
    try:
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    except OSError:
        return False
    return True


def read_peak_host_bytes() -> int | None:
    """The most memory that this process has had since the last reset, images shared with other
    processes included; None if it is not known."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
