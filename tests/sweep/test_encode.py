"""`cae-sweep encode`: latent codes of a user's own images as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

import cae
from cae import Digits, Reconstruct
from cae.cli.app import app
from cae.trial.model import Model, save_model
from cae.trial.networks.create import build_network
from cae.trial.pixel_format import PixelFormat
from tests.trial.tasks.test_declared_metrics import small_trial

PIXELS = Digits(size=8).load([]).test.pixels[:3]


@pytest.fixture(autouse=True)
def model() -> Model:
    """A model in the folder `model`, and images in several forms, in the current folder."""
    torch.manual_seed(0)
    trial = small_trial(Reconstruct())
    weights = dict(build_network(trial).state_dict())
    save_model(Path("model"), weights, trial, {"pixels": PixelFormat().to_json()})
    Path("digits").mkdir()
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels[0]).save(f"digits/{number}.png")
    np.save("digits.npy", PIXELS)
    return cae.load_model("model")


def encode(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["encode", "model", *arguments])


def test_codes_are_written_in_every_format_with_names_and_shape(
    model: Model,
) -> None:
    files = [f"digits/{number}.png" for number in range(3)]
    arrays = [f"digits.npy [{number}]" for number in range(3)]
    expected = model.encode([*files, "digits.npy"]).numpy()
    for suffix in ("npz", "csv", "parquet"):
        result = encode("digits", "digits.npy", "-o", f"codes.{suffix}")
        assert result.exit_code == 0, result.output
        assert "(6 latent codes of 2 x 4 x 4 values, float32)" in result.stdout
    with np.load("codes.npz") as archive:
        assert archive["images"].tolist() == files + arrays
        np.testing.assert_array_equal(archive["codes"], expected)
        assert archive["latent_shape"].tolist() == [2, 4, 4]
    table = pd.read_csv("codes.csv")
    assert table["image"].tolist() == files + arrays
    assert (table.columns[1], table.columns[-1]) == ("code_0_0_0", "code_1_3_3")
    values = table.drop(columns="image").to_numpy().astype(np.float32)
    np.testing.assert_array_equal(values.reshape(expected.shape), expected)
    read = pyarrow.parquet.read_table("codes.parquet")
    assert json.loads(read.schema.metadata[b"latent_shape"]) == [2, 4, 4]
    codes = np.stack(pd.read_parquet("codes.parquet")["code"].to_list())
    np.testing.assert_array_equal(codes.reshape(expected.shape), expected)
    assert read["image"].to_pylist() == files + arrays


def test_an_unknown_suffix_is_refused_before_anything_is_read() -> None:
    result = encode("absent.png", "-o", "codes.txt")
    assert result.exit_code == 2
    assert "-o codes.txt: the suffix is the format; use .npz, .parquet, .csv" in result.stderr


def test_a_file_that_cannot_be_read_leaves_an_existing_file_as_it_is() -> None:
    Path("codes.csv").write_text("before")
    result = encode("digits", "absent.png", "-o", "codes.csv")
    assert result.exit_code == 2
    assert "absent.png cannot be read as an image" in result.stderr
    assert Path("codes.csv").read_text() == "before"
    assert encode("digits", "-o", "codes.csv").exit_code == 0
    assert Path("codes.csv").read_text().startswith("image,code_0_0_0")
