"""Checkpoints: one safetensors file each, weights and optimizer as tensors, all else as JSON in the file's own header.

One file, so that weights and what is said of them cannot part; written aside and renamed, so that it is whole or absent;
with a digest, so that a damaged one is known for what it is. Nothing is ever loaded by unpickling.

    last.safetensors      the newest epoch: weights, optimizer, every epoch's metrics
    previous.safetensors  the epoch before it, should the newest be damaged
    best.safetensors      the best epoch's weights alone
    samples.npz           fixed samples of the validation images: input, target and the best epoch's output, uint8
    galleries.npz         images that the task picked out of the test images, or made, with captions; of some tasks only
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from cae.files import write_whole

BEST, LAST, PREVIOUS, SAMPLES = (
    "best.safetensors",
    "last.safetensors",
    "previous.safetensors",
    "samples.npz",
)
GALLERIES = "galleries.npz"
HEADER = "cae"
"""Key of our JSON in a safetensors header."""


class DamagedCheckpoint(Exception):
    """A file that is not a whole checkpoint of ours, and why."""


@dataclass(frozen=True)
class Checkpoint:
    """A network's state after an epoch, and how it came there."""

    network: dict[str, Tensor]
    epoch: int
    config: dict[str, Any]
    """The trial's flat configuration."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """Metrics of the epochs 1 to `epoch` (a best checkpoint: of its own epoch only)."""
    optimizer: dict[str, Tensor] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        tensors = {f"network.{name}": tensor.contiguous() for name, tensor in self.network.items()}
        tensors |= {
            f"optimizer.{name}": tensor.contiguous() for name, tensor in self.optimizer.items()
        }
        said = {"epoch": self.epoch, "config": self.config, "rows": self.rows}
        write_whole(
            path,
            safetensors.torch.save(
                tensors, {HEADER: json.dumps(said | {"digest": _digest(tensors, said)})}
            ),
        )


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint onto the CPU. Raises FileNotFoundError, or DamagedCheckpoint with the reason."""
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with safetensors.safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {})[HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
        digest = said.pop("digest")
        if digest != _digest(tensors, said):
            raise DamagedCheckpoint(f"{path}: its content is not what was written")
        split: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            split[part][rest] = tensor
        return Checkpoint(**said | split)
    except (
        safetensors.SafetensorError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        OSError,
    ) as error:
        raise DamagedCheckpoint(
            f"{path} is not a whole checkpoint of cae-sweep: {error}"
        ) from error


def save_last(folder: Path, checkpoint: Checkpoint) -> None:
    """The newest epoch's checkpoint; the one before it is kept as `previous`."""
    with contextlib.suppress(FileNotFoundError):  # the first epoch has none before it
        os.replace(folder / LAST, folder / PREVIOUS)
    checkpoint.save(folder / LAST)


def load_newest(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint to go on from, or None. A damaged one is set aside (`.damaged`), lest it become `previous`."""
    for name in (LAST, PREVIOUS):
        try:
            return load(folder / name)
        except FileNotFoundError:
            continue
        except DamagedCheckpoint:
            os.replace(folder / name, folder / f"{name}.damaged")
    return None


def holds_best(folder: Path, epoch: int, done: int) -> bool:
    """Whether the best weights are whole and those of `epoch`, the best of `done`; or of a later epoch, whose own checkpoint was
    not written any more: it will be trained again, and comes out the same. 0: there is no best one yet."""
    try:
        return not epoch or load(folder / BEST).epoch in (epoch, done + 1)
    except (FileNotFoundError, DamagedCheckpoint):
        return False


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as named tensors: `PARAMETER.NAME`."""
    state = optimizer.state_dict()["state"]
    named = (
        (f"{index}.{name}", value)
        for index, entries in state.items()
        for name, value in entries.items()
    )
    return {name: torch.as_tensor(value) for name, value in named if value is not None}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts back what `optimizer_tensors` took; the optimizer has to be built over the same parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, entry = name.partition(".")
        like = parameters[int(index)]
        if (
            tensor.shape == like.shape
        ):  # in the parameter's own memory layout: a fused step walks both side by side
            tensor = torch.empty_like(like, requires_grad=False).copy_(tensor)
        state.setdefault(int(index), {})[entry] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def save_samples(folder: Path, given: Tensor, target: Tensor, output: Tensor, epoch: int) -> None:
    """The fixed samples, floats in [0, 1], as uint8 N x C x H x W."""
    pixels = {"input": _bytes(given), "target": _bytes(target), "output": _bytes(output)}
    _save(folder / SAMPLES, epoch=np.int64(epoch), **pixels)


def save_galleries(folder: Path, galleries: Mapping[str, tuple[Tensor, list[str]]]) -> None:
    """Images that a task picked out: `names`; of the first one `images_0`, uint8 N x C x H x W, and `captions_0`, and so on."""
    arrays = {
        f"images_{place}": _bytes(images) for place, (images, _) in enumerate(galleries.values())
    }
    captions = {
        f"captions_{place}": np.array(said, dtype=str)
        for place, (_, said) in enumerate(galleries.values())
    }
    _save(folder / GALLERIES, names=np.array(list(galleries), dtype=str), **arrays, **captions)


def _bytes(images: Tensor) -> Any:
    """uint8 of floats in [0, 1]."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _save(path: Path, **arrays: Any) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_whole(path, buffer.getvalue())


def weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's weights on the CPU."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }


def _digest(tensors: dict[str, Tensor], said: dict[str, Any]) -> str:
    digest = hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(
            tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
        )
    return digest.hexdigest()
