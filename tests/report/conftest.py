"""Synthetic runs, written as a sweep writes them: every form of run that a page has to show."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae.run.events import EVENTS
from cae.run.journal import Journal
from cae.run.paths import RunDir
from tests.report.page import pages

START = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC
EVIL = '</script><img src=x onerror="window.evil=1"><b>bold</b> \u202eRTL\u202c ' + "x" * 300

AXES: dict[str, dict[str, Any]] = {
    "arch.kernel_size": {"values": [3, 5, 7], "scale": "linear"},
    "arch.encoder_filters.1": {"values": [8, 16, 32], "scale": "linear"},
    "optimizer.lr": {"values": None, "low": 1e-4, "high": 1e-1, "scale": "log"},
    "optimizer": {"values": ["adam", "sgd"], "scale": "category"},
}

SWEEP: dict[str, Any] = {
    "sweep": "cifar_grid",
    "title": "CIFAR-10 autoencoder grid",
    "file": "sweeps/cifar_grid.py",
    "description": "CIFAR-10 autoencoder grid.\n\nThree axes of a small convolutional autoencoder.",
    "metric": "val_loss",
    "mode": "min",
    "budget": "cpu",
    "seeds": 1,
    "epochs": 4,
    "space": 1536,
    "overrides": {
        "epochs": {"full": 10, "here": 4},
        "dataset.train_images": {"full": 48000, "here": 6000},
    },
    "axes": AXES,
    "base": {"dataset": "cifar10", "arch.encoder_filters": [8, 16], "epochs": 4, "seed": 0},
    "scheduler": {"name": "asha", "grace_epochs": 1, "reduction_factor": 3, "rungs": [1, 3]},
    "published": [],
    "claims": [],
    "versions": {"cae-sweep": "0.1.0", "python": "3.11.9", "torch": "2.9.0"},
    "git_commit": "abc1234",
    "host": "node-1",
    "device": "cpu (2 x generic)",
    "command": "cae-sweep run sweeps/cifar_grid.py --budget cpu",
}

PUBLISHED = [
    {
        "report": "000",
        "where": "exercise 2.2",
        "quantity": "best validation loss",
        "value": "0.001836",
        "unit": "loss",
        "definition": "mean squared error, best epoch",
        "metric": "val_loss",
        "trials": "best",
        "comment": "",
    },
    {
        "report": "000",
        "where": "exercise 2.1",
        "quantity": "parameters",
        "value": "4911",
        "unit": "values",
        "definition": "weights and biases",
        "metric": "parameters",
        "trials": "arch.kernel_size=3;arch.encoder_filters.1=8",
        "comment": "",
    },
    {
        "report": "000",
        "where": "exercise 1",
        "quantity": "epochs",
        "value": "10",
        "unit": "epochs",
        "definition": "",
        "metric": "",
        "trials": "",
        "comment": "context",
    },
    {
        "report": "000",
        "where": "exercise 3",
        "quantity": "test error",
        "value": "20.48",
        "unit": "percent",
        "definition": "not defined",
        "metric": "test_error",
        "trials": "",
        "comment": "",
    },
]

TRACEBACK = """Traceback (most recent call last):
  File "training.py", line 88, in train
    loss.backward()
