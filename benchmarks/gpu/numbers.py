"""The same weights and batches give the same numbers on the CPU and on the GPU."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu.stage import Stage
from benchmarks.gpu.workloads import (
    inpainting_trials,
    network_trials,
    other_trials,
    synthetic_images,
)
from cae.trial import torch_compat
from cae.trial.batches import DeviceImages, Pairs
from cae.trial.config import Trial
from cae.trial.evaluation import conclude
from cae.trial.metrics import ssim
from cae.trial.networks.create import build_network, to_device
from cae.trial.networks.upsampling import phases, transposed
from cae.trial.networks.variational import VariationalNetwork
from cae.trial.steps import Step, build_optimizer

STEPS = 20
MAX_BATCH = 64
REHEARSAL_BATCH = 4
CPU_FACTOR = 3
"""The errors of the device may be this many times those of float32 on the CPU."""
METRIC_LIMIT = 1e-4
DISCONTINUOUS_LIMIT = 1e-3
DISCONTINUOUS_METRICS = ("channel_argmax_error",)
"""Metrics that change by a whole pixel when two channels are equal up to rounding."""
TRAIN_IMAGES = 640
VAL_IMAGES = 200
CPU = torch.device("cpu")


@contextmanager
def latent_noise_of_the_cpu() -> Iterator[None]:
    """Draw the latent noise of variational autoencoders on the CPU, the same for all devices."""
    generator = torch.Generator().manual_seed(1)

    def draw(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator).to(like)

    with mock.patch("torch.randn_like", draw):
        yield


class History:
    """Losses of the steps of a trial on a device, and the gradients of the first one."""

    def __init__(
        self, trial: Trial, network: nn.Module, images: DeviceImages, max_batch: int
    ) -> None:
        self.network = to_device(
            copy.deepcopy(network), images.train.pixels.device, trial.precision
        ).train()
        optimizer = build_optimizer(trial.optimizer, self.network)
        pairs = Pairs(trial.task, images.train, 0, 0, "train")
        step = Step(self.network, optimizer, pairs, trial.precision)
        self.losses: list[float] = []
        """Of the steps, from the first one."""
        self.gradients = torch.empty(0)
        order = torch.arange(TRAIN_IMAGES, device=pairs.device)
        with latent_noise_of_the_cpu(), torch_compat.gpu_numerics(tf32=trial.precision == "tf32"):
            for number, indices in enumerate(batches(trial, order, max_batch)):
                step.loss_sum.zero_()
                step(indices)
                self.losses.append(step.loss_sum.item() / len(indices))
                if number == 0:
                    self.gradients = flat_gradients(self.network)


class DoubleHistory:
    """The same in double precision on the CPU: how close float32 can be expected to be."""

    def __init__(
        self, trial: Trial, network: nn.Module, images: DeviceImages, max_batch: int
    ) -> None:
        network = copy.deepcopy(network).double().train()
        optimizer = build_optimizer(trial.optimizer, network)
        pairs = Pairs(trial.task, images.train, 0, 0, "train")
        self.losses: list[float] = []
        self.gradients = torch.empty(0)
        order = torch.arange(TRAIN_IMAGES)
        with latent_noise_of_the_cpu():
            for number, indices in enumerate(batches(trial, order, max_batch)):
                inputs, targets = pairs.at(indices)
                outputs = network(inputs.double())
                loss = trial.task.criterion(outputs, targets.double())
                for term in trial.task.terms(network).values():
                    loss = loss + term.double().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                self.losses.append(loss.item())
                if number == 0:
                    self.gradients = flat_gradients(network)


def batches(trial: Trial, order: Tensor, max_batch: int) -> Iterator[Tensor]:
    """Yield the indices of STEPS batches."""
    batch = min(trial.batch_size, max_batch)
    for number in range(STEPS):
        first = number * batch % (TRAIN_IMAGES - batch + 1)
        yield order[first : first + batch]


def flat_gradients(network: nn.Module) -> Tensor:
    """Return all gradients of a network as one vector of double precision, on the CPU."""
    gradients = [parameter.grad for parameter in network.parameters()]
    present = [gradient.flatten() for gradient in gradients if gradient is not None]
    return torch.cat(present).double().cpu()


def relative(value: float, reference: float) -> float:
    """Return the relative difference; absolute for references below 1e-12."""
    return abs(value - reference) / max(abs(reference), 1e-12)


def run(stage: Stage) -> None:
    trials = network_trials() | inpainting_trials() | other_trials()
    for name, trial in trials.items():
        _compare_training(stage, name, trial)
    _compare_similarity(stage)
    _compare_upsampling(stage)
    _check_kl(stage)


def _compare_training(stage: Stage, name: str, trial: Trial) -> None:
    torch.manual_seed(0)
    network = build_network(trial)
    cpu_images = synthetic_images(trial, TRAIN_IMAGES, VAL_IMAGES, CPU)
    device_images = synthetic_images(trial, TRAIN_IMAGES, VAL_IMAGES, stage.device)
    max_batch = REHEARSAL_BATCH if stage.is_rehearsal else MAX_BATCH
    on_cpu = History(trial, network, cpu_images, max_batch)
    on_device = History(trial, network, device_images, max_batch)
    exact = DoubleHistory(trial, network, cpu_images, max_batch)
    norm = exact.gradients.norm()
    gradient_error = ((on_device.gradients - exact.gradients).norm() / norm).item()
    cpu_gradient_error = ((on_cpu.gradients - exact.gradients).norm() / norm).item()
    first = relative(on_device.losses[0], on_cpu.losses[0])
    last = relative(on_device.losses[-1], exact.losses[-1])
    cpu_last = relative(on_cpu.losses[-1], exact.losses[-1])
    mixed_trial = trial.override({"precision": "bfloat16"})
    mixed = History(mixed_trial, network, device_images, max_batch)
    mixed_error = relative(mixed.losses[-1], on_cpu.losses[-1])
    metric_error, worst_metric = _compare_metrics(trial, on_cpu.network, cpu_images, device_images)
    stage.rows.append(
        {
            "network": name,
            "loss_1": first,
            f"loss_{STEPS}": last,
            f"loss_{STEPS}_cpu": cpu_last,
            "gradients": gradient_error,
            "gradients_cpu": cpu_gradient_error,
            "bfloat16": mixed_error,
            "metrics_over_limit": metric_error,
            "worst_metric": worst_metric,
        }
    )
    stage.at_most(f"{name}: loss of step 1, relative", first, 1e-5)
    # Where two activations are nearly equal, rounding decides which one a gradient belongs to:
    # there, no float32 computation is close to double precision.
    stage.at_most(
        f"{name}: loss of step {STEPS} against double precision",
        last,
        max(1e-3, CPU_FACTOR * cpu_last),
    )
    stage.at_most(
        f"{name}: gradients against double precision",
        gradient_error,
        max(1e-4, CPU_FACTOR * cpu_gradient_error),
    )
    stage.at_most(f"{name}: loss of step {STEPS} in bfloat16", mixed_error, 0.1)
    stage.at_most(
        f"{name}: metrics of the final evaluation ({worst_metric}) over the limit", metric_error, 1
    )


def _compare_metrics(
    trial: Trial, network: nn.Module, cpu_images: DeviceImages, device_images: DeviceImages
) -> tuple[float, str]:
    """The largest difference of a metric of the final evaluation over its limit, and its name.

    Differences are absolute for values below 1, relative above.
    """
    device = device_images.train.pixels.device
    on_device = to_device(copy.deepcopy(network), device)
    expected, _, _ = conclude(network, trial.task, cpu_images, {})
    measured, _, _ = conclude(on_device, trial.task, device_images, {})
    assert expected.keys() == measured.keys()
    differences: dict[str, float] = {}
    for name, value in expected.items():
        difference = abs(measured[name] - value) / max(1.0, abs(value))
        limit = METRIC_LIMIT
        if name in DISCONTINUOUS_METRICS:
            limit = DISCONTINUOUS_LIMIT
        difference /= limit
        differences[name] = math.inf if math.isnan(difference) else difference
    worst = max(differences, key=differences.__getitem__)
    return differences[worst], worst


def _compare_similarity(stage: Stage) -> None:
    generator = torch.Generator().manual_seed(2)
    target = torch.rand(64, 3, 32, 32, generator=generator)
    output = (target + 0.1 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    exact = ssim(output.double(), target.double())
    with torch_compat.gpu_numerics():
        measured = ssim(output.to(stage.device), target.to(stage.device))
    error = (measured.cpu().double() - exact).abs().max().item()
    stage.at_most("SSIM against double precision", error, 1e-5)


def _compare_upsampling(stage: Stage) -> None:
    generator = torch.Generator().manual_seed(3)
    for kernel in (3, 5, 7):
        images = torch.randn(8, 16, 14, 14, generator=generator)
        weight = torch.randn(8, 16, kernel, kernel, generator=generator) / (16 * kernel**2) ** 0.5
        bias = torch.randn(8, generator=generator)
        large = F.interpolate(images.double(), scale_factor=2)
        exact = F.conv2d(large, weight.double(), bias.double(), padding=kernel // 2)
        images, weight, bias = (tensor.to(stage.device) for tensor in (images, weight, bias))
        large = F.interpolate(images, scale_factor=2)
        with torch_compat.gpu_numerics():
            forms = {
                "plain": F.conv2d(large, weight, bias, padding=kernel // 2),
                "transposed": transposed(images, weight, bias),
                "phases": phases(images, weight, bias),
            }
        for form, result in forms.items():
            error = ((result.cpu().double() - exact).norm() / exact.norm()).item()
            stage.at_most(f"upsampling {form}, kernel {kernel}", error, 1e-5)


def _check_kl(stage: Stage) -> None:
    trial = other_trials()["VAE"]
    network = to_device(build_network(trial), stage.device)
    assert isinstance(network, VariationalNetwork)
    images = torch.rand(4, 1, 28, 28, device=stage.device)
    with torch.autocast(stage.device.type, torch.bfloat16):
        network(images)
    stage.holds("KL divergence under bfloat16 is float32", network.kl().dtype == torch.float32)
