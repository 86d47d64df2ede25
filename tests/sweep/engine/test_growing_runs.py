"""Real sweeps that are extended, narrowed and edited: a run only grows."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.cli.plan_text import change_lines
from cae.errors import UserError
from cae.report.data import tables
from cae.report.page.build import build
from cae.run.events import EpochFinished
from cae.run.paths import RunDir
from cae.run.ranking import ranking
from cae.run.status import run_status
from cae.sweep.engine import session
from cae.sweep.export import export
from cae.sweep.spec.plan import Plan
from tests.places import TwoSlots

Write = Callable[..., Path]
Run = Callable[..., RunDir]

SPACE = (
    "{'optimizer.lr': tune.grid_search([1e-3, 3e-3]), 'arch.kernel_size': tune.grid_search([3, 5])}"
)
ONE_OF_THEM = {"optimizer.lr": 0.003, "arch.kernel_size": 5}

OWN = """
from torch import nn
from torch.nn import ReLU as Activation

from cae import Architecture

UNITS = 64


class _Base(Architecture):
    def build(self, input_shape, output_shape):
        return make_network(output_shape)


def make_network(output_shape):
    layers = [nn.Flatten(), nn.Linear(64, UNITS), Activation(), nn.Linear(UNITS, 64)]
    return nn.Sequential(*layers, nn.Unflatten(1, output_shape))


class Layers(_Base):
    depth: int = 1
"""


def own_sweep(write: Write, epochs: int = 2) -> Path:
    path = write(
        "{'arch': 'layers', 'optimizer.lr': tune.grid_search([1e-3, 3e-3])}", epochs=epochs
    )
    path.write_text(OWN + path.read_text())
    return path


def trained_epochs(run: RunDir) -> Counter[tuple[int, int]]:
    """How often each epoch of each trial was reported."""
    epochs = [event for event in run.events() if isinstance(event, EpochFinished)]
    return Counter((event.trial, event.epoch) for event in epochs)


def plan_of(path: Path, **options: Any) -> Plan:
    selection: dict[str, Any] = {"out": Path("run"), "budget": "full", "settings": {}}
    selection |= {"max_trials": None, "data_dir": None}
    return session.prepare(session.Selection(sweep=path, **(selection | options))).plan


def values(run: RunDir) -> dict[int, float]:
    """val_loss in trials.csv by trial, of the trials that have one."""
    tables.write(tables.read([run]), run)
    with run.trials_csv.open() as file:
        rows = [row for row in csv.DictReader(file) if row["val_loss"]]
    return {int(row["trial"]): float(row["val_loss"]) for row in rows}


@pytest.mark.slow
def test_all_trials_keep_their_values_when_one_is_extended_and_the_file_is_moved(
    sweep_file: Write, run_sweep: Run
) -> None:
    path = sweep_file(SPACE, epochs=2)
    run = run_sweep(path)
    before = values(run)
    assert len(before) == 4
    run_sweep(path, settings=ONE_OF_THEM | {"epochs": 3})
    records = run.records()
    assert {number: record.is_requested for number, record in records.items()} == {
        1: False,
        2: False,
        3: False,
        4: True,
    }
    assert len(records[4].epochs) == 3
    after = values(run)
    assert {number: after[number] for number in (1, 2, 3)} == {
        number: before[number] for number in (1, 2, 3)
    }
    assert len(ranking(records.values(), run.read_sweep(), "val_loss", None)) == 4
    status = run_status(run).progress
    assert (status.requested, status.earlier) == (1, 3)
    page = build(run).read_text()
    assert "Of 4 trials, 1 are of the current sweep and 3 of earlier sweeps" in page
    assert set(run.read_sweep().axes) == {"optimizer.lr", "arch.kernel_size"}

    plan = plan_of(path)
    assert not plan.remaining
    assert change_lines(plan) == [
        "1 trial of the run with more epochs answers for the requested ones: trial 4"
    ]
    other = Path("other") / path.name
    other.parent.mkdir()
    other.write_text(path.read_text().replace("1e-3, 3e-3", "0.1"))
    with pytest.raises(UserError, match=r"belongs to another sweep file.*--out"):
        plan_of(other)

    moved = Path("moved") / path.name
    moved.parent.mkdir()
    path.rename(moved)
    moved.write_text(moved.read_text().replace("A sweep of digits", "A moved sweep"))
    run_sweep(moved)  # nothing is trained again for fewer epochs
    assert run.read_sweep().path == str(moved.resolve())
    assert set(trained_epochs(run).values()) == {1}
    assert len(run.records()) == 4
    assert values(run) == after
    assert run_status(run).progress.requested == 4


@pytest.mark.slow
def test_changed_code_is_announced_and_trained_beside_the_old_results(
    sweep_file: Write, run_sweep: Run
) -> None:
    path = own_sweep(sweep_file)
    run = run_sweep(path)
    before = values(run)
    assert [record.code_snapshot for record in run.records().values()] == [
        folder.name for folder in run.code.iterdir()
    ] * 2
    for old, new in (("UNITS = 64", "UNITS = 4"), ("ReLU as", "Tanh as")):
        path.write_text(path.read_text().replace(old, new))
        plan = plan_of(path)
        assert len(plan.remaining) == 2
        assert "trained anew: the source code" in change_lines(plan)[0]
    run_sweep(path)
    after = values(run)
    assert list(after) == [1, 2, 3, 4]
    assert {number: after[number] for number in before} == before
    assert {after[1], after[2]}.isdisjoint({after[3], after[4]})
    assert len({record.code for record in run.records().values()}) == 2


@pytest.mark.slow
def test_the_code_that_was_planned_is_trained(sweep_file: Write, run_sweep: Run) -> None:
    path = own_sweep(sweep_file)
    expected = values(run_sweep(path, out=Path("undisturbed")))
    options: dict[str, Any] = {"budget": "full", "settings": {}, "max_trials": None}
    selection = session.Selection(path, Path("run"), data_dir=None, **options)
    prepared = session.prepare(selection)
    path.write_text("from cae import Arch")  # a file that is half saved
    session.execute(prepared, TwoSlots(), command="a test")
    assert values(prepared.run) == expected
    (copy,) = prepared.run.code.glob("*/small.py")
    assert "class Layers" in copy.read_text()


def test_a_model_of_edited_code_is_exported_with_its_snapshot(
    sweep_file: Write, run_sweep: Run
) -> None:
    path = own_sweep(sweep_file)
    run = run_sweep(path)
    best = ranking(run.records().values(), run.read_sweep(), "val_loss", None)[0]
    export(run, best, Path("before"), [], sweep_file=path)
    (copy,) = run.code.glob("*/small.py")
    path.write_text(path.read_text().replace("ReLU as", "Tanh as"))
    with pytest.raises(UserError, match=r"source code of its components in .* differs"):
        export(run, best, Path("model"), [], sweep_file=path)
    assert not Path("model").exists()
    export(run, best, Path("model"), [], sweep_file=copy)
    before = json.loads(Path("before/model.json").read_text())
    assert json.loads(Path("model/model.json").read_text()) == before
    assert export(run, best, Path("unverified"), [], verify=False).reevaluated == {}
    assert json.loads(Path("unverified/model.json").read_text())["re_evaluated"] is None
