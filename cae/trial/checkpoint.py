"""Checkpoints: one safetensors file each, with tensors, and all else as JSON in its header.

One file, so that weights and metadata cannot be separated; written to a temporary name and renamed,
so that it is complete or absent; with a digest, so that damage is detected. Nothing is ever
unpickled. A checkpoint names the trial that wrote it, so that no other trial uses it. The files of
a trial:

    last.safetensors      the newest epoch: weights, optimizer state, the metrics of all epochs
    previous.safetensors  an epoch before it, in case the newest file is damaged
    best.safetensors      the best epoch: weights and metrics only
    previous-best.safetensors  the best epoch when `previous` was written, if files are not durable
    samples.npz           the first validation images: input, target, best epoch's output, as uint8
    galleries.npz         images that the task selected or generated at the end, with captions
    latent.npz            latent codes of some test images (see latent_samples.py)
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from cae.files import SyncSchedule, check_regular, write_whole
from cae.trial.display import tile_channels

BEST = "best.safetensors"
LAST = "last.safetensors"
PREVIOUS = "previous.safetensors"
PREVIOUS_BEST = "previous-best.safetensors"
SAMPLES = "samples.npz"
GALLERIES = "galleries.npz"
LATENT = "latent.npz"
IMAGE_FILES = (SAMPLES, GALLERIES, LATENT)
"""Written with the best weights."""
HEADER = "cae"
"""Key of this package's JSON in the header of a safetensors file."""


Write = Callable[[Path, bytes], None]
"""Writes a file atomically, as `write_whole` does."""


class DamagedCheckpoint(Exception):
    """A file is not a complete checkpoint of this package; the message gives path and reason."""


class ForeignCheckpoint(Exception):
    """A checkpoint belongs to another trial; the message gives path and difference."""


@dataclass(frozen=True)
class Owner:
    """The trial that a checkpoint belongs to. Its number of epochs may change.

    A folder may contain files of another trial: its journal was lost, or replaced by an older one.
    """

    config: Mapping[str, Any]
    """The flat configuration."""
    fingerprint: str = ""
    """Of its images, and of those of its dependencies; empty: images and code are unknown."""
    code: str = ""
    """Digest of the source code of the user's components; empty without such components."""
    depends_on_epochs: Callable[[int], bool] | None = None
    """Whether the epochs of this trial differ from those with another number of epochs (see
    Trial.history_depends_on_epochs); None: they do not."""

    def difference(self, other: Owner) -> str:
        """Why a file of `other` is not one of this trial, in words; empty if it is."""
        names = [*self.config, *(name for name in other.config if name not in self.config)]
        for name in names:
            own_value = json.dumps(self.config.get(name))
            value = json.dumps(other.config.get(name))
            if own_value == value or (name == "epochs" and not self._has_other_history(other)):
                continue
            return f"its {name} is {value}, and not {own_value}"
        if not self.fingerprint or not other.fingerprint:
            return ""
        if self.fingerprint != other.fingerprint:
            return "it was trained on other images"
        if self.code != other.code:
            return "it was trained with other code"
        return ""

    def _has_other_history(self, other: Owner) -> bool:
        """Whether the epochs that both have in common differ, with other numbers of epochs."""
        epochs = other.config.get("epochs")
        if self.depends_on_epochs is None or not isinstance(epochs, int):
            return False
        return self.depends_on_epochs(epochs)


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
    fingerprint: str = ""
    """Of the images; empty in checkpoints of versions that did not record it."""
    code: str = ""
    """Digest of the source code of the user's components; empty without such components."""

    @property
    def owner(self) -> Owner:
        """The trial that wrote it."""
        return Owner(self.config, self.fingerprint, self.code)

    def save(self, path: Path, write: Write = write_whole) -> None:
        """Write the complete file, or none."""
        tensors = {}
        for name, tensor in self.network.items():
            tensors[f"network.{name}"] = tensor.contiguous()
        for name, tensor in self.optimizer.items():
            tensors[f"optimizer.{name}"] = tensor.contiguous()
        header = {
            "epoch": self.epoch,
            "config": self.config,
            "rows": self.rows,
            "fingerprint": self.fingerprint,
            "code": self.code,
        }
        header["digest"] = _digest(tensors, header)
        write(path, safetensors.torch.save(tensors, {HEADER: json.dumps(header)}))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint to the CPU.

    Raises FileNotFoundError, DamagedCheckpoint with the reason, or another OSError if the file
    cannot be read: it may be undamaged then.
    """
    if path.exists() and not path.is_file():
        message = f"{path} is not a complete checkpoint of cae-sweep: it is not a regular file"
        raise DamagedCheckpoint(message)
    try:
        content = path.read_bytes()
    except MemoryError:
        message = f"{path} is not a complete checkpoint of cae-sweep: it is larger than the memory"
        raise DamagedCheckpoint(message) from None
    try:
        header, tensors = _parse(content)
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
        RecursionError,
    ) as error:
        raise DamagedCheckpoint(
            f"{path} is not a complete checkpoint of cae-sweep: {error}"
        ) from error


def _parse(content: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The JSON of the header and the tensors by name.

    From bytes, and not from the path: safetensors maps a file into memory, where an error of the
    disk or of a file server ends the process.
    """
    tensors = safetensors.torch.load(content)
    header_length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + header_length])["__metadata__"]
    return json.loads(metadata[HEADER]), tensors


