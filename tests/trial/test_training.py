"""The loop: the same numbers bit for bit, however often it was left and taken up; the best epoch's weights; honest means."""

from __future__ import annotations

import itertools
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from cae.trial import checkpoint
from cae.trial.batches import Resident, floats
from cae.trial.checkpoint import BEST, GALLERIES, LAST, PREVIOUS, SAMPLES
from cae.trial.config import Trial
from cae.trial.evaluation import measure, pairs_of
from cae.trial.networks.create import build
from cae.trial.optimizers import SGD, Adam, RMSprop
from cae.trial.training import Epoch, train

TIMES = ("seconds", "images_per_second")
RECONSTRUCT: dict[str, Any] = {"task": "reconstruct"}
DENOISE: dict[str, Any] = {"task": "denoise", "task.noise_factor": 0.3}
CASES: dict[str, dict[str, Any]] = {
    f"{task}, {optimizer}": tasks | optimizers
    for task, tasks in {
        "reconstruct": RECONSTRUCT,
        "denoise": DENOISE,
        "denoise anew": DENOISE | {"task.redraw_noise": True},
    }.items()
    for optimizer, optimizers in {
        "adam": {"optimizer": "adam", "optimizer.lr": 1e-2},
        "rmsprop": {"optimizer": "rmsprop", "optimizer.momentum": 0.5},
        "sgd": {"optimizer": "sgd", "optimizer.lr": 0.3, "optimizer.momentum": 0.9},
    }.items()
}
PLATEAU: dict[str, Any] = {
    "schedule": "reduce_on_plateau",
    "schedule.patience": 0,
    "schedule.threshold": 0.3,
}
"""Reduces in these few epochs already: a schedule that a resumed trial has to find again."""

RESTLESS: dict[str, Any] = {
    "epochs": 6,
    "arch.activation": "leaky_relu",
    "optimizer": "sgd",
    "optimizer.lr": 5.0,
    "optimizer.momentum": 0.9,
}
"""Steps too large: the losses go up and down."""


class Whole(NamedTuple):
    """A trial that nothing interrupted."""

    trial: Trial
    epochs: list[Epoch]
    folder: Path


def rows(epochs: list[Epoch]) -> list[dict[str, float]]:
    return [
        {name: value for name, value in epoch.row.items() if name not in TIMES} for epoch in epochs
    ]


def network_in(folder: Path, name: str = LAST) -> dict[str, Tensor]:
    return checkpoint.load(folder / name).network


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def same_ending(folder: Path, epochs: list[Epoch], whole: Whole) -> None:
    assert rows(epochs) == rows(whole.epochs)
    assert epochs[-1].final == whole.epochs[-1].final
    assert epochs[-1].best_epoch == whole.epochs[-1].best_epoch
    for name in (LAST, BEST):
        assert equal(network_in(folder, name), network_in(whole.folder, name))
    assert (folder / SAMPLES).read_bytes() == (whole.folder / SAMPLES).read_bytes()


def left_after(epochs: int, trial: Trial, images: Resident, folder: Path) -> None:
    """Trains so many epochs and leaves, as a worker that is stopped."""
    going = train(trial, images, folder)
    for _ in range(epochs):
        next(going)
    going.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="module", params=CASES)
def whole(
    request: pytest.FixtureRequest,
    trial: Trial,
    images: Resident,
    tmp_path_factory: pytest.TempPathFactory,
) -> Whole:
    asked, folder = trial.override(CASES[request.param] | PLATEAU), tmp_path_factory.mktemp("whole")
    return Whole(asked, list(train(asked, images, folder)), folder)


