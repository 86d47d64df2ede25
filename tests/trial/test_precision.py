"""Mixed precision is a trial of its own; a step never waits for the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cae.trial import checkpoint
from cae.trial.batches import Resident
from cae.trial.config import Trial, from_flat, identity
from cae.trial.training import train


def test_the_default_is_unsaid_so_that_trials_keep_their_hashes(trial: Trial) -> None:
    assert "precision" not in trial.flat()
    assert trial.override({"precision": "float32"}).flat() == trial.flat()
    mixed = trial.override({"precision": "bfloat16"})
    assert from_flat(mixed.flat()) == mixed
    assert identity(mixed.flat(), "images") != identity(trial.flat(), "images")


def test_bfloat16_trains_other_numbers_with_the_same_kind_of_weights(
    trial: Trial, images: Resident, tmp_path: Path
) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        epochs = list(train(trial.override({"precision": precision}), images, tmp_path / precision))
        losses[precision] = [epoch.row["val_loss"] for epoch in epochs]
        assert losses[precision][-1] < losses[precision][0]
        assert {
            tensor.dtype
            for tensor in checkpoint.load(tmp_path / precision / checkpoint.BEST).network.values()
        } == {torch.float32}
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)


class Reads(TorchDispatchMode):
    """Counts how often a tensor's value is asked for: on a GPU, each time everything before it has to end."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in (
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.nonzero.default,
        )
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"task": "denoise", "task.redraw_noise": True},
        {"precision": "bfloat16"},
        {"optimizer": "sgd"},
    ],
    ids=str,
)
def test_no_step_waits_for_the_device(
    trial: Trial, images: Resident, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """An epoch asks for as many values however many steps it has."""
    counts = []
    for batch_size in (35, 7):
        epochs = train(
            trial.override({**settings, "batch_size": batch_size}),
            images,
            tmp_path / str(batch_size),
        )
        next(epochs)
        with Reads() as reads:  # type: ignore[no-untyped-call]
            next(epochs)
        counts.append(reads.count)
    assert counts[0] == counts[1] > 0
