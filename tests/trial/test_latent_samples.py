"""latent.npz: which images it contains, what is decoded, its size, and when it is written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typing_extensions import override

from cae.trial.batches import DeviceImages, DeviceSplit
from cae.trial.checkpoint import BEST, LATENT, load
from cae.trial.config import Trial
from cae.trial.latent_code import encode
from cae.trial.latent_samples import (
    IMAGES,
    LEVELS,
    MAX_VALUES,
    PAIRS,
    STEPS,
    UNITS,
    save_latent_samples,
)
from cae.trial.networks.conv import ConvAutoencoder
from cae.trial.networks.create import build_network
from cae.trial.networks.dense import DenseAutoencoder
from cae.trial.networks.layers import Autoencoder
from cae.trial.networks.variational import VariationalAutoencoder, VariationalNetwork
from cae.trial.tasks.base import Task
from cae.trial.tasks.complete import Complete
from cae.trial.tasks.denoise import Denoise
from cae.trial.tasks.reconstruct import Reconstruct
from cae.trial.training import train

MAX_BYTES = 1_000_000
Arrays = dict[str, Any]


def image_set(
    count: int, shape: tuple[int, int, int], classes: int = 10, seed: int = 0
) -> DeviceImages:
    """Noise, which JPEG and deflate compress worst, with random classes in all splits."""
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=random)
    labels = torch.randint(0, classes, (count,), generator=random)
    split = DeviceSplit(pixels, labels)
    return DeviceImages(split, split, split, tuple(f"class {i}" for i in range(classes)))


def saved(folder: Path, network: nn.Module, task: Task, images: DeviceImages) -> Arrays:
    save_latent_samples(folder, network, task, images, 1)
    return read(folder)


def read(folder: Path) -> Arrays:
    with np.load(folder / LATENT, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def image(pixels: Any) -> Tensor:
    return torch.as_tensor(pixels).float() / 255


def small_network(code_size: int = 5) -> nn.Module:
    torch.manual_seed(0)
    architecture = DenseAutoencoder(hidden_units=(code_size,))
    return architecture.build((1, 8, 8), (1, 8, 8)).eval()


def test_codes_are_those_of_evenly_spaced_test_images_in_the_order_of_their_classes(
    tmp_path: Path,
) -> None:
    images = image_set(1100, (1, 8, 8))
    network = small_network()
    arrays = saved(tmp_path, network, Reconstruct(), images)
    assert sorted(arrays["indices"]) == [number * 1100 // IMAGES for number in range(IMAGES)]
    assert arrays["labels"].tolist() == sorted(arrays["labels"])
    np.testing.assert_array_equal(arrays["labels"], images.test.labels[arrays["indices"]])
    assert arrays["classes"].tolist() == list(images.classes)
    inputs = images.test.pixels[arrays["indices"]].float() / 255
    np.testing.assert_allclose(arrays["codes"], encode(network, inputs).flatten(1), atol=1e-6)
    assert arrays["kept_variance"] == 1
    assert arrays["latent_shape"].tolist() == [5]


def test_the_sheet_shows_the_inputs_in_the_same_order(tmp_path: Path) -> None:
    values = torch.arange(30, dtype=torch.uint8)[:, None, None, None] * 8
    pixels = values.expand(30, 1, 8, 8).contiguous()
    split = DeviceSplit(pixels, torch.arange(30) % 3)
    arrays = saved(tmp_path, small_network(), Reconstruct(), DeviceImages(split, split, split))
    height, width, columns = arrays["tile"]
    sheet = np.asarray(Image.open(io.BytesIO(arrays["sheet"].tobytes())))
    for number, index in enumerate(arrays["indices"]):
        row, column = divmod(number, columns)
        tile = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert abs(tile.mean() - 8 * index) < 4


def test_all_networks_of_the_same_data_have_the_same_images(tmp_path: Path) -> None:
    images = image_set(60, (1, 8, 8))
    files: list[Arrays] = []
    for code_size in (3, 5):
        folder = tmp_path / str(code_size)
        folder.mkdir()
        files.append(saved(folder, small_network(code_size), Denoise(noise_factor=0.5), images))
    for name in ("indices", "labels", "sheet", "pairs", "ends"):
        np.testing.assert_array_equal(files[0][name], files[1][name])


def test_principal_components_of_large_codes_keep_all_distances(tmp_path: Path) -> None:
    images = image_set(MAX_VALUES, (1, 16, 16))
    network = ConvAutoencoder().build((1, 16, 16), (1, 16, 16)).eval()
    arrays = saved(tmp_path, network, Reconstruct(), images)
    codes = encode(network, images.test.pixels[arrays["indices"]].float() / 255).flatten(1)
    assert codes.shape[1] > MAX_VALUES
    assert arrays["codes"].shape == (MAX_VALUES, MAX_VALUES)
    assert arrays["kept_variance"] == pytest.approx(1)
    kept = torch.from_numpy(arrays["codes"])
    torch.testing.assert_close(torch.pdist(kept), torch.pdist(codes), rtol=1e-3, atol=1e-5)


def test_interpolations_lead_from_the_output_of_one_image_to_that_of_the_other(
    tmp_path: Path,
) -> None:
    images = image_set(60, (1, 8, 8))
    network = small_network()
    arrays = saved(tmp_path, network, Reconstruct(), images)
    pairs = torch.as_tensor(arrays["pairs"])
    assert pairs.shape == (PAIRS, 2)
    labels = arrays["labels"][arrays["pairs"]]
    assert len(set(labels.flatten())) == 2 * PAIRS, "all images are of different classes"
    inputs = images.test.pixels[arrays["indices"]][pairs.flatten()]
    np.testing.assert_array_equal(arrays["ends"], inputs)
    with torch.inference_mode():
        outputs = network(inputs.float() / 255).view(PAIRS, 2, 1, 8, 8)
    steps = image(arrays["interpolations"]).view(PAIRS, STEPS, 1, 8, 8)
    torch.testing.assert_close(steps[:, 0], outputs[:, 0].clamp(0, 1), atol=0.51 / 255, rtol=0)
    torch.testing.assert_close(steps[:, -1], outputs[:, 1].clamp(0, 1), atol=0.51 / 255, rtol=0)
    assert not torch.equal(steps[:, 3], steps[:, 0])


class _Sum(nn.Module):
    """Decodes a code of three values into an image of three columns."""

    @override
    def forward(self, codes: Tensor) -> Tensor:
        return codes[:, None, None, :].expand(-1, 1, 3, 3)


class _Columns(nn.Module):
    """The mean of each column, in different scales."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2)) * torch.tensor([0.1, 1.0, 0.0])


