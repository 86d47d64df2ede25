"""Checkpoints: restored bit for bit; damage is detected; nothing in a file is executed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from cae.trial import checkpoint
from cae.trial.checkpoint import (
    LAST,
    PREVIOUS,
    Checkpoint,
    DamagedCheckpoint,
    Owner,
    copy_weights,
    load,
    save_last,
)
from cae.trial.optimizers import SGD, Adam, Optimizer, RMSprop
from cae.trial.steps import build_optimizer

OPTIMIZERS = [
    Adam(),
    RMSprop(),
    RMSprop(momentum=0.5),
    SGD(),
    SGD(momentum=0.9),
    SGD(momentum=0.9, nesterov=True),
]


CONFIG = {"arch.encoder_filters": [3, 1], "seed": 2**60}


def load_newest(folder: Path) -> Checkpoint | None:
    return checkpoint.load_newest(folder, Owner(CONFIG))


def small_network() -> nn.Module:
    """Two convolutions with the same weights in every call."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Conv2d(3, 1, 1, bias=False))
    network.to(memory_format=torch.channels_last)
    return network


def take_steps(network: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    image = torch.linspace(0, 1, 50).reshape(1, 2, 5, 5)
    for _ in range(count):
        optimizer.zero_grad()
        network(image).square().sum().backward()
        optimizer.step()


@pytest.fixture
def saved() -> Checkpoint:
    """The checkpoint of a network after three steps, with numbers that JSON may lose."""
    network = small_network()
    optimizer = build_optimizer(Adam(), network)
    take_steps(network, optimizer, 3)
    rows = [
        {"train_loss": 0.1 + 0.2, "val_loss": float("inf")},
        {"train_loss": 1e-300, "val_loss": -0.5},
    ]
    return Checkpoint(
        network=copy_weights(network),
        epoch=2,
        config=CONFIG,
        rows=rows,
        optimizer=checkpoint.optimizer_tensors(optimizer),
    )


def equal_tensors(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Whether names, values and types are the same."""
    if left.keys() != right.keys():
        return False
    return all(
        torch.equal(left[name], right[name]) and left[name].dtype == right[name].dtype
        for name in left
    )


def is_equal(left: Checkpoint | None, right: Checkpoint) -> bool:
    if left is None:
        return False
    return (
        (left.epoch, left.config, left.rows) == (right.epoch, right.config, right.rows)
        and equal_tensors(left.network, right.network)
        and equal_tensors(left.optimizer, right.optimizer)
    )


def test_a_checkpoint_is_restored_bit_for_bit(saved: Checkpoint, tmp_path: Path) -> None:
    saved.save(tmp_path / "deeper" / LAST)
    assert is_equal(load(tmp_path / "deeper" / LAST), saved)


def test_nan_is_restored(saved: Checkpoint, tmp_path: Path) -> None:
    replace(saved, rows=[{"val_loss": float("nan")}]).save(tmp_path / LAST)
    assert str(load(tmp_path / LAST).rows) == "[{'val_loss': nan}]"


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=repr)
def test_a_restored_optimizer_takes_the_same_steps(settings: Optimizer, tmp_path: Path) -> None:
    network = small_network()
    optimizer = build_optimizer(settings, network)
    take_steps(network, optimizer, 3)
    tensors = checkpoint.optimizer_tensors(optimizer)
    Checkpoint(copy_weights(network), 3, {}, [], tensors).save(tmp_path / LAST)

    loaded = load(tmp_path / LAST)
    restored_network = small_network()
    restored_network.load_state_dict(loaded.network)
    restored_optimizer = build_optimizer(settings, restored_network)
    checkpoint.restore_optimizer(restored_optimizer, loaded.optimizer)
    assert checkpoint.optimizer_tensors(restored_optimizer).keys() == tensors.keys()

    take_steps(network, optimizer, 3)
    take_steps(restored_network, restored_optimizer, 3)
    assert equal_tensors(copy_weights(network), copy_weights(restored_network))


def test_an_absent_checkpoint_is_not_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / LAST)
    assert load_newest(tmp_path) is None


def write_foreign_file(path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)


def write_foreign_file_with_our_header(path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, {"cae": json.dumps({"epoch": 1})})


def write_header_that_is_a_list(path: Path) -> None:
    safetensors.torch.save_file(
        {"network.weight": torch.zeros(3)}, path, {"cae": json.dumps(["epoch", 1])}
    )


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut in the header": lambda path: os.truncate(path, 20),
    "cut in the weights": lambda path: os.truncate(path, path.stat().st_size - 1),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "too long": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("this is no checkpoint"),
    "foreign": write_foreign_file,
    "foreign with our header": write_foreign_file_with_our_header,
    "header that is a list": write_header_that_is_a_list,
    "folder": replace_by_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_detected_and_the_previous_one_used(
    damage: str, saved: Checkpoint, tmp_path: Path
) -> None:
    save_last(tmp_path, saved)
    save_last(tmp_path, replace(saved, epoch=3))
    DAMAGES[damage](tmp_path / LAST)
    with pytest.raises(DamagedCheckpoint, match=LAST):
        load(tmp_path / LAST)
    assert is_equal(load_newest(tmp_path), saved)


def test_a_flipped_bit_is_detected_at_every_position(saved: Checkpoint, tmp_path: Path) -> None:
    """In weights, optimizer state and metrics: the losses decide which epoch is the best one."""
    path = tmp_path / LAST
    saved.save(path)
    content = path.read_bytes()
    undetected = []
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 7
        path.write_bytes(flipped)
        try:
            if not is_equal(load(path), saved):
                undetected.append(position)
        except DamagedCheckpoint:
            continue
    assert not undetected


def test_without_an_undamaged_file_there_is_no_newest_checkpoint(
    saved: Checkpoint, tmp_path: Path
) -> None:
    for _ in range(2):
        save_last(tmp_path, saved)
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"garbage")
    assert load_newest(tmp_path) is None


def test_the_previous_checkpoint_stays_until_a_new_one_is_complete(
    saved: Checkpoint, tmp_path: Path
) -> None:
    """After the newest file was damaged, training continues from the one before it."""
    save_last(tmp_path, saved)
    save_last(tmp_path, replace(saved, epoch=3))
    (tmp_path / LAST).write_bytes(b"garbage")
    assert is_equal(load_newest(tmp_path), saved)
    save_last(tmp_path, replace(saved, epoch=3))
    (tmp_path / LAST).unlink()  # as if the process had died before it wrote the file
    assert is_equal(load_newest(tmp_path), saved)


def test_only_the_last_two_checkpoints_are_kept(saved: Checkpoint, tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        save_last(tmp_path, replace(saved, epoch=epoch))
    assert (load(tmp_path / LAST).epoch, load(tmp_path / PREVIOUS).epoch) == (3, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]


def test_an_interrupted_write_leaves_the_old_checkpoint(saved: Checkpoint, tmp_path: Path) -> None:
    save_last(tmp_path, saved)
    (tmp_path / f".{LAST}.99999").write_bytes((tmp_path / LAST).read_bytes()[:100])
    assert is_equal(load_newest(tmp_path), saved)
    shutil.move(tmp_path / LAST, tmp_path / PREVIOUS)  # interrupted between the two renames
    assert is_equal(load_newest(tmp_path), saved)
    save_last(tmp_path, replace(saved, epoch=3))
    newest = load_newest(tmp_path)
    assert newest
    assert newest.epoch == 3


class CreatesFolderWhenUnpickled:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_pickle_is_refused_and_not_executed(
    write: Callable[[object, object], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (tmp_path / LAST).open("wb") as file:
        write(CreatesFolderWhenUnpickled(), file)
    with pytest.raises(DamagedCheckpoint):
        load(tmp_path / LAST)
    assert load_newest(tmp_path) is None
    assert not (tmp_path / "executed").exists()
