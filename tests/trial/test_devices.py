"""What must not depend on the device, checked without a GPU: precision, drawn noise, copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from cae.trial import torch_compat
from cae.trial.batches import DeviceImages, DeviceSplit, Pairs
from cae.trial.config import Trial
from cae.trial.evaluation import evaluate, evaluation_pairs
from cae.trial.networks.create import build_network
from cae.trial.networks.layers import Autoencoder
from cae.trial.networks.variational import GaussianEncoder, VariationalNetwork
from cae.trial.tasks import Colorize, Denoise
from cae.trial.training import train

META = torch.device("meta")


# Precision


class PrecisionRecorder(nn.Module):
    """A network that records for each forward pass whether TF32 was allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.allowed: dict[bool, set[tuple[bool, bool]]] = {True: set(), False: set()}

    @override
    def forward(self, images: Tensor) -> Tensor:
        allowed = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
        self.allowed[self.training].add(allowed)
        return images * self.scale


@pytest.mark.parametrize(("precision", "expected"), [("float32", False), ("tf32", True)])
def test_tf32_is_used_in_training_only_and_on_request(
    trial: Trial,
    images: DeviceImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    expected: bool,
) -> None:
    before = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    recorder = PrecisionRecorder()
    monkeypatch.setattr("cae.trial.training_state.build_network", lambda _: recorder)
    list(train(trial.override({"precision": precision, "epochs": 1}), images, tmp_path))
    assert recorder.allowed[True] == {(expected, expected)}
    assert recorder.allowed[False] == {(False, False)}
    after = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    assert after == before


def test_the_precision_is_restored_after_an_error() -> None:
    before = torch.backends.cudnn.allow_tf32
    with pytest.raises(ValueError, match="in between"), torch_compat.gpu_numerics(tf32=not before):
        raise ValueError("in between")
    assert torch.backends.cudnn.allow_tf32 == before


def test_the_kl_divergence_is_computed_in_float32_under_bfloat16() -> None:
    mean = torch.tensor([[0.01, -0.02]])
    log_var = torch.tensor([[0.003, -0.004]])
    network = VariationalNetwork(
        GaussianEncoder(nn.Identity(), nn.Identity(), nn.Identity()), nn.Identity()
    )
    network._last_distribution = (mean.bfloat16(), log_var.bfloat16())
    exact_mean = mean.bfloat16().double()
    exact_log_var = log_var.bfloat16().double()
    exact = (exact_mean.square() + exact_log_var.exp() - 1 - exact_log_var).sum(1) / 2
    assert network.kl().dtype == torch.float32
    torch.testing.assert_close(network.kl().double(), exact, rtol=1e-3, atol=0)


# Noise


def as_on_a_gpu(split: DeviceSplit) -> DeviceSplit:
    """The images on another device than the CPU, which keeps no values."""
    return DeviceSplit(split.pixels.to(META), split.labels.to(META))


def test_noise_of_evaluation_is_drawn_on_the_cpu(
    images: DeviceImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's validation set is that of a CPU: trials of one cluster can be compared."""
    task = Denoise()
    black = torch.zeros_like(images.val.pixels)
    on_cpu = evaluation_pairs(task, images.val._replace(pixels=black), "val").inputs
    drawn: list[Tensor] = []
    pairs_of = Denoise.pairs
    to = Tensor.to

    def record(self: Denoise, *args: Any) -> tuple[Tensor, Tensor]:
        inputs, targets = pairs_of(self, *args)
        drawn.append(inputs)
        return inputs, targets

    def copy(self: Tensor, *args: Any, **options: Any) -> Tensor:
        if self.device == META and args == (torch.device("cpu"),):
            return torch.zeros(self.shape, dtype=self.dtype)
        return to(self, *args, **options)

    split = as_on_a_gpu(images.val)
    monkeypatch.setattr(Denoise, "pairs", record)
    monkeypatch.setattr(Tensor, "to", copy)
    pairs = evaluation_pairs(task, split, "val")
    assert pairs.inputs is not None
    assert pairs.inputs.device == META
    assert on_cpu is not None
    assert torch.equal(torch.cat(drawn), on_cpu)


def test_the_inputs_of_a_new_epoch_replace_the_old_ones_in_place(images: DeviceImages) -> None:
    pairs = Pairs(Denoise(redraw_noise=True), images.train, 0, 1, "train")
    assert pairs.inputs is not None
    address = pairs.inputs.data_ptr()
    first = pairs.inputs.clone()
    pairs.start_epoch(2)
    assert pairs.inputs.data_ptr() == address
    assert not torch.equal(pairs.inputs, first)
    again = Pairs(Denoise(redraw_noise=True), images.train, 0, 2, "train")
    assert again.inputs is not None
    assert torch.equal(pairs.inputs, again.inputs)


# Copies between the CPU and the device


@pytest.mark.parametrize("target", ["rgb", "iq"])
def test_colorize_copies_nothing_to_the_device_in_a_step(target: str) -> None:
    task = Colorize.model_validate({"target": target})
    images = torch.empty(2, 3, 8, 8, device=META)
    labels = torch.empty(2, dtype=torch.int64, device=META)
    generator = torch.Generator()
    _, targets = task.pairs(images, labels, generator)  # the first step makes the matrices
    task.metrics(targets, targets)
    with torch_compat.HostAccess() as access:
        _, targets = task.pairs(images, labels, generator)
        task.metrics(targets, targets)
    assert access.operations == []


def test_matrices_made_in_evaluation_are_usable_in_training() -> None:
    task = Colorize()
    with torch.inference_mode():
        task.pairs(torch.rand(2, 3, 4, 4).double(), torch.zeros(2), torch.Generator())
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    task.pairs(images, torch.zeros(2), torch.Generator())[0].sum().backward()
    assert images.grad is not None


def test_evaluation_of_a_network_does_not_depend_on_the_caller(
    trial: Trial, images: DeviceImages
) -> None:
    network = build_network(trial)
    assert isinstance(network, Autoencoder)
    pairs = evaluation_pairs(trial.task, images.val, "val")
    with torch_compat.gpu_numerics(tf32=True):
        allowed = evaluate(network, pairs)
    assert allowed == evaluate(network, pairs)


def test_operations_whose_shape_depends_on_values_are_found() -> None:
    values = torch.tensor([1.0, 2.0, 2.0])
    for operation in (
        lambda: values.unique(),
        lambda: values[values > 1],
        lambda: values.nonzero(),
        lambda: values.sum().item(),
    ):
        with torch_compat.HostAccess() as access:
            operation()
        assert access.operations
    with torch_compat.HostAccess() as access:
        values[torch.tensor([0, 2])].sum()
    assert access.operations == []
