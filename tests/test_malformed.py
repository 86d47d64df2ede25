"""Damaged files lead to an error in words or are recovered from; they are never changed.

Each test takes a valid file and lets Hypothesis damage it: bytes are cut, flipped, repeated and
inserted; values of JSON are replaced or deleted.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import pickle
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from cae import Adam, ConvAutoencoder, Digits, Reconstruct, Trial, load_model
from cae.cli import tables
from cae.cli.best import BestOptions, print_best
from cae.errors import UserError
from cae.report.page import build as page
from cae.run.events import (
    AuditStop,
    EpochFinished,
    Event,
    RetryAlone,
    SessionEnded,
    SessionStarted,
    TrialEnded,
    TrialPlanned,
    TrialRetried,
    TrialStarted,
)
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.status import run_status
from cae.run.sweep_json import SweepDescription
from cae.run.trial_state import TrialState
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial import checkpoint
from cae.trial.checkpoint import Checkpoint, DamagedCheckpoint
from cae.trial.datasets import cifar_files
from cae.trial.datasets.cifar_files import read_cifar
from cae.trial.datasets.idx import read_idx
from cae.trial.datasets.image_files import decode_folder
from cae.trial.model import save_model
from cae.trial.networks.create import build_network
from tests.conftest import SWEEP

TRIAL = Trial(
    dataset=Digits(size=8, train_images=16, val_images=8, test_images=8),
    task=Reconstruct(),
    arch=ConvAutoencoder(
        encoder_filters=(2, 2), decoder_filters=(2,), pool_after=(1,), upsample_after=(0,)
    ),
    optimizer=Adam(),
    epochs=3,
)

many_examples = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    # Without shrinking, which would take minutes where each example reads a run.
    phases=(Phase.explicit, Phase.generate),
)
few_examples = settings(many_examples, max_examples=12)

unexpected_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.just(10**30),
    st.floats(),
    st.text(max_size=8),
    st.just("../../etc/passwd"),
    st.just([]),
    st.just({}),
    st.lists(st.integers(0, 3), max_size=3),
    st.just({"epochs": "many"}),
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes that differ from the valid ones."""
    position = draw(st.integers(0, len(content) - 1))
    noise = draw(st.binary(min_size=1, max_size=9))
    start = content[:position]
    versions = [
        start,
        start + bytes([content[position] ^ noise[0]]) + content[position + 1 :],
        start + noise + content[position:],
        start + content,
        start + bytes(len(content) - position),
        noise,
    ]
    version = draw(st.sampled_from(versions))
    if version == content:
        return content[:-1]
    return version


@st.composite
def altered(draw: st.DrawFn, content: Any) -> Any:
    """JSON in which one value is replaced or deleted."""
    content = copy.deepcopy(content)
    container, key = draw(st.sampled_from(list(_items(content))))
    if draw(st.booleans()) and isinstance(container, dict):
        del container[key]
    else:
        container[key] = draw(unexpected_values)
    return content


def _items(container: Any) -> Iterator[tuple[Any, Any]]:
    """Every dictionary and list in nested JSON, with each of its keys or indices."""
    if isinstance(container, dict):
        pairs = list(container.items())
    else:
        pairs = list(enumerate(container))
    for key, value in pairs:
        yield container, key
        if isinstance(value, dict | list):
            yield from _items(value)


def assert_handled(action: Callable[[], object], *files: Path) -> None:
    """Run an action: it may only fail with a UserError in words, and the files stay unchanged."""
    before = [file.read_bytes() for file in files]
    messages: list[str] = []
    try:
        action()
    except UserError as error:
        messages = error.messages
    for message in messages:
        assert message
        assert "Traceback" not in message
    assert [file.read_bytes() for file in files] == before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("malformed")


# The files of a run


SIZES = {"parameters": 12, "latent_values": 8, "latent_shape": [2, 2, 2], "megaflops": 0.1}
METRICS = {"val_psnr": 9.0, "lr": 0.1, "seconds": 0.5, "images_per_second": 9.0}


def planned(number: int) -> TrialPlanned:
    axes = {"optimizer.lr": 0.1 * number}
    return TrialPlanned(
        trial=number,
        hash=f"{number:012x}",
        config=TRIAL.flat() | axes,
        axes=axes,
        sizes=SIZES,
        dependencies={"task.encoder": 1},
        is_dependency=number == 1,
        is_audit=number == 2,
    )


def epochs(number: int) -> list[Event]:
    events: list[Event] = [TrialStarted(trial=number, epoch=0)]
    for epoch in (1, 2, 3):
        metrics = METRICS | {"train_loss": 0.3 / epoch, "val_loss": 0.2 / epoch}
        event = EpochFinished(trial=number, epoch=epoch, metrics=metrics)
        if epoch == 1:
            event.host = "h"
            event.device = "cpu"
            event.worker = 7
        events.append(event)
    return events


