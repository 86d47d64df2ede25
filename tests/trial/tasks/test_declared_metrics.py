"""Every metric that a built-in task reports is declared, and its values are in the declared
range."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score

from cae.trial.batches import DeviceImages
from cae.trial.config import Trial
from cae.trial.datasets import Dataset, Digits, Patches
from cae.trial.latent.declaration import latent_metrics
from cae.trial.metrics import Direction, find_metric
from cae.trial.networks.base import Architecture
from cae.trial.networks.classifier import Classifier
from cae.trial.networks.conv import ConvAutoencoder
from cae.trial.networks.variational import VariationalAutoencoder
from cae.trial.optimizers import Adam
from cae.trial.tasks import (
    Classify,
    Colorize,
    Complete,
    Denoise,
    DetectAnomalies,
    Inpaint,
    Reconstruct,
    Task,
    Vae,
)
from cae.trial.tasks.base import Evaluation
from cae.trial.training import train

DIGITS = Digits(size=8, train_images=64, val_images=32, test_images=32)
PATCHES = Patches(size=16, train_images=64, val_images=32, test_images=32)
AUTOENCODER = ConvAutoencoder(
    encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
)
SIGMOID_AUTOENCODER = ConvAutoencoder(
    encoder_filters=(4, 2),
    decoder_filters=(4,),
    pool_after=(1,),
    upsample_after=(0,),
    output_activation="sigmoid",
)
CLASSIFIER = Classifier(encoder_filters=(4, 2), pool_after=(1,), fc_units=8)
VAE = VariationalAutoencoder(
    encoder_filters=(4,),
    decoder_filters=(4,),
    pool_after=(1,),
    upsample_after=(0,),
    hidden_units=(8,),
)


def small_trial(task: Task) -> Trial:
    """A small trial of a task."""
    dataset: Dataset = DIGITS
    arch: Architecture = SIGMOID_AUTOENCODER
    if isinstance(task, Colorize):
        dataset = PATCHES
        arch = AUTOENCODER
    elif isinstance(task, Classify):
        arch = CLASSIFIER
    elif isinstance(task, Vae):
        arch = VAE
    return Trial(dataset=dataset, task=task, arch=arch, optimizer=Adam(), epochs=1, batch_size=16)


TASKS = [
    Reconstruct(loss="l1"),
    Denoise(),
    DetectAnomalies(normal_classes=(0, 3), threshold_quantile=0.5),
    Colorize(target="rgb"),
    Colorize(target="iq"),
    Complete(),
    Inpaint(hole=3, loss="bce", region="hole"),
    Classify(),
    Classify(loss="mse"),
    Vae(generated=50, latent_scales=(1.0, 2.5)),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.name}-{task.loss}")
def test_every_reported_metric_is_declared_with_a_range(task: Task, tmp_path: Path) -> None:
    trial = small_trial(task)
    images = DeviceImages.load(trial.dataset.load([]), torch.device("cpu"))
    (epoch,) = train(trial, images, tmp_path)
    declared = task.declared_metrics() | latent_metrics()
    reported = epoch.row | (epoch.final or {})
    assert "test_loss" in reported
    for name, value in reported.items():
        metric = find_metric(name, declared)
        assert metric is not None, f"{name} is not declared"
        assert metric.low - 1e-6 <= value <= metric.high + 1e-6, name
        assert metric.meaning.endswith("."), name
    check_tables(task, epoch.tables)


def check_tables(task: Task, tables: Mapping[str, list[dict[str, Any]]]) -> None:
    """Every declared table exists, and declares its columns and their ranges."""
    for name, declared in task.declared_tables().items():
        for row in tables[name]:
            first, *columns = row
            for column in columns:
                if isinstance(row[column], str):  # a text is not compared
                    continue
                metric = declared.columns[column]
                assert metric.low - 1e-6 <= row[column] <= metric.high + 1e-6, (name, column)
            if declared.has_class_rows:
                assert first == "class"


def test_the_rounded_scores_are_those_of_the_rounded_accuracy(tmp_path: Path) -> None:
    trial = small_trial(Classify(loss="mse"))
    images = DeviceImages.load(trial.dataset.load([]), torch.device("cpu"))
    (epoch,) = train(trial, images, tmp_path)
    *classes, macro, weighted = epoch.tables["rounded_per_class"]
    assert epoch.final is not None
    # The recall, weighted by the images of the classes, is the accuracy.
    assert weighted["recall"] == pytest.approx(epoch.final["test_rounded_accuracy"])
    assert epoch.final["test_rounded_correct"] == pytest.approx(32 * weighted["recall"])
    assert [row["class"] for row in classes] == [str(number) for number in range(10)]
    assert macro["support"] == sum(row["support"] for row in classes) == 32


def test_means_over_classes_leave_out_absent_ones_like_scikit_learn() -> None:
    """Regression: a perfect classifier of 3 and 8, of ten digits, had a macro F1 of 0.2."""
    digits = Digits(classes=(3, 8), train_images=32, val_images=16, test_images=32).load([])
    labels = torch.from_numpy(digits.test.labels)
    images = torch.from_numpy(digits.test.pixels).float() / 255
    task = Classify()
    _, target = task.pairs(images, labels, torch.Generator())
    for predictions in (labels, torch.full_like(labels, 3), torch.where(labels == 3, 5, labels)):
        logits = 20 * F.one_hot(predictions, 10).float()[..., None, None]
        evaluation = Evaluation(
            network=torch.nn.Identity(),
            inputs=images,
            target=target,
            output=logits,
            labels=labels,
            classes=digits.class_names,
            train=Mock(),
            dependencies={},
        )
        metrics, tables = task.conclude(evaluation)
        expected = f1_score(labels, predictions, average="macro", zero_division=0)
        assert metrics["macro_f1"] == pytest.approx(expected)
        macro, weighted = tables["rounded_per_class"][-2:]
        assert macro["f1"] == pytest.approx(expected)
        assert weighted["f1"] == pytest.approx(
            f1_score(labels, predictions, average="weighted", zero_division=0)
        )
        assert macro["support"] == 32
    assert task.conclude(evaluation._replace(output=20 * target))[0]["macro_f1"] == 1


def test_every_task_is_tested() -> None:
    tested = {type(task) for task in TASKS}
    assert tested == {task for task in Task.registry.values() if task.is_builtin()}


def test_directions_are_declared_and_not_guessed_from_names() -> None:
    denoise = Denoise().declared_metrics()
    generate = Vae().declared_metrics()
    metrics = [
        find_metric("val_psnr", denoise),
        find_metric("test_recognised", denoise),
        find_metric("test_vendi_1", generate),
    ]
    for metric in metrics:
        assert metric is not None
        assert metric.direction == Direction.MAXIMIZE


@pytest.mark.parametrize("name", ["val_unknown", "unknown", "val_", ""])
def test_an_undeclared_metric_is_not_found(name: str) -> None:
    assert find_metric(name, Reconstruct().declared_metrics()) is None
