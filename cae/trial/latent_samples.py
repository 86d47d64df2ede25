"""What reports show of the latent code of a trial: codes of test images, and decoded codes.

The test images are the same for all trials with the same data, and the file `latent.npz` of a trial
has at most 1 MB:

    epoch, indices, labels, classes   the best epoch; N test images, ordered by their class
    codes, latent_shape, kept_variance   N x V, float32: the latent codes if they have at most
                                         `MAX_VALUES` values, else their principal components
    sheet, tile                       the network's inputs as one JPEG file; height, width and
                                      number of columns of its tiles
    reason                            why nothing is decoded; empty if it is
    pairs, ends, interpolations       P pairs of images, both inputs of each, and S decoded steps
    units, scores, score, levels, traversals, base
                                      the U most active values of the code, and T decoded levels of
                                      each, the rest of the code being that of the image `base`

Images are uint8, N x 1 or 3 x H x W. Nothing is drawn at random here.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cae.files import write_whole
from cae.trial import torch_compat
from cae.trial.batches import DeviceImages, DeviceSplit, Pairs
from cae.trial.checkpoint import LATENT, saved_epoch, to_uint8
from cae.trial.display import tile_channels
from cae.trial.evaluation import evaluation_pairs
from cae.trial.latent_code import NoLatentCode, decode, decoder_of, encode, encoder_of
from cae.trial.networks.variational import VariationalNetwork
from cae.trial.tasks.base import Task

Pixels = NDArray[np.uint8]

IMAGES = 500
"""Test images whose codes are saved, evenly spaced in the test split."""
MAX_VALUES = 128
"""Of larger codes, so many principal components are saved."""
PAIRS = 4
"""Pairs of images between whose codes is interpolated: of different classes, if there are several.
"""
STEPS = 8
"""Of an interpolation, both ends included."""
UNITS = 6
"""The most active values of the code that are traversed."""
LEVELS = 7
"""Of a traversal."""
LEVEL_QUANTILES = (0.025, 0.975)
"""The first and the last level of a traversal, as quantiles over the test images."""
THUMBNAIL_SIDE = 32
"""Pixels. Larger images are reduced."""
SHEET_COLUMNS = 25
JPEG_QUALITIES = (75, 50, 25, 10)
SHEET_BYTES = 300_000
"""The best of these qualities with which the sheet is not larger is used."""
STRIP_BYTES = 400_000
"""Limit of the decoded images, which are reduced if they are larger."""
EQUAL_OUTPUTS = 1e-3
"""Decoded codes are the outputs of the network if they differ by less than this share of the
largest output."""


@dataclass(frozen=True)
class DecodedCodes:
    """Outputs of the decoder as images, or why there are none (see the module)."""

    reason: str = ""
    ends: Pixels = field(default_factory=lambda: np.zeros((0, 1, 1, 1), np.uint8))
    interpolations: Pixels = field(default_factory=lambda: np.zeros((0, 1, 1, 1), np.uint8))
    traversals: Pixels = field(default_factory=lambda: np.zeros((0, 1, 1, 1), np.uint8))
    levels: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, LEVELS), np.float32))
    """U x T values."""


@dataclass(frozen=True)
class _Codes:
    """The latent codes of the chosen images, with what was collected beside them."""

    values: Tensor
    """N x D on the CPU, float32."""
    shape: torch.Size
    """Of one code."""
    thumbnails: Tensor
    """N x 1 or 3 x H x W."""
    kl: Tensor | None
    """Of a variational network: D values in nats, the mean over the images."""


def save_latent_samples(
    folder: Path, network: nn.Module, task: Task, images: DeviceImages, epoch: int
) -> None:
    """Write `latent.npz` of a trial, unless it exists with the same epoch.

    A network without latent codes has no such file; the reason is printed. The network is that of
    the best epoch, `epoch`, on the device of the images.
    """
    if _saved_epoch(folder) == epoch:
        return
    try:
        content = _content(network, task, images, epoch)
    except NoLatentCode as error:
        print(f"no latent codes are saved: {error}")
        (folder / LATENT).unlink(missing_ok=True)
        return
    write_whole(folder / LATENT, content)


def remove_other_latent_samples(folder: Path, epoch: int) -> None:
    """Remove the `latent.npz` of a trial if it is of another epoch than the best one, `epoch`."""
    if _saved_epoch(folder) != epoch:
        (folder / LATENT).unlink(missing_ok=True)


def _saved_epoch(folder: Path) -> int:
    return saved_epoch(folder / LATENT, "codes", "sheet", "interpolations", "traversals")


def _content(network: nn.Module, task: Task, images: DeviceImages, epoch: int) -> bytes:
    """The bytes of the file. Raises NoLatentCode."""
    encoder_of(network)
    indices = _chosen_images(images.test)
    chosen = DeviceSplit(
        images.test.pixels[indices], images.test.labels[indices], images.test.value_range
    )
    network.eval()
    with torch.inference_mode(), torch_compat.gpu_numerics():
        test = evaluation_pairs(task, chosen, "test")
        codes = _encode_all(network, test)
        labels = chosen.labels.cpu()
        pairs = _pairs(labels.tolist())
        scores = codes.values.double().var(0, correction=0)
        score = "variance"
        if codes.kl is not None:
            scores = codes.kl
            score = "KL divergence"
        units = _active_units(codes.values, scores)
        decoded = _decode_all(network, test, codes, pairs, units)
    components, kept_variance = _largest_components(codes.values)
    sheet, tile = _sheet(to_uint8(codes.thumbnails))
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        epoch=np.int64(epoch),
        indices=indices.cpu().numpy().astype(np.int32),
        labels=labels.numpy(),
        classes=np.array(images.classes, dtype=str),
        codes=components,
        latent_shape=np.array(codes.shape, dtype=np.int64),
        kept_variance=np.float64(kept_variance),
        sheet=sheet,
        tile=tile,
        pairs=np.array(pairs, dtype=np.int32).reshape(-1, 2),
        units=np.array(units, dtype=np.int64),
        scores=scores[units].double().numpy(),
        score=np.array(score),
        base=np.int64(0),
        **asdict(decoded),
    )
    return buffer.getvalue()


def _chosen_images(test: DeviceSplit) -> Tensor:
    """Indices of test images, evenly spaced, then ordered by class; on the device."""
    total = len(test.pixels)
    count = min(IMAGES, total)
    indices = torch.arange(count, device=test.labels.device) * total // count
    return indices[test.labels[indices].argsort(stable=True)]


def _encode_all(network: nn.Module, test: Pairs) -> _Codes:
    """Encode all images, batch by batch. Raises NoLatentCode if a code is not finite."""
    values: list[Tensor] = []
    thumbnails: list[Tensor] = []
    shape = torch.Size()
    kl: Tensor | None = None
    for inputs, _, _ in test.batches():
        codes = encode(network, inputs)
        shape = codes.shape[1:]
        values.append(codes.flatten(1).float().cpu())
        thumbnails.append(_reduced(tile_channels(inputs), THUMBNAIL_SIDE).cpu())
        if isinstance(network, VariationalNetwork):
            network(inputs)
            of_batch = network.kl_per_value().double().sum(0).cpu() / len(test.pixels)
            if kl is None:
                kl = torch.zeros_like(of_batch)
            kl += of_batch
    codes = torch.cat(values)
    if not codes.isfinite().all():
        raise NoLatentCode("its latent codes are not finite")
    return _Codes(codes, shape, torch.cat(thumbnails), kl)


def _pairs(labels: list[int]) -> list[tuple[int, int]]:
    """Pairs of images: the first ones of the first classes, then other images."""
    first_of_class: dict[int, int] = {}
    for position, label in enumerate(labels):
        first_of_class.setdefault(label, position)
    firsts = list(first_of_class.values())
    others = [position for position in range(len(labels)) if position not in firsts]
    chosen = [*firsts, *others][: 2 * PAIRS]
    return list(zip(chosen[::2], chosen[1::2], strict=False))


def _active_units(codes: Tensor, scores: Tensor) -> list[int]:
    """The values of the code with the largest scores, without those that hardly vary.

    The first and the last level of their traversals differ. `codes`: N x D.
    """
    candidates = scores.argsort(descending=True, stable=True)[: 4 * UNITS].tolist()
    units: list[int] = []
    for unit in candidates:
        lowest, highest = _level_range(codes[:, unit])
        if highest > lowest:
            units.append(unit)
    return units[:UNITS]


def _level_range(values: Tensor) -> tuple[float, float]:
    """The quantiles between which a value of the code is traversed."""
    lowest, highest = np.quantile(values.numpy(), LEVEL_QUANTILES)
    return float(lowest), float(highest)


def _decode_all(
    network: nn.Module,
    test: Pairs,
    codes: _Codes,
    pairs: list[tuple[int, int]],
    units: list[int],
) -> DecodedCodes:
    """Decode the interpolations between pairs and the traversals of units."""
    base, _ = test.at(torch.zeros(1, dtype=torch.int64, device=test.device))
    ends, _ = test.at(torch.tensor(pairs, dtype=torch.int64, device=test.device).flatten())
    levels = _levels(codes.values, units)
    steps = [*_interpolations(codes.values, pairs), *_traversals(codes.values, units, levels)]
    inputs: list[Tensor] = []
    shares = torch.linspace(0, 1, STEPS, device=ends.device)[:, None, None, None]
    for first, last in zip(ends[::2], ends[1::2], strict=True):
        inputs.append(torch.lerp(first, last, shares))
    for _ in units:
        inputs.append(base.expand(LEVELS, -1, -1, -1))
    try:
        decoder_of(network)
        if not steps:
            raise NoLatentCode("there are no two test images with different latent codes")
        _check_decoder(network, torch.cat([base, ends]))
        images = _decoded_images(network, test.task, codes, steps, inputs)
    except NoLatentCode as error:
        return DecodedCodes(reason=str(error))
    end_images = tile_channels(ends).cpu()
    side = _strip_side(images, len(images) + len(end_images))
    images = _reduced(images, side)
    interpolated = len(pairs) * STEPS
    return DecodedCodes(
        ends=to_uint8(_reduced(end_images, side)),
        interpolations=to_uint8(images[:interpolated]),
        traversals=to_uint8(images[interpolated:]),
        levels=levels.numpy(),
    )


def _levels(codes: Tensor, units: list[int]) -> Tensor:
    """The values of each unit in its traversal, U x T."""
    levels = torch.zeros(len(units), LEVELS)
    for row, unit in enumerate(units):
        lowest, highest = _level_range(codes[:, unit])
        levels[row] = torch.linspace(lowest, highest, LEVELS)
    return levels


def _interpolations(codes: Tensor, pairs: list[tuple[int, int]]) -> list[Tensor]:
    """Per pair, codes on the line between those of both images, S x D."""
    shares = torch.linspace(0, 1, STEPS)[:, None]
    return [torch.lerp(codes[first], codes[last], shares) for first, last in pairs]


def _traversals(codes: Tensor, units: list[int], levels: Tensor) -> list[Tensor]:
    """Per unit, the code of the first image with the levels of the unit, T x D."""
    traversals: list[Tensor] = []
    for unit, values in zip(units, levels, strict=True):
        changed = codes[0].repeat(LEVELS, 1)
        changed[:, unit] = values
        traversals.append(changed)
    return traversals


def _check_decoder(network: nn.Module, inputs: Tensor) -> None:
    """Raise NoLatentCode unless the network's outputs are what its decoder makes of the code."""
    outputs = network(inputs)
    decoded = _decode(network, encode(network, inputs))
    message = "its outputs are not what its decoder makes of the latent code alone"
    if decoded.shape != outputs.shape:
        raise NoLatentCode(message)
    difference = (decoded - outputs).abs().max()
    if not difference <= EQUAL_OUTPUTS * outputs.abs().max():
        raise NoLatentCode(message)


