"""Exported models of every task applied to a user's own images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner, Result
from typing_extensions import override

from cae import (
    Adam,
    Arrays,
    Colorize,
    Denoise,
    DetectAnomalies,
    Digits,
    Reconstruct,
    Source,
    Split,
    Trial,
)
from cae.cli.app import app
from cae.trial import image_statistics
from cae.trial.datasets import Dataset
from cae.trial.model import DESCRIPTION, apply_model, load_model, save_model
from cae.trial.networks.create import build_network
from cae.trial.pixel_format import PixelFormat
from cae.trial.tasks import Task
from tests.trial.tasks.test_declared_metrics import AUTOENCODER, TASKS, small_trial


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save(trial: Trial, **description: Any) -> None:
    """Write a model with random weights to the folder `model`."""
    torch.manual_seed(0)
    weights = dict(build_network(trial).state_dict())
    images = trial.dataset.load([])
    measured = {
        "pixels": PixelFormat.of(images).to_json(),
        "training_images": image_statistics.measure(images.train.pixels).to_json(),
    }
    save_model(Path("model"), weights, trial, measured | description)


def call(*arguments: object) -> Result:
    words = ["reconstruct", "model", *map(str, arguments)]
    return CliRunner().invoke(app, words)


def lines_of(*arguments: object) -> list[str]:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def error_of(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert not Path(arguments[-1]).exists()
    return result.stderr


def digit() -> np.ndarray:
    """A digit, white on black, 8 x 8."""
    pixels: np.ndarray = Digits().load([]).test.pixels[0, 0]
    return pixels


def written(name: str = "out.png") -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image)


# Every task

COLUMNS = {
    "reconstruct": ["inputs", "outputs"],
    "denoise": ["inputs", "outputs"],
    "colorize": ["inputs", "outputs", "targets"],
    "complete": ["inputs", "outputs", "targets"],
    "inpaint": ["inputs", "outputs", "targets"],
    "classify": ["inputs", "probabilities"],
    "vae": ["inputs", "outputs"],
    "detect_anomalies": ["inputs", "outputs", "error maps"],
}
"""What is shown, by task."""


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.name}-{task.loss}")
def test_a_model_of_every_task_is_applied_and_shown(task: Task) -> None:
    trial = small_trial(task)
    save(trial)
    channels, rows, columns = trial.dataset.image_shape
    pixels = trial.dataset.load([]).test.pixels[:2]
    names = []
    for index, image in enumerate(pixels):
        names.append(f"{index}.png")
        mode = "RGB" if channels == 3 else "L"
        content = np.ascontiguousarray(image.transpose(1, 2, 0)).reshape(rows, columns, -1)
        Image.fromarray(content.squeeze(), mode).save(names[-1])
    lines = lines_of(*names, "-o", "out.png")
    assert len(lines) == 3
    titles = COLUMNS[task.name]
    assert lines[-1] == (
        f"written: out.png (from left to right: {', '.join(titles)}; {columns} x {rows})"
    )
    model = load_model("model")
    images = torch.from_numpy(pixels).float() / 255
    applied = apply_model(model, images)
    shown = task.display(applied.inputs, applied.outputs, applied.targets, model.class_names)
    assert lines[:2] == [f"{name}: {text}" for name, text in zip(names, shown.texts, strict=True)]
    sheet = written()
    zoom = 160 // max(rows, columns)
    assert sheet.shape[0] == 2 * rows * zoom
    last = (shown.columns[-1][1].clamp(0, 1) * 255).round().to(torch.uint8)[0]
    expected = last.expand(3, -1, -1).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(sheet[: rows * zoom : zoom, -columns * zoom :: zoom], expected)


def test_the_error_is_that_of_what_the_task_predicts() -> None:
    pixels = torch.from_numpy(Digits().load([]).test.pixels[:3]).float() / 255
    for name in ("complete", "inpaint", "reconstruct"):
        task = next(task for task in TASKS if task.name == name)
        save(small_trial(task))
        applied = apply_model(load_model("model"), pixels)
        texts = task.display(applied.inputs, applied.outputs, applied.targets, ()).texts
        errors = (applied.outputs - applied.targets).square().flatten(1).mean(1)
        if name == "inpaint":  # its region is the hole: nine of 64 pixels
            hole = (applied.outputs - applied.targets)[..., 2:5, 2:5]
            errors = hole.square().flatten(1).sum(1) / 64
        for text, error in zip(texts, errors.tolist(), strict=True):
            assert f"mean squared error {error:.6f} on pixels in [0, 1]" in text


def test_normalized_contrast_is_undone_in_what_is_written() -> None:
    """The network sees normalized images; a user compares outputs with the images."""
    limits = (-3.0, 9.0)
    trial = small_trial(DetectAnomalies(normal_classes=(3,), contrast_range=limits))
    save(trial)
    pixels = Digits().load([]).test.pixels[:2]
    np.save("digits.npy", pixels)
    lines_of("digits.npy", "-o", "out.npz")
    model = load_model("model")
    applied = apply_model(model, torch.from_numpy(pixels).float() / 255)
    with np.load("out.npz") as arrays:
        np.testing.assert_array_equal(arrays["inputs"], pixels)
        outputs = arrays["outputs"]
    reconstructed = model.reconstruct("digits.npy")
    images = torch.from_numpy(pixels).float() / 255
    mean = images.mean((1, 2, 3), keepdim=True)
    scale = (images - mean).abs().mean((1, 2, 3), keepdim=True)
    expected = (applied.outputs * 12 - 3) * scale + mean
    torch.testing.assert_close(reconstructed, expected)
    np.testing.assert_array_equal(outputs, (expected.clamp(0, 1) * 255).round().numpy())
    assert (applied.outputs - reconstructed).abs().max() > 0.1
    # Errors are on the scale of the network, as in training.
    errors = (applied.outputs - applied.inputs).square().flatten(1).mean(1)
    lines = lines_of("digits.npy", "-o", "out.png")
    for line, error in zip(lines[:2], errors.tolist(), strict=True):
        assert f"anomaly score {error:.6g} (mse)" in line


def test_colors_are_shown_for_chroma() -> None:
    trial = small_trial(Colorize(target="iq"))
    save(trial)
    image = trial.dataset.load([]).test.pixels[0].transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(image)).save("in.png")
    lines_of("in.png", "-o", "out.png")
    targets = written()[::10, -160::10]
    np.testing.assert_allclose(targets.astype(int), image, atol=1)


def test_a_classifier_names_the_class() -> None:
    task = next(task for task in TASKS if task.name == "classify")
    save(small_trial(task), class_names=[f"class-{number}" for number in range(10)])
    Image.fromarray(digit()).save("in.png")
    [line, _] = lines_of("in.png", "-o", "out.png")
    network = load_model("model").network
    logits = network(torch.from_numpy(digit()[None, None]).float() / 255).flatten()
    number = int(logits.argmax())
    probability = logits.softmax(0)[number]
    assert line == f"in.png: class class-{number} (probability {probability:.2f})"


def test_noise_is_added_on_request() -> None:
    save(small_trial(Denoise()))
    Image.fromarray(digit()).save("in.png")
    assert "inputs, outputs;" in lines_of("in.png", "-o", "out.png")[-1]
    assert "inputs, outputs, targets;" in lines_of("in.png", "-o", "out.png", "--corrupt")[-1]
    assert written().shape == (160, 480, 3)
    np.testing.assert_array_equal(written()[::20, 320::20, 0], digit())


def test_corrupting_for_a_task_that_does_not_is_an_error() -> None:
    save(small_trial(Reconstruct()))
    Image.fromarray(digit()).save("in.png")
    error = error_of("in.png", "--corrupt", "-o", "out.png")
    assert "--corrupt would be ignored: the task 'reconstruct' does not corrupt" in error


@pytest.mark.parametrize("command", ["reconstruct", "encode", "score"])
def test_an_image_that_is_read_is_not_overwritten(command: str) -> None:
    save(small_trial(DetectAnomalies(normal_classes=(0,))))
    np.save("in.npy", digit())
    Path("link.npy").symlink_to("in.npy")
    content = Path("in.npy").read_bytes()
    for out in ("in.npy", "link.npy"):
        option = "-o"
        if command == "score":
            option = "--maps"
        result = CliRunner().invoke(app, [command, "model", "in.npy", option, out])
        assert result.exit_code == 2, result.output
    assert Path("in.npy").read_bytes() == content


# Any number of channels


@pytest.fixture
def own_trial(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Trial]:
    """A function that returns a trial on images of some channels, 8 x 8."""
    monkeypatch.setattr(Dataset, "registry", dict(Dataset.registry))

    def make(channels: int) -> Trial:
        class Bands(Dataset):
            @property
            @override
            def image_shape(self) -> tuple[int, int, int]:
                return channels, 8, 8

            @override
            def read(self, folders: Sequence[Path]) -> Source:
                random = np.random.default_rng(0)
                pixels = random.integers(0, 256, (60, channels, 8, 8), np.uint8)
                return Source(Split(pixels, np.zeros(60, np.int64)))

        return Trial(dataset=Bands(), task=Reconstruct(), arch=AUTOENCODER, optimizer=Adam())

    return make


@pytest.mark.parametrize(("channels", "across", "down"), [(2, 2, 1), (4, 2, 2), (13, 4, 4)])
def test_images_of_any_number_of_channels_are_shown_as_tiles(
    channels: int, across: int, down: int, own_trial: Callable[[int], Trial]
) -> None:
    save(own_trial(channels))
    array = np.random.default_rng(1).integers(0, 256, (channels, 8, 8), np.uint8)
    np.save("in.npy", array)
    np.save("last.npy", array.transpose(1, 2, 0) / 255)
    lines = lines_of("in.npy", "last.npy", "-o", "out.png")
    assert lines[0].removeprefix("in") == lines[1].removeprefix("last")
    zoom = round(160 / (8 * across))
    sheet = written()
    assert sheet.shape == (2 * 8 * down * zoom, 2 * 8 * across * zoom, 3)
    for channel in range(channels):
        row, column = divmod(channel, across)
        tile = sheet[row * 8 * zoom : (row + 1) * 8 * zoom : zoom]
        tile = tile[:, column * 8 * zoom : (column + 1) * 8 * zoom : zoom]
        np.testing.assert_array_equal(tile[..., 0], array[channel])


def test_files_give_as_many_channels_as_they_have(own_trial: Callable[[int], Trial]) -> None:
    bands = np.random.default_rng(1).integers(0, 256, (13, 8, 8), np.uint8)
    frames = [Image.fromarray(band) for band in bands]
    frames[0].save("bands.tif", save_all=True, append_images=frames[1:])
    rgba = np.ascontiguousarray(bands[:4].transpose(1, 2, 0))
    Image.fromarray(rgba, "RGBA").save("rgba.png")
    Image.fromarray(rgba[..., :3].copy()).save("rgb.png")
    np.save("bands.npy", bands)
    save(own_trial(13))
    same = [line.partition(": ")[2] for line in lines_of("bands.tif", "bands.npy", "-o", "a.png")]
    assert same[0] == same[1]
    error = error_of("rgb.png", "rgba.png", "-o", "out.png")
    assert (
        "rgb.png cannot be read as an image: it has 3 channels (RGB), and the model needs 13"
        in (error)
    )
    assert "rgba.png cannot be read as an image: it has 4 channels" in error
    save(own_trial(4))
    np.save("four.npy", bands[:4])
    same = [line.partition(": ")[2] for line in lines_of("rgba.png", "four.npy", "-o", "b.png")]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((3, 8, 8)), "it is an array 3 x 8 x 8: should be 1 x H x W"),
        (np.full((8, 8), 300.0), "float64 from 300 to 300: should be in [0, 1]"),
        (np.zeros(0), "it is an array 0: should be"),
        (np.array(["a"]), "it is an array 1: should be"),
        (np.array([{}]), "it contains Python objects, which are never read"),
    ],
)
def test_arrays_are_checked_as_those_of_a_data_set(array: np.ndarray, expected: str) -> None:
    save(small_trial(Reconstruct()))
    np.save("in.npy", array)
    assert expected in error_of("in.npy", "-o", "out.png")
    Path("in.npy").write_bytes(b"no array")
    assert "expected an array that numpy.save wrote" in error_of("in.npy", "-o", "out.png")


# Preparing images


def test_a_kind_of_warning_is_one_line_about_the_image_that_loses_most() -> None:
    save(small_trial(Reconstruct()))
    for width in (8, 20, 12, 16):
        Image.fromarray(np.tile(digit(), (1, 3))[:, :width]).save(f"{width}.png")
    lines = lines_of("8.png", "12.png", "16.png", "20.png", "-o", "out.png")
    cropped = [line for line in lines if "cropped" in line]
    assert len(cropped) == 1
    assert cropped[0].startswith("20.png and 2 more: cropped to its center: 60% of it is lost")


def test_a_page_with_a_black_digit_is_reported_and_can_be_inverted_and_padded() -> None:
    save(small_trial(Reconstruct()))
    page = np.full((300, 200), 255, np.uint8)
    page[60:240, 60:140] = 255 - np.asarray(Image.fromarray(digit()).resize((80, 180)))
    Image.fromarray(page).save("page.png")
    lines = lines_of("page.png", "-o", "out.png")
    cropped = "cropped to its center: 33% of it is lost; fit = pad (--fit pad) keeps all"
    assert lines[1] == f"page.png: {cropped}"
    assert lines[2].startswith("page.png: warning: unlike the training images: its mean pixel is")
    assert "invert (--invert) would make it" in lines[2]
    assert written()[::20, :160:20, 0].mean() > 128
    lines = lines_of("page.png", "-o", "out.png", "--invert", "--fit", "pad")
    assert not any("cropped" in line or "--invert" in line for line in lines)
    inputs = written()[::20, :160:20, 0]
    assert inputs[:, [0, 7]].max() == 0  # padded with the color of the border, inverted
    assert inputs.max() > 128


def test_images_like_the_training_images_give_no_warning() -> None:
    trial = small_trial(Reconstruct())
    save(trial)
    for index, image in enumerate(trial.dataset.load([]).val.pixels[:20]):
        Image.fromarray(image[0]).save(f"{index}.png")
    lines = lines_of(*(f"{index}.png" for index in range(20)), "-o", "out.png")
    assert len(lines) == 21
    Image.new("L", (8, 8), 90).save("flat.png")
    assert "the standard deviation of its pixels is 0.00" in lines_of("flat.png", "-o", "a.png")[1]


def test_a_model_without_statistics_says_so() -> None:
    save(small_trial(Reconstruct()))
    description = json.loads(Path("model", DESCRIPTION).read_text())
    del description["training_images"]
    Path("model", DESCRIPTION).write_text(json.dumps(description))
    Image.fromarray(digit()).save("in.png")
    assert "were not compared with them" in lines_of("in.png", "-o", "out.png")[1]


@pytest.mark.parametrize("kind", ["16 bits", "transparent", "rotated"])
def test_images_are_read_as_in_training(kind: str) -> None:
    save(small_trial(Reconstruct()))
    left = np.repeat(np.arange(8, dtype=np.uint8)[None] * 36, 8, axis=0)
    expected = left
    image = Image.fromarray(left)
    if kind == "16 bits":
        Image.fromarray(left.astype(np.uint16) * 257).save("in.png")
    elif kind == "transparent":
        image.putalpha(Image.new("L", (8, 8), 0))
        image.save("in.png")
        expected = np.full_like(left, 255)
    else:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save("in.png", exif=exif)
        expected = left.T
    lines_of("in.png", "-o", "out.png")
    np.testing.assert_array_equal(written()[::20, :160:20, 0], expected)


def test_the_range_of_deep_images_is_stated() -> None:
    save(small_trial(Reconstruct()))
    Image.fromarray(digit().astype(np.uint16) * 16).save("in.png")
    assert "set max_value (--max-value) to the value of white: 4095" in error_of(
        "in.png", "-o", "out.png"
    )
    lines_of("in.png", "-o", "out.png", "--max-value", 255 * 16)
    np.testing.assert_array_equal(written()[::20, :160:20, 0], digit())


# Files


def test_folders_are_accepted_and_other_files_named() -> None:
    save(small_trial(Reconstruct()))
    for name in ("photos/b/2.gif", "photos/a/1.PNG", "photos/3.tif"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digit()).save(name)
    Path("photos/notes.txt").touch()
    lines = lines_of("photos", "-o", "out.png")
    assert lines[0] == "photos: skipped 1 files that are no images: notes.txt"
    assert [line.partition(":")[0] for line in lines[1:4]] == [
        "photos/3.tif",
        "photos/a/1.PNG",
        "photos/b/2.gif",
    ]
    assert written().shape == (3 * 160, 320, 3)
    Path("empty").mkdir()
    assert "empty: there are no images in it" in error_of("empty", "-o", "none.png")


def test_many_images_are_all_evaluated_and_some_shown() -> None:
    save(small_trial(Reconstruct()))
    Path("many").mkdir()
    for index in range(70):
        Image.fromarray(digit()).save(f"many/{index}.png")
    lines = lines_of("many", "-o", "out.png")
    assert len(lines) == 72
    assert lines[-1] == "it shows the first 64 of 70 images"
    assert written().shape[0] == 64 * 160


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", "JPEG"), (".PNG", "PNG"), (".webp", "WEBP")])
def test_the_suffix_is_the_format(suffix: str, kind: str) -> None:
    save(small_trial(Reconstruct()))
    Image.fromarray(digit()).save("in.png")
    lines_of("in.png", "-o", f"out{suffix}")
    with Image.open(f"out{suffix}") as image:
        assert image.format == kind


@pytest.mark.parametrize("name", ["out", "out.txt", "out.mat"])
def test_another_suffix_is_an_error(name: str) -> None:
    save(small_trial(Reconstruct()))
    Image.fromarray(digit()).save("in.png")
    assert "the suffix is the format of the image; use .png" in error_of("in.png", "-o", name)


def test_all_files_that_cannot_be_read_are_reported_together() -> None:
    save(small_trial(Reconstruct()))
    Path("empty.png").touch()
    error = error_of("empty.png", "absent.png", "model/model.json", "-o", "out.png")
    assert error.splitlines() == [
        "error: empty.png cannot be read as an image: the file is empty",
        "error: absent.png cannot be read as an image: it does not exist",
        "error: model/model.json cannot be read as an image: its content is not an image of a "
        "format that is read",
    ]


def test_damaged_files_of_a_folder_are_left_out_on_request() -> None:
    save(small_trial(Reconstruct()))
    Path("photos").mkdir()
    Image.fromarray(digit()).save("photos/a.png")
    Path("photos/b.jpg").write_bytes(b"no image")
    assert error_of("photos", "-o", "out.png").splitlines() == [
        "error: photos/b.jpg cannot be read as an image: its content is not an image of a format "
        "that is read",
        "error: --skip-damaged leaves out files that cannot be read",
    ]
    lines = lines_of("photos", "--skip-damaged", "-o", "out.png")
    assert lines[0] == "skipped: photos/b.jpg: its content is not an image of a format that is read"
    assert lines[1].startswith("photos/a.png: mean squared error")
    error = error_of("photos/b.jpg", "--skip-damaged", "-o", "none.png")
    assert "photos/b.jpg cannot be read as an image" in error


def test_the_home_folder_may_be_written_as_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    save(small_trial(Reconstruct()))
    Image.fromarray(digit()).save("in.png")
    for option in (["-o", "~/a.png"], ["-o~/b.png"], ["-o=~/c.png"], ["-o=d.png"]):
        lines_of("in.png", *option)
    assert sorted(os.listdir(tmp_path / "home")) == ["a.png", "b.png", "c.png"]
    assert sorted(os.listdir()) == ["d.png", "home", "in.png", "model"]


def test_an_unknown_architecture_names_the_option_for_its_sweep_file() -> None:
    save(small_trial(Reconstruct()))
    description = Path("model", DESCRIPTION).read_text()
    Path("model", DESCRIPTION).write_text(description.replace("conv_autoencoder", "my_net"))
    Image.fromarray(digit()).save("in.png")
    assert "if a sweep file defines it: cae.load_components(FILE), or --sweep FILE" in error_of(
        "in.png", "-o", "out.png"
    )


# Arrays in the type and range of the training images


def save_deep(dtype: str, value_range: tuple[float, float]) -> None:
    """A model of images with 2 x 6 x 8 pixels of a type."""
    trial = Trial(
        dataset=Arrays(path="unused.npy", shape=(2, 6, 8)),
        task=Reconstruct(),
        arch=AUTOENCODER,
        optimizer=Adam(),
    )
    torch.manual_seed(0)
    weights = dict(build_network(trial).state_dict())
    pixels = PixelFormat(dtype, value_range).to_json()
    save_model(Path("model"), weights, trial, {"pixels": pixels})


@pytest.mark.parametrize(
    ("dtype", "value_range"),
    [("uint16", (0.0, 4095.0)), ("int16", (-100.0, 900.0)), ("float32", (-1.0, 1.0))],
)
def test_outputs_have_the_type_and_range_of_the_training_images(
    dtype: str, value_range: tuple[float, float]
) -> None:
    save_deep(dtype, value_range)
    black, white = value_range
    images = np.random.default_rng(0).uniform(black, white, (3, 2, 6, 8)).astype(dtype)
    np.save("in.npy", images)
    np.savez_compressed("in.npz", images=images, labels=np.zeros(3))
    lines = lines_of("in.npy", "in.npz", "-o", "out.npz")
    assert lines[0].startswith("in.npy [0]: mean squared error")
    assert lines[0].partition(": ")[2] == lines[3].partition(": ")[2]
    with np.load("out.npz") as written_arrays:
        inputs = written_arrays["inputs"]
        outputs = written_arrays["outputs"]
    np.testing.assert_allclose(inputs[:3], images, rtol=1e-6, atol=1e-6)
    scaled = torch.from_numpy((images.astype(np.float64) - black) / (white - black)).float()
    with torch.inference_mode():
        expected = load_model("model").network(scaled).double().clamp(0, 1).numpy()
    expected = expected * (white - black) + black
    assert outputs.dtype == dtype
    rounding = 0.5 if dtype != "float32" else 1e-6
    np.testing.assert_allclose(outputs[:3], expected, atol=rounding + 1e-3)
    lines_of("in.npy", "-o", "out.npy")
    np.testing.assert_array_equal(np.load("out.npy"), outputs[:3])
    lines_of("in.npy", "-o", "out.tif")
    stack = tifffile.imread("out.tif")
    assert stack.dtype == dtype
    np.testing.assert_array_equal(stack, outputs[:3])
    lines_of("out.tif", "-o", "again.npy")  # what was written is read again
    lines_of("in.npy", "-o", "out.png")
    assert written().ndim == 3


def test_arrays_outside_of_the_range_of_the_model_are_an_error() -> None:
    save_deep("uint16", (0.0, 4095.0))
    np.save("in.npy", np.full((2, 6, 8), 5000, np.uint16))
    assert "uint16 from 5000 to 5000: outside value_range = (0.0, 4095.0)" in error_of(
        "in.npy", "-o", "out.npy"
    )


def test_arrays_of_another_size_are_fitted_in_their_type() -> None:
    save_deep("uint16", (0.0, 4095.0))
    ramp = np.tile(np.linspace(0, 4095, 16).astype(np.uint16), (2, 12, 1))
    np.save("in.npy", ramp)
    lines_of("in.npy", "-o", "out.npz")
    with np.load("out.npz") as arrays:
        fitted = arrays["inputs"]
    assert fitted.shape == (1, 2, 6, 8)
    expected = ramp[:, ::2].reshape(2, 6, 8, 2).mean(3)
    assert np.abs(fitted[0].astype(float) - expected).max() < 0.02 * 4095
    assert len(np.unique(fitted)) == 8  # not rounded to 8 bits, and all values differ


def test_a_classifier_has_no_outputs_that_are_images() -> None:
    save(small_trial(next(task for task in TASKS if task.name == "classify")))
    np.save("in.npy", digit()[None])
    assert "the outputs of this task are no images" in error_of("in.npy", "-o", "out.npy")
