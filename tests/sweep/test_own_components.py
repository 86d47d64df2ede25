"""A sweep file of one's own, with its own task and network: nothing else needs to know of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cae.report.page import build as page
from cae.run.paths import RunDir

OWN = '''"""From an image to its negative."""

import torch
from ray import tune
from torch import nn

from cae import Adam, Architecture, Digits, Sweep, Task, Trial


class Negative(Task):
    """The target is the image, dark for light."""

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


def test_a_task_and_a_network_of_ones_own_plan_run_and_report(
    run_sweep: Callable[..., RunDir], tmp_path: Path
) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    run = run_sweep(path)
    records = run.records()
    assert {
        (record.config["arch.kernel"], record.config["task.strength"])
        for record in records.values()
    } == {
        (1, 0.5),
        (1, 1.0),
        (3, 0.5),
        (3, 1.0),
    }
    assert {record.state for record in records.values()} == {"finished"}
    for record in records.values():
        assert record.epochs[2]["val_loss"] < record.epochs[1]["val_loss"]
    assert "own.py" in page.build(run).read_text()
