"""Data for the scripts of the page: the keys and flags of the trials, and trials.csv itself."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TypedDict

from cae.report.data.commands import set_flags
from cae.report.data.results import Results
from cae.report.data.tables import csv_text


class TrialKeys(TypedDict):
    """Lists by row of trials.csv, as selection.js reads them."""

    keys: list[str]
    """Name of the trial in the address: its number, or RUN.NUMBER if runs are joined."""
    flags: list[str]
    """Flags of `cae-sweep run SWEEP_FILE` that plan exactly the trial."""
    ranges: bool
    """Whether the address may shorten keys to ranges like 3-7."""


def trial_keys(results: Results) -> TrialKeys:
    keys: list[str] = []
    flags: list[str] = []
    for run_number, run in enumerate(results.runs, start=1):
        for record in run.records.values():
            key = str(record.number)
            if results.joined:
                key = f"{run_number}.{record.number}"
            keys.append(key)
            flags.append(set_flags(record, run.sweep.base, run.sweep.defaults))
    return {"keys": keys, "flags": flags, "ranges": not results.joined}


def packed_csv(results: Results) -> str:
    """Return trials.csv as a compressed JSON list of its records."""
    text = csv_text(results, results.trials)
    return compress(json.dumps(split_csv(text)).encode())


def split_csv(text: str) -> list[str]:
    """Split CSV into records with their line ends. A quoted value may contain line ends."""
    records: list[str] = []
    record = ""
    for line in text.splitlines(keepends=True):
        record += line
        is_quotation_closed = record.count('"') % 2 == 0
        if is_quotation_closed and line.endswith("\n"):
            records.append(record)
            record = ""
    if record:
        records.append(record)
    return records


def compress(content: bytes) -> str:
    """Compress with gzip without a time stamp, so that equal contents give equal text (base64)."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
