"""What all benchmarks share: interleaved measurements, and results as CSV and as a table with
ratios."""

from __future__ import annotations

import csv
import datetime
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

from rich.console import Console
from rich.table import Table

from cae.files import write_whole

RESULTS = Path(__file__).parent / "results"
Row = dict[str, Any]


def interleaved(
    contenders: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """What each contender gives, `rounds` times, in turns: what else the machine does meanwhile
    falls upon all alike. Tells those that one would wait for."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(1, rounds + 1):
        for name, run in contenders.items():
            started = time.perf_counter()
            found[name].append(run())
            if time.perf_counter() - started > 1:
                print(f"round {turn} of {rounds}, {name}: {found[name][-1]:.4g}", file=sys.stderr)
    return found


def repeated(
    run: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> Callable[[], float]:
    """A contender that gives the seconds of one call, from as many calls as fill `seconds`; two
    calls warm it up here."""
    run()
    started = clock()
    run()
    times = max(1, round(seconds / max(clock() - started, 1e-9)))

    def timed() -> float:
        started = clock()
        for _ in range(times):
            run()
        return (clock() - started) / times

    return timed


def spread(values: Sequence[float]) -> str:
    """Median, and the lowest and highest of the rounds."""
    return f"{statistics.median(values):.4g} ({min(values):.4g}-{max(values):.4g})"


def save(name: str, rows: Sequence[Row], note: str = "") -> Path:
    """Writes results/NAME.csv: comment lines that say where and how it was measured, a header, the
    rows."""
    text = io.StringIO()
    module = f"benchmarks.{Path(sys.argv[0]).stem}"
    notes = [
        f"date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"commit: {_commit()}",
        f"hardware: {hardware()}",
        f"versions: python {platform.python_version()}, {_versions()}",
        f"command: {shlex.join(['python', '-m', module, *sys.argv[1:]])}",
    ]
    if note:
        notes.append(f"note: {note}")
    text.write("".join(f"# {line}\n" for line in notes))
    writer = csv.DictWriter(
        text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(
        {key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    )
    path = RESULTS / f"{name}.csv"
    write_whole(path, text.getvalue())
    return path


def read(name: str) -> list[dict[str, str]]:
    """The rows of results/NAME.csv."""
    lines = (RESULTS / f"{name}.csv").read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def show(title: str, rows: Sequence[Row]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(*columns, title=title, box=None, header_style="bold", padding=(0, 2))
    for row in rows:
        table.add_row(
            *(
                f"{row.get(key, ''):.4g}"
                if isinstance(row.get(key), float)
                else str(row.get(key, ""))
                for key in columns
            )
        )
    (Console() if Console().is_terminal else Console(width=160)).print(table)


def hardware() -> str:
    """CPU and cores; no names of hosts."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    return f"{len(models)} x {models[0]} (virtual, shared), {memory:.0f} GiB, no GPU"


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def _versions() -> str:
    import importlib.metadata

    return ", ".join(
        f"{package} {importlib.metadata.version(package)}" for package in ("torch", "ray", "numpy")
    )
