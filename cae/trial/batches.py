"""Images on the device, batches of inputs and targets, and the seeds of all random numbers.

Every random number derives from (seed, epoch, purpose), so that the numbers of an epoch do not
depend on earlier computations in the process, nor on whether the trial was interrupted. N: images
of a split, B: images of a batch.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cae.trial import torch_compat
from cae.trial.augmentation import Augmentation
from cae.trial.datasets import Images, Split
from cae.trial.datasets.mapped import MappedPixels
from cae.trial.datasets.pixel_values import BYTE_RANGE, ValueRange
from cae.trial.datasets.splits import select_images
from cae.trial.layout import image_layout
from cae.trial.streaming import StreamedPixels, disk_tensor
from cae.trial.tasks.base import Task

EVALUATION_BATCH = 500
"""Images per forward pass where nothing is trained; fewer if they are large."""
EVALUATION_BYTES = 2**25
"""If so many images need more than this as float32, ..."""
LARGE_BATCH_BYTES = 2**23
"""... batches of this size are evaluated: measures need up to ten times as much meanwhile."""
DRAWN_BYTES = 2**28
"""Images that are corrupted together have at most this size as float32, ..."""
DRAWN_MULTIPLE = 16
"""... and their number is a multiple of this: PyTorch draws normal numbers on the CPU 16 at a time,
so that they do not depend on how the images are divided."""
MAX_DEVICE_SHARE = 0.5
"""Images that need more of the free memory of a GPU stay in the memory of the host."""


class DeviceSplit(NamedTuple):
    """The images of a split on a device."""

    pixels: Any
    """A tensor, or StreamedPixels, which is indexed like one (see streaming.py).

    N x C x H x W, in the type of the data set; mostly uint8."""
    labels: Tensor
    """int64, N class numbers."""
    value_range: ValueRange = BYTE_RANGE
    """The pixel values of black and white."""


class DeviceImages(NamedTuple):
    """A data set on the device where networks are trained."""

    train: DeviceSplit
    val: DeviceSplit
    test: DeviceSplit
    classes: tuple[str, ...] = ()
    """Class names by number; empty if the data set has none."""
    fingerprint: str = ""
    """That of `Images`; empty if it is not known."""

    @classmethod
    def load(cls, images: Images, device: torch.device) -> DeviceImages:
        """Copy the images to `device`.

        On the CPU the tensors share the memory of the arrays, which may be read-only. Images on
        the disk, and images that are too large for a GPU, are read batch by batch.
        """
        is_streamed = _is_too_large(images, device)

        def load(split: Split) -> DeviceSplit:
            labels = torch_compat.share_memory_of(split.labels).to(device)
            pixels: Any
            if is_streamed or isinstance(split.pixels, MappedPixels):
                pixels = StreamedPixels(split.pixels, device)
            else:
                pixels = torch_compat.share_memory_of(split.pixels).to(device)
            return DeviceSplit(pixels, labels, images.value_range)

        return cls(
            train=load(images.train),
            val=load(images.val),
            test=load(images.test),
            classes=images.class_names,
            fingerprint=images.fingerprint,
        )


def images_for(task: Task, images: DeviceImages) -> DeviceImages:
    """Return the images that a task trains and validates with, and all test images."""
    return images._replace(
        train=_split_for(task, images.train, images.classes),
        val=_split_for(task, images.val, images.classes),
    )


def training_split(task: Task, images: Images) -> Split:
    """Return the training images that a task uses, as they are stored."""
    is_used = task.trained_for(torch.from_numpy(images.train.labels), images.class_names)
    if is_used is None or is_used.all():
        return images.train
    return select_images(images.train, np.flatnonzero(is_used.numpy()))


def count_images(task: Task, split: Split, classes: tuple[str, ...]) -> int:
    """Return how many images of a training or validation split a task uses."""
    is_used = task.trained_for(torch.from_numpy(split.labels), classes)
    if is_used is None:
        return len(split.labels)
    return int(is_used.sum())


def _split_for(task: Task, held: DeviceSplit, classes: tuple[str, ...]) -> DeviceSplit:
    """The images of a split for which the network of a task is trained."""
    is_used = task.trained_for(held.labels, classes)
    if is_used is None or is_used.all():
        return held
    indices = is_used.nonzero().flatten()
    pixels = held.pixels
    if isinstance(pixels, StreamedPixels):
        pixels = pixels.select(indices)
    else:
        pixels = pixels[indices]
    return held._replace(pixels=pixels, labels=held.labels[indices])


class Pairs:
    """The inputs and targets of a split, by the index of the image.

    If the task corrupts the images, all inputs are made here, once, and kept as float32. With an
    augmentation they are made batch by batch.
    """

    def __init__(
        self,
        task: Task,
        held: DeviceSplit,
        seed: int,
        epoch: int,
        purpose: str,
        *,
        draw_on_device: bool = False,
        draw_on_first_use: bool = False,
        augmentation: Augmentation | None = None,
    ) -> None:
        """Draw the inputs of `epoch`, if the task corrupts the images.

        Random numbers are drawn on the CPU, so that all devices get the same ones, or with
        `draw_on_device`, which is faster there, on the device of the images. With
        `draw_on_first_use` nothing is drawn before an input is needed. `augmentation` changes the
        images before the task makes its inputs and targets.
        """
        self.task = task
        self._augmentation = augmentation
        self._corrupts_all = task.corrupts and augmentation is None
        self.pixels = held.pixels
        self.labels = held.labels
        self.value_range = held.value_range
        self.inputs: Tensor | None = None
        """N x C x H x W in [0, 1]; None if they are made batch by batch."""
        self.targets: Tensor | None = None
        """N x C x H x W; None if they are the images, which are kept in their own type, or are made
        batch by batch."""
        self._seed = seed
        self._purpose = purpose
        device = self.pixels.device
        if task.corrupts and not draw_on_device:
            device = torch.device("cpu")
        self.generator = torch.Generator(device)
        self._is_drawn = not draw_on_first_use
        self.start_epoch(epoch)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    @property
    def is_streamed(self) -> bool:
        """Whether the images are read batch by batch."""
        return isinstance(self.pixels, StreamedPixels)

    def prefetch(self, batches: Sequence[Tensor]) -> AbstractContextManager[None]:
        """Read the images of these batches in advance, if they are streamed.

        `at` has to be called with these tensors, in this order.
        """
        if isinstance(self.pixels, StreamedPixels):
            return self.pixels.prefetch(batches)
        return contextlib.nullcontext()

    def start_epoch(self, epoch: int) -> None:
        """Restart the random numbers with those of an epoch, and draw its inputs.

        The new inputs replace the old ones in the same memory.
        """
        self._epoch_seed = derive_seed(self._seed, epoch, self._purpose)
        self._mean_target: Tensor | None = None
        self.rewind()
        if self._corrupts_all and self._is_drawn:
            self._corrupt_all()

    def _corrupt_all(self) -> None:
        start = 0
        count = drawn_batch(self.pixels.shape[1:])
        pixel_batches = self.pixels.split(count)
        label_batches = self.labels.split(count)
        for pixels, labels in zip(pixel_batches, label_batches, strict=True):
            images = to_float(pixels.to(self.generator.device), self.value_range)
            drawn_labels = labels.to(self.generator.device)
            corrupted, target = self.task.pairs(images, drawn_labels, self.generator)
            end = start + len(pixels)
            if self.inputs is None:
                self.inputs = self._empty_like(corrupted)
            self.inputs[start:end] = corrupted
            if target is not images:
                if self.targets is None:
                    self.targets = self._empty_like(target)
                self.targets[start:end] = target
            start = end

    def _empty_like(self, batch: Tensor) -> Tensor:
        """An uninitialized tensor on the device, with images like those of `batch` for all.

        If the images are streamed, it is on the disk.
        """
        shape = (len(self.pixels), *batch.shape[1:])
        if self.is_streamed:
            return disk_tensor(shape, batch.dtype)
        return torch.empty(
            shape,
            dtype=batch.dtype,
            device=self.pixels.device,
            memory_format=image_layout(self.device),
        )

    def rewind(self) -> None:
        """Restart the random numbers: later batches get the same ones again."""
        self.generator.manual_seed(self._epoch_seed)

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets of the images at `indices`, B integers on the device."""
        if not self._is_drawn:
            self._is_drawn = True
            if self._corrupts_all:
                self._corrupt_all()
        if self.inputs is None:
            images = to_float(self.pixels[indices], self.value_range)
            if self._augmentation is not None:
                images = self._augmentation.apply(images, self.generator)
            inputs, targets = self.task.pairs(images, self.labels[indices], self.generator)
        else:
            inputs = _take(self.inputs, indices)
            if self.targets is None:
                targets = to_float(self.pixels[indices], self.value_range)
            else:
                targets = _take(self.targets, indices)
        return inputs.contiguous(memory_format=image_layout(self.device)), targets

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield inputs, targets and labels of the whole split in its order, a batch at a time.

        The random numbers are the same in every call.
        """
        self.rewind()
        indices = torch.arange(len(self.pixels), device=self.pixels.device)
        batches = indices.split(evaluation_batch(self.pixels.shape[1:]))
        with self.prefetch(batches):
            for batch_indices in batches:
                inputs, targets = self.at(batch_indices)
                yield inputs, targets, self.labels[batch_indices]

    def mean_target(self) -> Tensor:
        """Return the mean of all targets, which is computed once; 1 x C x H x W."""
        if self._mean_target is not None:
            return self._mean_target
        total = torch.zeros((), dtype=torch.float64, device=self.pixels.device)
        for _, targets, _ in self.batches():
            total = total + targets.double().sum(0, keepdim=True)
        self._mean_target = (total / len(self.pixels)).float()
        return self._mean_target


def _take(images: Tensor, indices: Tensor) -> Tensor:
    """Images at these indices, on the device of the indices."""
    return images[indices.to(images.device)].to(indices.device)


def to_float(pixels: Tensor, value_range: ValueRange = BYTE_RANGE) -> Tensor:
    """Return pixels of any type as a new float32 tensor, in the layout of `image_layout`.

    The first value of `value_range`, black, becomes 0, and the second one, white, 1.
    """
    black, white = value_range
    layout = image_layout(pixels.device)
    values = pixels.to(torch.float32, memory_format=layout, copy=True)
    if black:
        values.sub_(black)
    if white - black != 1:
        values.div_(white - black)
    return values


def derive_seed(seed: int, epoch: int, purpose: str) -> int:
    """Return the seed of one purpose in one epoch; in [0, 2**63)."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def generator(seed: int, epoch: int, purpose: str, device: torch.device | str) -> torch.Generator:
    """Return a new random number generator of one purpose in one epoch."""
    return torch.Generator(device).manual_seed(derive_seed(seed, epoch, purpose))


def evaluation_batch(image_shape: Sequence[int]) -> int:
    """Return how many images are evaluated together."""
    image_bytes = 4 * math.prod(image_shape)
    if EVALUATION_BATCH * image_bytes <= EVALUATION_BYTES:
        return EVALUATION_BATCH
    return max(1, LARGE_BATCH_BYTES // image_bytes)


def drawn_batch(image_shape: Sequence[int]) -> int:
    """Return how many images are corrupted together."""
    image_bytes = 4 * math.prod(image_shape)
    if EVALUATION_BATCH * image_bytes <= DRAWN_BYTES:
        return EVALUATION_BATCH
    multiples = DRAWN_BYTES // (DRAWN_MULTIPLE * image_bytes)
    return DRAWN_MULTIPLE * max(1, multiples)


def _is_too_large(images: Images, device: torch.device) -> bool:
    """Whether the images would fill too much of the memory of a GPU."""
    if device.type != "cuda":
        return False
    nbytes = sum(split.pixels.nbytes for split in (images.train, images.val, images.test))
    free, _ = torch.cuda.mem_get_info(device)
    return bool(nbytes > MAX_DEVICE_SHARE * free)