def load_own(path: Path, owner: Owner) -> Checkpoint:
    """Read a checkpoint of one trial (see `load`).

    Raises ForeignCheckpoint, too, if another trial wrote it.
    """
    loaded = load(path)
    difference = owner.difference(loaded.owner)
    if difference:
        raise ForeignCheckpoint(f"{path} belongs to another trial: {difference}")
    return loaded


def save_last(folder: Path, checkpoint: Checkpoint, files: SyncSchedule | None = None) -> None:
    """Write the newest epoch's checkpoint and keep the one before it as `previous`.

    If the one before it is not durable yet, the `previous` of before stays: a power cut may destroy
    both files of short epochs.
    """
    write: Write = write_whole
    if files is not None:
        write = files.write
    if files is None or files.has_durable(folder / LAST):
        with contextlib.suppress(FileNotFoundError):  # the first epoch has no predecessor
            os.replace(folder / LAST, folder / PREVIOUS)
    checkpoint.save(folder / LAST, write)


def save_best(folder: Path, checkpoint: Checkpoint, files: SyncSchedule) -> None:
    """Write the best epoch's checkpoint; a durable one is kept until the new one is durable."""
    if files.has_durable(folder / BEST) and not files.is_durable:
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder / BEST, folder / PREVIOUS_BEST)
    checkpoint.save(folder / BEST, files.write)


def load_newest(folder: Path, owner: Owner) -> Checkpoint | None:
    """Return the newest undamaged checkpoint of a trial, or None.

    A damaged file is renamed (`.damaged`), so that it does not become `previous`. If the files are
    another trial's, all are renamed (`.foreign`), samples too.
    """
    for name in (LAST, PREVIOUS):
        try:
            return load_own(folder / name, owner)
        except FileNotFoundError:
            continue
        except DamagedCheckpoint as error:
            print(f"not used: {error}")
            os.replace(folder / name, folder / f"{name}.damaged")
        except ForeignCheckpoint as error:
            print(f"not used: {error}")
            _set_aside(folder, LAST, PREVIOUS, BEST, PREVIOUS_BEST, *IMAGE_FILES)
            return None
    return None