RuntimeError: shape mismatch at layer {}"""


class Writer:
    """Writes one run as a sweep does, with its own clock: the same calls give the same bytes."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, **sweep: Any) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.run = RunDir(path)
        self.clock = START
        monkeypatch.setattr("cae.run.journal.time.time", lambda: self.clock)
        monkeypatch.setattr("cae.run.journal.os.fsync", lambda _file: None)
        self.run.sweep_json.write_text(json.dumps({"name": path.name, **SWEEP, **sweep}))
        self.journal = Journal(self.run.journal)

    def add(self, event: str, seconds: float = 0.0, **fields: Any) -> None:
        self.clock += seconds
        self.journal.append(EVENTS[event](**fields))

    def session(self, trials: list[int]) -> None:
        self.add(
            "session",
            trials=trials,
            command="cae-sweep run",
            host="node-1",
            pid=1,
            versions={},
            slots=2,
            cpus=2,
            gpus=0,
        )

    def trial(self, number: int, axes: dict[str, Any], **config: Any) -> None:
        config_of_sweep = {
            "dataset": "cifar10",
            "dataset.train_images": 6000,
            "arch": "conv_autoencoder",
            "arch.encoder_filters": [8, 16],
            "epochs": 4,
            "seed": 0,
        }
        changed = {
            name: value for name, value in axes.items() if not name.rpartition(".")[2].isdigit()
        }
        sizes = {
            "parameters": 4911 + 97 * number,
            "latent_values": 1024,
            "latent_shape": [16, 8, 8],
            "megaflops": 12.3,
        }
        self.add(
            "trial",
            trial=number,
            hash=f"{number:016x}",
            config={**config_of_sweep, **changed, **config},
            axes=axes,
            sizes=sizes,
        )

    def start(self, number: int, epoch: int = 0) -> None:
        self.add("start", 1, trial=number, epoch=epoch, host="node-1", device="cpu", worker=1)

    def epoch(self, number: int, epoch: int, loss: float, **metrics: float) -> None:
        row = {
            "train_loss": loss * 0.93,
            "val_loss": loss,
            "lr": 0.001,
            "seconds": 12.5,
            "images_per_second": 480.0,
        }
        if loss > 0:
            row["val_psnr"] = -10 * math.log10(loss)
        self.add("epoch", 12.5, trial=number, epoch=epoch, metrics={**row, **metrics})

    def end(self, number: int, state: str, **fields: Any) -> None:
        self.add(
            "end", 1, trial=number, state=state, reason=fields.pop("reason", f"{state}."), **fields
        )

    def samples(self, number: int, noise: float, side: int = 16, channels: int = 1) -> None:
        folder = self.run.trial(number)
        folder.mkdir(parents=True, exist_ok=True)
        y, x = np.mgrid[0:side, 0:side] / side
        images = np.stack(
            [np.sin((k + 2) * x * 3) * np.cos((k + 1) * y * 4) * 0.5 + 0.5 for k in range(8)]
        )
        target = np.repeat((images * 255).astype(np.uint8)[:, None], channels, axis=1)
        rough = np.random.default_rng(number).normal(0, 255 * noise, target.shape)
        output = np.clip(target + rough, 0, 255).astype(np.uint8)
        np.savez(
            folder / "samples.npz", input=target, target=target, output=output, epoch=np.array(3)
        )

    def close(self) -> RunDir:
        self.add("close", reason="complete")
        self.journal.close()
        return self.run


def many(writer: Writer, count: int, epochs: int = 4) -> RunDir:
    """Trials in all states: finished, stopped, diverged, failed, out of memory, killed."""
    random = np.random.default_rng(0)
    settings = list(itertools.product([3, 5, 7], [8, 16, 32], ["adam", "sgd"]))
    writer.session(list(range(1, count + 1)))
    for number in range(1, count + 1):
        kernel, filters, optimizer = settings[(number * 7) % len(settings)]
        lr = float(10 ** random.uniform(-4, -1))
        axes = {
            "arch.kernel_size": kernel,
            "arch.encoder_filters.1": filters,
            "optimizer.lr": lr,
            "optimizer": optimizer,
        }
        writer.trial(number, axes)
    for number in range(1, count + 1):
        kernel, filters, optimizer = settings[(number * 7) % len(settings)]
        floor = (
            0.002
            + 0.004 / kernel
            + 0.02 / filters
            + (0.004 if optimizer == "sgd" else 0)
            + float(random.exponential(0.002))
        )
        _run_trial(writer, number, floor, epochs, (number * 7) % 20)
    return writer.close()


def _run_trial(writer: Writer, number: int, floor: float, epochs: int, outcome: int) -> None:
    writer.start(number)
    if outcome == 0:
        writer.end(number, "failed", reason="RuntimeError", error=TRACEBACK.format(number))
        return
    if outcome == 1:
        writer.epoch(number, 1, floor * 9)
        writer.epoch(number, 2, math.nan)
        writer.end(number, "diverged", reason="epoch 2: val_loss is not finite")
        return
    if outcome == 2:
        writer.end(
            number,
            "oom",
            reason="out of memory",
            error=f"Traceback ...\ntorch.OutOfMemoryError: tried to allocate {number}.5 GiB",
        )
        return
    stopped_at = 1 if outcome in (3, 4, 5) else 3 if outcome in (6, 7) else None
    for epoch in range(1, (stopped_at or epochs) + 1):
        writer.epoch(number, epoch, floor * (1 + 6 * math.exp(-epoch)))
    if stopped_at:
        value = floor * (1 + 6 * math.exp(-stopped_at))
        cutoff = floor * 0.9
        reason = (
            f"epoch {stopped_at}: val_loss {value:.4g} is above the cutoff {cutoff:.4g} of the "
            "9 trials before it at this rung"
        )
        writer.end(number, "stopped", reason=reason, rung=stopped_at, value=value, cutoff=cutoff)
    elif outcome == 8:
        writer.end(number, "killed", reason="killed by hand")
    else:
        writer.end(
            number,
            "finished",
            reason="all epochs done",
            best_epoch=epochs,
            metrics={"test_loss": floor * 1.02, "test_psnr": 21.0},
        )


