"""Files that are not what they should be: an error in words or a clean recovery, never a traceback, never a changed file.

Each test takes a whole file and lets Hypothesis damage it: bytes are cut, flipped, doubled and put in; values of JSON become other ones.
"""

from __future__ import annotations

import copy
import functools
import io
import json
import pickle
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from cae import Adam, ConvAutoencoder, Digits, Reconstruct, Trial, load_model
from cae.cli import tables as listing
from cae.errors import UserError
from cae.report.page import build as page
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial import checkpoint
from cae.trial.checkpoint import Checkpoint, DamagedCheckpoint
from cae.trial.datasets import readers
from cae.trial.model import save_model
from cae.trial.networks.create import build
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

MANY, FEW = 40, 12
often = settings(
    max_examples=MANY,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(
        Phase.explicit,
        Phase.generate,
    ),  # without shrinking, which takes minutes where each example reads a run
)
rarely = settings(often, max_examples=FEW)

strange = st.one_of(
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
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes that differ from the whole ones."""
    at, more = draw(st.integers(0, len(whole) - 1)), draw(st.binary(min_size=1, max_size=9))
    kinds = [
        whole[:at],
        whole[:at] + bytes([whole[at] ^ more[0]]) + whole[at + 1 :],
        whole[:at] + more + whole[at:],
        whole[:at] + whole,
        whole[:at] + bytes(len(whole) - at),
        more,
    ]
    content = kinds[draw(st.integers(0, len(kinds) - 1))]
    return content if content != whole else whole[:-1]


@st.composite
def altered(draw: st.DrawFn, whole: Any) -> Any:
    """JSON in which one value somewhere is another one, or is gone."""
    changed = copy.deepcopy(whole)
    places = list(_places(changed))
    holder, key = places[draw(st.integers(0, len(places) - 1))]
    if draw(st.booleans()) and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = draw(strange)
    return changed


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def told(act: Callable[[], object], *files: Path) -> None:
    """Does it, and lets pass what is told in words; the files stay as they are."""
    before = [file.read_bytes() for file in files]
    messages: list[str] = []
    try:
        act()
    except UserError as error:
        messages = error.messages
    assert all(message and "Traceback" not in message for message in messages)
    assert [file.read_bytes() for file in files] == before


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("malformed")


@functools.cache
def whole_run() -> tuple[bytes, dict[str, Any]]:
    """A journal with every kind of event, and the sweep.json beside it."""
    run = RunDir(tempfile.mkdtemp())
    journal = Journal(run)
    sizes = {"parameters": 12, "latent_values": 8, "latent_shape": [2, 2, 2], "megaflops": 0.1}
    journal.append(
        "session",
        asked=[1, 2, 3],
        command="cae-sweep run x.py",
        host="h",
        pid=1,
        versions={},
        slots=1,
        cpus=1,
        gpus=0,
    )
    for number in (1, 2, 3):
        axes = {"optimizer.lr": 0.1 * number}
        journal.append(
            "trial",
            trial=number,
            hash=f"{number:012x}",
            config=TRIAL.flat() | axes,
            axes=axes,
            sizes=sizes,
        )
    for number in (1, 2):
        journal.append("start", trial=number, epoch=0)
        for epoch in (1, 2, 3):
            metrics = {
                "train_loss": 0.3 / epoch,
                "val_loss": 0.2 / epoch,
                "val_psnr": 9.0,
                "lr": 0.1,
                "seconds": 0.5,
                "images_per_second": 9.0,
            }
            journal.append(
                "epoch",
                trial=number,
                epoch=epoch,
                metrics=metrics,
                host="h",
                device="cpu",
                worker=7,
            )
    tables = {"per_class": [{"class": "0", "images": 3, "mse": 0.1}]}
    journal.append(
        "end",
        trial=1,
        state="finished",
        reason="all 3 epochs",
        best_epoch=3,
        metrics={"test_loss": 0.1},
        tables=tables,
    )
    journal.append(
        "end", trial=2, state="stopped", reason="r", rung=3, value=0.1, cutoff=0.05, seen=3
    )
    journal.append("retry", trial=2, epoch=2)
    journal.append("close", reason="complete")
    journal.close()
    claim = {
        "kind": "SmallestAt",
        "id": "C1",
        "text": "t",
        "provenance": "stated",
        "metric": "val_loss",
        "axis": "optimizer.lr",
        "value": 0.1,
    }
    row = dict.fromkeys(
        ("report", "where", "unit", "definition", "provenance", "trials", "comment"), ""
    )
    row |= {"quantity": "loss", "value": "0.1", "metric": "val_loss"}
    sweep = {
        "name": "run",
        "sweep": "x",
        "title": "X",
        "description": "d",
        "file": "x.py",
        "path": "x.py",
        "source": "",
        "metric": "val_loss",
        "mode": "min",
        "budget": "cpu",
        "overrides": {"epochs": {"full": 9, "here": 3}},
        "axes": {
            "optimizer.lr": {
                "values": [0.1, 0.2, 0.3],
                "scale": "linear",
                "origins": [[0.1, "stated"]],
            }
        },
        "base": TRIAL.flat(),
        "seeds": 1,
        "epochs": 3,
        "scheduler": None,
        "trials": 3,
        "space": 3,
        "published": [row],
        "claims": [claim],
        "versions": {"torch": "2"},
        "git_commit": "a",
        "device": "cpu",
        "slots": 1,
        "command": "cae-sweep run x.py",
    }
    return run.journal.read_bytes(), sweep


def run_of(place: Path, journal: bytes, sweep: Any) -> RunDir:
    run = RunDir(place / "run")
    run.path.mkdir(exist_ok=True)
    run.journal.write_bytes(journal)
    run.sweep_json.write_text(sweep if isinstance(sweep, str) else json.dumps(sweep))
    return run


def asked(run: RunDir) -> None:
    listing.status_text(listing.status(run))
    told(lambda: listing.show_best(run, "val_loss", None, 2, None, None, quiet=True), run.journal)


@often
@given(st.data())
def test_a_damaged_journal_is_recovered_from(place: Path, data: st.DataObject) -> None:
    journal, sweep = whole_run()
    run = run_of(place, data.draw(damaged(journal)), sweep)
    told(lambda: asked(run), run.journal, run.sweep_json)


@often
@given(st.data())
def test_a_journal_whose_lines_say_strange_things_is_recovered_from(
    place: Path, data: st.DataObject
) -> None:
    journal, sweep = whole_run()
    lines = data.draw(altered([json.loads(line) for line in journal.splitlines()]))
    run = run_of(place, b"".join(json.dumps(line).encode() + b"\n" for line in lines), sweep)
    told(lambda: asked(run), run.journal, run.sweep_json)


@rarely
@given(st.data())
def test_the_page_of_a_strange_journal_is_made_or_refused_in_words(
    place: Path, data: st.DataObject
) -> None:
    journal, sweep = whole_run()
    lines = data.draw(altered([json.loads(line) for line in journal.splitlines()]))
    run = run_of(place, b"".join(json.dumps(line).encode() + b"\n" for line in lines), sweep)
    told(lambda: page.build(run), run.journal, run.sweep_json)


@rarely
@given(st.data())
def test_the_page_of_a_strange_sweep_json_is_made_or_refused_in_words(
    place: Path, data: st.DataObject
) -> None:
    journal, sweep = whole_run()
    run = run_of(place, journal, data.draw(altered(sweep)))
    told(lambda: page.build(run), run.journal, run.sweep_json)


@rarely
@given(st.data())
def test_a_damaged_sweep_json_is_refused_in_words(place: Path, data: st.DataObject) -> None:
    journal, sweep = whole_run()
    run = run_of(place, journal, "")
    run.sweep_json.write_bytes(data.draw(damaged(json.dumps(sweep).encode())))
    told(lambda: asked(run), run.journal, run.sweep_json)


@functools.cache
def whole_checkpoint() -> bytes:
    path = Path(tempfile.mkdtemp()) / checkpoint.LAST
    Checkpoint(dict(build(TRIAL).state_dict()), 1, TRIAL.flat(), [{"val_loss": 0.1}]).save(path)
    return path.read_bytes()


@often
@given(st.data())
def test_a_damaged_checkpoint_is_known_as_one(place: Path, data: st.DataObject) -> None:
    path = place / "last.safetensors"
    path.write_bytes(content := data.draw(damaged(whole_checkpoint())))
    with pytest.raises(DamagedCheckpoint, match=r"last\.safetensors"):
        checkpoint.load(path)
    assert path.read_bytes() == content


@often
@given(st.data())
def test_an_exported_model_that_is_damaged_is_refused_in_words(
    place: Path, data: st.DataObject
) -> None:
    folder = place / "model"
    save_model(folder, build(TRIAL).state_dict(), TRIAL, {"metrics": {}})
    name = data.draw(st.sampled_from(["model.json", "model.safetensors"]))
    file = folder / name
    if name == "model.json" and data.draw(st.booleans()):
        file.write_text(json.dumps(data.draw(altered(json.loads(file.read_text())))))
    else:
        file.write_bytes(data.draw(damaged(file.read_bytes())))
    told(lambda: load_model(folder), file)


def _idx() -> bytes:
    return bytes((0, 0, 8, 3)) + struct.pack(">3I", 4, 28, 28) + bytes(4 * 784)


def _cifar() -> bytes:
    buffer = io.BytesIO()
    pickle.dump(
        {b"data": np.zeros((5, 3072), np.uint8), b"labels": [0, 1, 2, 3, 4]}, buffer, protocol=2
    )
    return buffer.getvalue()


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(buffer, "PNG")
    return buffer.getvalue()


FILES: dict[str, tuple[Callable[[], bytes], Callable[[Path], object]]] = {
    "t-images": (_idx, lambda path: readers.read_idx(path, 3)),
    "data_batch_1": (_cifar, lambda path: readers.read_cifar([path])),
    "data_batch_1.bin": (lambda: bytes(5 * 3073), lambda path: readers.read_cifar([path])),
    "a.png": (_png, lambda path: readers.read_folder(path.parent, 8, 3)),
}


@pytest.mark.parametrize("name", FILES)
@often
@given(st.data())
def test_a_damaged_file_of_images_is_refused_in_words_or_read(
    place: Path, name: str, data: st.DataObject
) -> None:
    whole, read = FILES[name]
    folder = place / name.replace(".", "_")
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_bytes(data.draw(damaged(whole())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "CIFAR_BATCH", 5)
        told(lambda: read(file), file)


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


@often
@given(
    st.sampled_from(PARAMETERS),
    st.one_of(strange, st.tuples(st.integers(-1, 2)), st.just("tune.grid_search(3)")),
)
def test_a_sweep_file_with_a_strange_value_is_refused_in_words_or_read(
    place: Path, parameter: str, value: Any
) -> None:
    text = SWEEP.format(space="{}", epochs=2, more="")
    name = parameter.partition("=")[0]
    assert parameter in text
    said = (
        value
        if value == "tune.grid_search(3)"
        else repr(value).replace("inf", "float('inf')").replace("nan", "float('nan')")
    )
    path = place / "strange.py"
    path.write_text(
        text.replace(parameter, f"{name}={said}, " if name != "base" else f"base={said} or ")
    )
    told(lambda: read_sweep_file(path), path)


@often
@given(st.data())
def test_a_damaged_sweep_file_is_refused_in_words_or_read(place: Path, data: st.DataObject) -> None:
    whole = SWEEP.format(
        space="{'arch.kernel_size': tune.grid_search([3, 5])}", epochs=2, more=""
    ).encode()
    path = place / "damaged.py"
    path.write_bytes(data.draw(damaged(whole)))
    told(lambda: read_sweep_file(path), path)


def test_random_weights_are_no_surprise() -> None:
    """The whole files that the tests above damage are whole."""
    assert torch.isfinite(next(build(TRIAL).parameters())).all()
    journal, sweep = whole_run()
    run = run_of(Path(tempfile.mkdtemp()), journal, sweep)
    assert [record.state for record in run.records().values()] == [
        "finished",
        "interrupted",
        "pending",
    ]
    assert page.build(run).exists()
