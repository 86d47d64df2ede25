"""Checkpoints: what is written comes back bit for bit; what is not whole is known for it, and never run."""

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
from torch import nn

from cae.trial import checkpoint
from cae.trial.checkpoint import (
    LAST,
    PREVIOUS,
    Checkpoint,
    DamagedCheckpoint,
    load,
    load_newest,
    save_last,
    weights,
)
from cae.trial.optimizers import SGD, Adam, Optimizer, RMSprop

OPTIMIZERS = [
    Adam(),
    RMSprop(),
    RMSprop(momentum=0.5),
    SGD(),
    SGD(momentum=0.9),
    SGD(momentum=0.9, nesterov=True),
]


def small_network() -> nn.Module:
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
    """A network after three steps, and rows with every kind of number."""
    network = small_network()
    optimizer = Adam().build(network.parameters())
    take_steps(network, optimizer, 3)
    rows = [
        {"train_loss": 0.1 + 0.2, "val_loss": float("inf")},
        {"train_loss": 1e-300, "val_loss": -0.5},
    ]
    return Checkpoint(
        weights(network),
        2,
        {"arch.encoder_filters": [3, 1], "seed": 2**60},
        rows,
        checkpoint.optimizer_tensors(optimizer),
    )


def same(one: Checkpoint | None, other: Checkpoint) -> bool:
    if one is None or (one.epoch, one.config, one.rows) != (other.epoch, other.config, other.rows):
        return False
    return all(
        left.keys() == right.keys()
        and all(
            torch.equal(left[name], right[name]) and left[name].dtype == right[name].dtype
            for name in left
        )
        for left, right in ((one.network, other.network), (one.optimizer, other.optimizer))
    )


def test_a_checkpoint_comes_back_bit_for_bit(saved: Checkpoint, tmp_path: Path) -> None:
    saved.save(tmp_path / "deeper" / LAST)
    assert same(load(tmp_path / "deeper" / LAST), saved)


def test_losses_that_are_no_numbers_come_back(saved: Checkpoint, tmp_path: Path) -> None:
    replace(saved, rows=[{"val_loss": float("nan")}]).save(tmp_path / LAST)
    assert str(load(tmp_path / LAST).rows) == "[{'val_loss': nan}]"


@pytest.mark.parametrize("part", OPTIMIZERS, ids=repr)
def test_an_optimizer_that_was_put_back_takes_the_same_steps(
    part: Optimizer, tmp_path: Path
) -> None:
    network = small_network()
    optimizer = part.build(network.parameters())
    take_steps(network, optimizer, 3)
    state = checkpoint.optimizer_tensors(optimizer)
    Checkpoint(weights(network), 3, {}, [], state).save(tmp_path / LAST)
    again, found = small_network(), load(tmp_path / LAST)
    again.load_state_dict(found.network)
    restored = part.build(again.parameters())
    checkpoint.restore_optimizer(restored, found.optimizer)
    assert checkpoint.optimizer_tensors(restored).keys() == state.keys()
    take_steps(network, optimizer, 3)
    take_steps(again, restored, 3)
    assert all(
        torch.equal(one, other)
        for one, other in zip(weights(network).values(), weights(again).values(), strict=True)
    )


def test_nothing_there_is_told_apart_from_something_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / LAST)
    assert load_newest(tmp_path) is None


def foreign(path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)


def foreign_with_our_header(path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, {"cae": json.dumps({"epoch": 1})})


def header_of_another_kind(path: Path) -> None:
    safetensors.torch.save_file(
        {"network.weight": torch.zeros(3)}, path, {"cae": json.dumps(["epoch", 1])}
    )


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut in the header": lambda path: os.truncate(path, 20),
    "cut in the weights": lambda path: os.truncate(path, path.stat().st_size - 1),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "longer than it was": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("this is no checkpoint at all"),
    "foreign": foreign,
    "foreign with our header": foreign_with_our_header,
    "header of another kind": header_of_another_kind,
    "a folder": folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_told_by_its_name_and_the_one_before_is_used(
    damage: str, saved: Checkpoint, tmp_path: Path
) -> None:
    save_last(tmp_path, saved)
    save_last(tmp_path, replace(saved, epoch=3))
    DAMAGES[damage](tmp_path / LAST)
    with pytest.raises(DamagedCheckpoint, match=LAST):
        load(tmp_path / LAST)
    assert same(load_newest(tmp_path), saved)


def test_a_flipped_bit_is_noticed_wherever_it_is(saved: Checkpoint, tmp_path: Path) -> None:
    """In the weights, in the optimizer, and in what the header says of them: an epoch's losses decide which epoch is the best."""
    path = tmp_path / LAST
    saved.save(path)
    whole = path.read_bytes()
    unnoticed = []
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 7
        path.write_bytes(flipped)
        try:
            if not same(load(path), saved):
                unnoticed.append(position)
        except DamagedCheckpoint:
            continue
    assert not unnoticed, [whole[max(position - 20, 0) : position + 5] for position in unnoticed]


def test_when_both_are_damaged_there_is_nothing_to_go_on_from(
    saved: Checkpoint, tmp_path: Path
) -> None:
    for _ in range(2):
        save_last(tmp_path, saved)
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"garbage")
    assert load_newest(tmp_path) is None


def test_a_whole_checkpoint_is_not_given_up_for_a_damaged_one(
    saved: Checkpoint, tmp_path: Path
) -> None:
    """The newest is damaged, training goes on from the one before: that one stays until the new one is whole."""
    save_last(tmp_path, saved)
    save_last(tmp_path, replace(saved, epoch=3))
    (tmp_path / LAST).write_bytes(b"garbage")
    assert same(load_newest(tmp_path), saved)
    save_last(tmp_path, replace(saved, epoch=3))
    (tmp_path / LAST).unlink()  # as if the process had died before it was written
    assert same(load_newest(tmp_path), saved)


def test_the_newest_and_the_one_before_are_kept_and_nothing_else(
    saved: Checkpoint, tmp_path: Path
) -> None:
    for epoch in (1, 2, 3):
        save_last(tmp_path, replace(saved, epoch=epoch))
    assert (load(tmp_path / LAST).epoch, load(tmp_path / PREVIOUS).epoch) == (3, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]


def test_a_process_that_died_while_writing_leaves_the_old_checkpoint(
    saved: Checkpoint, tmp_path: Path
) -> None:
    save_last(tmp_path, saved)
    (tmp_path / f".{LAST}.99999").write_bytes((tmp_path / LAST).read_bytes()[:100])
    assert same(load_newest(tmp_path), saved)
    shutil.move(tmp_path / LAST, tmp_path / PREVIOUS)  # it died between the two renames
    assert same(load_newest(tmp_path), saved)
    save_last(tmp_path, replace(saved, epoch=3))
    found = load_newest(tmp_path)
    assert found
    assert found.epoch == 3


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_pickle_in_a_checkpoints_place_is_refused_and_not_run(
    write: Callable[[object, object], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (tmp_path / LAST).open("wb") as file:
        write(Evil(), file)
    with pytest.raises(DamagedCheckpoint):
        load(tmp_path / LAST)
    assert load_newest(tmp_path) is None
    assert not (tmp_path / "executed").exists()
