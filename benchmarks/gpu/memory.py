"""Trials that need more memory than their share of the GPU, or than the GPU has."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gpu import commands
from benchmarks.gpu.stage import Stage
from cae.run.records import Record
from cae.run.trial_state import TrialState

SWEEP = Path(__file__).parent / "sweeps" / "memory.py"
SMALL_TRIAL_MIB = 2048


def run(stage: Stage) -> None:
    _check_shares(stage)


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
