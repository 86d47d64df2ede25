"""Mixed precision is a parameter of the trial; training steps never wait for the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cae.trial import checkpoint
from cae.trial.batches import DeviceImages
from cae.trial.config import Trial, from_flat
from cae.trial.identity import identity
from cae.trial.training import train

READING_OPERATORS = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
)
"""Operators that read the value of a tensor."""


def test_the_default_is_left_out_of_the_flat_form(trial: Trial) -> None:
    """The hashes of trials are those from before the parameter existed."""
    assert "precision" not in trial.flat()
    assert trial.override({"precision": "float32"}).flat() == trial.flat()


def test_mixed_precision_is_a_part_of_the_identity(trial: Trial) -> None:
    mixed = trial.override({"precision": "bfloat16"})
    assert from_flat(mixed.flat()) == mixed
    assert identity(mixed.flat(), "images") != identity(trial.flat(), "images")


def test_mixed_precision_gives_similar_losses_and_float32_weights(
    trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        folder = tmp_path / precision
        epochs = train(trial.override({"precision": precision}), images, folder)
        losses[precision] = [epoch.row["val_loss"] for epoch in epochs]
        assert losses[precision][-1] < losses[precision][0]
        network = checkpoint.load(folder / checkpoint.BEST).network
        assert {tensor.dtype for tensor in network.values()} == {torch.float32}
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)


class ReadCounter(TorchDispatchMode):
    """Counts how often the value of a tensor is read: a GPU has to finish all earlier work then."""

    count = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if func in READING_OPERATORS:
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"task": "denoise", "task.redraw_noise": True},
        {"precision": "bfloat16"},
        {"optimizer": "sgd"},
    ],
    ids=str,
)
def test_no_step_waits_for_the_device(
    trial: Trial, images: DeviceImages, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """An epoch reads the same number of values for any number of steps."""
    reads = []
    new_counter: Callable[[], ReadCounter] = ReadCounter
    for batch_size in (35, 7):
        varied = trial.override({**changes, "batch_size": batch_size})
        epochs = train(varied, images, tmp_path / str(batch_size))
        next(epochs)
        with new_counter() as counter:
            next(epochs)
        reads.append(counter.count)
    assert reads[0] == reads[1] > 0