def _decode(network: nn.Module, codes: Tensor) -> Tensor:
    """Decode codes; raises NoLatentCode if a user's decoder does not take a code alone."""
    try:
        return decode(network, codes)
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise NoLatentCode(f"its decoder fails with a latent code alone: {error}") from error


def _decoded_images(
    network: nn.Module, task: Task, codes: _Codes, steps: list[Tensor], inputs: list[Tensor]
) -> Tensor:
    """Decode lists of flat codes; return what the task displays beside these inputs, on the CPU."""
    images: list[Tensor] = []
    for flat, beside in zip(steps, inputs, strict=True):
        batch = flat.to(beside.device).view(len(flat), *codes.shape)
        image = task.to_image(beside, _decode(network, batch))
        images.append(tile_channels(image).float().cpu())
    return torch.cat(images)


def _strip_side(images: Tensor, count: int) -> int:
    """The longest side with which `count` images are within `STRIP_BYTES`."""
    _, channels, rows, columns = images.shape
    side = max(rows, columns)
    while side > 1 and count * channels * _size(rows, columns, side) > STRIP_BYTES:
        side -= 1
    return side


def _size(rows: int, columns: int, side: int) -> int:
    """Number of pixels of an image that is reduced to a longest side."""
    factor = min(1.0, side / max(rows, columns))
    return max(1, round(rows * factor)) * max(1, round(columns * factor))


