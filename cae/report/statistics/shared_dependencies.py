"""Trials from whose trained weights several seeds of one configuration start.

The seeds repeat only the training that follows: three heads on one encoder are three repetitions of
the head, and one of the encoder. Their spread, and every test with it, is conditional on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cae.report.data.results import Results
from cae.run.records import Record


def shared_dependencies(results: Results, rows: Iterable[Any]) -> list[int]:
    """Return the numbers of the trials that several seeds of a configuration start from.

    Dependencies that only measure, such as the classifier that judges images, are left out: they
    are the same for all trials that are compared.

    Args:
        results: The results.
        rows: Rows of the table of trials: those that are compared.
    """
    rows = list(rows)
    configurations = results.configurations.loc[rows]
    has_several_seeds = configurations.duplicated(keep=False)
    by_row = dict(zip(results.trials.index, results.records, strict=True))
    numbers: set[int] = set()
    for row in rows:
        if has_several_seeds[row]:
            numbers.update(_trained_on(by_row[row]))
    return sorted(numbers)


def _trained_on(record: Record) -> list[int]:
    """Return the dependencies whose weights a trial is trained with."""
    numbers: list[int] = []
    for name, number in record.dependencies.items():
        compared = record.group.parameters
        is_measuring = any(key == name or key.startswith(f"{name}.") for key in compared)
        if not is_measuring:
            numbers.append(number)
    return numbers