@pytest.fixture(scope="module")
def plain(trial: Trial, images: Resident, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("plain")
    return Whole(trial, list(train(trial, images, folder)), folder)


def test_the_same_seed_gives_the_same_numbers_whatever_ran_before(
    whole: Whole, images: Resident, tmp_path: Path
) -> None:
    other = whole.trial.override({"seed": 5, "arch.encoder_filters": [3, 5], "epochs": 1})
    list(train(other, images, tmp_path / "other"))
    torch.rand(7)
    same_ending(tmp_path / "again", list(train(whole.trial, images, tmp_path / "again")), whole)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_trial_that_was_interrupted_ends_with_the_numbers_of_one_that_was_not(
    after: int, whole: Whole, images: Resident, tmp_path: Path
) -> None:
    left_after(after, whole.trial, images, tmp_path)
    torch.rand(after)
    same_ending(tmp_path, list(train(whole.trial, images, tmp_path)), whole)


def test_two_trials_that_train_in_turn_do_not_disturb_each_other(
    plain: Whole, images: Resident, tmp_path: Path
) -> None:
    ours, others = (
        train(plain.trial, images, tmp_path / "ours"),
        train(plain.trial.override({"seed": 1}), images, tmp_path / "others"),
    )
    epochs = [pair[0] for pair in zip(ours, others, strict=True)]
    same_ending(tmp_path / "ours", epochs, plain)


def test_another_seed_gives_other_numbers(plain: Whole, images: Resident, tmp_path: Path) -> None:
    other = list(train(plain.trial.override({"seed": 1, "epochs": 1}), images, tmp_path))
    assert rows(other)[0]["train_loss"] != rows(plain.epochs)[0]["train_loss"]


KILLED = """
import json, os, signal, sys
from pathlib import Path
import torch
from cae.trial.batches import Resident
from cae.trial.config import from_flat
from cae.trial.training import train
torch.set_num_threads(1)
trial = from_flat(json.loads(sys.argv[1]))
for epoch in train(trial, Resident.of(trial.dataset.load(()), torch.device("cpu")), Path(sys.argv[2])):
    if epoch.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_trial_whose_process_was_killed_ends_with_the_same_numbers_in_another_process(
    plain: Whole, images: Resident, tmp_path: Path
) -> None:
    process = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(plain.trial.flat()), str(tmp_path)], check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert checkpoint.load(tmp_path / LAST).epoch == 2
    same_ending(tmp_path, list(train(plain.trial, images, tmp_path)), plain)


@pytest.mark.parametrize(
    "damaged",
    [(LAST,), (PREVIOUS,), (BEST,), (LAST, PREVIOUS), (LAST, BEST), (LAST, PREVIOUS, BEST)],
)
@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_damaged_checkpoint_costs_epochs_and_changes_no_number(
    damaged: tuple[str, ...], content: bytes, plain: Whole, images: Resident, tmp_path: Path
) -> None:
    left_after(3, plain.trial, images, tmp_path)
    for name in damaged:
        (tmp_path / name).write_bytes(content)
    same_ending(tmp_path, list(train(plain.trial, images, tmp_path)), plain)


def test_a_process_that_died_between_two_files_changes_no_number(
    plain: Whole, images: Resident, tmp_path: Path
) -> None:
    """The best checkpoint is of an epoch that the last one does not know yet, and a file is half written."""
    left_after(2, plain.trial, images, tmp_path)
    (tmp_path / LAST).rename(tmp_path / f".{LAST}.1")
    assert (checkpoint.load(tmp_path / BEST).epoch, checkpoint.load(tmp_path / PREVIOUS).epoch) == (
        2,
        1,
    )
    same_ending(tmp_path, list(train(plain.trial, images, tmp_path)), plain)


def test_a_finished_trial_tells_its_epochs_again_without_training(
    plain: Whole, images: Resident
) -> None:
    def files() -> dict[str, tuple[int, bytes]]:
        """What is told at a trial's end is told again: its pictures are written anew, the same ones."""
        found = {
            path.name: (path.stat().st_mtime_ns, path.read_bytes())
            for path in plain.folder.iterdir()
        }
        return found | {GALLERIES: (0, found[GALLERIES][1])}

    before = files()
    again = list(train(plain.trial, images, plain.folder))
    assert [(epoch.row, epoch.final) for epoch in again] == [
        (epoch.row, epoch.final) for epoch in plain.epochs
    ]
    assert files() == before


def test_a_replayed_epoch_names_the_best_epoch_so_far_as_it_did_when_it_was_new(
    plain: Whole, images: Resident
) -> None:
    again = list(train(plain.trial, images, plain.folder))
    assert [epoch.best_epoch for epoch in again] == [epoch.best_epoch for epoch in plain.epochs]


def test_a_finished_trial_can_be_asked_for_more_epochs(
    plain: Whole, images: Resident, tmp_path: Path
) -> None:
    longer = plain.trial.override({"epochs": 6})
    unbroken = Whole(
        longer, list(train(longer, images, tmp_path / "unbroken")), tmp_path / "unbroken"
    )
    list(train(plain.trial, images, tmp_path / "extended"))
    same_ending(tmp_path / "extended", list(train(longer, images, tmp_path / "extended")), unbroken)


def test_only_the_last_epoch_comes_with_what_was_measured_at_the_end(
    plain: Whole, images: Resident
) -> None:
    assert [epoch.epoch for epoch in plain.epochs] == [1, 2, 3, 4]
    assert [epoch.final is None for epoch in plain.epochs] == [True, True, True, False]
    network = build(plain.trial)
    network.load_state_dict(network_in(plain.folder, BEST))
    measured = measure(network, pairs_of(plain.trial.task, images.test, "test"), final=True)
    final = plain.epochs[-1].final or {}
    beside = ("baseline", "gradient_energy")  # no means over single images
    assert {
        name: value for name, value in final.items() if not any(word in name for word in beside)
    } == {f"test_{name}": v for name, v in measured.items()}
    mean = floats(images.train.pixels).mean(0, keepdim=True)
    assert final["test_baseline_mean_image"] == pytest.approx(
        (floats(images.test.pixels) - mean).square().mean().item()
    )
    assert [row["images"] for row in plain.epochs[-1].tables["per_class"]] == torch.bincount(
        images.test.labels
    ).tolist()
    assert "ssim" in measured


def test_each_epochs_metrics_are_those_of_the_weights_that_were_saved(
    whole: Whole, images: Resident, tmp_path: Path
) -> None:
    for epoch in train(whole.trial, images, tmp_path):
        network = build(whole.trial).to(memory_format=torch.channels_last)
        network.load_state_dict(network_in(tmp_path))
        measured = measure(network, pairs_of(whole.trial.task, images.val, "val"))
        assert {f"val_{name}": value for name, value in measured.items()} == {
            name: value for name, value in epoch.row.items() if name.startswith("val_")
        }
        assert set(epoch.row) == set(whole.trial.metric_names())


def test_validation_noise_is_the_same_for_every_seed(trial: Trial, images: Resident) -> None:
    noisy = [
        pairs_of(trial.override(DENOISE | {"seed": seed}).task, images.val, "val")
        for seed in (0, 9)
    ]
    every = torch.arange(len(images.val.pixels))
    assert torch.equal(noisy[0].batch(every)[0], noisy[1].batch(every)[0])
    assert torch.equal(noisy[0].batch(every)[1], floats(images.val.pixels))


@pytest.mark.parametrize(
    ("metric", "mode", "best_of"),
    [("val_loss", "min", min), ("val_psnr", "max", max), ("val_loss", "max", max)],
)
def test_the_best_checkpoint_is_the_best_epochs(
    metric: str,
    mode: str,
    best_of: Callable[[list[float]], float],
    trial: Trial,
    images: Resident,
    tmp_path: Path,
) -> None:
    restless = trial.override(RESTLESS)
    values: list[float] = []
    networks = []
    for epoch in train(restless, images, tmp_path, metric=metric, mode=mode):
        values.append(epoch.row[metric])
        networks.append(network_in(tmp_path))
        best = values.index(best_of(values))
        saved = checkpoint.load(tmp_path / BEST)
        assert (epoch.best_epoch, saved.epoch) == (best + 1, best + 1)
        assert [row[metric] for row in saved.rows] == [values[best]]
        assert equal(saved.network, networks[best])
    assert values != sorted(values), "the test is to see losses that rise"
    assert values != sorted(values, reverse=True), "and that fall"


def test_train_loss_is_the_mean_over_all_images_of_the_batches_as_they_came(
    trial: Trial, images: Resident, tmp_path: Path
) -> None:
    """With steps too small to change a weight, it is the loss of the network over the whole split, whatever the batches."""
    for batch_size in (1, 32, 69, 70, 1000):
        still = trial.model_copy(
            update={"optimizer": SGD(lr=1e-30), "epochs": 1, "batch_size": batch_size}
        )
        (epoch,) = train(still, images, tmp_path / str(batch_size))
        network = build(still)
        network.load_state_dict(network_in(tmp_path / str(batch_size)))
        assert epoch.row["train_loss"] == pytest.approx(
            measure(network, pairs_of(still.task, images.train, "train"))["loss"], rel=1e-5
        )


def test_the_learning_rate_of_each_epoch_is_its_schedules(
    trial: Trial, images: Resident, tmp_path: Path
) -> None:
    epochs = list(train(trial.override(PLATEAU), images, tmp_path))
    losses = [epoch.row["val_loss"] for epoch in epochs]
    schedule = trial.override(PLATEAU).schedule
    assert [epoch.row["lr"] for epoch in epochs] == [
        schedule.next_lr(1e-2, losses[:done]) for done in range(4)
    ]
    assert epochs[-1].row["lr"] < epochs[0].row["lr"]


DIVERGING: dict[str, dict[str, Any]] = {
    "mse": {"arch.output_activation": "linear"},
    "l1": {"task.loss": "l1", "arch.output_activation": "linear"},
    "bce": {"task": "denoise"},
}


@pytest.mark.parametrize("loss", DIVERGING)
def test_an_epoch_whose_loss_is_not_finite_is_told_and_is_the_last(
    loss: str, trial: Trial, images: Resident, tmp_path: Path
) -> None:
    wild = trial.override(
        {"optimizer": "sgd", "optimizer.lr": 1e30, "optimizer.momentum": 0.9} | DIVERGING[loss]
    )
    for _ in ("new", "resumed"):
        (epoch,) = train(wild, images, tmp_path)
        assert not (math.isfinite(epoch.row["train_loss"]) and math.isfinite(epoch.row["val_loss"]))
        assert (epoch.epoch, epoch.best_epoch, epoch.final) == (1, 0, {})
        assert not (tmp_path / BEST).exists()


class _Brittle(SGD):
    """Learns for an epoch of three batches, then takes a step off the map. (A name with a `_` stays out of the registry.)"""

    def build(self, parameters: Any) -> torch.optim.Optimizer:
        optimizer, steps = torch.optim.SGD(parameters, self.lr), itertools.count(1)

        def off_the_map(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            if next(steps) > 3:
                optimizer.param_groups[0]["lr"] = math.inf

        optimizer.register_step_pre_hook(off_the_map)
        return optimizer


def test_a_trial_that_diverged_is_tested_with_the_weights_of_its_best_epoch(
    trial: Trial, images: Resident, tmp_path: Path
) -> None:
    first, second = train(
        trial.model_copy(update={"optimizer": _Brittle(lr=0.1)}), images, tmp_path
    )
    assert math.isfinite(first.row["val_loss"])
    assert not math.isfinite(second.row["val_loss"])
    assert second.best_epoch == 1
    assert second.final
    assert all(map(math.isfinite, second.final.values()))
    assert checkpoint.load(tmp_path / BEST).epoch == 1


@pytest.mark.parametrize("case", [RECONSTRUCT, DENOISE | {"task.loss": "mse"}])
def test_the_samples_are_the_first_validation_images_and_the_best_epochs_output(
    case: dict[str, Any], trial: Trial, images: Resident, tmp_path: Path
) -> None:
    restless = trial.override(case | RESTLESS)
    epochs = list(train(restless, images, tmp_path))
    assert epochs[-1].best_epoch > 1
    with np.load(tmp_path / SAMPLES, allow_pickle=False) as samples:
        assert sorted(samples.files) == ["epoch", "input", "output", "target"]
        assert samples["epoch"] == epochs[-1].best_epoch
        assert {samples[name].dtype for name in ("input", "target", "output")} == {
            np.dtype(np.uint8)
        }
        np.testing.assert_array_equal(samples["target"], images.val.pixels[:8].numpy())
        assert np.array_equal(samples["input"], samples["target"]) == (case is RECONSTRUCT)
        network = build(restless)
        network.load_state_dict(network_in(tmp_path, BEST))
        with torch.inference_mode():
            output = network(pairs_of(restless.task, images.val, "val").batch(torch.arange(8))[0])
        np.testing.assert_allclose(samples["output"], output.numpy() * 255, atol=0.501)


def test_fewer_validation_images_than_samples_are_all_shown(trial: Trial, tmp_path: Path) -> None:
    few = trial.override({"dataset.val_images": 3, "epochs": 1})
    list(train(few, Resident.of(few.dataset.load(()), torch.device("cpu")), tmp_path))
    with np.load(tmp_path / SAMPLES) as samples:
        assert samples["output"].shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    "optimizer", [Adam(lr=1e-2), RMSprop(), SGD(lr=0.5, momentum=0.9)], ids=repr
)
def test_a_trial_learns(optimizer: Any, trial: Trial, images: Resident, tmp_path: Path) -> None:
    epochs = list(train(trial.model_copy(update={"optimizer": optimizer}), images, tmp_path))
    assert epochs[-1].row["val_loss"] < epochs[0].row["val_loss"]
    assert epochs[-1].row["val_psnr"] > epochs[0].row["val_psnr"]
