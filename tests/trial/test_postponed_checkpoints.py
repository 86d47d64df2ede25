"""Checkpoints of large networks: written rarely, and nothing finished is lost but by a kill."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch

from cae.trial import checkpoint, checkpoint_writer, training
from cae.trial.batches import DeviceImages
from cae.trial.checkpoint import BEST, LAST, SAMPLES, Checkpoint
from cae.trial.config import Trial
from cae.trial.training import Epoch, train
from cae.trial.training_state import TrainingState

TIMES = ("seconds", "images_per_second")
FLUCTUATING: dict[str, Any] = {
    "epochs": 6,
    "arch.activation": "leaky_relu",
    "optimizer": "sgd",
    "optimizer.lr": 4.0,
    "optimizer.momentum": 0.9,
}
"""Changes with which the losses rise and fall: the best epoch is neither the first nor the last."""


@pytest.fixture
def fluctuating(trial: Trial) -> Trial:
    return trial.override(FLUCTUATING)


@pytest.fixture
def expected(
    fluctuating: Trial, images: DeviceImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Epoch]:
    """The epochs without an interruption; afterwards every network counts as large."""
    epochs = list(train(fluctuating, images, tmp_path / "expected"))
    monkeypatch.setattr(checkpoint_writer, "LARGE_BYTES", 0)
    return epochs


Start = Callable[..., Generator[Epoch, None, None]]


@pytest.fixture
def start(request: pytest.FixtureRequest, fluctuating: Trial, images: DeviceImages) -> Start:
    """Starts or resumes the training of a large network."""
    request.getfixturevalue("expected")

    def start_training(folder: Path, **options: Any) -> Generator[Epoch, None, None]:
        return train(fluctuating, images, folder, **options)

    return start_training


def advance(epochs: Generator[Epoch, None, None], count: int) -> list[Epoch]:
    return list(itertools.islice(epochs, count))


def rows_of(epochs: list[Epoch]) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    for epoch in epochs:
        rows.append({name: value for name, value in epoch.row.items() if name not in TIMES})
    return rows


def assert_equal_end(epochs: list[Epoch], expected: list[Epoch], folder: Path) -> None:
    """The same metrics, best weights and samples, bit for bit."""
    assert rows_of(epochs) == rows_of(expected)
    assert epochs[-1].final == expected[-1].final
    best = checkpoint.load(folder / BEST)
    expected_best = checkpoint.load(folder.parent / "expected" / BEST)
    assert best.epoch == expected_best.epoch
    for name, tensor in expected_best.network.items():
        assert torch.equal(best.network[name], tensor)
    samples = (folder / SAMPLES).read_bytes()
    assert samples == (folder.parent / "expected" / SAMPLES).read_bytes()


def test_a_small_network_has_a_checkpoint_per_epoch(
    trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    for epoch in train(trial, images, tmp_path):
        assert checkpoint.load(tmp_path / LAST).epoch == epoch.epoch


def test_a_large_network_writes_nothing_before_it_is_time(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    epochs = start(folder)
    advance(epochs, 5)
    assert list(folder.iterdir()) == []
    epochs.close()


def test_a_large_network_is_written_when_enough_was_trained(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_epoch = training._train_epoch

    def train_four_seconds(state: TrainingState, epoch: int) -> dict[str, float]:
        return train_epoch(state, epoch) | {"seconds": 4.0}

    monkeypatch.setattr(training, "_train_epoch", train_four_seconds)
    folder = tmp_path / "large"
    written: list[int] = []
    for _ in start(folder):
        if (folder / LAST).exists():
            written.append(checkpoint.load(folder / LAST).epoch)
        else:
            written.append(0)
    assert written == [0, 0, 3, 3, 3, 6]


def test_judged_epochs_are_written_before_they_are_reported(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    epochs = start(folder, judged_epochs=frozenset({2}))
    advance(epochs, 2)
    assert checkpoint.load(folder / LAST).epoch == 2
    advance(epochs, 2)
    assert checkpoint.load(folder / LAST).epoch == 2
    epochs.close()


def test_without_known_judged_epochs_all_are_written(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    for epoch in start(folder, judged_epochs=None):
        assert checkpoint.load(folder / LAST).epoch == epoch.epoch


@pytest.mark.parametrize("stopped_after", [1, 3, 5])
def test_a_stopped_trial_loses_nothing(
    start: Start, expected: list[Epoch], tmp_path: Path, stopped_after: int
) -> None:
    folder = tmp_path / "large"
    epochs = start(folder)
    advance(epochs, stopped_after)
    epochs.close()
    resumed = list(start(folder))
    assert [epoch.restored for epoch in resumed] == [
        epoch <= stopped_after for epoch in range(1, 7)
    ]
    assert_equal_end(resumed, expected, folder)


def test_a_trial_that_fails_within_an_epoch_loses_no_finished_one(
    start: Start, expected: list[Epoch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_after_training(state: TrainingState, epoch: int) -> dict[str, float]:
        row = train_epoch(state, epoch)
        if epoch == 4:  # the weights have changed
            raise ValueError("planted")
        return row

    train_epoch = training._train_epoch
    folder = tmp_path / "large"
    with monkeypatch.context() as patch:
        patch.setattr(training, "_train_epoch", fail_after_training)
        with pytest.raises(ValueError, match="planted"):
            list(start(folder))
    assert checkpoint.load(folder / LAST).epoch == 3
    resumed = list(start(folder))
    assert sum(epoch.restored for epoch in resumed) == 3
    assert_equal_end(resumed, expected, folder)


def test_what_was_postponed_is_written_without_the_device(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the GPU ends the trial, and then nothing can be read from it."""
    folder = tmp_path / "large"
    epochs = start(folder)
    advance(epochs, 3)

    def fail(images: torch.Tensor) -> None:
        del images
        raise torch.AcceleratorError("planted")

    monkeypatch.setattr(checkpoint, "to_uint8", fail)
    epochs.close()
    assert checkpoint.load(folder / LAST).epoch == 3
    assert checkpoint.samples_epoch(folder) == checkpoint.load(folder / BEST).epoch