def test_the_values_with_the_largest_variance_are_traversed_between_quantiles(
    tmp_path: Path,
) -> None:
    images = image_set(200, (1, 3, 3))
    arrays = saved(tmp_path, Autoencoder(_Columns(), _Sum()), Reconstruct(), images)
    assert arrays["units"].tolist() == [1, 0], "the third value is constant"
    assert str(arrays["score"]) == "variance"
    codes = arrays["codes"]
    np.testing.assert_allclose(arrays["scores"], codes.var(0)[[1, 0]], rtol=1e-5)
    expected = np.quantile(codes[:, 1], [0.025, 0.975])
    np.testing.assert_allclose(arrays["levels"][0][[0, -1]], expected, rtol=1e-5)
    traversals = arrays["traversals"].reshape(2, LEVELS, 3, 3)
    np.testing.assert_allclose(traversals[0, :, 0, 1] / 255, arrays["levels"][0], atol=0.01)
    np.testing.assert_allclose(traversals[0, :, 0, 0] / 255, [codes[0, 0]] * LEVELS, atol=0.01)


def test_the_units_of_a_variational_autoencoder_are_chosen_by_their_divergence(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    network = VariationalAutoencoder(latent_dim=4).build((1, 16, 16), (1, 16, 16))
    assert isinstance(network, VariationalNetwork)
    log_var = network.encoder.log_var
    assert isinstance(log_var, nn.Linear)
    with torch.no_grad():
        log_var.bias.copy_(torch.tensor([0.0, -9.0, -3.0, -6.0]))
    images = image_set(40, (1, 16, 16))
    arrays = saved(tmp_path, network, Reconstruct(), images)
    assert str(arrays["score"]) == "KL divergence"
    assert arrays["units"].tolist() == [1, 3, 2, 0]
    with torch.inference_mode():
        network.eval().forward(images.test.pixels[arrays["indices"]].float() / 255)
    kl = network.kl_per_value().mean(0)[arrays["units"]]
    np.testing.assert_allclose(arrays["scores"], kl, rtol=1e-4)


class _WithSkip(Autoencoder):
    @override
    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = super().forward(images)
        return output + images


def test_the_codes_of_a_network_with_skips_are_saved_with_the_reason_why_none_is_decoded(
    tmp_path: Path,
) -> None:
    network = ConvAutoencoder(skips=True).build((1, 16, 16), (1, 16, 16))
    arrays = saved(tmp_path, network, Reconstruct(), image_set(30, (1, 16, 16)))
    assert len(arrays["codes"]) == 30
    assert "skips" in str(arrays["reason"])
    assert not len(arrays["interpolations"])
    assert not len(arrays["traversals"])


def test_nothing_is_decoded_if_the_outputs_need_more_than_the_code(tmp_path: Path) -> None:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    decoder = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8)))
    arrays = saved(tmp_path, _WithSkip(encoder, decoder), Reconstruct(), image_set(30, (1, 8, 8)))
    assert "latent code alone" in str(arrays["reason"])
    assert not len(arrays["interpolations"])