EVENTS: list[Event] = [
    SessionStarted(
        trials=[1, 2, 3], command="cae-sweep run x.py", host="h", pid=1, slots=1, cpus=1, gpus=0
    ),
    planned(1),
    planned(2),
    planned(3),
    *epochs(1),
    *epochs(2),
    RetryAlone(trial=1, reason="out of memory"),
    AuditStop(trial=2, reason="above the cutoff", rung=1, value=0.1, cutoff=0.05, seen=3),
    TrialEnded(
        trial=1,
        state=TrialState.FINISHED,
        reason="all 3 epochs",
        best_epoch=3,
        metrics={"test_loss": 0.1},
        tables={"per_class": [{"class": "0", "images": 3, "mse": 0.1}]},
    ),
    TrialEnded(
        trial=2, state=TrialState.STOPPED, reason="r", rung=3, value=0.1, cutoff=0.05, seen=3
    ),
    TrialRetried(trial=2, epoch=2),
    SessionEnded(reason="complete"),
]
SWEEP_DESCRIPTION = SweepDescription(
    name="run",
    sweep="x",
    title="X",
    description="d",
    file="x.py",
    path="x.py",
    metric="val_loss",
    mode="min",
    budget="cpu",
    overrides={"epochs": {"full": 9, "here": 3}},
    axes={
        "optimizer.lr": {
            "values": [0.1, 0.2, 0.3],
            "scale": "linear",
            "origins": [[0.1, "stated"]],
        }
    },
    base=TRIAL.flat(),
    seeds=1,
    epochs=3,
    trials=3,
    space=3,
    published=[{"quantity": "loss", "value": "0.1", "metric": "val_loss"}],
    claims=[
        {
            "kind": "SmallestAt",
            "id": "C1",
            "text": "t",
            "provenance": "stated",
            "metric": "val_loss",
            "axis": "optimizer.lr",
            "value": 0.1,
        }
    ],
    versions={"torch": "2"},
    git_commit="a",
    device="cpu",
    slots=1,
    command="cae-sweep run x.py",
)


@functools.cache
def valid_journal() -> bytes:
    """A journal with every kind of event."""
    path = Path(tempfile.mkdtemp()) / "journal.jsonl"
    with contextlib.closing(Journal(path)) as journal:
        for event in EVENTS:
            journal.append(event)
    return path.read_bytes()


@functools.cache
def valid_sweep_json() -> bytes:
    """The sweep.json beside it."""
    return SWEEP_DESCRIPTION.to_json().encode()


def write_run(
    folder: Path, journal: bytes | None = None, sweep_json: bytes | None = None
) -> RunDir:
    """A run with these files; None: the valid one."""
    if journal is None:
        journal = valid_journal()
    if sweep_json is None:
        sweep_json = valid_sweep_json()
    run = RunDir(folder / "run")
    run.path.mkdir(exist_ok=True)
    run.journal.write_bytes(journal)
    run.sweep_json.write_bytes(sweep_json)
    return run


def altered_journal(data: st.DataObject) -> bytes:
    lines = data.draw(altered([json.loads(line) for line in valid_journal().splitlines()]))
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def show_status_and_best(run: RunDir) -> None:
    """What `status` and `best` do. Without a ranked trial only `best` may fail."""
    tables.status_text(run_status(run))
    best = functools.partial(print_best, run, BestOptions(metric="val_loss", top=2, quiet=True))
    assert_handled(best, run.journal)


@many_examples
@given(st.data())
def test_a_damaged_journal_is_recovered_from(folder: Path, data: st.DataObject) -> None:
    run = write_run(folder, journal=data.draw(damaged(valid_journal())))
    assert_handled(lambda: show_status_and_best(run), run.journal, run.sweep_json)


@many_examples
@given(st.data())
def test_a_journal_with_unexpected_values_is_recovered_from(
    folder: Path, data: st.DataObject
) -> None:
    run = write_run(folder, journal=altered_journal(data))
    assert_handled(lambda: show_status_and_best(run), run.journal, run.sweep_json)


@few_examples
@given(st.data())
def test_the_page_of_a_journal_with_unexpected_values_is_built_or_refused(
    folder: Path, data: st.DataObject
) -> None:
    run = write_run(folder, journal=altered_journal(data))
    assert_handled(lambda: page.build(run), run.journal, run.sweep_json)


@few_examples
@given(st.data())
def test_the_page_of_a_sweep_json_with_unexpected_values_is_built_or_refused(
    folder: Path, data: st.DataObject
) -> None:
    sweep = data.draw(altered(json.loads(valid_sweep_json())))
    run = write_run(folder, sweep_json=json.dumps(sweep).encode())
    assert_handled(lambda: page.build(run), run.journal, run.sweep_json)


@few_examples
@given(st.data())
def test_a_damaged_sweep_json_is_refused_or_read(folder: Path, data: st.DataObject) -> None:
    run = write_run(folder, sweep_json=data.draw(damaged(valid_sweep_json())))
    assert_handled(lambda: show_status_and_best(run), run.journal, run.sweep_json)


