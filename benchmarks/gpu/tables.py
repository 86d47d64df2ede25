"""The results of `python -m benchmarks.gpu` as CSV files with their origin.

    python -m benchmarks.gpu.tables DIR --commit ID --hardware TEXT --date DATE --command TEXT

Writes benchmarks/results/gpu_STAGE.csv for each stage in DIR that has rows.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path

from benchmarks.gpu.stage import Row
from benchmarks.measure import RESULTS
from cae.files import write_whole

SIGNIFICANT_DIGITS = 4


def to_csv(result: Row, comments: list[str]) -> str:
    """Return the rows of a stage; the comments are lines before the header."""
    columns: dict[str, None] = {}
    for row in result["rows"]:
        columns |= dict.fromkeys(row)
    text = io.StringIO()
    for comment in comments:
        text.write(f"# {comment}\n")
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    for row in result["rows"]:
        writer.writerow({name: _format(value) for name, value in row.items()})
    return text.getvalue()


def _format(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.{SIGNIFICANT_DIGITS}g}"
    return str(value)


def _verdict(result: Row) -> str:
    failed = result["failed"] or ["none"]
    text = f"{len(result['checks'])} checks, failed: {'; '.join(failed)}"
    if result["error"]:
        text += f"; ended early: {result['error'].strip().splitlines()[0]}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="what --out was")
    for name in ("commit", "hardware", "date", "command"):
        parser.add_argument(f"--{name}", required=True, help="written into the header")
    parser.add_argument("--stages", nargs="*", help="default: all in the folder")
    options = parser.parse_args()
    for file in sorted(options.folder.glob("*.json")):
        result: Row = json.loads(file.read_text())
        if not result["rows"] or (options.stages and file.stem not in options.stages):
            continue
        comments = [
            f"date: {options.date}",
            f"commit: {options.commit}",
            f"hardware: {options.hardware}",
            f"command: {options.command}",
            f"result: {_verdict(result)}",
        ]
        path = RESULTS / f"gpu_{file.stem}.csv"
        write_whole(path, to_csv(result, comments))
        print(path)


if __name__ == "__main__":
    main()
