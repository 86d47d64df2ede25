"""One new file each adds a task, network, data set, metric, scheduler, claim and place.

A new section of the page is tested in tests/report/page/test_section.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cae.report.page import build
from cae.report.statistics.claims.registry import REGISTERED_JUDGES
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.trial.config import Trial
from cae.trial.metrics import Direction, find_metric

NEW_METRIC = '''"""A metric: the mean absolute error."""

from cae.trial.metrics import error_metric

MAE = error_metric("mae", "pixel value", "Mean absolute error.")


def mae(output, target):
    return (output - target).abs().flatten(1).mean(1)
'''

NEW_TASK = '''"""A task: from an image to its negative."""

from new_metric import MAE, mae

from cae import Task


class Negative(Task):
    """The target is the negative of the image."""

    strength: float = 1.0
    """Contrast of the negative."""

    def pairs(self, images, labels, generator):
        return images, 1 - self.strength * images

    def metrics(self, output, target):
        return super().metrics(output, target) | {"mae": mae(output, target)}

    def declared_metrics(self):
        return super().declared_metrics() | {"mae": MAE}
'''

NEW_NETWORK = '''"""A network: one convolution."""

from torch import nn

from cae import Architecture


class OneConvolution(Architecture):
    """A single convolution."""

    kernel: int = 3
    """Side of the kernel."""

    def build(self, input_shape, output_shape):
        convolution = nn.Conv2d(
            input_shape[0], output_shape[0], self.kernel, padding=self.kernel // 2
        )
        return nn.Sequential(convolution, nn.Sigmoid())
'''

NEW_DATASET = '''"""A data set: horizontal stripes."""

import numpy as np

from cae import Dataset
from cae.trial.datasets import Source, Split


class Stripes(Dataset):
    """Images with stripes of random brightness."""

    @property
    def image_shape(self):
        return 1, 8, 8

    def read(self, folders):
        random = np.random.default_rng(0)
        rows = random.integers(0, 255, (200, 1, 8, 1), dtype=np.uint8)
        images = np.broadcast_to(rows, (200, 1, 8, 8))
        labels = np.zeros(200, dtype=np.int64)
        return Source(Split(np.ascontiguousarray(images), labels), None, ("stripes",))
'''

NEW_SCHEDULER = '''"""A scheduler: only the first trial trains to its end."""

from cae.sweep.schedulers.base import Judge, Scheduler, Stop


class OnlyTheFirst(Scheduler):
    """Stops every trial but number 1 after its first epoch."""

    name = "only_the_first"

    def rungs(self, epochs):
        return [1]

    def create_judge(self, epochs, metric, mode, exempt=(), audited=()):
        return StopOthers(exempt, audited)

    def expected_epochs(self, epochs, rungs, trials):
        return 1.0

    def summary(self):
        return "only the first trial continues"


class StopOthers(Judge):
    @property
    def judged_epochs(self):
        return [1]

    def judge(self, trial, epoch, value):
        if trial == 1:
            return None
        return Stop(rung=1, value=value, cutoff=0.0, seen=0, reason="epoch 1: not the first")
'''

NEW_CLAIM = '''"""A kind of claim: all values of a metric are below a bound."""

from cae.report.statistics.claims.registry import judges
from cae.report.statistics.claims.verdict import Judgment, Verdict
from cae.sweep.spec.claims import Claim


class AlwaysBelow(Claim):
    """A metric is below a bound in every finished trial."""

    metric: str
    """A column of trials.csv."""
    bound: float
    """In the unit of the metric."""


@judges("AlwaysBelow")
def always_below(trials, claim):
    values = trials.values(claim["metric"], {})
    verdict = Verdict.CONTRADICTED
    if values.max() < claim["bound"]:
        verdict = Verdict.SUPPORTED
    return Judgment(verdict=verdict, evidence=None, trials=list(values.index))
'''

SWEEP = '''"""Everything new in one sweep."""

from new_claim import AlwaysBelow
from new_dataset import Stripes
from new_network import OneConvolution
from new_scheduler import OnlyTheFirst
from new_task import Negative
from ray import tune

from cae import Adam, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Stripes(train_images=64, val_images=32, test_images=32),
        task=Negative(),
        arch=OneConvolution(),
        optimizer=Adam(lr=1e-2),
        epochs=3,
    ),
    space={"arch.kernel": tune.grid_search([1, 3]), "task.strength": 0.5},
    metric="val_mae",
    scheduler=OnlyTheFirst(),
    claims=[
        AlwaysBelow(id="C1", text="The error is below 1.", metric="val_mae", bound=1.0),
        AlwaysBelow(id="C2", text="The error is below 0.", metric="val_mae", bound=0.0),
    ],
)
'''

FILES = {
    "new_metric.py": NEW_METRIC,
    "new_task.py": NEW_TASK,
    "new_network.py": NEW_NETWORK,
    "new_dataset.py": NEW_DATASET,
    "new_scheduler.py": NEW_SCHEDULER,
    "new_claim.py": NEW_CLAIM,
    "everything_new.py": SWEEP,
}


@pytest.fixture
def sweep_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The new files. Other tests do not see their modules, components nor the new judge."""
    for kind in Trial.COMPONENTS.values():
        monkeypatch.setattr(kind, "registry", dict(kind.registry))
    for name, source in FILES.items():
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(sys, "path", list(sys.path))  # reading a sweep file appends its folder
    yield tmp_path / "everything_new.py"
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)
    REGISTERED_JUDGES.pop("AlwaysBelow", None)


def test_new_components_plan_train_stop_and_report(
    sweep_path: Path, run_sweep: Callable[..., RunDir]
) -> None:
    run = run_sweep(sweep_path)
    records = run.records()
    assert [record.state for record in records.values()] == [
        TrialState.FINISHED,
        TrialState.STOPPED,
    ]
    assert records[2].reason == "epoch 1: not the first"
    for record in records.values():
        assert record.config["dataset"] == "stripes"
        assert record.config["task.strength"] == 0.5
        assert 0 <= record.epochs[1]["val_mae"] <= 1
    description = json.loads(run.sweep_json.read_text())
    assert description["scheduler"]["name"] == "only_the_first"
    page = build.build(run).read_text()
    verdicts = json.loads((run.path / "verdicts.json").read_text())
    assert [row["verdict"] for row in verdicts["claims"]] == ["supported", "contradicted"]
    assert "val_mae" in page
    assert "arch.kernel" in page


def test_the_declaration_of_a_new_metric_is_found(sweep_path: Path) -> None:
    from cae.sweep.spec.sweep_file import read_sweep_file

    task = read_sweep_file(sweep_path).sweep.base.task
    metric = find_metric("val_mae", task.declared_metrics())
    assert metric is not None
    assert metric.direction == Direction.MINIMIZE


def test_a_new_place_runs_a_sweep(
    sweep_file: Callable[..., Path], tmp_path: Path, one_ray: object
) -> None:
    """tests/places.py is the new file: a place with fixed resources."""
    from cae.sweep.engine import session
    from tests.places import TwoSlots

    del one_ray
    selection = session.Selection(sweep_file(epochs=1), tmp_path / "run", "full", {}, None, None)
    prepared = session.prepare(selection)
    assert session.execute(prepared, TwoSlots(), command="a test") == session.COMPLETE
    (record,) = prepared.run.records().values()
    assert record.state == TrialState.FINISHED
