"""The acceptance of cae-sweep on a GPU.

    python -m benchmarks.gpu --out DIR                        # all stages, 540 s on one H100
    python -m benchmarks.gpu --out DIR --stages numbers bits
    python -m benchmarks.gpu --out DIR --device cpu           # rehearsal without a GPU

Each stage is a process with a deadline of its own. It writes DIR/STAGE.json and prints a line; a
stage that fails does not end the others. The exit code is the number of stages that failed. The
stages `sweep` and `reproduction` need MNIST in the data folder (CAE_DATA).
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import torch

from benchmarks.gpu.stage import Row, Stage

DEADLINES = {
    "environment": 40,
    "numbers": 90,
    "bits": 90,
    "shares": 180,
    "memory": 120,
    "full": 90,
    "needs": 150,
    "checkpoints": 60,
    "speed": 110,
    "sweep": 180,
    "reproduction": 300,
}
"""Stages in their order, with their deadlines in seconds."""
ERROR_CHARACTERS = 3000


def run_stage(name: str, device: str, out: Path, seconds: float) -> Row:
    """Run a stage in a process of its own; return its result, which is also in a file."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--run-stage", name, "--device", device]
    command += ["--out", str(out), "--seconds", str(seconds)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    error = ""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        error = f"not finished in {seconds:.0f} s"
    file = out / f"{name}.json"
    if not file.exists():
        error = error or f"exit code {process.returncode}"
        Stage(name, torch.device(device), out, seconds, file).save(error)
    result: Row = json.loads(file.read_text())
    if error:
        result["error"] = f"{error}\n{output[-ERROR_CHARACTERS:]}"
        result["passed"] = False
        file.write_text(json.dumps(result, indent=1))
    return result


def execute_stage(name: str, device: str, out: Path, seconds: float) -> None:
    """Execute a stage in this process and write its result."""
    module = importlib.import_module(f"benchmarks.gpu.{name}")
    with tempfile.TemporaryDirectory(prefix="gpu") as folder:
        stage = Stage(name, torch.device(device), Path(folder), seconds, out / f"{name}.json")
        error = ""
        if stage.is_rehearsal:
            torch.set_num_threads(1)
        try:
            module.run(stage)
        except Exception:
            error = traceback.format_exc()[-ERROR_CHARACTERS:]
        stage.save(error)


def line(result: Row) -> str:
    """Return one line about a stage, and further ones about what failed."""
    passed = sum(_passed(check) for check in result["checks"])
    state = "passed" if result["passed"] else "FAILED"
    counts = f"{passed} of {len(result['checks'])} checks"
    lines = [f"{result['stage']:13} {state:7} {result['seconds']:6.1f} s  {counts}"]
    lines += [f"    {text}" for text in result["failed"]]
    if result["error"]:
        lines += [f"    {text}" for text in result["error"].strip().splitlines()[-12:]]
    return "\n".join(lines)


def _passed(check: Row) -> bool:
    value = float(check["value"])
    return not math.isnan(value) and check["at_least"] <= value <= check["at_most"]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--stages",
        nargs="+",
        choices=list(DEADLINES),
        default=list(DEADLINES),
        metavar="STAGE",
        help=f"stages to run: {', '.join(DEADLINES)}",
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seconds", type=float, help="deadline of each stage")
    parser.add_argument("--run-stage", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.run_stage:
        for name in options.stages:
            (options.out / f"{name}.json").unlink(missing_ok=True)
    if options.run_stage:
        execute_stage(options.run_stage, options.device, options.out, options.seconds)
        return
    failed = 0
    for name in options.stages:
        seconds = options.seconds or DEADLINES[name]
        result = run_stage(name, options.device, options.out, seconds)
        print(line(result), flush=True)
        failed += not result["passed"]
    sys.exit(failed)


if __name__ == "__main__":
    main()
