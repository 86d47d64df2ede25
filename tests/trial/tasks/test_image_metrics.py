"""Metrics and baselines that are known are used only for what they were computed from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from typing_extensions import override

from cae.trial import evaluation
from cae.trial.batches import DeviceImages
from cae.trial.config import Trial
from cae.trial.evaluation import conclude
from cae.trial.networks.create import build_network
from cae.trial.tasks import Reconstruct
from cae.trial.tasks.base import Evaluation, SplitPairs, Table, Task, per_class

CLASSES = tuple("0123456789")


@pytest.fixture(autouse=True)
def _restore_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "registry", dict(Task.registry))
    monkeypatch.setattr(evaluation, "_known_reference_losses", {})


def test_a_table_of_changed_outputs_has_their_metrics(trial: Trial, images: DeviceImages) -> None:
    tables: dict[str, Table] = {}

    class Darkened(Reconstruct):
        """A task that evaluates black instead of the outputs."""

        @override
        def conclude(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, Any]]:
            tables["as they are"] = per_class(self, evaluation)
            black = evaluation._replace(output=torch.zeros_like(evaluation.output))
            tables["black"] = per_class(self, black)
            expected = evaluation.target.square().flatten(1).mean(1)
            for row in tables["black"]:
                members = evaluation.labels == int(row["class"])
                psnr = (-10 * expected[members].clamp(min=1e-10).log10()).mean().item()
                assert row["psnr"] == pytest.approx(psnr, rel=1e-5)
            return super().conclude(evaluation)

    conclude(build_network(trial), Darkened(), images._replace(classes=CLASSES), {})
    assert tables["as they are"] != tables["black"]


def test_a_task_that_is_defined_again_has_baselines_of_its_own(
    trial: Trial, images: DeviceImages
) -> None:
    def define(value: float) -> Task:
        class Constant(Reconstruct):
            baseline_names = ("constant",)

            @override
            def baselines(self, train: SplitPairs, inputs: Tensor) -> dict[str, Tensor]:
                return {"constant": torch.full_like(inputs, value)}

        return Constant()

    network = build_network(trial)
    losses = [conclude(network, define(value), images, {})[0] for value in (0.0, 1.0)]
    assert losses[0]["baseline_constant"] != losses[1]["baseline_constant"]


def test_baselines_of_the_same_task_and_images_are_computed_once(
    trial: Trial, images: DeviceImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    baselines = Reconstruct.baselines

    def count(self: Reconstruct, *args: Any) -> dict[str, Tensor]:
        calls.append(1)
        return baselines(self, *args)

    monkeypatch.setattr(Reconstruct, "baselines", count)
    network = build_network(trial)
    first, *_ = conclude(network, Reconstruct(), images, {})
    second, *_ = conclude(network, Reconstruct(), images, {})
    conclude(network, Reconstruct(loss="l1"), images, {})
    assert first == second
    assert len(calls) == 2
