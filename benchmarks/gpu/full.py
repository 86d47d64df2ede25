"""A GPU that another process fills; afterwards `--retry oom` finishes the trials."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.gpu import commands
from benchmarks.gpu.memory import SWEEP
from benchmarks.gpu.stage import Stage
from cae.run.trial_state import TrialState

FILL = """
import sys, torch
free, total = torch.cuda.mem_get_info()
held = torch.empty(int(free - 0.05 * total), dtype=torch.uint8, device="cuda")
held.fill_(1)
torch.cuda.synchronize()
print("full", flush=True)
sys.stdin.read()
"""
"""Fills the memory of the GPU until its input is closed."""


def run(stage: Stage) -> None:
    if stage.is_rehearsal:
        return
    other = subprocess.Popen(
        [sys.executable, "-c", FILL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        stage.holds("the GPU is full", other.stdout.readline().strip() == "full")
        options = ("run", SWEEP, "--quiet", "--out", "full", "--set", "arch.share=0.3")
        done = commands.run(stage, *options)
        records = commands.records_of(stage.folder / "full")
        states = [record.state for record in records.values()]
        stage.facts["full: output"] = done.output[-1500:]
        stage.facts["full: reasons"] = [record.reason for record in records.values()]
        stage.holds("full: out of memory", states == [TrialState.OUT_OF_MEMORY])
    finally:
        other.stdin.close()
        other.wait()
    done = commands.run(stage, *options, "--retry", "oom")
    stage.facts["retried: output"] = done.output[-500:]
    states = [record.state for record in commands.records_of(stage.folder / "full").values()]
    stage.holds("later, --retry oom finishes", states == [TrialState.FINISHED])
