"""What trials need of the GPU, against what `cae-sweep plan` predicts: memory, share and time."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

from benchmarks.gpu import commands
from benchmarks.gpu.stage import Row, Stage
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.trial.config import from_flat
from cae.trial.memory import predict_memory

SWEEP = Path(__file__).parent / "sweeps" / "needs.py"
REHEARSAL = ("--set", "epochs=1", "--set", "dataset.train_images=200")
MIB = 2**20
MAX_FACTOR = 1.25
"""The prediction is within 20 % of what is measured."""
MAX_TIME_FACTOR = 2.0
TRIALS = 4


def run(stage: Stage) -> None:
    options: list[str | Path] = [SWEEP, "--out", "needs"]
    if stage.is_rehearsal:
        options += REHEARSAL
    table = stage.folder / "plan.csv"
    planned = commands.run(stage, "plan", *options, "--csv", table)
    stage.facts["plan before"] = planned.output[-1500:]
    stage.holds("plan predicts the memory", "(predicted)" in planned.output)
    estimates = _estimated_seconds(table)
    done = commands.run(stage, "run", *options, "--quiet", "--gpus-per-trial", "1")
    stage.at_most("exit code", done.code, 0)
    records = RunDir(stage.folder / "needs").records()
    states = [record.state for record in records.values()]
    stage.holds("all finished", states == [TrialState.FINISHED] * TRIALS)
    for number, record in records.items():
        _compare(stage, record, estimates[number])
    planned = commands.run(stage, "plan", *options, "--set", "epochs=61")
    stage.facts["plan after"] = planned.output[-1500:]
    if not stage.is_rehearsal:
        stage.holds("plan uses the measurements", "(measured, 4 trials)" in planned.output)


def _estimated_seconds(table: Path) -> dict[int, float]:
    """Estimated seconds of an epoch by trial."""
    with table.open() as file:
        return {int(row["trial"]): float(row["seconds_per_epoch"]) for row in csv.DictReader(file)}


def _compare(stage: Stage, record: Record, estimated_seconds: float) -> None:
    """A row of the results, and the checks that hold on a GPU only."""
    trial = from_flat(record.config)
    counts = {
        "train": record.config["dataset.train_images"],
        "val": record.config["dataset.val_images"],
        "test": record.config["dataset.test_images"],
    }
    predicted = predict_memory(trial, counts)
    end = record.end
    assert end is not None
    seconds = statistics.median(row["seconds"] for row in record.epochs.values())
    row: Row = {
        "trial": record.number,
        "axes": record.axes,
        "predicted_mib": predicted.peak / MIB,
        "predicted_training_mib": predicted.training / MIB,
        "estimated_epoch_s": estimated_seconds,
        "epoch_s": seconds,
        "gpu_busy": end.gpu_busy,
        "gpu_busy_unknown": end.gpu_busy_unknown,
    }
    sizes = {
        "allocated_mib": end.peak_gpu_allocated_bytes,
        "reserved_mib": end.peak_gpu_bytes,
        "process_mib": end.peak_gpu_process_bytes,
        "host_mib": end.peak_host_bytes,
    }
    for name, size in sizes.items():
        if size is not None:
            row[name] = size / MIB
    stage.rows.append(row)
    stage.save()
    name = f"trial {record.number}"
    if stage.is_rehearsal:
        stage.holds(f"{name}: a CPU has no values of a GPU", end.peak_gpu_bytes is None)
        stage.holds(f"{name}: a CPU has no busy share", end.gpu_busy is None)
        return
    ratio = predicted.peak / (end.peak_gpu_allocated_bytes or 1)
    stage.at_most(f"{name}: predicted over allocated memory", ratio, MAX_FACTOR)
    stage.at_least(f"{name}: predicted over allocated memory ", ratio, 1 / MAX_FACTOR)
    stage.at_least(f"{name}: the GPU is busy", end.gpu_busy or 0.0, 0.01)
    time_ratio = estimated_seconds / seconds
    stage.at_most(f"{name}: estimated over real seconds", time_ratio, MAX_TIME_FACTOR)
    stage.at_least(f"{name}: estimated over real seconds ", time_ratio, 1 / MAX_TIME_FACTOR)
