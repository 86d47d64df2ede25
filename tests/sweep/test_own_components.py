"""A sweep file that defines its own task and network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cae.report.page import build as page
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState

SWEEP = '''"""From an image to its negative."""

import torch
from ray import tune
from torch import nn

from cae import Adam, Architecture, Digits, Sweep, Task, Trial


class Negative(Task):
    """The target is the negative of the image."""

    strength: float = 1.0

    def pairs(self, images, labels, generator):
        return images, 1 - self.strength * images


class OneConvolution(Architecture):
    """A single convolution."""

    kernel: int = 3

    def build(self, input_shape, output_shape):
        padding = self.kernel // 2
        convolution = nn.Conv2d(input_shape[0], output_shape[0], self.kernel, padding=padding)
        return nn.Sequential(convolution, nn.Sigmoid())


sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=96, val_images=32, test_images=32),
        task=Negative(),
        arch=OneConvolution(),
        optimizer=Adam(lr=1e-2),
        epochs=2,
    ),
    space={"arch.kernel": tune.grid_search([1, 3]), "task.strength": tune.grid_search([0.5, 1.0])},
)
'''


def test_a_sweep_with_its_own_task_and_network_runs_and_has_a_report(
    run_sweep: Callable[..., RunDir], tmp_path: Path
) -> None:
    path = tmp_path / "own.py"
    path.write_text(SWEEP)
    run = run_sweep(path)
    records = run.records().values()
    points = {(record.config["arch.kernel"], record.config["task.strength"]) for record in records}
    assert points == {(1, 0.5), (1, 1.0), (3, 0.5), (3, 1.0)}
    for record in records:
        assert record.state == TrialState.FINISHED
        assert record.epochs[2]["val_loss"] < record.epochs[1]["val_loss"]
    assert "own.py" in page.build(run).read_text()
