"""Functions that all benchmarks share: alternating measurements, results as CSV and as a table."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import io
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from cae.files import write_whole

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "ray", "numpy")
"""Packages whose versions are part of the results."""

Row = dict[str, Any]
"""A row of the results: values by column."""


def interleaved(
    contenders: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Run each contender once per round; return the results of each contender by its name.

    Contenders alternate, so that other load of the machine affects all of them alike. Results that
    take longer than a second are printed.
    """
    results: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(1, rounds + 1):
        for name, run in contenders.items():
            started = time.perf_counter()
            result = run()
            results[name].append(result)
            if time.perf_counter() - started > 1:
                print(f"round {round_number} of {rounds}, {name}: {result:.4g}", file=sys.stderr)
    return results


def repeated(
    run: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> Callable[[], float]:
    """Return a contender that measures the seconds of one call of `run`.

    It calls `run` as often as fits into `seconds`. Two calls warm it up here; the second one is
    timed to find the number of calls.
    """
    run()
    started = clock()
    run()
    calls = max(1, round(seconds / max(clock() - started, 1e-9)))

    def seconds_per_call() -> float:
        started = clock()
        for _ in range(calls):
            run()
        return (clock() - started) / calls

    return seconds_per_call


def spread(values: Sequence[float]) -> str:
    """Return the median, the lowest and the highest value as text."""
    return f"{statistics.median(values):.4g} ({min(values):.4g}-{max(values):.4g})"


def save(name: str, rows: Sequence[Row], note: str = "") -> Path:
    """Write results/NAME.csv: comments on how the rows were measured, a header, the rows."""
    module = f"benchmarks.{Path(sys.argv[0]).stem}"
    comments = [
        f"date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"commit: {_commit()}",
        f"hardware: {hardware()}",
        f"versions: python {platform.python_version()}, {_versions()}",
        f"command: {shlex.join(['python', '-m', module, *sys.argv[1:]])}",
    ]
    if note:
        comments.append(f"note: {note}")
    text = io.StringIO()
    for comment in comments:
        text.write(f"# {comment}\n")
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({column: _format(value, digits=5) for column, value in row.items()})
    path = RESULTS / f"{name}.csv"
    write_whole(path, text.getvalue())
    return path


def read(name: str) -> list[dict[str, str]]:
    """Return the rows of results/NAME.csv."""
    lines = (RESULTS / f"{name}.csv").read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def show(title: str, rows: Sequence[Row]) -> None:
    """Print the rows as a table."""
    columns = _columns(rows)
    table = Table(*columns, title=title, box=None, header_style="bold", padding=(0, 2))
    for row in rows:
        table.add_row(*(_format(row.get(column, ""), digits=4) for column in columns))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)


def _columns(rows: Sequence[Row]) -> list[str]:
    """Return the columns of all rows in the order of their first use."""
    columns: dict[str, None] = {}
    for row in rows:
        columns |= dict.fromkeys(row)
    return list(columns)


def _format(value: object, digits: int) -> str:
    """Return a value as text; floating-point numbers have that many significant digits."""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return str(value)


def hardware() -> str:
    """Return the processor, its cores and the memory, without the name of the host."""
    models: list[str] = []
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            models.append(line.partition(":")[2].strip())
    memory_gib = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    return f"{len(models)} x {models[0]} (virtual, shared), {memory_gib:.0f} GiB, {_gpus()}"


def _gpus() -> str:
    """Return the GPUs that PyTorch can use."""
    if not torch.cuda.is_available():
        return "no GPU"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(names)


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def _versions() -> str:
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
