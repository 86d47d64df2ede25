"""The latent code of trials, measured when they end, and the floors beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cae.trial.batches import DeviceImages, Pairs
from cae.trial.checkpoint import LATENT
from cae.trial.config import Trial
from cae.trial.datasets import Digits
from cae.trial.evaluation import evaluation_pairs
from cae.trial.latent import declaration, encoding, floors, measures
from cae.trial.latent.declaration import latent_metrics, measured_names
from cae.trial.latent.final import measure_epoch, measure_latent
from cae.trial.latent.principal_components import PrincipalComponents
from cae.trial.networks import ConvAutoencoder, VariationalAutoencoder
from cae.trial.networks.classifier import Classifier
from cae.trial.networks.create import build_network
from cae.trial.tasks import Classify, Denoise, Vae
from cae.trial.training import Epoch, train

FLOORS = ("_pca", "_random_encoder", "_pixels")


def last_epoch(trial: Trial, images: DeviceImages, folder: Path, **options: Any) -> Epoch:
    *_, last = train(trial, images, folder, durable=False, **options)
    assert last.final is not None
    return last


@pytest.fixture(scope="module")
def short(trial: Trial) -> Trial:
    return trial.override({"epochs": 1})


@pytest.fixture(scope="module")
def final(short: Trial, images: DeviceImages, tmp_path_factory: Any) -> dict[str, float]:
    metrics = last_epoch(short, images, tmp_path_factory.mktemp("trial")).final
    assert metrics is not None
    return metrics


def test_a_trial_reports_every_measure_and_its_floors(final: dict[str, float]) -> None:
    undefined = {"trustworthiness"}  # 20 test images are too few for 10 neighbours
    for name in latent_metrics():
        is_defined = name.partition("_")[0] not in undefined
        assert (f"test_{name}" in final) == is_defined, name
    assert all(math.isfinite(value) for value in final.values())


def test_the_measures_can_be_turned_off_and_change_nothing_else(
    short: Trial, images: DeviceImages, tmp_path: Path, final: dict[str, float]
) -> None:
    without = last_epoch(short, images, tmp_path, latent=False).final
    latent = {f"test_{name}" for name in latent_metrics()}
    assert without == {name: value for name, value in final.items() if name not in latent}
    assert not (tmp_path / LATENT).exists()


def test_floors_are_the_same_for_all_seeds_and_measured_once(
    short: Trial,
    images: DeviceImages,
    tmp_path: Path,
    final: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[nn.Module] = []
    encode = encoding.SampledImages.encode

    def count(chosen: encoding.SampledImages, network: nn.Module) -> Any:
        encoded.append(network)
        return encode(chosen, network)

    monkeypatch.setattr(encoding.SampledImages, "encode", count)
    other = last_epoch(short.override({"seed": 5}), images, tmp_path).final
    assert other is not None
    floors = {name for name in final if name.endswith(FLOORS)}
    assert {name: other[name] for name in floors} == {name: final[name] for name in floors}
    assert other["test_effective_rank"] != final["test_effective_rank"]
    assert len(encoded) == 1


def test_what_depends_on_the_inputs_only_is_computed_once(
    short: Trial, images: DeviceImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[object] = []
    for module, name in ((encoding, "summarize_inputs"), (PrincipalComponents, "fit")):
        monkeypatch.setattr(module, name, counted(getattr(module, name), computed))
    monkeypatch.setattr(encoding, "_known_summaries", {})
    monkeypatch.setattr(floors, "_known_components", {})
    first = last_epoch(short, images, tmp_path / "1").final
    wider = short.override({"arch.encoder_filters": (4, 5)})
    second = last_epoch(wider, images, tmp_path / "2").final
    assert len(computed) == 2
    assert first is not None
    assert second is not None
    assert first["test_probe_accuracy_pixels"] == second["test_probe_accuracy_pixels"]

    unknown = images._replace(fingerprint="")
    again = last_epoch(wider, unknown, tmp_path / "3").final
    assert len(computed) == 4  # nothing may be cached
    assert again == second
    assert measure_epoch(build_network(short), short, images, val_pairs(short, images), NAME) > 0
    assert len(computed) == 5  # of other images


NAME = "code_explained_variance"


def counted(function: Any, calls: list[object]) -> Any:
    def call(*arguments: Any) -> Any:
        calls.append(function)
        return function(*arguments)

    return call


def val_pairs(trial: Trial, images: DeviceImages) -> Pairs:
    return evaluation_pairs(trial.task, images.val, "val")


def test_measuring_draws_no_random_numbers_of_the_process(
    short: Trial, images: DeviceImages
) -> None:
    network = build_network(short).eval()
    other_network = short.override({"arch.kernel_size": 5})
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    measure_latent(network, short, images)
    measure_latent(build_network_without_drawing(other_network), other_network, images)
    assert torch.equal(torch.rand(1), expected)


def build_network_without_drawing(trial: Trial) -> nn.Module:
    with torch.random.fork_rng():
        return build_network(trial).eval()


def test_noisy_inputs_are_encoded_and_are_the_same_every_time(
    short: Trial, images: DeviceImages
) -> None:
    trial = Trial(
        dataset=short.dataset,
        task=Denoise(noise_factor=0.5),
        arch=short.arch,
        optimizer=short.optimizer,
    )
    network = build_network(trial).eval()
    first = measure_latent(network, trial, images)
    again = measure_latent(network, trial, images)
    clean = measure_latent(network, short, images)
    assert first.metrics == again.metrics
    assert first.metrics["probe_accuracy_pixels"] != clean.metrics["probe_accuracy_pixels"]


def test_a_variational_autoencoder_has_a_table_of_its_latent_values(
    short: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    trial = Trial(
        dataset=short.dataset,
        task=Vae(generated=2, latent_scales=(1.0,)),
        arch=VariationalAutoencoder(latent_dim=3, encoder_filters=(4, 4), decoder_filters=(4, 4)),
        optimizer=short.optimizer,
        epochs=1,
    )
    last = last_epoch(trial, images, tmp_path)
    assert last.final is not None
    rows = last.tables["latent_units"]
    assert sorted(row["unit"] for row in rows) == [1, 2, 3]
    assert sum(row["kl"] for row in rows) == pytest.approx(last.final["test_kl"], rel=1e-4)
    active = [row["unit"] for row in rows if row["active"] == "yes"]
    assert len(active) == last.final["test_active_units"]
    assert [row["kl"] for row in rows] == sorted((row["kl"] for row in rows), reverse=True)


def test_active_units_have_the_same_value_by_the_task_and_by_the_measure(
    short: Trial, images: DeviceImages
) -> None:
    trial = Trial(
        dataset=short.dataset,
        task=Vae(generated=2, latent_scales=(1.0,)),
        arch=VariationalAutoencoder(latent_dim=5, encoder_filters=(4, 4), decoder_filters=(4, 4)),
        optimizer=short.optimizer,
    )
    network = build_network(trial).eval()
    measured = measure_latent(network, trial, images)
    assert "active_units" in measured.metrics
    assert "active_units" not in measure_latent(network, trial, images, ["active_units"]).metrics
    from cae.trial.tasks.generate import _active_units

    inputs = images.test.pixels.float() / 255
    with torch.inference_mode():
        assert measured.metrics["active_units"] == _active_units(network, inputs)


def test_a_classifier_is_not_measured(short: Trial, images: DeviceImages, tmp_path: Path) -> None:
    trial = Trial(
        dataset=short.dataset,
        task=Classify(),
        arch=Classifier(encoder_filters=(4,), pool_after=(1,)),
        optimizer=short.optimizer,
        epochs=1,
    )
    assert not set(trial.metric_directions()) & set(measured_names())
    final = last_epoch(trial, images, tmp_path).final
    assert final is not None
    assert not set(final) & {f"test_{name}" for name in latent_metrics()}


class _Flattening(nn.Module):
    """Its encoder takes vectors, and not the inputs of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(64, 3)
        self.decoder = nn.Linear(3, 64)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.decoder(self.encoder(images.flatten(1)))
        return output.view_as(images)