def _reduced(images: Tensor, side: int) -> Tensor:
    """Average over areas, so that the longest side has at most `side` pixels."""
    rows, columns = images.shape[-2:]
    if max(rows, columns) <= side:
        return images
    factor = side / max(rows, columns)
    size = (max(1, round(rows * factor)), max(1, round(columns * factor)))
    return F.interpolate(images, size=size, mode="area")


def _largest_components(codes: Tensor) -> tuple[NDArray[np.float32], float]:
    """Codes, N x D, or their first principal components, and their share of the variance."""
    if codes.shape[1] <= MAX_VALUES:
        return codes.numpy(), 1.0
    centered = codes.double() - codes.double().mean(0)
    squares, vectors = torch.linalg.eigh(centered @ centered.T)  # N x N, in ascending order
    squares = squares.flip(0).clamp(min=0)
    vectors = vectors.flip(1)
    # The sign of a component is arbitrary: its largest coordinate is positive.
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
    components = vectors[:, :MAX_VALUES] * squares[:MAX_VALUES].sqrt()
    kept_variance = float(squares[:MAX_VALUES].sum() / squares.sum().clamp(min=1e-300))
    return components.float().numpy(), kept_variance


def _sheet(thumbnails: Pixels) -> tuple[Pixels, NDArray[np.int64]]:
    """All images as one JPEG file: its bytes, and height, width and columns of its tiles."""
    count, channels, rows, columns = thumbnails.shape
    sheet_rows = -(-count // SHEET_COLUMNS)
    sheet = np.zeros((sheet_rows * rows, SHEET_COLUMNS * columns, channels), np.uint8)
    for number, pixels in enumerate(thumbnails):
        row, column = divmod(number, SHEET_COLUMNS)
        top = row * rows
        left = column * columns
        sheet[top : top + rows, left : left + columns] = pixels.transpose(1, 2, 0)
    if channels == 1:
        sheet = sheet[..., 0]
    image = Image.fromarray(sheet)
    content = b""
    for quality in JPEG_QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        content = buffer.getvalue()
        if len(content) <= SHEET_BYTES:
            break
    tile = np.array([rows, columns, SHEET_COLUMNS], dtype=np.int64)
    return np.frombuffer(content, dtype=np.uint8), tile
