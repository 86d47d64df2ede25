"""What is computed in chunks of the test images has the values of all images at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cae.trial import chunks, evaluation
from cae.trial.batches import DeviceImages
from cae.trial.chunks import by_chunks, mean_by_chunks
from cae.trial.datasets import load_images
from cae.trial.evaluation import conclude
from cae.trial.networks.create import build_network
from cae.trial.tasks import Colorize, Complete, Inpaint, Reconstruct, Task
from tests.trial.tasks.test_declared_metrics import small_trial

TASKS = [Inpaint(loss="bce"), Complete(), Colorize(), Reconstruct(loss="bce")]


@pytest.mark.parametrize("count", [1, 9, 10, 25])
def test_chunks_have_all_images_in_their_order(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 10 * 4 * 3)
    images = torch.arange(count * 3.0).view(count, 3)
    sizes: list[int] = []

    def first(part: Tensor, other: Tensor) -> Tensor:
        sizes.append(len(part))
        assert torch.equal(part, other)
        return part[:, 0]

    assert torch.equal(by_chunks(first, images, images), images[:, 0])
    assert max(sizes) <= 10
    mean = mean_by_chunks(lambda part: part.mean().item(), images)
    assert mean == pytest.approx(images.mean().item())


def test_no_images_are_no_chunks() -> None:
    assert list(chunks.chunks(torch.zeros(0, 3))) == []


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_final_evaluation_does_not_depend_on_the_chunks(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = small_trial(task)
    images = DeviceImages.load(load_images(trial.dataset, []), torch.device("cpu"))
    network = build_network(trial)
    sizes: list[int] = []
    baselines = type(task).baselines

    def count(self: Task, train: Any, inputs: Tensor) -> dict[str, Tensor]:
        sizes.append(len(inputs))
        return baselines(self, train, inputs)

    monkeypatch.setattr(type(task), "baselines", count)
    results: list[Any] = []
    for limit in (2**27, 2**10):
        monkeypatch.setattr(evaluation, "_known_reference_losses", {})
        monkeypatch.setattr(chunks, "CHUNK_BYTES", limit)
        metrics, tables, galleries = conclude(network, task, images, {})
        results.append((metrics, tables))
        assert galleries
    assert sizes[0] == 32
    assert len(sizes) > 2, "the baselines see some images at a time"
    assert sum(sizes[1:]) == 32
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-5, nan_ok=True)
    assert results[1][1] == results[0][1]