def test_networks_that_cannot_be_encoded_are_not_measured_with_a_reason(
    short: Trial, images: DeviceImages
) -> None:
    without = measure_latent(nn.Conv2d(1, 1, 3), short, images)
    assert without.metrics == {}
    assert "no module named encoder" in without.reason
    flattening = measure_latent(_Flattening(), short, images)
    assert flattening.metrics == {}
    assert "cannot be applied to inputs of the network, 1 x 1 x 8 x 8" in flattening.reason


def test_weights_that_are_not_finite_have_a_reason(short: Trial, images: DeviceImages) -> None:
    network = build_network(short).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(math.nan)
    assert measure_latent(network, short, images).reason == "latent codes are not all finite"


def test_large_codes_are_not_measured(
    short: Trial, images: DeviceImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "MAX_BYTES", 1000)
    assert "need more than" in measure_latent(build_network(short).eval(), short, images).reason


def test_samples_of_a_large_split_are_chosen_at_random_but_equally(
    short: Trial, images: DeviceImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "TRAIN_IMAGES", 10)
    monkeypatch.setattr(encoding, "TEST_IMAGES", 6)
    first = encoding.SampledImages.choose(short.task, images)
    again = encoding.SampledImages.choose(short.task.model_copy(), images)
    assert len(first.train_labels) == 10
    assert len(first.test_labels) == 6
    assert first.test_indices.tolist() == again.test_indices.tolist() != list(range(6))
    inputs = first.inputs
    assert inputs is not None
    expected = images.test.pixels[first.test_indices].flatten(1).float() / 255
    torch.testing.assert_close(torch.from_numpy(inputs[1]), expected)
    monkeypatch.setattr(encoding, "TEST_IMAGES", 20)
    all_images = encoding.SampledImages.choose(short.task, images)
    torch.manual_seed(0)
    network = build_network(short).eval()
    variances = all_images.encode(network).variances
    np.testing.assert_allclose(first.encode(network).variances, variances, rtol=1e-4, atol=1e-9)


