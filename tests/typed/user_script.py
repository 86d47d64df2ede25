"""A user's script with every public function of the Python API: `mypy --strict` checks it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image
from torch import Tensor

import cae


def run(sweep: cae.Sweep, file: Path) -> cae.SavedRun:
    """Run a Sweep object and a sweep file."""
    cae.run_sweep(sweep, out="runs/mine", slots=1, gpus=0, settings={"epochs": 3}, quiet=True)
    return cae.run_sweep(
        file,
        budget="cpu",
        max_trials=4,
        where={"arch.kernel_size": 3},
        strict=True,
        retry=["failed", "oom"],
        data_dir=Path("data"),
        max_hours=1.5,
        max_epochs=100,
        track="mlflow",
    )


def read(location: str) -> tuple[pd.DataFrame, go.Figure]:
    """Read a run."""
    saved = cae.open_run(location)
    name: str = saved.name
    direction: str = saved.mode
    figures: list[str] = saved.figures
    best: pd.DataFrame = saved.best(metric=saved.metric, top=3, mode="min")
    print(name, direction, figures, len(saved.trials), len(saved.epochs))
    return best, saved.figure(figures[0])


def use(saved: cae.SavedRun, folder: Path) -> Tensor:
    """Use a model of a run, and one that was exported."""
    cae.load_components("my_sweep.py")
    model: cae.Model = cae.load_model(folder)
    other: cae.Model = saved.model(1)
    image = Image.new("L", (8, 8))
    pixels = np.zeros((5, 1, 8, 8), np.uint8)
    inputs: Tensor = model.inputs([image, pixels, "image.png", folder], fit="pad")
    codes: Tensor = model.encode(inputs, invert=True, max_value=4095)
    shape: tuple[int, ...] = model.latent_shape
    print(shape, model.pixel_format.dtype, model.pixel_format.value_range)
    decoded: Tensor = other.decode(codes.numpy())
    between: Tensor = model.interpolate(pixels[0], image, steps=5)
    print(decoded.shape, between.shape)
    return other.reconstruct(folder, corrupt=False)
