"""The claims of the published sweeps compare what is comparable."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cae.report.data import tables
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.claims.verdict import Obstacle, ObstacleKind
from cae.report.statistics.published import compare_published
from cae.report.statistics.published_number import NotComparable
from cae.run.events import EpochFinished, SessionStarted, TrialEnded, TrialPlanned, TrialStarted
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.spec.candidates import dataset_key
from cae.sweep.spec.plan import make_plan
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.datasets import Dataset, Images, Split
from tests.conftest import ROOT

GROUPS = {
    "cifar_colorize": "task.target",
    "fashion_halves": "task.loss",
    "inpaint_center": "task.region",
    "mnist_classifier": "task.loss",
    "mnist_denoise": "task.noise_factor",
    "mnist_grid": "",
    "mnist_vae": "dataset.train_images and dataset.classes",
}
"""Sweeps, and the parameters in which their comparability groups differ."""
OVER_GROUPS = {
    "cifar_colorize": {"C000-9"},
    "mnist_denoise": {"C004-1"},
    "mnist_vae": {"C004-3", "C004-4", "C004-5", "C004-6", "C004-7", "C004-9"},
}
"""Claims that are about several groups on purpose."""
NOT_COMPARABLE = (ObstacleKind.NO_COMMON_GROUP, ObstacleKind.OTHER_DEFINITION)


def write_run(name: str, folder: Path) -> RunDir:
    """A run of all trials of a published sweep with two seeds and random metrics."""
    file = read_sweep_file(ROOT / "sweeps" / f"{name}.py")
    empty = Split(np.zeros((1, 1, 1, 1), np.uint8), np.zeros(1, np.int64))

    def stand_in(dataset: Dataset) -> Images:
        return Images(empty, empty, empty, dataset_key(dataset))

    plan = make_plan(file.sweep, stand_in, settings={"seeds": 2})
    run = RunDir(folder)
    folder.mkdir()
    description = {
        "name": name,
        "metric": file.sweep.metric,
        "mode": plan.mode,
        "directions": plan.directions,
        "axes": plan.axes,
        "published": file.published,
        "claims": [claim.described() for claim in file.sweep.claims],
    }
    run.sweep_json.write_text(json.dumps(description, default=str))
    journal = Journal(run.journal)
    journal.append(SessionStarted(trials=[planned.number for planned in plan.trials]))
    random = np.random.default_rng(0)
    for planned in plan.trials:
        number = planned.number
        journal.append(
            TrialPlanned(
                trial=number,
                hash=planned.hash,
                config=planned.trial.flat(),
                axes=planned.axes,
                sizes=planned.sizes,
                dependencies=planned.dependencies,
                is_dependency=planned.is_dependency,
                group=planned.group,
            )
        )
        journal.append(TrialStarted(trial=number, epoch=0))
        names = planned.trial.metric_names()
        metrics = {metric: float(random.random()) for metric in names}
        journal.append(EpochFinished(trial=number, epoch=1, metrics=metrics))
        declared = planned.trial.task.declared_metrics()
        final = {f"test_{metric}": float(random.random()) for metric in declared}
        columns = ("mse", "relative_mse", "recognised")
        rows = []
        for label in ("2", "7", "4", "9", "Trouser", "T-shirt/top", "Dress", "Sneaker", "x"):
            rows.append({"class": label, **{name: float(random.random()) for name in columns}})
        rows.append({"class": "Ankle boot", **dict.fromkeys(columns, 0.5)})
        journal.append(
            TrialEnded(
                trial=number,
                state=TrialState.FINISHED,
                reason="",
                best_epoch=1,
                metrics=final,
                tables={"per_class": rows},
            )
        )
    journal.close()
    return run


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_claims_of_published_sweeps_compare_within_groups_or_on_purpose(
    name: str, tmp_path: Path
) -> None:
    results = tables.read([write_run(name, tmp_path / name)])
    assert results.group_differences == GROUPS[name]
    over_groups = set()
    for result in judge_claims(results):
        evidence = result.judgment.evidence
        if isinstance(evidence, Obstacle):
            assert evidence.kind not in NOT_COMPARABLE, (result.id, evidence)
            # Only what the sweep file declares, or the overridden seeds, may be in the way.
            assert evidence.kind in (ObstacleKind.DECLARED, ObstacleKind.NO_TRIAL), result
        if len(result.groups) > 1:
            over_groups.add(result.id)
    assert over_groups == OVER_GROUPS.get(name, set())
    for comparison in compare_published(results):
        assert comparison.not_comparable != NotComparable.SEVERAL_GROUPS, comparison.published