@pytest.mark.parametrize("killed_after", range(1, 6))
@pytest.mark.parametrize("written", [(), (1,), (2, 4), (3,)])
def test_a_killed_trial_trains_the_epochs_again_that_are_not_written(
    start: Start,
    expected: list[Epoch],
    tmp_path: Path,
    written: tuple[int, ...],
    killed_after: int,
) -> None:
    epochs = start(tmp_path / "killed", judged_epochs=written)
    advance(epochs, killed_after)
    folder = tmp_path / "copy"  # what a kill would leave
    shutil.copytree(tmp_path / "killed", folder)
    epochs.close()
    kept = max((epoch for epoch in written if epoch <= killed_after), default=0)
    resumed = list(start(folder, recorded_epochs=killed_after))
    assert sum(epoch.restored for epoch in resumed) == kept
    if kept < killed_after:
        newest = f"the newest checkpoint is of epoch {kept}"
        if kept == 0:
            newest = "there was no checkpoint yet"
        reason = f"{newest}: those of large networks are written every 10 s"
        assert resumed[kept].restart_reason == reason
    assert [epoch.epoch for epoch in resumed if epoch.restart_reason] == (
        [kept + 1] if kept < killed_after else []
    )
    assert_equal_end(resumed, expected, folder)


def test_a_process_that_dies_between_the_files_of_two_epochs_changes_no_result(
    start: Start, expected: list[Epoch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best_epoch = expected[-1].best_epoch
    assert 1 < best_epoch < 5
    folder = tmp_path / "large"
    epochs = start(folder, judged_epochs=(1,))
    advance(epochs, 5)

    def die(*arguments: object) -> None:
        del arguments
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_writer, "save_last", die)
        with pytest.raises(KeyboardInterrupt):
            epochs.close()
    assert checkpoint.load(folder / LAST).epoch == 1
    assert checkpoint.load(folder / BEST).epoch == best_epoch
    assert_equal_end(list(start(folder)), expected, folder)


def test_the_folder_of_a_deleted_trial_is_not_created_again(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    epochs = start(folder)
    advance(epochs, 2)
    shutil.rmtree(folder)
    epochs.close()
    assert not folder.exists()


def test_a_large_checkpoint_has_at_least_16_mib() -> None:
    values = checkpoint_writer.LARGE_BYTES // 4
    large = Checkpoint({"weight": torch.zeros(values)}, epoch=1, config={})
    small = Checkpoint({"weight": torch.zeros(values - 1)}, epoch=1, config={})
    assert checkpoint_writer.is_large(large)
    assert not checkpoint_writer.is_large(small)
    optimizer = {"0.exp_avg": torch.zeros(1)}
    with_optimizer = Checkpoint(small.network, epoch=1, config={}, optimizer=optimizer)
    assert checkpoint_writer.is_large(with_optimizer)
