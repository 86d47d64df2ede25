"""Trials that share a GPU, options that ask for more GPUs than there are, and a killed sweep."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from pathlib import Path

from benchmarks.gpu import commands
from benchmarks.gpu.stage import Stage
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState

SWEEP = Path(__file__).parent / "sweeps" / "small.py"
SHARED = ("run", SWEEP, "--quiet", "--gpus-per-trial", "0.5")
USAGE_ERROR = 2
SHARED_SECONDS = 35.0


def run(stage: Stage) -> None:
    _check_refusals(stage)
    whole = _check_sharing(stage)
    _check_killed_sweep(stage, whole)
    _check_without_gpu(stage)


def _check_sharing(stage: Stage) -> dict[str, Record]:
    """Four trials, two at a time on one GPU."""
    process = commands.start(stage, *SHARED, "--out", "shared")
    processes_on_gpu: set[int] = set()
    started = time.monotonic()
    while process.poll() is None and time.monotonic() - started < SHARED_SECONDS:
        processes_on_gpu |= _processes_on_gpu(stage)
        time.sleep(0.2)
    if process.poll() is None:
        log = stage.folder / "shared" / "trials" / "0001" / "log.txt"
        if log.exists():
            stage.facts["log of trial 1"] = log.read_text()[-1000:]
    done = commands.finish(stage, process, SHARED)
    records = commands.records_of(stage.folder / "shared")
    stage.facts |= {
        "seconds of 4 trials": done.seconds,
        "processes on the GPU": len(processes_on_gpu),
        "MPS": "time-sliced" not in done.output,
        "output": done.output[-1000:],
    }
    stage.at_most("exit code of the shared sweep", done.code, 0)
    states = [record.state for record in records.values()]
    stage.holds("all four finished", states == [TrialState.FINISHED] * 4)
    starts = [record.starts[-1] for record in records.values()]
    stage.holds("on the GPU", all("simulated" in s.device or "cpu" not in s.device for s in starts))
    workers = {start.worker for start in starts}
    stage.at_least("worker processes", len(workers), 2)
    stage.at_most("worker processes ", len(workers), 2)
    stage.at_least("pairs of trials that overlapped in time", _overlaps(records), 2)
    stage.holds("the driver has no memory on the GPU", process.pid not in processes_on_gpu)
    for name, record in records.items():
        stage.rows.append(
            {
                "noise": name,
                "replayed_steps": record.starts[-1].replayed_steps,
                "peak_gpu_mib": (record.starts[-1].peak_gpu_bytes or 0) / 2**20,
                "seconds_per_epoch": record.epochs[3]["seconds"],
            }
        )
        if not stage.is_rehearsal:
            stage.at_least(f"replayed steps, {name}", record.starts[-1].replayed_steps or 0, 1)
    return records


def _processes_on_gpu(stage: Stage) -> set[int]:
    if stage.is_rehearsal:
        return set()
    command = ["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {int(line) for line in output.split() if line.isdigit()}


def _overlaps(records: dict[str, Record]) -> int:
    spans = []
    for record in records.values():
        times = sorted(record.epoch_times.values())
        spans.append((times[0], times[-1]))
    pairs = itertools.combinations(spans, 2)
    return sum(max(one[0], other[0]) < min(one[1], other[1]) for one, other in pairs)


def _check_killed_sweep(stage: Stage, whole: dict[str, Record]) -> None:
    """kill -9 in the middle, then the same command: the losses of the undisturbed run."""
    process = commands.start(stage, *SHARED, "--out", "killed")
    run_folder = RunDir(stage.folder / "killed")

    def some_epochs() -> bool:
        if not run_folder.journal.exists():
            return False
        return sum(len(record.epochs) for record in run_folder.records().values()) >= 5

    commands.wait_for(stage, some_epochs, "five epochs")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    stage.save()
    done = commands.run(stage, *SHARED, "--out", "killed")
    stage.at_most("exit code of the resumed sweep", done.code, 0)
    resumed = commands.records_of(stage.folder / "killed")
    for name, record in whole.items():
        other = resumed[name]
        same = all(
            record.epochs[epoch]["val_loss"] == other.epochs[epoch]["val_loss"]
            and record.epochs[epoch]["train_loss"] == other.epochs[epoch]["train_loss"]
            for epoch in record.epochs
        )
        stage.holds(f"killed and resumed, noise {name}: the same losses", same)


def _check_refusals(stage: Stage) -> None:
    for options, environment in (
        (("--gpus", "2"), {}),
        (("--gpus", "1"), {"CUDA_VISIBLE_DEVICES": ""}),
        (("--gpus-per-trial", "2"), {}),
    ):
        done = commands.run(
            stage, "run", SWEEP, "--out", "refused", *options, environment=environment
        )
        name = " ".join([*options, *environment])
        stage.facts[f"refusal of {name}"] = done.output.strip()[-300:]
        stage.at_least(f"exit code of {name}", done.code, USAGE_ERROR)
        stage.at_most(f"exit code of {name} ", done.code, USAGE_ERROR)
    stage.holds("nothing was written", not (stage.folder / "refused").exists())


def _check_without_gpu(stage: Stage) -> None:
    done = commands.run(
        stage, "run", SWEEP, "--quiet", "--gpus", "0", "--out", "cpu", "--max-trials", "1"
    )
    stage.at_most("exit code with --gpus 0", done.code, 0)
    devices = {r.starts[-1].device for r in commands.records_of(stage.folder / "cpu").values()}
    expected = {"cpu"}
    if stage.is_rehearsal:
        expected = {"cpu (simulated GPU)"}
    stage.holds("--gpus 0 stays on the CPU", devices == expected)
