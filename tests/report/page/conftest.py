"""Results of every shape of run, read once per session."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from cae.report.data import tables
from cae.report.data.results import Results
from cae.run.paths import RunDir

ReadResults = Callable[[str], Results]


@pytest.fixture(scope="session")
def read_results(make_run: Callable[[str], RunDir]) -> ReadResults:
    """Read a run of `SHAPES` by its name. Do not change the results."""
    return functools.cache(lambda shape: tables.read([make_run(shape)]))
