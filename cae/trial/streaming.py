"""Images that are read from the disk, and moved to the device, while the network is trained.

A thread reads the next batches in the order in which they are used, so that the numbers are those
of images in memory, bit for bit.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from cae.files import reserve_space
from cae.trial import torch_compat
from cae.trial.datasets.mapped import MappedPixels

QUEUED_BATCHES = 3
"""Batches that are read in advance."""
POLL_SECONDS = 0.1
"""How often a thread that waits examines whether it is still needed."""


class StreamedPixels:
    """The images of a split, N x C x H x W, of which batches are on a device.

    Indexed with a tensor of numbers of images like a tensor.
    """

    def __init__(self, source: MappedPixels | np.ndarray, device: torch.device) -> None:
        """`source`: the images on the disk, or in memory if only the device is too small."""
        self.source = source
        self.device = device
        self.shape = torch.Size(source.shape)
        self._prefetcher: _Prefetcher | None = None
        self._copy_stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._copy_stream = torch.cuda.Stream(device)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (B integers) on the device, in their own type."""
        if self._prefetcher is not None:
            prefetched = self._prefetcher.take(indices)
            if prefetched is not None:
                return prefetched.use()
        return self.load(indices.cpu().numpy()).use()

    def select(self, indices: Tensor) -> StreamedPixels:
        """Return the images at `indices` (B integers), which are read when they are used."""
        positions = indices.cpu().numpy()
        if isinstance(self.source, MappedPixels):
            return StreamedPixels(self.source.select(positions), self.device)
        return StreamedPixels(self.source[positions], self.device)

    def load(self, indices: np.ndarray) -> _Loaded:
        """Read images, and start their copy to the device."""
        pixels = self.source[indices]
        batch = torch_compat.share_memory_of(pixels)
        if self._copy_stream is None:
            return _Loaded(batch)
        pinned = batch.pin_memory()
        with torch.cuda.stream(self._copy_stream):
            on_device = pinned.to(self.device, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record(self._copy_stream)
        return _Loaded(on_device, copied, pinned)

    def split(self, count: int) -> Iterator[Tensor]:
        """Yield all images on the device, `count` at a time."""
        for start in range(0, len(self), count):
            end = min(start + count, len(self))
            yield self.load(np.arange(start, end)).use()

    def data_ptr(self) -> int:
        """Return a number that identifies the images, like the address of a tensor."""
        return id(self.source)

    @contextlib.contextmanager
    def prefetch(self, batches: Sequence[Tensor]) -> Iterator[None]:
        """Read these batches in advance; they are used in this order, with these tensors."""
        if self._prefetcher is not None or len(batches) < 2:
            yield
            return
        self._prefetcher = _Prefetcher(self, batches)
        try:
            yield
        finally:
            self._prefetcher.close()
            self._prefetcher = None


def disk_tensor(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return an uninitialized tensor on the CPU whose memory is a temporary file.

    The file disappears with the tensor. Raises OSError if the disk is too small for it.
    """
    count = math.prod(shape)
    nbytes = count * torch.empty((), dtype=dtype).element_size()
    folder = tempfile.gettempdir()
    file, name = tempfile.mkstemp(prefix="cae-sweep-inputs-", dir=folder)
    try:
        reserve_space(file, nbytes)
        flat = torch.from_file(name, shared=True, size=count, dtype=dtype)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        free = shutil.disk_usage(folder).free
        raise OSError(
            errno.ENOSPC,
            f"noisy inputs of {nbytes / 1e9:.1f} GB do not fit into {free / 1e9:.1f} GB of free "
            "space (TMPDIR selects another folder)",
            folder,
        ) from None
    finally:
        os.close(file)
        os.unlink(name)
    return flat.view(*shape)


class _Loaded:
    """A batch on the device, whose copy may not be complete."""

    def __init__(
        self,
        pixels: Tensor,
        copied: torch.cuda.Event | None = None,
        pinned: Tensor | None = None,
    ) -> None:
        self._pixels = pixels
        self._copied = copied
        self._pinned = pinned  # kept until the copy is complete

    def use(self) -> Tensor:
        """Return the batch; the current stream of the device waits for its copy."""
        if self._copied is not None:
            stream = torch.cuda.current_stream(self._pixels.device)
            stream.wait_event(self._copied)
            self._pixels.record_stream(stream)
        return self._pixels


class _Prefetcher:
    """A thread that reads batches into a short queue."""

    def __init__(self, pixels: StreamedPixels, batches: Sequence[Tensor]) -> None:
        self._pixels = pixels
        self._batches = batches
        # One copy from the device, before the thread starts.
        self._indices = torch.cat(list(batches)).cpu().numpy()
        self._queue: queue.Queue[_Loaded | BaseException] = queue.Queue(QUEUED_BATCHES)
        self._is_closed = threading.Event()
        self._position = 0
        self._thread = threading.Thread(target=self._read_all, name="prefetch", daemon=True)
        self._thread.start()

    def take(self, indices: Tensor) -> _Loaded | None:
        """Return the next batch if these are its indices; None if they are others."""
        if self._position >= len(self._batches) or indices is not self._batches[self._position]:
            return None
        self._position += 1
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        """End the thread."""
        self._is_closed.set()
        self._thread.join()

    def _read_all(self) -> None:
        start = 0
        for batch in self._batches:
            end = start + len(batch)
            item: _Loaded | BaseException
            try:
                item = self._pixels.load(self._indices[start:end])
            except BaseException as error:  # raised where the batch is used
                item = error
            start = end
            if not self._put(item) or isinstance(item, BaseException):
                return

    def _put(self, item: _Loaded | BaseException) -> bool:
        """Wait for a free place in the queue; return False if the batches are not needed."""
        while not self._is_closed.is_set():
            try:
                self._queue.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False
