"""Anomaly scores of a user's own images, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from cae import Adam, ConvAutoencoder, DetectAnomalies, Digits, Reconstruct, Trial
from cae.cli.app import app
from cae.run.paths import RunDir
from cae.trial import image_statistics
from cae.trial.model import DESCRIPTION, load_model, save_model
from cae.trial.networks.create import build_network

TRIAL = Trial(
    dataset=Digits(size=8, train_images=400, val_images=240, test_images=100),
    task=DetectAnomalies(normal_classes=(3,)),
    arch=ConvAutoencoder(
        encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
    ),
    optimizer=Adam(lr=1e-2),
    batch_size=16,
    epochs=1,
)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def write_model(trial: Trial = TRIAL, **metrics: Any) -> np.ndarray:
    """Write a model with random weights and images of digits; return the images, N x 1 x 8 x 8."""
    torch.manual_seed(0)
    save_model(Path("model"), dict(build_network(trial).state_dict()), trial, {"metrics": metrics})
    images: np.ndarray = trial.dataset.load(()).test.pixels[:12]
    Path("digits").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(Path("digits") / f"{number:02}.png")
    return images


def expected_maps(images: np.ndarray) -> torch.Tensor:
    """Squared errors, N x H x W."""
    inputs = torch.from_numpy(images).float() / 255
    with torch.inference_mode():
        errors: torch.Tensor = load_model("model").network(inputs) - inputs
    return errors.square()[:, 0]


def test_the_file_has_the_score_and_the_verdict_of_each_image() -> None:
    images = write_model(test_threshold=0.2)
    scores = expected_maps(images).mean((1, 2)).numpy()
    threshold = float(np.median(scores))
    result = call("score", "model", "digits", "-o", "s.csv", "--threshold", threshold)
    assert result.exit_code == 0, result.output
    table = pd.read_csv("s.csv")
    assert list(table) == ["image", "score", "threshold", "verdict", "warnings"]
    assert table["image"].tolist() == [f"digits/{number:02}.png" for number in range(12)]
    np.testing.assert_allclose(table["score"], scores, rtol=1e-5)
    assert (table["threshold"] == threshold).all()
    assert ((table["verdict"] == "anomalous") == (scores > threshold)).all()
    assert f"12 images: {(scores > threshold).sum()} anomalous" in result.stdout


def test_error_maps_are_written_as_an_image_or_as_numbers() -> None:
    images = write_model(test_threshold=0.2)
    for suffix in ("png", "npy", "npz"):
        result = call("score", "model", "digits", "-o", "s.csv", "--maps", f"maps.{suffix}")
        assert result.exit_code == 0, result.output
    with np.load("maps.npz") as file:
        np.testing.assert_array_equal(file["error_maps"], np.load("maps.npy"))
    np.testing.assert_allclose(np.load("maps.npy"), expected_maps(images), rtol=1e-4, atol=1e-7)
    with Image.open("maps.png") as picture:
        width, height = picture.size
    assert width * 12 == height * 3, "inputs, outputs and error maps of 12 images"


def test_the_threshold_is_that_of_the_exported_trial() -> None:
    write_model(test_threshold=0.125)
    assert call("score", "model", "digits").exit_code == 0
    assert (pd.read_csv("scores.csv")["threshold"] == 0.125).all()


@pytest.mark.parametrize(
    ("arguments", "metrics", "message"),
    [
        (("-o", "s.txt"), {"test_threshold": 0.1}, "the scores are a CSV file"),
        (("--maps", "m.doc"), {"test_threshold": 0.1}, "--maps m.doc: the suffix is the format"),
        ((), {}, "has no threshold: its trial had not ended"),
        ((), {"test_threshold": None}, "has no threshold"),
        (("absent.png",), {"test_threshold": 0.1}, "absent.png cannot be read"),
    ],
)
def test_errors_are_reported_and_nothing_is_written(
    arguments: tuple[str, ...], metrics: dict[str, Any], message: str
) -> None:
    write_model(**metrics)
    result = call("score", "model", "digits", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not list(Path().glob("*.csv"))


def test_a_model_of_another_task_has_no_anomaly_scores() -> None:
    write_model(TRIAL.model_copy(update={"task": Reconstruct()}), test_threshold=0.1)
    result = call("score", "model", "digits")
    assert result.exit_code == 2
    assert "need a model with the task 'detect_anomalies'" in " ".join(result.stderr.split())


SWEEP = """
from cae import Adam, ConvAutoencoder, DetectAnomalies, Digits, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=400, val_images=240, test_images=100),
        task=DetectAnomalies(normal_classes=("3",)),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(lr=1e-2),
        batch_size=16,
        epochs=2,
    ),
)
"""


def test_an_exported_model_contains_the_threshold_and_the_statistics_of_normal_images(
    run_sweep: Callable[..., RunDir],
) -> None:
    Path("three.py").write_text(SWEEP)
    run = run_sweep(Path("three.py"))
    (record,) = run.records().values()
    assert record.sizes["train_images"] == (TRIAL.dataset.load(()).train.labels == 3).sum()
    exported = call("best", run.path, "-o", "model")
    assert exported.exit_code == 0, exported.output
    description = json.loads((Path("model") / DESCRIPTION).read_text())
    threshold = description["metrics"]["test_threshold"]
    assert threshold == record.final_metrics["test_threshold"]
    images = TRIAL.dataset.load(())
    normal = images.train.pixels[images.train.labels == 3]
    assert description["training_images"] == image_statistics.measure(normal).to_json()
    np.save("digits.npy", images.test.pixels)
    assert call("score", "model", "digits.npy").exit_code == 0
    verdicts = pd.read_csv("scores.csv")["verdict"] == "anomalous"
    is_anomalous = images.test.labels != 3
    assert verdicts[is_anomalous].mean() == pytest.approx(record.final_metrics["test_recall"])
