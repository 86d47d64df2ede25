"""Files of a trial that are lost, of another epoch or of another trial: never a wrong number."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from cae.files import SyncSchedule
from cae.trial import checkpoint, training
from cae.trial.batches import DeviceImages
from cae.trial.checkpoint import BEST, LAST, PREVIOUS, SAMPLES
from cae.trial.config import Trial
from cae.trial.training import Epoch, train
from cae.trial.training_state import TrainingState

TIMES = ("seconds", "images_per_second")
FLUCTUATING: dict[str, Any] = {
    "epochs": 6,
    "arch.activation": "leaky_relu",
    "optimizer": "sgd",
    "optimizer.lr": 5.0,
    "optimizer.momentum": 0.9,
}
"""Changes with which the losses rise and fall: the best epoch is neither the first nor the last."""


@dataclass(frozen=True)
class Reference:
    """A trial that was trained without a fault."""

    trial: Trial
    epochs: list[Epoch]
    folder: Path

    @property
    def best_epoch(self) -> int:
        return self.epochs[-1].best_epoch

    def assert_equal(self, folder: Path, epochs: list[Epoch]) -> None:
        """The same metrics, best weights and samples, bit for bit."""
        assert rows_of(epochs[-self.trial.epochs :]) == rows_of(self.epochs)
        assert epochs[-1].final == self.epochs[-1].final
        best = checkpoint.load(folder / BEST)
        expected = checkpoint.load(self.folder / BEST)
        assert best.epoch == expected.epoch
        for name, tensor in expected.network.items():
            assert torch.equal(best.network[name], tensor)
        assert (folder / SAMPLES).read_bytes() == (self.folder / SAMPLES).read_bytes()


def rows_of(epochs: list[Epoch]) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    for epoch in epochs:
        rows.append({name: value for name, value in epoch.row.items() if name not in TIMES})
    return rows


@pytest.fixture(scope="module")
def reference(
    trial: Trial, images: DeviceImages, tmp_path_factory: pytest.TempPathFactory
) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    fluctuating = trial.override(FLUCTUATING)
    reference = Reference(fluctuating, list(train(fluctuating, images, folder)), folder)
    assert 1 < reference.best_epoch < fluctuating.epochs
    return reference


def train_some(count: int, trial: Trial, images: DeviceImages, folder: Path) -> None:
    """Train some epochs of a trial, and stop like a worker that is terminated.

    Not durable: then `previous` is always the epoch before the newest one.
    """
    epochs = train(trial, images, folder, durable=False)
    for _ in range(count):
        next(epochs)
    epochs.close()


@pytest.mark.parametrize("files", [(BEST,), (SAMPLES,), (BEST, SAMPLES)])
def test_lost_files_of_the_newest_epoch_are_written_again(
    files: tuple[str, ...], reference: Reference, images: DeviceImages, tmp_path: Path
) -> None:
    """The newest checkpoint contains the weights of the best epoch: no epoch is trained again."""
    train_some(reference.best_epoch, reference.trial, images, tmp_path)
    for name in files:
        (tmp_path / name).unlink()
    epochs = list(train(reference.trial, images, tmp_path))
    assert [epoch.restored for epoch in epochs].count(True) == reference.best_epoch
    assert not any(epoch.restart_reason for epoch in epochs)
    reference.assert_equal(tmp_path, epochs)


@pytest.mark.parametrize(("epochs_before", "name"), [(2, BEST), (4, SAMPLES)])
def test_lost_files_of_a_network_whose_modes_differ_are_written_again(
    epochs_before: int, name: str, trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    """In training mode, dropout would change the samples, and batch normalization would learn from
    the validation images: the later epochs and the test would have other numbers."""
    changes = {
        "arch.batch_norm": "before_activation",
        "arch.batch_norm_momentum": 0.5,
        "arch.dropout": 0.2,
    }
    normalized = trial.override(changes)
    expected = list(train(normalized, images, tmp_path / "expected"))
    reference = Reference(normalized, expected, tmp_path / "expected")
    folder = tmp_path / "trial"
    train_some(epochs_before, normalized, images, folder)
    assert checkpoint.load(folder / BEST).epoch == epochs_before
    (folder / name).unlink()
    epochs = list(train(normalized, images, folder))
    assert [epoch.restored for epoch in epochs].count(True) == epochs_before
    reference.assert_equal(folder, epochs)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "is missing"), (b"", "is damaged"), (b"garbage", "is damaged")]
)
def test_lost_best_weights_restart_the_trial_with_a_reason(
    content: bytes | None,
    reason: str,
    reference: Reference,
    images: DeviceImages,
    tmp_path: Path,
) -> None:
    train_some(reference.best_epoch + 1, reference.trial, images, tmp_path)
    (tmp_path / BEST).unlink()
    if content is not None:
        (tmp_path / BEST).write_bytes(content)
    epochs = list(train(reference.trial, images, tmp_path))
    assert [epoch.epoch for epoch in epochs] == list(range(1, reference.trial.epochs + 1))
    assert not any(epoch.restored for epoch in epochs)
    assert epochs[0].restart_reason == f"{BEST} {reason}"
    assert not any(epoch.restart_reason for epoch in epochs[1:])
    reference.assert_equal(tmp_path, epochs)


def test_best_weights_that_are_lost_during_training_restart_the_trial(
    reference: Reference, images: DeviceImages, tmp_path: Path
) -> None:
    epochs: list[Epoch] = []
    for epoch in train(reference.trial, images, tmp_path):
        epochs.append(epoch)
        if len(epochs) == reference.trial.epochs - 1:
            (tmp_path / BEST).unlink()
    assert len(epochs) == 2 * reference.trial.epochs - 1
    assert epochs[reference.trial.epochs - 1].restart_reason == f"{BEST} is missing"
    reference.assert_equal(tmp_path, epochs)


def test_a_retrained_epoch_that_is_no_longer_the_best_does_not_fail_the_trial(
    reference: Reference,
    images: DeviceImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The best weights are of an epoch whose checkpoint is damaged, and on a GPU the epoch may get
    a slightly worse loss when it is trained again."""
    best_epoch = reference.best_epoch
    train_some(best_epoch, reference.trial, images, tmp_path)
    (tmp_path / LAST).unlink()
    assert checkpoint.load(tmp_path / BEST).epoch == best_epoch
    assert checkpoint.load(tmp_path / PREVIOUS).epoch == best_epoch - 1
    train_epoch = training._train_epoch
    retrained: list[int] = []

    def train_worse_once(state: TrainingState, epoch: int) -> dict[str, float]:
        row = train_epoch(state, epoch)
        if not retrained:
            row["val_loss"] = 1e6
        retrained.append(epoch)
        return row

    monkeypatch.setattr(training, "_train_epoch", train_worse_once)
    epochs = list(train(reference.trial, images, tmp_path))
    assert retrained[0] == best_epoch
    assert epochs[-1].final
    assert checkpoint.load(tmp_path / BEST).epoch == epochs[-1].best_epoch