def load_best(folder: Path, owner: Owner, epoch: int | None = None) -> Checkpoint | None:
    """Return the best epoch's undamaged checkpoint of a trial, or None.

    With `epoch`, the file that was kept for `previous` takes its place if it is of that epoch.
    """
    if epoch is not None and _holds_epoch(folder / PREVIOUS_BEST, owner, epoch):
        if not _holds_epoch(folder / BEST, owner, epoch):
            os.replace(folder / PREVIOUS_BEST, folder / BEST)
    try:
        return load_own(folder / BEST, owner)
    except (FileNotFoundError, DamagedCheckpoint):
        return None
    except ForeignCheckpoint as error:
        print(f"not used: {error}")
        _set_aside(folder, BEST, *IMAGE_FILES)
        return None


def _holds_epoch(path: Path, owner: Owner, epoch: int) -> bool:
    try:
        return load_own(path, owner).epoch == epoch
    except (FileNotFoundError, DamagedCheckpoint, ForeignCheckpoint):
        return False


def _set_aside(folder: Path, *names: str) -> None:
    """Rename files of another trial."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder / name, folder / f"{name}.foreign")


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


@dataclass(frozen=True)
class Samples:
    """Inputs, targets and outputs of an epoch as uint8, N x 1 or 3 x H x W.

    Not on the device: they are written after the GPU was lost, too.
    """

    epoch: int
    inputs: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    outputs: NDArray[np.uint8]

    @classmethod
    def from_images(cls, epoch: int, inputs: Tensor, targets: Tensor, outputs: Tensor) -> Samples:
        """Copy images, N x C x H x W in [0, 1], from their device."""
        return cls(epoch, to_uint8(inputs), to_uint8(targets), to_uint8(outputs))

    def save(self, folder: Path, write: Write = write_whole) -> None:
        """Write them to the folder of a trial."""
        arrays: dict[str, ArrayLike] = {
            "epoch": np.int64(self.epoch),
            "input": self.inputs,
            "target": self.targets,
            "output": self.outputs,
        }
        write(folder / SAMPLES, _npz(arrays))


def samples_epoch(folder: Path) -> int:
    """The epoch of the samples in a folder; 0 if there are none, or damaged ones."""
    return saved_epoch(folder / SAMPLES, "input", "target", "output")


def saved_epoch(path: Path, *names: str) -> int:
    """The `epoch` in a file with arrays of these names; 0 if it is missing or damaged."""
    try:
        check_regular(path)
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            for name in names:
                arrays[name]  # raises an error if it is damaged
            return int(arrays["epoch"])
    except (FileNotFoundError, IsADirectoryError):
        return 0
    except (KeyError, ValueError, EOFError, BadZipFile, zlib.error):
        return 0


def save_galleries(folder: Path, galleries: Mapping[str, tuple[Tensor, list[str]]]) -> None:
    """Write galleries, images N x C x H x W in [0, 1] with their captions, by name, gray or RGB.

    The file contains `names`; `images_0` (uint8) and `captions_0` of the first gallery, and so on.
    """
    images_by_key = {}
    captions_by_key = {}
    for index, (images, captions) in enumerate(galleries.values()):
        images_by_key[f"images_{index}"] = to_uint8(images)
        captions_by_key[f"captions_{index}"] = np.array(captions, dtype=str)
    names = np.array(list(galleries), dtype=str)
    content = _npz({"names": names, **images_by_key, **captions_by_key})
    write_whole(folder / GALLERIES, content)


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Convert images, N x C x H x W in [0, 1], to gray or RGB; other channels become tiles."""
    images = tile_channels(images)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _npz(arrays: Mapping[str, ArrayLike]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the network's state_dict on the CPU."""
    return copy_to_cpu(network.state_dict())


def copy_to_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies on the CPU."""
    copies: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        copies[name] = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    return copies


def _digest(tensors: dict[str, Tensor], header: Mapping[str, object]) -> str:
    """A hash of all tensors and of the header, which must not yet contain the digest."""
    digest = hashlib.blake2b(json.dumps(header, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(content.numpy().data)
    return digest.hexdigest()