def test_a_sweep_by_a_latent_metric_measures_it_in_every_epoch(
    trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    trial = trial.override({"epochs": 3})
    epochs = list(
        train(trial, images, tmp_path, metric="val_knn_accuracy", mode="max", durable=False)
    )
    values = [epoch.row["val_knn_accuracy"] for epoch in epochs]
    assert all(0 <= value <= 1 for value in values)
    assert epochs[-1].best_epoch == values.index(max(values)) + 1
    others = list(train(trial, images, tmp_path / "other", durable=False))
    assert "val_knn_accuracy" not in others[0].row
    for epoch, other in zip(epochs, others, strict=True):
        assert epoch.row["val_loss"] == other.row["val_loss"]


NEW_MEASURE = """
from cae.trial.latent.declaration import latent_measure
from cae.trial.metrics import description


@latent_measure(description("width_of_code", "values", "Values of the code."), floors=())
def width_of_code(sample):
    return {"width_of_code": float(sample.test_codes.shape[1])}
"""


@pytest.fixture
def _new_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package: ModuleType = measures
    (tmp_path / "new_latent_measure.py").write_text(NEW_MEASURE)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    declaration._import_measures.cache_clear()
    yield
    declaration._registered.pop("width_of_code", None)


@pytest.mark.usefixtures("_new_measure")
def test_one_new_file_adds_a_measure(short: Trial, images: DeviceImages) -> None:
    assert short.metric_directions()["width_of_code"] == "none"
    measured = measure_latent(build_network(short).eval(), short, images)
    assert measured.metrics["width_of_code"] == short.sizes()["latent_values"]


def test_a_network_with_skips_is_measured_by_the_output_of_its_encoder() -> None:
    trial = Trial(
        dataset=Digits(train_images=60, val_images=20, test_images=30),
        task=Denoise(noise_factor=0.5),
        arch=ConvAutoencoder(
            encoder_filters=(4, 6),
            decoder_filters=(4,),
            pool_after=(1,),
            upsample_after=(1,),
            skips=True,
        ),
        optimizer=_adam(),
    )
    images = DeviceImages.load(trial.dataset.load(()), torch.device("cpu"))
    measured = measure_latent(build_network(trial).eval(), trial, images)
    assert {"probe_accuracy", "trustworthiness", "trustworthiness_pca"} <= set(measured.metrics)


def _adam() -> Any:
    from cae.trial.optimizers import Adam

    return Adam(lr=1e-2)
