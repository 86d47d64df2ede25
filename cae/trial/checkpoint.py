"""Checkpoints: one safetensors file each, with tensors, and all else as JSON in its header.

One file, so that weights and metadata cannot be separated; written to a temporary name and renamed,
so that it is complete or absent; with a digest, so that damage is detected. Nothing is ever
unpickled. The files of a trial:

    last.safetensors      the newest epoch: weights, optimizer state, the metrics of all epochs
    previous.safetensors  the epoch before it, in case the newest file is damaged
    best.safetensors      the best epoch: weights and metrics only
    samples.npz           the first validation images: input, target, best epoch's output, as uint8
    galleries.npz         images that the task selected or generated at the end, with captions
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
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from cae.files import write_whole
from cae.trial.display import tile_channels

BEST = "best.safetensors"
LAST = "last.safetensors"
PREVIOUS = "previous.safetensors"
SAMPLES = "samples.npz"
GALLERIES = "galleries.npz"
HEADER = "cae"
"""Key of this package's JSON in the header of a safetensors file."""


class DamagedCheckpoint(Exception):
    """A file is not a complete checkpoint of this package; the message gives path and reason."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a trial after an epoch."""

    network: dict[str, Tensor]
    """The network's state_dict."""
    epoch: int
    config: dict[str, Any]
    """The trial's flat configuration."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """The metrics of epochs 1 to `epoch`; in the best epoch's checkpoint, of that epoch only."""
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    """See `optimizer_tensors`; empty in the best epoch's checkpoint."""

    def save(self, path: Path) -> None:
        """Write the complete file, or none."""
        tensors = {}
        for name, tensor in self.network.items():
            tensors[f"network.{name}"] = tensor.contiguous()
        for name, tensor in self.optimizer.items():
            tensors[f"optimizer.{name}"] = tensor.contiguous()
        header = {"epoch": self.epoch, "config": self.config, "rows": self.rows}
        header["digest"] = _digest(tensors, header)
        write_whole(path, safetensors.torch.save(tensors, {HEADER: json.dumps(header)}))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint to the CPU.

    Raises FileNotFoundError, or DamagedCheckpoint with the reason.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        header, tensors = _read(path)
        digest = header.pop("digest")
        if digest != _digest(tensors, header):
            raise DamagedCheckpoint(f"{path}: its content differs from what was written")
        network: dict[str, Tensor] = {}
        optimizer: dict[str, Tensor] = {}
        states = {"network": network, "optimizer": optimizer}
        for full_name, tensor in tensors.items():
            owner, _, name = full_name.partition(".")
            states[owner][name] = tensor
        return Checkpoint(**header, network=network, optimizer=optimizer)
    except (
        safetensors.SafetensorError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        OSError,
    ) as error:
        raise DamagedCheckpoint(
            f"{path} is not a complete checkpoint of cae-sweep: {error}"
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The JSON of the header and the tensors by name."""
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads((file.metadata() or {})[HEADER])
        names = file.keys()
        tensors = {name: file.get_tensor(name) for name in names}
    return header, tensors


def save_last(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the newest epoch's checkpoint and keep the one before it as `previous`."""
    with contextlib.suppress(FileNotFoundError):  # the first epoch has no predecessor
        os.replace(folder / LAST, folder / PREVIOUS)
    checkpoint.save(folder / LAST)


def load_newest(folder: Path) -> Checkpoint | None:
    """Return the newest undamaged checkpoint, or None.

    A damaged file is renamed (`.damaged`), so that it does not become `previous`.
    """
    for name in (LAST, PREVIOUS):
        try:
            return load(folder / name)
        except FileNotFoundError:
            continue
        except DamagedCheckpoint:
            os.replace(folder / name, folder / f"{name}.damaged")
    return None


def holds_best(folder: Path, best_epoch: int, epochs: int) -> bool:
    """Return whether the best epoch's checkpoint is undamaged and belongs to `best_epoch`.

    `best_epoch`: the best of the first `epochs`; 0 means that there is none yet.

    It may also belong to the next epoch, if the process died before it wrote `last`: that epoch is
    trained again, with the same result.
    """
    if best_epoch == 0:
        return True
    try:
        epoch = load(folder / BEST).epoch
    except (FileNotFoundError, DamagedCheckpoint):
        return False
    return epoch in (best_epoch, epochs + 1)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as tensors, named `PARAMETER_NUMBER.NAME`."""
    tensors = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if value is not None:
                tensors[f"{index}.{name}"] = torch.as_tensor(value)
    return tensors


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` returned to an optimizer of the same parameters."""
    parameters = []
    for group in optimizer.param_groups:
        parameters += group["params"]
    state: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        index, _, name = full_name.partition(".")
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            # In the memory layout of the parameter: a fused step reads both in the same order.
            tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def save_samples(
    folder: Path, inputs: Tensor, targets: Tensor, outputs: Tensor, epoch: int
) -> None:
    """Write the samples, N x C x H x W in [0, 1], as uint8, gray or RGB."""
    _save_arrays(
        folder / SAMPLES,
        {
            "epoch": np.int64(epoch),
            "input": _to_uint8(inputs),
            "target": _to_uint8(targets),
            "output": _to_uint8(outputs),
        },
    )


def save_galleries(folder: Path, galleries: Mapping[str, tuple[Tensor, list[str]]]) -> None:
    """Write galleries, images N x C x H x W in [0, 1] with their captions, by name, gray or RGB.

    The file contains `names`; `images_0` (uint8) and `captions_0` of the first gallery, and so on.
    """
    images_by_key = {}
    captions_by_key = {}
    for index, (images, captions) in enumerate(galleries.values()):
        images_by_key[f"images_{index}"] = _to_uint8(images)
        captions_by_key[f"captions_{index}"] = np.array(captions, dtype=str)
    names = np.array(list(galleries), dtype=str)
    _save_arrays(folder / GALLERIES, {"names": names, **images_by_key, **captions_by_key})


def _to_uint8(images: Tensor) -> NDArray[np.uint8]:
    images = tile_channels(images)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _save_arrays(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_whole(path, buffer.getvalue())


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the network's state_dict on the CPU."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }


def _digest(tensors: dict[str, Tensor], header: Mapping[str, object]) -> str:
    """A hash of all tensors and of the header, which must not yet contain the digest."""
    digest = hashlib.blake2b(json.dumps(header, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(content.numpy().data)
    return digest.hexdigest()