def test_the_undamaged_run_is_read_and_reported(folder: Path) -> None:
    run = write_run(folder)
    assert [record.state for record in run.records().values()] == [
        TrialState.FINISHED,
        TrialState.INTERRUPTED,
        TrialState.PENDING,
    ]
    assert page.build(run).exists()


# Weights


@functools.cache
def valid_checkpoint() -> bytes:
    path = Path(tempfile.mkdtemp()) / checkpoint.LAST
    network = dict(build_network(TRIAL).state_dict())
    Checkpoint(network, 1, TRIAL.flat(), [{"val_loss": 0.1}]).save(path)
    return path.read_bytes()


@many_examples
@given(st.data())
def test_a_damaged_checkpoint_is_recognized(folder: Path, data: st.DataObject) -> None:
    path = folder / "last.safetensors"
    content = data.draw(damaged(valid_checkpoint()))
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpoint, match=r"last\.safetensors"):
        checkpoint.load(path)
    assert path.read_bytes() == content


@many_examples
@given(st.data())
def test_a_damaged_exported_model_is_refused_or_read(folder: Path, data: st.DataObject) -> None:
    model = folder / "model"
    save_model(model, build_network(TRIAL).state_dict(), TRIAL, {"metrics": {}})
    file = model / data.draw(st.sampled_from(["model.json", "model.safetensors"]))
    if file.suffix == ".json" and data.draw(st.booleans()):
        file.write_text(json.dumps(data.draw(altered(json.loads(file.read_text())))))
    else:
        file.write_bytes(data.draw(damaged(file.read_bytes())))
    assert_handled(lambda: load_model(model), file)


def test_the_undamaged_weights_are_finite() -> None:
    assert torch.isfinite(next(build_network(TRIAL).parameters())).all()


# Images


def _idx() -> bytes:
    return bytes((0, 0, 8, 3)) + struct.pack(">3I", 4, 28, 28) + bytes(4 * 784)


def _cifar_pickle() -> bytes:
    batch = {b"data": np.zeros((5, 3072), np.uint8), b"labels": [0, 1, 2, 3, 4]}
    return pickle.dumps(batch, protocol=2)


def _cifar_binary() -> bytes:
    return bytes(5 * 3073)


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class ImageFile:
    """A valid file of images and how it is read."""

    content: Callable[[], bytes]
    read: Callable[[Path], object]


IMAGE_FILES = {
    "t-images": ImageFile(_idx, lambda path: read_idx(path, 3)),
    "data_batch_1": ImageFile(_cifar_pickle, lambda path: read_cifar([path])),
    "data_batch_1.bin": ImageFile(_cifar_binary, lambda path: read_cifar([path])),
    "a.png": ImageFile(_png, lambda path: decode_folder(path.parent, 8, 3)),
}


@pytest.mark.parametrize("name", IMAGE_FILES)
@many_examples
@given(st.data())
def test_a_damaged_file_of_images_is_refused_or_read(
    folder: Path, name: str, data: st.DataObject
) -> None:
    image_file = IMAGE_FILES[name]
    path = folder / name.replace(".", "_") / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.draw(damaged(image_file.content())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar_files, "IMAGES_PER_FILE", 5)
        assert_handled(lambda: image_file.read(path), path)


# Sweep files


PARAMETERS = (
    "lr=1e-3",
    "size=8",
    "train_images=96",
    "epochs=2",
    "batch_size=32",
    "encoder_filters=(4, 2)",
    "pool_after=(1,)",
    "base=",
    "space={}",
)
GRID = "tune.grid_search(3)"


def as_code(value: object) -> str:
    """A value as Python code in a sweep file."""
    if value == GRID:
        return GRID
    return repr(value).replace("inf", "float('inf')").replace("nan", "float('nan')")


@many_examples
@given(
    st.sampled_from(PARAMETERS),
    st.one_of(unexpected_values, st.tuples(st.integers(-1, 2)), st.just(GRID)),
)
def test_a_sweep_file_with_an_unexpected_value_is_refused_or_read(
    folder: Path, parameter: str, value: object
) -> None:
    text = SWEEP.format(space="{}", epochs=2, more="")
    assert parameter in text
    name = parameter.partition("=")[0]
    replacement = f"{name}={as_code(value)}, "
    if name == "base":
        replacement = f"base={as_code(value)} or "
    path = folder / "unexpected.py"
    path.write_text(text.replace(parameter, replacement))
    assert_handled(lambda: read_sweep_file(path), path)


@many_examples
@given(st.data())
def test_a_damaged_sweep_file_is_refused_or_read(folder: Path, data: st.DataObject) -> None:
    space = "{'arch.kernel_size': tune.grid_search([3, 5])}"
    path = folder / "damaged.py"
    content = SWEEP.format(space=space, epochs=2, more="").encode()
    path.write_bytes(data.draw(damaged(content)))
    assert_handled(lambda: read_sweep_file(path), path)
