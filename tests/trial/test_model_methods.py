"""Models in Python: encode, decode, reconstruct and interpolate images in any form."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import cae
from cae import Adam, Arrays, Colorize, ConvAutoencoder, DenseAutoencoder, Reconstruct, Trial
from cae.errors import UserError
from cae.trial import image_statistics
from cae.trial.checkpoint import copy_weights
from cae.trial.model import Model, apply_model, save_model
from cae.trial.networks.create import build_network
from cae.trial.pixel_format import PixelFormat
from cae.trial.tasks import Task
from tests.trial.tasks.test_declared_metrics import (
    AUTOENCODER,
    DIGITS,
    PATCHES,
    TASKS,
    small_trial,
)

GRAY = DIGITS.load([]).test.pixels
"""uint8, 32 x 1 x 8 x 8."""
DEEP = PixelFormat("uint16", (0.0, 4095.0))


def model_of(trial: Trial, pixels: PixelFormat | None = None, **description: Any) -> Model:
    torch.manual_seed(0)
    weights = copy_weights(build_network(trial))
    recorded = description
    if pixels is not None:
        recorded = {"pixels": pixels.to_json(), **description}
    save_model(Path("model"), weights, trial, recorded)
    return cae.load_model("model")


def autoencoder() -> Model:
    return model_of(small_trial(Reconstruct()))


def deep_model(pixels: PixelFormat = DEEP) -> Model:
    """A model of gray images of another type than uint8; by default of 12 bits."""
    trial = Trial(
        dataset=Arrays(path="gone.npy", shape=(1, 8, 8), value_range=pixels.value_range),
        task=Reconstruct(),
        arch=AUTOENCODER,
        optimizer=Adam(),
    )
    return model_of(trial, pixels)


def unit(pixels: np.ndarray) -> Tensor:
    """Floats in [0, 1] in the usual memory layout, which also decides how convolutions round."""
    values = torch.from_numpy(pixels).float() / 255
    return values.clone(memory_format=torch.contiguous_format)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.name}-{task.loss}")
def test_codes_are_those_of_the_encoder_bit_for_bit(task: Task) -> None:
    trial = small_trial(task)
    pixels = trial.dataset.load([]).test.pixels[:5]
    model = model_of(trial)
    inputs = apply_model(model, unit(pixels)).inputs
    encoder = model.network.get_submodule("encoder").eval()
    with torch.inference_mode():
        expected = encoder(inputs)
    assert torch.equal(model.inputs(pixels), inputs)
    codes = model.encode(pixels)
    assert torch.equal(codes, expected)
    assert tuple(codes.shape[1:]) == model.latent_shape
    assert codes.dtype == torch.float32


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.name}-{task.loss}")
def test_reconstructions_are_those_of_the_command(task: Task) -> None:
    trial = small_trial(task)
    pixels = trial.dataset.load([]).test.pixels[:3]
    model = model_of(trial)
    applied = apply_model(model, unit(pixels))
    if task.name == "classify":
        with pytest.raises(UserError, match="outputs of the task 'classify' are no images"):
            model.reconstruct(pixels)
        return
    outputs = model.reconstruct(pixels)
    assert torch.equal(outputs, task.to_image(applied.inputs, applied.outputs))
    if task.corrupts:
        corrupted = model.reconstruct(pixels, corrupt=True)
        assert not torch.equal(corrupted, outputs)
        assert torch.equal(corrupted, model.reconstruct(pixels, corrupt=True))
    else:
        with pytest.raises(UserError, match="does not corrupt"):
            model.reconstruct(pixels, corrupt=True)


def forms_of_an_image(pixels: np.ndarray) -> Iterator[Any]:
    """A gray image, 1 x H x W, in every form."""
    image = Image.fromarray(pixels[0])
    image.save("digit.png")
    np.save("digit.npy", pixels)
    folder = Path("digits")
    folder.mkdir()
    image.save(folder / "digit.png")
    yield "digit.png"
    yield Path("digit.png")
    yield "digit.npy"
    yield folder
    yield image
    yield image.convert("RGB")
    yield pixels
    yield pixels[0]
    yield pixels[None]
    yield pixels.transpose(1, 2, 0)
    yield torch.from_numpy(pixels)
    yield unit(pixels)
    yield unit(pixels).double().requires_grad_()
    yield unit(pixels).numpy()


def test_an_image_in_any_form_has_the_same_code() -> None:
    model = autoencoder()
    pixels = GRAY[0]
    expected = model.encode(pixels)
    forms = list(forms_of_an_image(pixels))
    for form in forms:
        assert torch.equal(model.encode(form), expected), form
    torch.testing.assert_close(model.encode(forms), expected.expand(len(forms), -1, -1, -1))


def test_several_gray_images_need_the_axis_of_the_channel() -> None:
    """Three of them could be the channels of an image as well."""
    with pytest.raises(UserError, match=r"32 x 8 x 8: should be .* array\[:, None\]"):
        autoencoder().encode(GRAY[:, 0])


def test_color_images_are_read_as_in_training() -> None:
    trial = small_trial(Colorize(target="rgb"))
    pixels = PATCHES.load([]).test.pixels[0]
    model = model_of(trial)
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save("patch.png")
    assert torch.equal(model.inputs("patch.png"), model.inputs(pixels))
    assert model.inputs(pixels).shape == (1, 1, 16, 16)


def test_pixels_of_more_bits_have_the_range_of_the_training_images() -> None:
    model = deep_model()
    pixels = (GRAY.astype(np.uint16) * 16)[:4]
    expected = torch.from_numpy(pixels.astype(np.float32)) / 4095
    assert torch.equal(model.inputs(pixels), expected)
    assert torch.equal(model.inputs(expected), expected), "floats in [0, 1]"
    Image.fromarray(pixels[0, 0]).save("deep.png")
    torch.testing.assert_close(model.inputs("deep.png", max_value=4095), expected[:1])
    torch.testing.assert_close(model.inputs(Image.open("deep.png"), max_value=4095), expected[:1])
    assert torch.equal(model.inputs(pixels, max_value=65535), expected * 4095 / 65535)


@pytest.mark.parametrize(
    "pixels", [DEEP, PixelFormat("int16", (-1024.0, 3071.0)), PixelFormat("float32", (0.0, 1e4))]
)
def test_bytes_and_masks_have_their_own_range(pixels: PixelFormat) -> None:
    """Regression: 255 was 255 of 4095, and True was 1 of 4095."""
    model = deep_model(pixels)
    ramp = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) * 4
    assert torch.equal(model.inputs(ramp), unit(ramp[None]))
    mask = ramp > 100
    assert torch.equal(model.inputs(mask), torch.from_numpy(mask[None]).float())


@pytest.mark.parametrize(
    ("dtype", "limits"),
    [
        ("uint16", (0.0, 4095.0)),
        ("uint16", (0.0, 20000.0)),
        ("uint16", (100.0, 20000.0)),
        ("float32", (0.0, 20000.0)),
    ],
)
def test_files_of_16_bits_have_the_range_of_the_training_images(
    dtype: str, limits: tuple[float, float]
) -> None:
    """Regression: white was 65535, so that images of 0..20000 were three times too dark."""
    black, white = limits
    model = deep_model(PixelFormat(dtype, limits))
    pixels = np.linspace(black, white, 64).round().astype(np.uint16).reshape(8, 8)
    Image.fromarray(pixels).save("deep.png")
    expected = torch.from_numpy((pixels - black) / (white - black)).float()[None, None]
    torch.testing.assert_close(model.inputs("deep.png"), expected)
    torch.testing.assert_close(model.inputs(Image.open("deep.png")), expected)
    torch.testing.assert_close(model.inputs(pixels[None].astype(dtype)), expected)
    torch.testing.assert_close(
        model.inputs("deep.png", max_value=65535),
        torch.from_numpy(pixels / 65535).float()[None, None],
    )


@pytest.mark.parametrize(("dtype", "limits"), [("uint16", (0, 65535)), ("float32", (0, 1))])
def test_files_of_16_bits_have_their_usual_range_otherwise(
    dtype: str, limits: tuple[float, float]
) -> None:
    model = deep_model(PixelFormat(dtype, limits))
    pixels = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    Image.fromarray(pixels).save("deep.png")
    expected = torch.from_numpy(pixels / 65535).float()[None, None]
    torch.testing.assert_close(model.inputs("deep.png"), expected)


@pytest.mark.parametrize(
    ("dtype", "limits", "largest"),
    [
        ("uint16", (0, 4095), 4096),  # white is another value
        ("uint16", (100, 65535), 99),  # darker than black
        ("int16", (-1024, 3071), 3000),  # black is below all whole numbers of a file
    ],
)
def test_files_of_16_bits_outside_the_range_are_errors(
    dtype: str, limits: tuple[float, float], largest: int
) -> None:
    model = deep_model(PixelFormat(dtype, limits))
    Image.fromarray(np.full((8, 8), largest, np.uint16)).save("deep.png")
    with pytest.raises(UserError, match="--max-value"):
        model.inputs("deep.png")
    model.inputs("deep.png", max_value=5000)


def test_decoded_codes_are_the_reconstructions() -> None:
    for arch in (AUTOENCODER, DenseAutoencoder()):
        model = model_of(small_trial(Reconstruct()).override({}).model_copy(update={"arch": arch}))
        codes = model.encode(GRAY)
        outputs = model.reconstruct(GRAY)
        assert torch.equal(model.decode(codes), outputs)
        assert torch.equal(model.decode(codes.numpy()), outputs)
        torch.testing.assert_close(model.decode(codes[3]), outputs[3:4])


def test_interpolation_goes_from_one_image_to_the_other() -> None:
    model = autoencoder()
    outputs = model.interpolate(GRAY[0], GRAY[1], steps=5)
    assert outputs.shape == (5, 1, 8, 8)
    ends = model.reconstruct(GRAY[:2])
    torch.testing.assert_close(outputs[[0, -1]], ends)
    middle = model.decode(model.encode(GRAY[:2]).mean(0))
    torch.testing.assert_close(outputs[2:3], middle)


def test_preparation_is_as_requested_and_warned_about() -> None:
    training = image_statistics.measure(GRAY).to_json()
    model = model_of(small_trial(Reconstruct()), training_images=training)
    wide = np.full((1, 12, 24), 250, np.uint8)
    wide[0, 2:10, 4:20] = 0
    with pytest.warns(UserWarning, match="50% of it is lost; fit = pad"):
        cropped = model.inputs(wide)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        padded = model.inputs(wide, fit="pad")
    assert not any("lost" in str(warning.message) for warning in caught)
    assert not torch.equal(cropped, padded)
    with pytest.warns(UserWarning, match=r"\[0\].*unlike the training images"):
        inverted = model.inputs(np.stack([255 - GRAY[0], GRAY[1]]))
    assert torch.equal(model.inputs(255 - GRAY[0], invert=True), unit(GRAY[:1]))
    torch.testing.assert_close(1 - inverted[0], unit(GRAY[0]))


def test_wrong_images_are_errors_with_what_fits() -> None:
    model = autoencoder()
    wrong: list[tuple[Any, str]] = [
        ("missing.png", "it does not exist"),
        (3, "is of the type int: should be a path, an image of Pillow"),
        ([], "images is empty"),
        (np.zeros((4, 3, 8, 8), np.uint8), "array 4 x 3 x 8 x 8: should be 1 x H x W"),
        (np.zeros(8, np.uint8), "array 8: should be 1 x H x W"),
        (np.zeros((0, 1, 8, 8), np.uint8), "array 0 x 1 x 8 x 8"),
        (GRAY.astype(np.complex64), "of the type complex64"),
        (GRAY.astype(np.float32), r"should be in \[0, 1\]; otherwise scale them to floats"),
        (GRAY / 255 - 0.5, "should be in"),
        (np.where(GRAY > 9, np.nan, 0.0), "NaN or infinite values"),
        ([GRAY[0], np.zeros((2, 8, 8))], r"images\[1\]: it is an array 2 x 8 x 8"),
    ]
    for images, expected in wrong:
        with pytest.raises(UserError, match=expected):
            model.encode(images)


def test_integers_of_more_bits_than_the_model_has_get_advice_that_fits() -> None:
    """Regression: the advice was to declare a range in the class of the data set."""
    deep = GRAY.astype(np.uint16) * 16
    with pytest.raises(UserError) as caught:
        autoencoder().reconstruct(deep)
    message = str(caught.value)
    assert "images: image.pixels is uint16 from 0 to 4080: should be uint8 in 0..255" in message
    assert "scale them to floats in [0, 1], or set max_value (--max-value)" in message
    assert "4095" in message
    assert "class" not in message
    expected = torch.from_numpy(deep.astype(np.float32)) / 4095
    assert torch.equal(autoencoder().inputs(deep, max_value=4095), expected)


def test_wrong_codes_are_errors_with_what_fits() -> None:
    model = autoencoder()
    wrong: list[tuple[Any, str]] = [
        (torch.zeros(3, 5), r"the shape 3 x 5: should be N x 2 x 4 x 4"),
        (torch.zeros(0, 2, 4, 4), "empty"),
        (torch.full((1, 2, 4, 4), torch.nan), "NaN"),
        (np.array(["a"]), "ndarray of <U1: should be a tensor or an array of numbers"),
        ([0.5], "codes is a list"),
    ]
    for codes, expected in wrong:
        with pytest.raises(UserError, match=expected):
            model.decode(codes)


def test_what_a_network_cannot_do_is_an_error_with_the_reason() -> None:
    skips = small_trial(Reconstruct()).override({"arch.skips": True})
    model = model_of(skips)
    code = model.encode(GRAY[0])
    with pytest.raises(UserError, match="network with skips cannot decode latent codes alone"):
        model.decode(code)
    with pytest.raises(UserError, match="skips"):
        model.interpolate(GRAY[0], GRAY[1])
    classifier = model_of(small_trial(next(task for task in TASKS if task.name == "classify")))
    assert len(classifier.encode(GRAY)) == len(GRAY)
    with pytest.raises(UserError, match="no module named decoder"):
        classifier.decode(classifier.encode(GRAY))
    with pytest.raises(UserError, match="steps = 1: should be at least 2"):
        autoencoder().interpolate(GRAY[0], GRAY[1], steps=1)
    with pytest.raises(UserError, match="b has 2 images: should be one"):
        autoencoder().interpolate(GRAY[0], GRAY[:2])


def test_a_printed_model_is_one_short_line() -> None:
    text = repr(autoencoder())
    parameters = sum(parameter.numel() for parameter in autoencoder().network.parameters())
    assert "conv_autoencoder" in text
    assert f"{parameters:,} parameters" in text
    assert "1 x 8 x 8" in text
    assert len(text) < 100


def test_docstrings_state_shapes_ranges_and_errors() -> None:
    for method in (Model.inputs, Model.encode, Model.decode, Model.reconstruct, Model.interpolate):
        text = method.__doc__ or ""
        assert "UserError" in text, method.__name__
        assert " x " in text, method.__name__


def test_a_batch_norm_network_is_used_in_evaluation_mode() -> None:
    arch = ConvAutoencoder(
        encoder_filters=(4, 2),
        decoder_filters=(4,),
        pool_after=(1,),
        upsample_after=(0,),
        batch_norm="before_activation",
        dropout=0.5,
    )
    model = model_of(small_trial(Reconstruct()).model_copy(update={"arch": arch}))
    model.network.train()
    assert torch.equal(model.encode(GRAY[:2]), model.encode(GRAY)[:2])
    assert model.network.training, "the mode that a user has set is kept"