def _none(writer: Writer) -> RunDir:
    return writer.close()


def _one(writer: Writer) -> RunDir:
    writer.session([1])
    writer.trial(1, {"arch.kernel_size": 3})
    _run_trial(writer, 1, 0.01, 4, 19)
    writer.samples(1, 0.05)
    return writer.close()


def _two(writer: Writer) -> RunDir:
    writer.session([1, 2])
    for number, kernel in ((1, 3), (2, 5)):
        writer.trial(number, {"arch.kernel_size": kernel})
        _run_trial(writer, number, 0.01 / number, 4, 19)
    return writer.close()


def _thirty(writer: Writer) -> RunDir:
    run = many(writer, 30)
    for number in range(1, 31):
        writer.samples(number, 0.01 * number, channels=3, side=32)
    return run


def _all_failed(writer: Writer) -> RunDir:
    writer.session([1, 2, 3])
    for number in (1, 2, 3):
        writer.trial(number, {"arch.kernel_size": 2 * number + 1})
        _run_trial(writer, number, 0.01, 4, 0)
    return writer.close()


def _all_nan(writer: Writer) -> RunDir:
    writer.session([1, 2, 3])
    for number in (1, 2, 3):
        writer.trial(number, {"arch.kernel_size": 2 * number + 1})
        writer.start(number)
        writer.epoch(number, 1, math.nan)
        writer.end(
            number,
            "finished" if number == 1 else "diverged",
            reason="epoch 1: val_loss is not finite",
        )
    return writer.close()


def _mixed(writer: Writer) -> RunDir:
    writer.session([1, 2, 3, 4])
    for number, value in enumerate([3, "same", None, 0], start=1):
        writer.trial(number, {"arch.padding": value} if value is not None else {})
        _run_trial(writer, number, 0.01 / number, 4, 19)
    return writer.close()


def _constant(writer: Writer) -> RunDir:
    writer.session([1, 2, 3])
    for number in (1, 2, 3):
        writer.trial(number, {"arch.kernel_size": 3, "optimizer.lr": 0.01})
        _run_trial(writer, number, 0.01, 4, 19)
    return writer.close()


def _hostile(writer: Writer) -> RunDir:
    writer.session([1, 2, 3, 4])
    for number in (1, 2, 3, 4):
        writer.trial(
            number,
            {"arch.kernel_size": 3, EVIL: f"{EVIL} %{{x}} {number % 2}"},
            **{"arch.name": EVIL},
        )
        writer.start(number)
        if number == 4:
            writer.end(number, "failed", reason=EVIL, error=f"Traceback\nValueError: {EVIL}")
            continue
        writer.epoch(number, 1, 0.01 * number)
        if number == 3:
            writer.end(number, "stopped", reason=EVIL, rung=1, value=0.03, cutoff=0.02)
        else:
            writer.end(number, "finished", best_epoch=1, metrics={"test_loss": 0.02})
    broken = writer.run.trial(1)
    broken.mkdir(parents=True, exist_ok=True)
    (broken / "samples.npz").write_bytes(b"PK\x03\x04 torn")
    return writer.close()


def _running(writer: Writer) -> RunDir:
    writer.session([1, 2, 3])
    for number in (1, 2, 3):
        writer.trial(number, {"arch.kernel_size": 2 * number + 1})
    _run_trial(writer, 1, 0.01, 4, 19)
    writer.start(2)
    writer.epoch(2, 1, 0.02)
    writer.journal.close()
    return writer.run


def _seeds(writer: Writer) -> RunDir:
    writer.session([1, 2, 3, 4])
    for number in (1, 2, 3, 4):
        writer.trial(number, {"arch.kernel_size": 3 if number < 4 else 5}, seed=number % 4)
        _run_trial(writer, number, 0.01 + 0.0001 * number, 4, 19)
    return writer.close()


