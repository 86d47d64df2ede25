"""Memory of a worker: kept between steps, returned between trials."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, sys
from pathlib import Path

import torch

from cae.sweep.engine.worker_memory import return_freed_memory, keep_freed_memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

def steps(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        blocks = [torch.ones(40, 250_000) for _ in range(3)]  # 40 MB each
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / count

if sys.argv[1] == "keep":
    keep_freed_memory()
before = resident_mb()
steps(12)
faults = steps(5)
kept = resident_mb() - before
return_freed_memory()
print(faults, kept, resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_is_kept_between_steps_and_returned_between_trials() -> None:
    def measure(mode: str) -> list[float]:
        result = subprocess.run(
            [sys.executable, "-c", STEPS, mode], capture_output=True, text=True, check=True
        )
        return [float(number) for number in result.stdout.split()]

    faults, kept, after = measure("keep")
    faults_by_default, *_ = measure("default")
    assert faults < faults_by_default / 20
    assert kept > 100
    assert after < 40
