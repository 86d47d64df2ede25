"""The final evaluation of every task stays on the device, and mixes it with the CPU nowhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cae.trial.augmentation import Augment
from cae.trial.batches import DeviceImages, DeviceSplit, Pairs
from cae.trial.config import Trial
from cae.trial.evaluation import conclude, evaluate, evaluation_pairs
from cae.trial.latent.final import measure_latent
from cae.trial.networks.create import build_network, to_device
from cae.trial.tasks import Denoise
from tests.trial.simulated_gpu import GPU, simulated_gpu

CLASSES = tuple("abcdefghij")


def random_images(trial: Trial, device: torch.device) -> DeviceImages:
    generator = torch.Generator().manual_seed(5)
    splits = []
    for count in (40, 20, 30):
        shape = (count, *trial.dataset.image_shape)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, 10, (count,), generator=generator)
        splits.append(DeviceSplit(pixels.to(device), labels.to(device)))
    train, val, test = splits
    return DeviceImages(train, val, test, CLASSES)


def judge_of(trial: Trial) -> Trial:
    return trial.override({"task": "classify", "arch": "classifier"})


TASKS: list[dict[str, Any]] = [
    {},
    {"task.loss": "bce"},
    {"task.loss": "0.5*huber + 0.2*gradient_difference + 0.2*ssim + 0.1*ms_ssim(scales=1)"},
    {"task": "denoise"},
    {
        "task": "denoise",
        "arch.skips": True,
        "arch.residual_blocks": 1,
        "arch.batch_norm": "before_activation",
        "arch.norm": "layer",
    },
    {"task": "complete"},
    {"task": "inpaint"},
    {"task": "inpaint", "task.region": "hole"},
    {"task": "classify", "arch": "classifier"},
    {"task": "vae", "arch": "variational_autoencoder", "task.generated": 20},
    {"task": "colorize", "dataset": "patches", "dataset.size": 16},
    {
        "task": "colorize",
        "task.target": "iq",
        "dataset": "patches",
        "dataset.size": 16,
        "arch.output_activation": "tanh",
    },
]


@pytest.mark.parametrize("changes", TASKS, ids=str)
def test_the_metrics_on_a_gpu_are_those_on_a_cpu(trial: Trial, changes: dict[str, Any]) -> None:
    changed = trial.override(changes)
    torch.manual_seed(0)
    network = build_network(changed)
    images = random_images(changed, torch.device("cpu"))
    dependencies = {}
    if "judge" in changed.task.dependency_names:
        judge = judge_of(trial)
        dependencies["judge"] = build_network(judge).eval()
        to_device(dependencies["judge"], torch.device("cpu"))
    to_device(network, torch.device("cpu"))
    val = evaluate(network, evaluation_pairs(changed.task, images.val, "val"))
    metrics, tables, galleries = conclude(network, changed.task, images, dependencies)
    latent = measure_latent(network, changed, images)

    with torch.inference_mode(), simulated_gpu() as gpu:
        assert torch.ones(2, device="cuda").device == GPU
        on_gpu = random_images(changed, gpu)
        to_device(network, gpu)
        for judge_network in dependencies.values():
            to_device(judge_network, gpu)
        gpu_val = evaluate(network, evaluation_pairs(changed.task, on_gpu.val, "val"))
        gpu_metrics, gpu_tables, gpu_galleries = conclude(
            network, changed.task, on_gpu, dependencies
        )
        gpu_latent = measure_latent(network, changed, on_gpu)
    assert bool(latent.metrics) == changed.task.measures_latent_code
    assert gpu_latent.metrics == pytest.approx(latent.metrics, rel=1e-3, abs=1e-4)
    assert gpu_val == pytest.approx(val, rel=1e-5, abs=1e-6)
    assert gpu_metrics == pytest.approx(metrics, rel=1e-4, abs=1e-5, nan_ok=True)
    assert {name: len(table) for name, table in gpu_tables.items()} == {
        name: len(table) for name, table in tables.items()
    }
    assert gpu_galleries.keys() == galleries.keys()


def test_augmented_pairs_are_made_on_the_gpu(trial: Trial) -> None:
    augmentation = Augment(
        flip="both", shift=1, rotation=5.0, brightness=0.1, contrast=0.1, cutout=2
    )
    task = Denoise(redraw_noise=True)

    def augmented(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        split = random_images(trial, device).train
        pairs = Pairs(task, split, 0, 1, "train", draw_on_device=True, augmentation=augmentation)
        return pairs.at(torch.arange(10, device=device))

    expected = augmented(torch.device("cpu"))
    with simulated_gpu() as gpu:
        result = augmented(gpu)
        for on_gpu, on_cpu in zip(result, expected, strict=True):
            assert on_gpu.device == GPU
            torch.testing.assert_close(on_gpu.cpu(), on_cpu)


def test_mixing_devices_is_an_error() -> None:
    with simulated_gpu() as gpu:
        ones = torch.ones(3, device=gpu)
        with pytest.raises(RuntimeError, match="same device"):
            ones + torch.ones(3)
        with pytest.raises(RuntimeError, match="numpy"):
            ones.numpy()
        assert (ones + 1).cpu().tolist() == [2, 2, 2]
