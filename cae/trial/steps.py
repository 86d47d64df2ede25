"""One step of training: forward pass, loss, backward pass, update of the weights.

On a GPU, small networks leave it idle while Python starts their kernels one by one. There the
kernels of a step are recorded once in a CUDA graph and replayed (`GraphedStep`); the weights and
losses are those of the plain `Step`, bit for bit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cae.trial import torch_compat
from cae.trial.batches import Pairs
from cae.trial.config import Trial
from cae.trial.optimizers import Optimizer

GRAPHS_VARIABLE = "CAE_SWEEP_CUDA_GRAPHS"
"""Environment variable: 0 turns CUDA graphs off."""
WARM_UP_STEPS = 3
"""Steps before the recording: they create the state of the optimizer and load the kernels."""

StepFunction = Callable[[], None]
Capture = Callable[[StepFunction], StepFunction]
"""Records a step without executing it, and returns a function that replays it."""


def build_optimizer(settings: Optimizer, network: nn.Module) -> torch.optim.Optimizer:
    """Return a new optimizer of the network's parameters.

    On a GPU its learning rate is a tensor, with or without CUDA graphs, so that both give the same
    weights.
    """
    torch_compat.skip_compiler_import()
    optimizer = settings.build(network.parameters())
    device = next((parameter.device for parameter in network.parameters()), None)
    if device is not None and device.type == "cuda" and torch_compat.is_capturable(optimizer):
        torch_compat.make_capturable(optimizer, device)
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


@dataclass(frozen=True)
class Clipping:
    """Limits of the gradients (see Trial.clip_norm and Trial.clip_value)."""

    norm: float | None = None
    value: float | None = None

    def apply(self, network: nn.Module) -> None:
        """Limit the gradients of a network. Nothing waits for their norm."""
        if self.norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), self.norm, foreach=True)
        if self.value is not None:
            nn.utils.clip_grad_value_(network.parameters(), self.value, foreach=True)


class Step:
    """Updates the weights with one batch.

    `precision`: that of the trial (Trial.precision). The losses are computed in float32.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        pairs: Pairs,
        precision: str = "float32",
        clipping: Clipping | None = None,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.pairs = pairs
        self.device = pairs.device
        self.precision = precision
        self.clipping = clipping or Clipping()
        self.loss_sum = torch.zeros((), device=self.device)
        """Sum of the losses of all images so far; steps do not wait for it."""
        self.term_factor = torch.ones((), device=self.device)
        """Factor of the terms that the network adds to the loss (see Task.term_factor)."""
        self.replayed = 0
        """Steps that were replays of a CUDA graph."""

    def __call__(self, indices: Tensor) -> None:
        """Update the weights with the images at `indices` (B integers on the device)."""
        inputs, targets = self.pairs.at(indices)
        is_mixed = self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_mixed):
            outputs = self.network(inputs)
        task = self.pairs.task
        loss = task.criterion(outputs.float(), targets)
        for term in task.training_terms(self.network).values():
            loss = loss + self.term_factor * term.float().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.clipping.apply(self.network)
        torch_compat.optimizer_step(self.optimizer)
        self.loss_sum += loss.detach() * len(indices)


class GraphedStep(Step):
    """A step that is recorded once and then replayed, for batches of `batch_size` images.

    The first WARM_UP_STEPS and smaller batches are plain steps. What Python computes is computed
    while the step is recorded only: every number that changes has to be in a tensor. A step that
    exchanges data with the CPU is not recorded; `reason` then says why.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        pairs: Pairs,
        batch_size: int,
        precision: str = "float32",
        clipping: Clipping | None = None,
        capture: Capture | None = None,
    ) -> None:
        super().__init__(network, optimizer, pairs, precision, clipping)
        self.indices = torch.zeros(batch_size, dtype=torch.int64, device=self.device)
        self.reason = ""
        """Why the step is not recorded; empty if it is."""
        self._capture = capture or self._capture_cuda_graph
        self._warm_ups = 0
        self._replay: StepFunction | None = None
        self._stream: torch.cuda.Stream | None = None
        if self.device.type == "cuda":
            self._stream = torch.cuda.Stream(self.device)

    def __call__(self, indices: Tensor) -> None:
        """Update the weights with the images at `indices` (B integers on the device)."""
        if len(indices) != len(self.indices) or self.reason:
            super().__call__(indices)
            return
        self.indices.copy_(indices)
        if self._replay is None and self._warm_ups < WARM_UP_STEPS:
            self._warm_up()
            return
        if self._replay is None:
            self.optimizer.zero_grad()  # so that the gradients belong to the graph's memory
            self._replay = self._capture(self._plain_step)
        self._replay()
        self.replayed += 1

    def _plain_step(self) -> None:
        super().__call__(self.indices)

    def _warm_up(self) -> None:
        self._warm_ups += 1
        if self._warm_ups < WARM_UP_STEPS:
            with self._on_stream():
                self._plain_step()
            return
        host_access = torch_compat.HostAccess()
        with self._on_stream(), host_access:
            self._plain_step()
        if host_access.operations:
            names = ", ".join(dict.fromkeys(host_access.operations))
            self.reason = f"a step exchanges data with the CPU: {names}"

    @contextlib.contextmanager
    def _on_stream(self) -> Iterator[None]:
        if self._stream is None:
            yield
            return
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    def _capture_cuda_graph(self, step: StepFunction) -> StepFunction:
        assert self._stream is not None
        generators = []
        if self.pairs.generator.device.type == "cuda":
            generators.append(self.pairs.generator)
        return torch_compat.capture_cuda_graph(step, generators, self._stream)


def create_step(
    trial: Trial, network: nn.Module, optimizer: torch.optim.Optimizer, pairs: Pairs
) -> tuple[Step, str]:
    """Return the step of a trial, and why it is not a GraphedStep (empty if it is)."""
    reason = reason_for_plain_steps(trial, optimizer, pairs)
    clipping = Clipping(trial.clip_norm, trial.clip_value)
    if reason:
        return Step(network, optimizer, pairs, trial.precision, clipping), reason
    step = GraphedStep(network, optimizer, pairs, trial.batch_size, trial.precision, clipping)
    return step, ""


def reason_for_plain_steps(trial: Trial, optimizer: torch.optim.Optimizer, pairs: Pairs) -> str:
    """Return why the steps of a trial are not recorded as a CUDA graph; empty if they are."""
    if pairs.device.type != "cuda":
        return "the trial does not use a GPU"
    if pairs.is_streamed:
        return "the images are read batch by batch"
    if os.environ.get(GRAPHS_VARIABLE, "1") == "0":
        return f"{GRAPHS_VARIABLE} is 0"
    if len(pairs.pixels) < trial.batch_size * (WARM_UP_STEPS + 1):
        return "an epoch has too few steps"
    for kind in ("task", "arch", "optimizer", "augmentation"):
        component = getattr(trial, kind)
        if not component.supports_cuda_graphs:
            return f"{kind} = {component.name!r} does not declare supports_cuda_graphs"
    for term in trial.task.losses():
        if not term.loss.supports_cuda_graphs:
            return f"task.loss = {term.loss.name!r} does not declare supports_cuda_graphs"
    if not torch_compat.is_capturable(optimizer):
        return f"{type(optimizer).__name__} has no form for CUDA graphs"
    return ""
