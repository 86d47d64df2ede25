"""Images per second of training: ours with and without CUDA graphs, a bare loop, and a script."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.gpu.stage import Row, Stage
from benchmarks.gpu.workloads import network_trials, synthetic_images
from benchmarks.networks import unmerged
from cae.trial import torch_compat
from cae.trial.batches import DeviceImages, Pairs
from cae.trial.config import Trial
from cae.trial.networks.create import build_network, to_device
from cae.trial.steps import GRAPHS_VARIABLE, Step, build_optimizer
from cae.trial.training import train

STEPS = 120
REHEARSAL_STEPS = 8
EPOCHS = 2
VAL_IMAGES = 64
PRECISIONS = ("float32", "tf32", "bfloat16")
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy,
}
LAUNCH_BOUND = ("004 denoiser", "000 baseline", "002 L4 F16", "003 halves")
"""Networks whose steps take less time on the GPU than Python needs to start their kernels."""
SCRIPT_WORKERS = 4


def run(stage: Stage) -> None:
    steps = REHEARSAL_STEPS if stage.is_rehearsal else STEPS
    for name, trial in network_trials().items():
        images = synthetic_images(trial, trial.batch_size * steps, VAL_IMAGES, stage.device)
        row: Row = {"network": name, "batch": trial.batch_size, "steps": steps}
        row["kernels"] = _kernels_per_step(trial, images)
        row["bare"] = _bare(trial, images, torch.channels_last)
        row["bare_contiguous"] = _bare(trial, images, torch.contiguous_format)
        row["script"] = _script(trial, images)
        row["eager_float32"] = _ours(trial, images, graphs=False)
        for precision in PRECISIONS:
            changed = trial.override({"precision": precision})
            row[f"graphed_{precision}"] = _ours(changed, images, graphs=True)
        row["eager_over_bare"] = row["eager_float32"] / row["bare"]
        row["graphed_over_bare"] = row["graphed_float32"] / row["bare"]
        stage.rows.append(row)
        stage.save()
        if stage.is_rehearsal:
            continue
        stage.at_least(f"{name}: eager over the bare loop", row["eager_over_bare"], 0.95)
        if name in LAUNCH_BOUND:
            stage.at_least(f"{name}: graphed over the bare loop", row["graphed_over_bare"], 2)


def _ours(trial: Trial, images: DeviceImages, *, graphs: bool) -> float:
    """Images per second of the epochs after the first, from the training loop itself: median."""
    os.environ[GRAPHS_VARIABLE] = str(int(graphs))
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        endless = trial.override({"epochs": EPOCHS + 2})  # the final evaluation is not made
        for epoch in train(endless, images, Path(folder)):
            if epoch.epoch > 1:
                rates.append(epoch.row["images_per_second"])
            if epoch.epoch == EPOCHS + 1:
                break
    del os.environ[GRAPHS_VARIABLE]
    return statistics.median(rates)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _bare(trial: Trial, images: DeviceImages, layout: torch.memory_format) -> float:
    """The same network with one batch made in advance: forward pass, backward pass, step."""
    device = images.train.pixels.device
    pairs = Pairs(trial.task, images.train, 0, 0, "train")
    inputs, targets = pairs.at(torch.arange(trial.batch_size, device=device))
    inputs = inputs.contiguous(memory_format=layout)
    targets = targets.contiguous(memory_format=layout)
    network = unmerged(build_network(trial)).to(device).to(memory_format=layout)
    optimizer = trial.optimizer.build(network.parameters())
    criterion = LOSSES[trial.task.loss]
    steps = len(images.train.pixels) // trial.batch_size

    def epoch() -> None:
        for _ in range(steps):
            loss = criterion(network(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    with torch_compat.gpu_numerics():
        return _median_rate(epoch, steps * trial.batch_size, device)


def _median_rate(epoch: Callable[[], None], count: int, device: torch.device) -> float:
    epoch()
    _wait(device)
    rates = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        epoch()
        _wait(device)
        rates.append(count / (time.perf_counter() - started))
    return statistics.median(rates)


def _script(trial: Trial, images: DeviceImages) -> float:
    """The script of the tutorials: DataLoader with workers, copies, loss.item() in each step."""
    device = images.train.pixels.device
    pairs = Pairs(trial.task, images.train, 0, 0, "train")
    count = min(len(images.train.pixels), 20 * trial.batch_size)
    inputs, targets = pairs.at(torch.arange(count, device=device))
    data = TensorDataset(inputs.contiguous().cpu(), targets.contiguous().cpu())
    loader = DataLoader(
        data, trial.batch_size, shuffle=True, num_workers=SCRIPT_WORKERS, pin_memory=True
    )
    network = unmerged(build_network(trial)).to(device)
    optimizer = torch.optim.Adam(network.parameters())
    criterion = LOSSES[trial.task.loss]

    def epoch() -> None:
        for batch_inputs, batch_targets in loader:
            outputs = network(batch_inputs.to(device))
            loss = criterion(outputs, batch_targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    started = time.perf_counter()
    epoch()
    _wait(device)
    return count / (time.perf_counter() - started)


def _kernels_per_step(trial: Trial, images: DeviceImages) -> int:
    """How many kernels and copies a plain step starts on the GPU; 0 on a CPU."""
    device = images.train.pixels.device
    if device.type != "cuda":
        return 0
    network = to_device(build_network(trial), device).train()
    optimizer = build_optimizer(trial.optimizer, network)
    pairs = Pairs(trial.task, images.train, 0, 0, "train")
    step = Step(network, optimizer, pairs)
    indices = torch.arange(trial.batch_size, device=device)
    for _ in range(3):
        step(indices)
    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as profiler:
        step(indices)
        torch.cuda.synchronize(device)
    events = profiler.events() or []
    return sum(str(event.device_type).endswith("CUDA") for event in events)