def _odd(writer: Writer) -> RunDir:
    """Unusual values: a loss beyond single precision, a trial without the sweep's metric, infinite
    values, and parameters that are tuples and booleans."""
    writer.session([1, 2, 3, 4])
    for number in (1, 2, 3, 4):
        writer.trial(
            number, {"arch.encoder_filters": [8, 16 * number], "arch.batch_norm": number % 2 == 0}
        )
        writer.start(number)
    writer.epoch(1, 1, 1e300)
    writer.epoch(2, 1, 1e-300)
    writer.epoch(3, 1, math.inf)
    writer.add("epoch", trial=4, epoch=1, metrics={"val_accuracy": 0.9, "seconds": math.nan})
    for number in (1, 2, 3, 4):
        writer.end(number, "finished", best_epoch=1, metrics={"test_loss": math.nan})
    return writer.close()


def _thousand(writer: Writer) -> RunDir:
    run = many(writer, 1000)
    for number in range(1, 1001, 7):
        writer.samples(number, 0.1, channels=3, side=32)
    return run


EVIL_SWEEP: dict[str, Any] = {
    "title": EVIL,
    "description": EVIL,
    "command": EVIL,
    "host": EVIL,
    "overrides": {EVIL: {"full": EVIL, "here": 1}},
    "axes": {
        "arch.kernel_size": AXES["arch.kernel_size"],
        EVIL: {"values": None, "scale": "category"},
    },
    "published": [{**dict.fromkeys(PUBLISHED[0], EVIL), "metric": "val_loss", "trials": ""}],
}
MIXED_AXES = {
    "axes": {"arch.padding": {"values": [3, "same", 0], "scale": "linear"}},
    "scheduler": None,
}
KERNEL = {"axes": {"arch.kernel_size": AXES["arch.kernel_size"]}}

FIXTURES: dict[str, tuple[Callable[[Writer], RunDir], dict[str, Any]]] = {
    "none": (_none, {}),
    "one": (_one, KERNEL),
    "two": (_two, {**KERNEL, "overrides": {}, "scheduler": None}),
    "thirty": (_thirty, {"published": PUBLISHED}),
    "all_failed": (_all_failed, KERNEL),
    "all_nan": (_all_nan, KERNEL),
    "mixed": (_mixed, MIXED_AXES),
    "constant": (_constant, {}),
    "hostile": (_hostile, EVIL_SWEEP),
    "running": (_running, KERNEL),
    "seeds": (_seeds, {**KERNEL, "seeds": 3, "overrides": {}, "published": PUBLISHED}),
    "odd": (
        _odd,
        {
            "axes": {
                "arch.encoder_filters": {"values": [[8, 16], [8, 32]], "scale": "category"},
                "arch.batch_norm": {},
            }
        },
    ),
    "thousand": (_thousand, {"published": PUBLISHED}),
}
"""Every shape of run, by name."""


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Writer]]:
    """Makes an empty run to write to."""
    made: list[Writer] = []

    def make(name: str = "run", **sweep: Any) -> Writer:
        made.append(Writer(tmp_path / name, monkeypatch, **sweep))
        return made[-1]

    yield make
    for one in made:
        one.journal.close()


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunDir]:
    """A run of `FIXTURES` by its name, written once a session. Do not change it: copy it first."""
    made: dict[str, RunDir] = {}

    def make(name: str) -> RunDir:
        if name not in made:
            fill, sweep = FIXTURES[name]
            with pytest.MonkeyPatch.context() as patch:
                made[name] = fill(Writer(tmp_path_factory.mktemp("runs") / name, patch, **sweep))
        return made[name]

    return make


@pytest.fixture
def evil() -> str:
    """What a hostile sweep file writes wherever it may."""
    return EVIL


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(pages.CHROMIUM), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def _of_thirty(browser: Any, make_run: Callable[[str], RunDir]) -> Iterator[Any]:
    with pages.opened(browser, make_run("thirty"), accept_downloads=True) as page:
        pages.draw_all(page)
        yield page


@pytest.fixture
def thirty(_of_thirty: Any) -> Any:
    """The page of thirty trials with every chart drawn, nothing chosen; all tests share it."""
    pages.afresh(_of_thirty)
    return _of_thirty


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of the browser and of the expensive pages in one of the test processes."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()) or "thousand" in item.name:
            item.add_marker(pytest.mark.xdist_group("page"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `shape` runs once for every shape of run."""
    if "shape" in metafunc.fixturenames:
        metafunc.parametrize("shape", list(FIXTURES))
