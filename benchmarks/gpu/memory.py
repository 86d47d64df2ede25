"""Trials that need more memory than their share of the GPU, or than the GPU has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.gpu import commands
from benchmarks.gpu.stage import Stage
from cae.run.records import Record
from cae.run.trial_state import TrialState

SWEEP = Path(__file__).parent / "sweeps" / "memory.py"
SMALL_TRIAL_MIB = 2048
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
    _check_shares(stage)
    if not stage.is_rehearsal:
        _check_full_gpu(stage)


def _row(name: str, record: Record) -> dict[str, object]:
    peak = record.starts[-1].peak_gpu_bytes or 0
    return {
        "share": name,
        "state": str(record.state),
        "reason": record.reason,
        "starts": len(record.starts),
        "peak_gpu_mib": peak / 2**20,
        "worker": record.starts[-1].worker,
    }


def _check_shares(stage: Stage) -> None:
    done = commands.run(
        stage, "run", SWEEP, "--quiet", "--gpus-per-trial", "0.5", "--out", "shares"
    )
    records = commands.records_of(stage.folder / "shares")
    stage.facts["output"] = done.output[-1500:]
    stage.rows += [_row(name, record) for name, record in records.items()]
    states = {name: record.state for name, record in records.items()}
    stage.holds("a small trial finishes", states["0.1"] == TrialState.FINISHED)
    stage.holds("more than its share: finishes alone", states["0.7"] == TrialState.FINISHED)
    stage.at_least("starts of that trial", len(records["0.7"].starts), 2)
    stage.holds("more than the GPU: out of memory", states["2.0"] == TrialState.OUT_OF_MEMORY)
    stage.holds("a trial without demands finishes", states["0.0"] == TrialState.FINISHED)
    stage.at_least("exit code", done.code, 1)
    if not stage.is_rehearsal:
        peak = (records["0.0"].starts[-1].peak_gpu_bytes or 0) / 2**20
        stage.at_most("memory of the trial without demands, MiB", peak, SMALL_TRIAL_MIB)


def _check_full_gpu(stage: Stage) -> None:
    """A GPU that another process fills; afterwards `--retry oom` finishes the trials."""
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
