"""An epoch of a large network on the GPU, with a checkpoint per epoch or postponed ones."""

from __future__ import annotations

from benchmarks.checkpoints import measure
from benchmarks.gpu.stage import Stage

ROUNDS = 30
REHEARSAL_ROUNDS = 2


def run(stage: Stage) -> None:
    rounds = ROUNDS
    if stage.is_rehearsal:
        rounds = REHEARSAL_ROUNDS
    stage.rows.append(measure("20 M", rounds, stage.folder, stage.device))
    if not stage.is_rehearsal:
        stage.at_least("each over postponed", stage.rows[0]["each_over_postponed"], 1)
