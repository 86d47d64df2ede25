"""The training loop: the same numbers bit for bit after any interruption, and honest metrics."""

from __future__ import annotations

import itertools
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typing_extensions import override

from cae.trial import checkpoint
from cae.trial.batches import DeviceImages, to_float
from cae.trial.checkpoint import BEST, GALLERIES, LAST, PREVIOUS, SAMPLES
from cae.trial.config import Trial
from cae.trial.evaluation import evaluate, evaluation_pairs
from cae.trial.latent.declaration import latent_metrics
from cae.trial.networks.create import build_network
from cae.trial.optimizers import SGD, Adam, Parameters, RMSprop
from cae.trial.training import Epoch, train

TIMES = ("seconds", "images_per_second")
RECONSTRUCT: dict[str, Any] = {"task": "reconstruct"}
DENOISE: dict[str, Any] = {"task": "denoise", "task.noise_factor": 0.3}
TASKS = {
    "reconstruct": RECONSTRUCT,
    "denoise": DENOISE,
    "denoise, new noise": DENOISE | {"task.redraw_noise": True},
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam", "optimizer.lr": 1e-2},
    "rmsprop": {"optimizer": "rmsprop", "optimizer.momentum": 0.5},
    "sgd": {"optimizer": "sgd", "optimizer.lr": 0.3, "optimizer.momentum": 0.9},
}
PLATEAU: dict[str, Any] = {
    "schedule": "reduce_on_plateau",
    "schedule.patience": 0,
    "schedule.threshold": 0.3,
}
"""A schedule that reduces the learning rate within the few epochs of these tests."""
FLUCTUATING: dict[str, Any] = {
    "epochs": 6,
    "arch.activation": "leaky_relu",
    "optimizer": "sgd",
    "optimizer.lr": 5.0,
    "optimizer.momentum": 0.9,
}
"""Changes with which the losses rise and fall, because the steps are too large."""


@dataclass(frozen=True)
class Uninterrupted:
    """A trial that was trained without interruption."""

    trial: Trial
    epochs: list[Epoch]
    folder: Path


def rows_of(epochs: list[Epoch]) -> list[dict[str, float]]:
    """The metrics of each epoch, without those that measure time."""
    return [without_times(epoch.row) for epoch in epochs]


def without_times(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name not in TIMES}


def network_in(folder: Path, name: str = LAST) -> dict[str, Tensor]:
    """The weights in a checkpoint."""
    return checkpoint.load(folder / name).network


def equal_weights(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) for name in left
    )


def assert_same_results(folder: Path, epochs: list[Epoch], expected: Uninterrupted) -> None:
    assert rows_of(epochs) == rows_of(expected.epochs)
    assert epochs[-1].final == expected.epochs[-1].final
    assert epochs[-1].best_epoch == expected.epochs[-1].best_epoch
    for name in (LAST, BEST):
        assert equal_weights(network_in(folder, name), network_in(expected.folder, name))
    assert (folder / SAMPLES).read_bytes() == (expected.folder / SAMPLES).read_bytes()


def train_and_stop(count: int, trial: Trial, images: DeviceImages, folder: Path) -> None:
    """Train some epochs of a trial, and stop like a worker that is terminated."""
    epochs = train(trial, images, folder)
    for _ in range(count):
        next(epochs)
    epochs.close()


