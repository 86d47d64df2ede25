"""The networks of a model as files of other programs: ONNX, and PyTorch's exported programs.

Whole, encoder and decoder are files of their own, with a batch of any size. Each file is run again,
with another batch size than it was made with, and compared with the network.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from cae.errors import UserError
from cae.trial.latent_code import NoLatentCode, decoder_of, encoder_of
from cae.trial.networks.upsampling import unfolded
from cae.trial.networks.variational import VariationalNetwork

FileFormat = Literal["onnx", "torch"]
SUFFIXES: dict[FileFormat, str] = {"onnx": ".onnx", "torch": ".pt2"}
PACKAGES: dict[FileFormat, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "torch": (),
}
"""Packages of the optional dependencies that a format needs."""
EXPORTED_BATCH = 3
CHECKED_BATCH = 5
"""Batch sizes with which a file is made and run again."""
TOLERANCE = 1e-5
"""Largest difference of an output: absolute for values below 1, relative above."""


@dataclass(frozen=True)
class NetworkFiles:
    """Files that were written and checked."""

    paths: list[Path]
    notes: list[str]
    """Which part has no file, and why."""


@dataclass(frozen=True)
class _Part:
    """A part of a network that becomes a file."""

    name: str
    """Of the file, without its suffix."""
    network: nn.Module
    input_name: str
    output_name: str
    batch: Tensor
    """An example of inputs, EXPORTED_BATCH of them."""
    other_batch: Tensor
    """CHECKED_BATCH inputs, with which the file is run again."""


def check_packages(file_format: FileFormat) -> None:
    """Raise UserError if a package that the format needs is not installed."""
    missing = [name for name in PACKAGES[file_format] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format {file_format}: {', '.join(missing)} is not installed: "
            "pip install 'cae-sweep[onnx]'"
        )


def write_network_files(
    network: nn.Module, input_shape: tuple[int, ...], file_format: FileFormat, folder: Path
) -> NetworkFiles:
    """Write a network and its parts into a folder, and run each file again.

    Args:
        network: On the CPU, in evaluation mode.
        input_shape: C, H, W of its inputs.
        file_format: See SUFFIXES.
        folder: An empty folder.

    Raises UserError if a part cannot be exported, or if a file gives other outputs than the
    network (see TOLERANCE); the folder may then contain files.
    """
    check_packages(file_format)
    parts, notes = _parts(network, input_shape)
    paths: list[Path] = []
    for part in parts:
        path = folder / f"{part.name}{SUFFIXES[file_format]}"
        try:
            with _quiet():
                run = WRITERS[file_format](part, path)
                outputs = run(part.other_batch)
        except Exception as error:  # of PyTorch, ONNX and own networks: they share no base
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"--format {file_format}: the {part.name} of this network cannot be exported: "
                f"{type(error).__name__}: {reason}"
            ) from error
        _compare(part, path, outputs)
        paths.append(path)
    return NetworkFiles(paths, notes)


def _parts(network: nn.Module, input_shape: tuple[int, ...]) -> tuple[list[_Part], list[str]]:
    """The whole network, its encoder and its decoder, and a note about each that is missing."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(CHECKED_BATCH, *input_shape, generator=generator)
    whole = network
    if isinstance(network, VariationalNetwork):
        # In evaluation mode the code is the mean; `forward` also keeps the last distribution.
        whole = nn.Sequential(network.encoder, network.decoder)
    parts = [_part("model", whole, "images", "outputs", images)]
    notes: list[str] = []
    try:
        encoder = encoder_of(network)
        parts.append(_part("encoder", encoder, "images", "codes", images))
        with torch.inference_mode():
            codes = encoder(images)
        decoder = decoder_of(network)
        parts.append(_part("decoder", decoder, "codes", "outputs", codes.clone()))
    except NoLatentCode as error:
        missing = ("encoder", "decoder")[len(parts) - 1]
        notes.append(f"no file of the {missing}: {error}")
    return parts, notes


def _part(name: str, network: nn.Module, input_name: str, output_name: str, batch: Tensor) -> _Part:
    ordinary = torch.tensor(batch.numpy())  # not of inference mode
    return _Part(
        name, network, input_name, output_name, ordinary[:EXPORTED_BATCH].clone(), ordinary
    )


Run = Callable[[Tensor], np.ndarray]
"""Runs a file with inputs."""


def _write_torch(part: _Part, path: Path) -> Run:
    batch = torch.export.Dim("batch")
    network = unfolded(part.network)
    program = torch.export.export(network, (part.batch,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)

    def run(inputs: Tensor) -> np.ndarray:
        loaded = torch.export.load(path).module()
        with torch.inference_mode():
            outputs: np.ndarray = loaded(inputs).numpy()
        return outputs

    return run


def _write_onnx(part: _Part, path: Path) -> Run:
    program = torch.onnx.export(
        unfolded(part.network),
        (part.batch,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=[part.input_name],
        output_names=[part.output_name],
        verbose=False,
    )
    assert program is not None
    program.save(str(path), external_data=False)

    def run(inputs: Tensor) -> np.ndarray:
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        outputs: np.ndarray = session.run(None, {part.input_name: inputs.numpy()})[0]
        return outputs

    return run


WRITERS: dict[FileFormat, Callable[[_Part, Path], Run]] = {
    "onnx": _write_onnx,
    "torch": _write_torch,
}


def _compare(part: _Part, path: Path, outputs: np.ndarray) -> None:
    """Raise UserError unless a file gives the outputs of the network."""
    with torch.inference_mode():
        expected = part.network(part.other_batch).numpy()
    if outputs.shape != expected.shape:
        raise UserError(
            f"{path.name}: its outputs for {CHECKED_BATCH} inputs are {outputs.shape}, and those "
            f"of the network {expected.shape}; nothing was written"
        )
    allowed = TOLERANCE * np.maximum(1, np.abs(expected))
    difference = np.abs(outputs - expected)
    if not (difference <= allowed).all():
        raise UserError(
            f"{path.name}: its outputs differ from those of the network by up to "
            f"{difference.max():.3g}, and at most {TOLERANCE:g} is allowed; nothing was written"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the notes of PyTorch's exporters, which are about their own plans."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
