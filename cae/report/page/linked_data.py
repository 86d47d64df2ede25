"""What the page's own scripts need to link charts, table and address: the trials' names, their flags, and trials.csv itself."""

from __future__ import annotations

import base64
import gzip
import json
import shlex
from typing import Any

from cae.report.data.tables import Results, csv_text
from cae.run.records import Record


def keys(results: Results) -> dict[str, Any]:
    """By row of trials.csv: what the address calls a trial (its number; RUN.NUMBER among joined runs), and its settings as flags."""
    names = [
        f"{place}.{record.number}" if results.joined else str(record.number)
        for place, run in enumerate(results.runs, 1)
        for record in run.records.values()
    ]
    records = [record for run in results.runs for record in run.records.values()]
    return {
        "keys": names,
        "flags": [flags(record) for record in records],
        "ranges": not results.joined,
    }


def flags(record: Record) -> str:
    """The trial's settings as `cae-sweep run` takes them: every key of the space, and the seed."""
    chosen = {name: record.config.get(name, value) for name, value in record.axes.items()}
    chosen |= {"seed": record.config["seed"]} if "seed" in record.config else {}
    return " ".join(
        f"--set {shlex.quote(f'{name}={_typed(value)}')}" for name, value in chosen.items()
    )


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def packed_csv(results: Results) -> str:
    """trials.csv as a list of its lines, packed. A line ends where no quotation is open."""
    lines = [""]
    for part in csv_text(results, results.trials).splitlines(keepends=True):
        lines[-1] += part
        if lines[-1].count('"') % 2 == 0 and part.endswith("\n"):
            lines.append("")
    return packed(json.dumps([line for line in lines if line]).encode())


def packed(content: bytes) -> str:
    """Gzip without a time stamp, in base64: the same bytes every time."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
