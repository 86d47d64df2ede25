"""The devices of a machine, and the one on which a trial runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass

import torch

PROBE_TIMEOUT_SECONDS = 120
PROBE = """
import json, torch
names = []
for index in range(torch.cuda.device_count()):
    assert torch.ones(8, device=f"cuda:{index}").sum().item() == 8
    names.append(torch.cuda.get_device_name(index))
print(json.dumps(names))
"""
"""Computes on each GPU that torch counts, and prints their names."""


class UnusableGpu(RuntimeError):
    """A trial was assigned a GPU on which torch cannot compute; the message says why."""


@dataclass(frozen=True)
class Probe:
    """The GPUs of a machine, each tried with a kernel."""

    names: tuple[str, ...] = ()
    problem: str = ""
    """Why torch cannot compute on one of them, in torch's words; empty if it can."""


class GpuProbe:
    """A process that tries all GPUs, so that this process needs no memory on any of them."""

    def __init__(self) -> None:
        """Start the process."""
        environment = dict(os.environ)
        if not environment.get("CUDA_VISIBLE_DEVICES"):
            # Ray hides all GPUs from tasks that reserve none.
            environment.pop("CUDA_VISIBLE_DEVICES", None)
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROBE],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self) -> Probe:
        """Wait for the result."""
        try:
            output, errors = self._process.communicate(timeout=PROBE_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return Probe(problem=f"no answer in {PROBE_TIMEOUT_SECONDS} s")
        if self._process.returncode != 0:
            return Probe(problem=_reason(errors))
        return Probe(names=tuple(json.loads(output)))


def _reason(traceback_text: str) -> str:
    """The message of the exception, without what PyTorch adds on further lines."""
    for line in reversed(traceback_text.splitlines()):
        name, colon, message = line.partition("Error: ")
        if colon and " " not in name:
            return message
    lines = traceback_text.strip().splitlines()
    if lines:
        return lines[-1]
    return "the process that tried them ended without a message"


def count_gpus() -> int:
    """How many GPUs the driver lists, whether torch can compute on them or not."""
    return torch.cuda.device_count()


def gpu_memory() -> int | None:
    """Bytes of the memory of the first GPU; None if this process cannot use one."""
    if gpu_problem():
        return None
    return torch.cuda.get_device_properties(0).total_memory


def gpu_problem() -> str:
    """Why torch cannot use the GPUs that the driver lists, in its words; empty if it can.

    torch counts GPUs without loading CUDA; whether it can be used shows only afterwards, for
    example that the driver is older than CUDA.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if torch.cuda.is_available():
            return ""
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            return str(error).splitlines()[0]
    return "torch.cuda.is_available() is False"


def choose_device(gpus: float, memory_share: float = 1.0) -> tuple[torch.device, str]:
    """The device of a trial with `gpus` GPUs (a share of one), and its name.

    Ray shows a worker only its own GPU, so the first visible one is right. A trial without GPUs
    never uses one. `memory_share`: the part of the GPU's memory that the trial may use; Ray counts
    shares of a GPU, but does not limit the memory. Raises UnusableGpu.
    """
    if gpus <= 0:
        return torch.device("cpu"), "cpu"
    problem = gpu_problem()
    if problem:
        raise UnusableGpu(problem)
    try:
        torch.cuda.set_per_process_memory_fraction(min(1.0, memory_share))
        torch.ones(8, device="cuda").sum().item()
    except RuntimeError as error:
        raise UnusableGpu(str(error).splitlines()[0]) from error
    return torch.device("cuda"), torch.cuda.get_device_name()
