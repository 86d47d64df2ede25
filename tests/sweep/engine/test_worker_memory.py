"""A worker's memory: kept between steps, given back between trials."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, sys
from pathlib import Path

import torch

from cae.sweep.engine.worker_memory import give_back, keep_freed

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

def steps(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        blocks = [torch.ones(40, 250_000) for _ in range(3)]  # 40 MB each
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / count

if sys.argv[1] == "keep":
    keep_freed()
before = resident_mb()
steps(12)
faults = steps(5)
kept = resident_mb() - before
give_back()
print(faults, kept, resident_mb() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told what to keep"
)
def test_pages_are_asked_for_once_and_given_back_between_trials() -> None:
    def measured(how: str) -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", STEPS, how], capture_output=True, text=True, check=True
        )
        return [float(word) for word in done.stdout.split()]

    faults, kept, after = measured("keep")
    faults_by_default, *_ = measured("default")
    assert faults < faults_by_default / 20
    assert kept > 100
    assert after < 40