@pytest.fixture(scope="module", params=itertools.product(TASKS, OPTIMIZERS), ids=", ".join)
def uninterrupted(
    request: pytest.FixtureRequest,
    trial: Trial,
    images: DeviceImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Uninterrupted:
    task, optimizer = request.param
    varied = trial.override(TASKS[task] | OPTIMIZERS[optimizer] | PLATEAU)
    folder = tmp_path_factory.mktemp("uninterrupted")
    return Uninterrupted(varied, list(train(varied, images, folder)), folder)


@pytest.fixture(scope="module")
def plain(
    trial: Trial, images: DeviceImages, tmp_path_factory: pytest.TempPathFactory
) -> Uninterrupted:
    folder = tmp_path_factory.mktemp("plain")
    return Uninterrupted(trial, list(train(trial, images, folder)), folder)


def test_results_do_not_depend_on_what_ran_before(
    uninterrupted: Uninterrupted, images: DeviceImages, tmp_path: Path
) -> None:
    other = uninterrupted.trial.override({"seed": 5, "arch.encoder_filters": [3, 5], "epochs": 1})
    list(train(other, images, tmp_path / "other"))
    torch.rand(7)
    epochs = list(train(uninterrupted.trial, images, tmp_path / "again"))
    assert_same_results(tmp_path / "again", epochs, uninterrupted)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_resumed_trial_has_the_results_of_an_uninterrupted_one(
    count: int, uninterrupted: Uninterrupted, images: DeviceImages, tmp_path: Path
) -> None:
    train_and_stop(count, uninterrupted.trial, images, tmp_path)
    torch.rand(count)
    epochs = list(train(uninterrupted.trial, images, tmp_path))
    assert_same_results(tmp_path, epochs, uninterrupted)


def test_trials_that_train_alternately_do_not_affect_each_other(
    plain: Uninterrupted, images: DeviceImages, tmp_path: Path
) -> None:
    first = train(plain.trial, images, tmp_path / "first")
    second = train(plain.trial.override({"seed": 1}), images, tmp_path / "second")
    epochs = [epoch for epoch, _ in zip(first, second, strict=True)]
    assert_same_results(tmp_path / "first", epochs, plain)


def test_another_seed_gives_other_numbers(
    plain: Uninterrupted, images: DeviceImages, tmp_path: Path
) -> None:
    other = list(train(plain.trial.override({"seed": 1, "epochs": 1}), images, tmp_path))
    assert rows_of(other)[0]["train_loss"] != rows_of(plain.epochs)[0]["train_loss"]


KILLED_AFTER_TWO_EPOCHS = """
import json, os, signal, sys
from pathlib import Path
import torch
from cae.trial.batches import DeviceImages
from cae.trial.config import from_flat
from cae.trial.training import train
torch.set_num_threads(1)
trial = from_flat(json.loads(sys.argv[1]))
images = DeviceImages.load(trial.dataset.load(()), torch.device("cpu"))
for epoch in train(trial, images, Path(sys.argv[2])):
    if epoch.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_trial_is_resumed_in_another_process(
    plain: Uninterrupted, images: DeviceImages, tmp_path: Path
) -> None:
    config = json.dumps(plain.trial.flat())
    process = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_TWO_EPOCHS, config, str(tmp_path)], check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert checkpoint.load(tmp_path / LAST).epoch == 2
    assert_same_results(tmp_path, list(train(plain.trial, images, tmp_path)), plain)


@pytest.mark.parametrize(
    "damaged",
    [(LAST,), (PREVIOUS,), (BEST,), (LAST, PREVIOUS), (LAST, BEST), (LAST, PREVIOUS, BEST)],
)
@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_damaged_checkpoints_cost_epochs_but_change_no_result(
    damaged: tuple[str, ...],
    content: bytes,
    plain: Uninterrupted,
    images: DeviceImages,
    tmp_path: Path,
) -> None:
    train_and_stop(3, plain.trial, images, tmp_path)
    for name in damaged:
        (tmp_path / name).write_bytes(content)
    assert_same_results(tmp_path, list(train(plain.trial, images, tmp_path)), plain)


def test_a_process_that_died_between_two_files_changes_no_result(
    plain: Uninterrupted, images: DeviceImages, tmp_path: Path
) -> None:
    """`best` is of epoch 2, but the last checkpoint of epoch 1; and a file is half written."""
    train_and_stop(2, plain.trial, images, tmp_path)
    (tmp_path / LAST).rename(tmp_path / f".{LAST}.1")
    assert checkpoint.load(tmp_path / BEST).epoch == 2
    assert checkpoint.load(tmp_path / PREVIOUS).epoch == 1
    assert_same_results(tmp_path, list(train(plain.trial, images, tmp_path)), plain)


def contents_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time of the last change and content of each file; galleries are written again each time."""
    contents = {}
    for path in folder.iterdir():
        changed = path.stat().st_mtime_ns
        if path.name == GALLERIES:
            changed = 0
        contents[path.name] = (changed, path.read_bytes())
    return contents


def test_a_finished_trial_is_replayed_without_training(
    plain: Uninterrupted, images: DeviceImages
) -> None:
    before = contents_of(plain.folder)
    replayed = list(train(plain.trial, images, plain.folder))
    assert all(epoch.restored for epoch in replayed)
    assert [epoch.row for epoch in replayed] == [epoch.row for epoch in plain.epochs]
    assert replayed[-1].final == plain.epochs[-1].final
    assert contents_of(plain.folder) == before


def test_a_replayed_epoch_has_the_best_epoch_at_its_time(
    plain: Uninterrupted, images: DeviceImages
) -> None:
    replayed = list(train(plain.trial, images, plain.folder))
    assert [epoch.best_epoch for epoch in replayed] == [epoch.best_epoch for epoch in plain.epochs]


def test_a_finished_trial_can_be_extended(
    plain: Uninterrupted, images: DeviceImages, tmp_path: Path
) -> None:
    longer = plain.trial.override({"epochs": 6})
    epochs = list(train(longer, images, tmp_path / "expected"))
    expected = Uninterrupted(longer, epochs, tmp_path / "expected")
    folder = tmp_path / "extended"
    list(train(plain.trial, images, folder))
    assert_same_results(folder, list(train(longer, images, folder)), expected)


def test_only_the_last_epoch_has_final_results(plain: Uninterrupted) -> None:
    assert [epoch.epoch for epoch in plain.epochs] == [1, 2, 3, 4]
    assert [epoch.final is None for epoch in plain.epochs] == [True, True, True, False]
    assert [bool(epoch.tables) for epoch in plain.epochs] == [False, False, False, True]


def test_final_metrics_are_those_of_the_best_epochs_weights(
    plain: Uninterrupted, images: DeviceImages
) -> None:
    network = build_network(plain.trial)
    network.load_state_dict(network_in(plain.folder, BEST))
    measured = evaluate(
        network, evaluation_pairs(plain.trial.task, images.test, "test"), final=True
    )
    assert "ssim" in measured
    final = plain.epochs[-1].final
    assert final is not None
    for name, value in measured.items():
        assert final[f"test_{name}"] == value
    latent = latent_metrics()  # see tests/trial/latent
    others = {name for name in final if name.removeprefix("test_") not in {*measured, *latent}}
    assert others == {"test_baseline_mean_image", "test_gradient_energy"}


def test_final_results_contain_the_baseline_and_the_classes(
    plain: Uninterrupted, images: DeviceImages
) -> None:
    final = plain.epochs[-1].final
    assert final is not None
    mean_image = to_float(images.train.pixels).mean(0, keepdim=True)
    error = (to_float(images.test.pixels) - mean_image).square().mean().item()
    assert final["test_baseline_mean_image"] == pytest.approx(error)
    counts = [row["images"] for row in plain.epochs[-1].tables["per_class"]]
    assert counts == torch.bincount(images.test.labels).tolist()


def test_an_epochs_metrics_are_those_of_its_saved_weights(
    uninterrupted: Uninterrupted, images: DeviceImages, tmp_path: Path
) -> None:
    trial = uninterrupted.trial
    for epoch in train(trial, images, tmp_path):
        network = build_network(trial).to(memory_format=torch.channels_last)
        network.load_state_dict(network_in(tmp_path))
        measured = evaluate(network, evaluation_pairs(trial.task, images.val, "val"))
        validation = {name: value for name, value in epoch.row.items() if name.startswith("val_")}
        assert validation == {f"val_{name}": value for name, value in measured.items()}
        assert set(epoch.row) == set(trial.metric_names())


def test_validation_noise_is_the_same_for_every_seed(trial: Trial, images: DeviceImages) -> None:
    indices = torch.arange(len(images.val.pixels))
    inputs = []
    for seed in (0, 9):
        task = trial.override(DENOISE | {"seed": seed}).task
        noisy, targets = evaluation_pairs(task, images.val, "val").at(indices)
        inputs.append(noisy)
        assert torch.equal(targets, to_float(images.val.pixels))
    assert torch.equal(inputs[0], inputs[1])


@pytest.mark.parametrize(
    ("metric", "mode", "best_of"),
    [("val_loss", "min", min), ("val_psnr", "max", max), ("val_loss", "max", max)],
)
def test_the_best_checkpoint_is_that_of_the_best_epoch(
    metric: str,
    mode: str,
    best_of: Callable[[list[float]], float],
    trial: Trial,
    images: DeviceImages,
    tmp_path: Path,
) -> None:
    values: list[float] = []
    networks = []
    fluctuating = trial.override(FLUCTUATING)
    for epoch in train(fluctuating, images, tmp_path, metric=metric, mode=mode):
        values.append(epoch.row[metric])
        networks.append(network_in(tmp_path))
        best = values.index(best_of(values))
        saved = checkpoint.load(tmp_path / BEST)
        assert (epoch.best_epoch, saved.epoch) == (best + 1, best + 1)
        assert [row[metric] for row in saved.rows] == [values[best]]
        assert equal_weights(saved.network, networks[best])
    assert values != sorted(values), "this test needs losses that rise"
    assert values != sorted(values, reverse=True), "this test needs losses that fall"


@pytest.mark.parametrize("batch_size", [1, 32, 69, 70, 1000])
def test_train_loss_is_the_mean_over_all_images(
    batch_size: int, trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    """Steps that are too small to change a weight give the loss of one network for all images."""
    unchanging = trial.model_copy(
        update={"optimizer": SGD(lr=1e-30), "epochs": 1, "batch_size": batch_size}
    )
    (epoch,) = train(unchanging, images, tmp_path)
    network = build_network(unchanging)
    network.load_state_dict(network_in(tmp_path))
    measured = evaluate(network, evaluation_pairs(unchanging.task, images.train, "train"))
    assert epoch.row["train_loss"] == pytest.approx(measured["loss"], rel=1e-5)


def test_the_schedule_sets_the_learning_rate_of_each_epoch(
    trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    scheduled = trial.override(PLATEAU)
    epochs = list(train(scheduled, images, tmp_path))
    losses = [epoch.row["val_loss"] for epoch in epochs]
    expected = [scheduled.schedule.next_lr(1e-2, losses[:epoch]) for epoch in range(4)]
    assert [epoch.row["lr"] for epoch in epochs] == expected
    assert expected[-1] < expected[0]


DIVERGING: dict[str, dict[str, Any]] = {
    "mse": {"arch.output_activation": "linear"},
    "l1": {"task.loss": "l1", "arch.output_activation": "linear"},
    "bce": {"task": "denoise"},
}


@pytest.mark.parametrize("loss", DIVERGING)
def test_an_epoch_with_a_loss_that_is_not_finite_is_the_last(
    loss: str, trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    diverging = trial.override(
        {"optimizer": "sgd", "optimizer.lr": 1e30, "optimizer.momentum": 0.9} | DIVERGING[loss]
    )
    for restored in (False, True):
        (epoch,) = train(diverging, images, tmp_path)
        assert not (math.isfinite(epoch.row["train_loss"]) and math.isfinite(epoch.row["val_loss"]))
        assert (epoch.epoch, epoch.best_epoch, epoch.final) == (1, 0, {})
        assert epoch.restored == restored
        assert not (tmp_path / BEST).exists()


class _DivergesInSecondEpoch(SGD):
    """Sets an infinite learning rate after three steps, which are one epoch."""

    @override
    def build(self, parameters: Parameters) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(parameters, self.lr)
        steps = itertools.count(1)

        def diverge(optimizer: torch.optim.Optimizer, *_: object) -> None:
            if next(steps) > 3:
                optimizer.param_groups[0]["lr"] = math.inf

        optimizer.register_step_pre_hook(diverge)
        return optimizer


def test_a_diverged_trial_is_tested_with_the_weights_of_its_best_epoch(
    trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    diverging = trial.model_copy(update={"optimizer": _DivergesInSecondEpoch(lr=0.1)})
    first, second = train(diverging, images, tmp_path)
    assert math.isfinite(first.row["val_loss"])
    assert not math.isfinite(second.row["val_loss"])
    assert second.best_epoch == 1
    assert second.final
    assert all(map(math.isfinite, second.final.values()))
    assert checkpoint.load(tmp_path / BEST).epoch == 1


@pytest.mark.parametrize("case", [RECONSTRUCT, DENOISE | {"task.loss": "mse"}])
def test_samples_are_the_first_validation_images_with_the_best_epochs_output(
    case: dict[str, Any], trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    fluctuating = trial.override(case | FLUCTUATING)
    epochs = list(train(fluctuating, images, tmp_path))
    assert epochs[-1].best_epoch > 1
    with np.load(tmp_path / SAMPLES, allow_pickle=False) as file:
        assert sorted(file.files) == ["epoch", "input", "output", "target"]
        samples = {name: file[name] for name in file.files}
    assert samples.pop("epoch") == epochs[-1].best_epoch
    assert {array.dtype for array in samples.values()} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(samples["target"], images.val.pixels[:8].numpy())
    assert np.array_equal(samples["input"], samples["target"]) == (case is RECONSTRUCT)

    network = build_network(fluctuating)
    network.load_state_dict(network_in(tmp_path, BEST))
    inputs, _ = evaluation_pairs(fluctuating.task, images.val, "val").at(torch.arange(8))
    with torch.inference_mode():
        output = network(inputs)
    np.testing.assert_allclose(samples["output"], output.numpy() * 255, atol=0.501)


def test_few_validation_images_are_all_samples(trial: Trial, tmp_path: Path) -> None:
    small = trial.override({"dataset.val_images": 3, "epochs": 1})
    images = DeviceImages.load(small.dataset.load(()), torch.device("cpu"))
    list(train(small, images, tmp_path))
    with np.load(tmp_path / SAMPLES) as samples:
        assert samples["output"].shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    "optimizer", [Adam(lr=1e-2), RMSprop(), SGD(lr=0.5, momentum=0.9)], ids=repr
)
def test_training_improves_the_metrics(
    optimizer: Any, trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    epochs = list(train(trial.model_copy(update={"optimizer": optimizer}), images, tmp_path))
    assert epochs[-1].row["val_loss"] < epochs[0].row["val_loss"]
    assert epochs[-1].row["val_psnr"] > epochs[0].row["val_psnr"]