def test_a_decoder_that_fails_is_a_reason_and_no_error(tmp_path: Path) -> None:
    network = Autoencoder(nn.Flatten(), nn.Linear(3, 3))
    network.forward = lambda images: images  # type: ignore[method-assign]
    arrays = saved(tmp_path, network, Reconstruct(), image_set(30, (1, 8, 8)))
    assert str(arrays["reason"]).startswith("its decoder fails with a latent code alone: ")


@pytest.mark.parametrize("count", [1, 2])
def test_few_test_images_are_enough(tmp_path: Path, count: int) -> None:
    arrays = saved(tmp_path, small_network(), Reconstruct(), image_set(count, (1, 8, 8)))
    assert len(arrays["codes"]) == count
    assert len(arrays["interpolations"]) == (count - 1) * STEPS
    assert bool(str(arrays["reason"])) == (count == 1)


def test_parts_that_a_task_takes_from_its_input_are_shown_too(tmp_path: Path) -> None:
    network = DenseAutoencoder().build((1, 8, 4), (1, 8, 4))
    arrays = saved(tmp_path, network, Complete(), image_set(30, (1, 8, 8)))
    assert arrays["interpolations"].shape == (PAIRS * STEPS, 1, 8, 8)
    assert arrays["ends"].shape == (2 * PAIRS, 1, 8, 4)


def test_a_network_without_an_encoder_has_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / LATENT).write_bytes(b"of an earlier epoch")
    save_latent_samples(tmp_path, nn.Identity(), Reconstruct(), image_set(30, (1, 8, 8)), 1)
    assert not (tmp_path / LATENT).exists()
    assert "Identity has no latent code" in capsys.readouterr().out


def test_codes_that_are_not_finite_are_not_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = small_network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)
    save_latent_samples(tmp_path, network, Reconstruct(), image_set(30, (1, 8, 8)), 1)
    assert not (tmp_path / LATENT).exists()
    assert "not finite" in capsys.readouterr().out


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 48), (5, 40, 40)], ids=str)
def test_a_file_has_at_most_a_megabyte(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    """Images and outputs are noise, and the code is as large as the image."""
    network = Autoencoder(nn.Identity(), nn.Identity())
    arrays = saved(tmp_path, network, Reconstruct(), image_set(600, shape))
    assert (tmp_path / LATENT).stat().st_size <= MAX_BYTES
    assert len(arrays["units"]) == UNITS
    assert len(arrays["traversals"]) == UNITS * LEVELS
    assert arrays["interpolations"].shape[2:] == arrays["ends"].shape[2:]


@pytest.fixture(scope="module")
def finished(trial: Trial, images: DeviceImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trial that was trained without interruption."""
    folder = tmp_path_factory.mktemp("finished")
    list(train(trial, images, folder))
    return folder


def test_a_trial_ends_with_the_codes_of_its_best_weights(
    trial: Trial, images: DeviceImages, finished: Path
) -> None:
    best = load(finished / BEST)
    network = build_network(trial)
    network.load_state_dict(best.network)
    arrays = read(finished)
    assert arrays["epoch"] == best.epoch
    inputs = images.test.pixels[arrays["indices"]].float() / 255
    codes = encode(network, inputs).flatten(1)
    assert codes.shape[1] <= MAX_VALUES
    np.testing.assert_allclose(arrays["codes"], codes, atol=1e-5)


def test_codes_of_another_epoch_are_removed_if_none_are_saved(
    trial: Trial, images: DeviceImages, finished: Path, tmp_path: Path
) -> None:
    for path in finished.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    list(train(trial, images, tmp_path, latent=False))
    assert (tmp_path / LATENT).read_bytes() == (finished / LATENT).read_bytes()
    longer = trial.override({"epochs": trial.epochs + 2})
    list(train(longer, images, tmp_path, latent=False))
    assert load(tmp_path / BEST).epoch > trial.epochs
    assert not (tmp_path / LATENT).exists()


@pytest.mark.parametrize("left", [None, 0, 4, 0.5, 0.9])
def test_a_file_that_is_missing_or_damaged_is_written_again(
    trial: Trial, images: DeviceImages, finished: Path, left: float | None
) -> None:
    """As after a process was killed before it was written, and with 0, 4 bytes or a share of it."""
    path = finished / LATENT
    whole = path.read_bytes()
    if left is None:
        path.unlink()
    elif isinstance(left, float):
        path.write_bytes(whole[: int(left * len(whole))])
    else:
        path.write_bytes(whole[:left])
    list(train(trial, images, finished))
    assert path.read_bytes() == whole


def test_the_codes_of_a_trial_that_is_extended_are_those_of_its_new_best_epoch(
    trial: Trial, images: DeviceImages, finished: Path, tmp_path: Path
) -> None:
    for path in finished.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    longer = trial.override({"epochs": trial.epochs + 2})
    list(train(longer, images, tmp_path))
    assert read(tmp_path)["epoch"] == load(tmp_path / BEST).epoch > trial.epochs