@pytest.mark.parametrize("kept", [(LAST, BEST, SAMPLES), (BEST, SAMPLES), (LAST, SAMPLES)])
def test_files_of_another_trial_are_not_used(
    kept: tuple[str, ...], reference: Reference, images: DeviceImages, tmp_path: Path
) -> None:
    """The journal was lost and the sweep edited: the folder is that of another configuration."""
    other = reference.trial.override({"optimizer.lr": 1.0})
    list(train(other, images, tmp_path / "other"))
    folder = tmp_path / "trial"
    folder.mkdir()
    for name in kept:
        shutil.copy(tmp_path / "other" / name, folder)
    epochs = list(train(reference.trial, images, folder))
    assert not any(epoch.restored for epoch in epochs)
    reference.assert_equal(folder, epochs)
    assert f"{LAST}.foreign" in {path.name for path in folder.iterdir()} or LAST not in kept


def test_other_images_and_other_code_are_another_trial(
    trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    def restored(fingerprint: str, code: str) -> int:
        epochs = train(trial, images, tmp_path, fingerprint=fingerprint, code=code)
        return sum(epoch.restored for epoch in epochs)

    assert restored("images", "code") == 0
    assert restored("images", "code") == trial.epochs
    assert restored("", "") == trial.epochs  # unknown, in runs of earlier versions
    assert restored("other images", "code") == 0
    assert restored("other images", "other code") == 0
    longer = trial.override({"epochs": trial.epochs + 1})
    epochs = train(longer, images, tmp_path, fingerprint="other images", code="other code")
    assert sum(epoch.restored for epoch in epochs) == trial.epochs


def test_weights_of_another_trial_are_no_dependency(
    trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    from cae.trial.networks.create import load_trained

    list(train(trial, images, tmp_path))
    load_trained(trial.override({"epochs": 1}), tmp_path, torch.device("cpu"))
    with pytest.raises(checkpoint.ForeignCheckpoint, match=r"its seed is 0, and not 1"):
        load_trained(trial.override({"seed": 1}), tmp_path, torch.device("cpu"))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_an_error_of_the_disk_is_not_damage(
    number: int,
    trial: Trial,
    images: DeviceImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train_some(2, trial, images, tmp_path)

    def fail(path: Path) -> bytes:
        raise OSError(number, "cannot be read", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", fail)
        with pytest.raises(OSError, match="cannot be read"):
            next(train(trial, images, tmp_path))
    assert not list(tmp_path.glob("*.damaged"))
    assert sum(epoch.restored for epoch in train(trial, images, tmp_path)) == 2


def lose_unsynced_files(files: SyncSchedule) -> None:
    """What a power cut does to files that are not durable, on some file systems: they are empty."""
    for path in files._unsynced:
        path.write_bytes(b"")


@pytest.mark.parametrize("durable_epoch", [1, 2, 3, 4])
@pytest.mark.parametrize("cut_after", [4, 5])
def test_a_power_cut_costs_only_epochs_that_were_not_durable(
    cut_after: int,
    durable_epoch: int,
    reference: Reference,
    images: DeviceImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedules: list[SyncSchedule] = []
    epochs_written = iter(range(1, 20))

    class Schedule(SyncSchedule):
        def __init__(self, *, enabled: bool) -> None:
            super().__init__(enabled=enabled)
            schedules.append(self)

        @contextlib.contextmanager
        def writing(self) -> Iterator[None]:
            self.is_durable = next(epochs_written) == durable_epoch
            yield
            if self.is_durable:
                self.sync()

    monkeypatch.setattr(training, "SyncSchedule", Schedule)
    epochs = train(reference.trial, images, tmp_path)
    for _ in range(cut_after):
        next(epochs)
    lose_unsynced_files(schedules[0])
    monkeypatch.setattr(training, "SyncSchedule", SyncSchedule)
    resumed = list(train(reference.trial, images, tmp_path))
    assert sum(epoch.restored for epoch in resumed) == durable_epoch
    reference.assert_equal(tmp_path, resumed)
    epochs.close()
