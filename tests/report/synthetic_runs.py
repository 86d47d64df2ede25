"""Synthetic runs with the files that a sweep writes, in every shape that reports have to show."""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cae.run.events import EVENTS
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState

START_TIME = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC
EPOCH_SECONDS = 12.5
LAST_EPOCH = 4
HOSTILE_TEXT = (
    '=1+1 </script><img src=x onerror="window.evil=1"><b>bold</b> \u202eRTL\u202c '
    "\x1b[31m\x1b]0;title\x07 [bold]markup[/bold] " + "x" * 300
)

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
    "epochs": LAST_EPOCH,
    "space": 1536,
    "overrides": {
        "epochs": {"full": 10, "here": LAST_EPOCH},
        "dataset.train_images": {"full": 48000, "here": 6000},
    },
    "axes": AXES,
    "base": {
        "dataset": "cifar10",
        "arch.encoder_filters": [8, 16],
        "epochs": LAST_EPOCH,
        "seed": 0,
    },
    "scheduler": {"name": "asha", "grace_epochs": 1, "reduction_factor": 3, "rungs": [1, 3]},
    "published": [],
    "claims": [],
    "versions": {"cae-sweep": "0.1.0", "python": "3.11.9", "torch": "2.9.0"},
    "git_commit": "abc1234",
    "host": "node-1",
    "device": "cpu (2 x generic)",
    "command": "cae-sweep run sweeps/cifar_grid.py --budget cpu",
}
"""What sweep.json contains, unless a test states otherwise."""

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


class RunWriter:
    """Writes one run as a sweep does.

    It has its own clock, so that the same calls write the same bytes.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, **sweep: Any) -> None:
        """sweep: keys of sweep.json that differ from `SWEEP`."""
        path.mkdir(parents=True, exist_ok=True)
        self.run = RunDir(path)
        self.clock = START_TIME
        monkeypatch.setattr("cae.run.journal.time.time", lambda: self.clock)
        monkeypatch.setattr("cae.run.journal.os.fsync", lambda _file: None)
        self.run.sweep_json.write_text(json.dumps({"name": path.name, **SWEEP, **sweep}))
        self.journal = Journal(self.run.journal)

    def add(self, event: str, seconds: float = 0.0, **fields: Any) -> None:
        """Append an event that is this many seconds later than the one before."""
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

    def trial(
        self,
        number: int,
        axes: dict[str, Any],
        *,
        is_audit: bool = False,
        suggestion: dict[str, Any] | None = None,
        code: str = "",
        dependencies: dict[str, int] | None = None,
        is_dependency: bool = False,
        **config: Any,
    ) -> None:
        """Plan a trial. code: digest of its components; config: settings that are not axes."""
        base = {
            "dataset": "cifar10",
            "dataset.train_images": 6000,
            "arch": "conv_autoencoder",
            "arch.encoder_filters": [8, 16],
            "epochs": LAST_EPOCH,
            "seed": 0,
        }
        parameters = {}
        for name, value in axes.items():
            is_element_of_tuple = name.rpartition(".")[2].isdigit()
            if not is_element_of_tuple:
                parameters[name] = value
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
            config={**base, **parameters, **config},
            axes=axes,
            sizes=sizes,
            is_audit=is_audit,
            suggestion=suggestion or {},
            code=code,
            dependencies=dependencies or {},
            is_dependency=is_dependency,
        )

    def start(self, number: int, epoch: int = 0) -> None:
        self.add("start", 1, trial=number, epoch=epoch, host="node-1", device="cpu", worker=1)

    def epoch(self, number: int, epoch: int, loss: float, **metrics: float) -> None:
        """Add an epoch with a validation loss, a slightly lower training loss, and the PSNR."""
        row = {
            "train_loss": loss * 0.93,
            "val_loss": loss,
            "lr": 0.001,
            "seconds": EPOCH_SECONDS,
            "images_per_second": 480.0,
        }
        if loss > 0:
            row["val_psnr"] = -10 * math.log10(loss)
        self.add("epoch", EPOCH_SECONDS, trial=number, epoch=epoch, metrics={**row, **metrics})

    def end(self, number: int, state: str, *, reason: str = "", **fields: Any) -> None:
        self.add("end", 1, trial=number, state=state, reason=reason or f"{state}.", **fields)

    def samples(self, number: int, noise: float, side: int = 16, channels: int = 1) -> None:
        """Write the sample images of a trial: waves, and the same waves with noise as outputs."""
        folder = self.run.trial(number)
        folder.mkdir(parents=True, exist_ok=True)
        y, x = np.mgrid[0:side, 0:side] / side
        images = []
        for index in range(8):
            images.append(np.sin((index + 2) * x * 3) * np.cos((index + 1) * y * 4) * 0.5 + 0.5)
        pixels = (np.stack(images) * 255).astype(np.uint8)
        target = np.repeat(pixels[:, None], channels, axis=1)
        error = np.random.default_rng(number).normal(0, 255 * noise, target.shape)
        output = np.clip(target + error, 0, 255).astype(np.uint8)
        np.savez(
            folder / "samples.npz", input=target, target=target, output=output, epoch=np.array(3)
        )

    def latent(self, number: int, *, side: int = 16, channels: int = 1, **arrays: Any) -> None:
        """Write the latent codes of a trial: clusters by class (see cae/trial/latent_samples.py).

        arrays: those that differ.
        """
        folder = self.run.trial(number)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            folder / "latent.npz", **latent_arrays(number, side, channels, **arrays)
        )

    def close(self) -> RunDir:
        self.add("close", reason="complete")
        self.journal.close()
        return self.run


LATENT_IMAGES = 500
LATENT_CLASSES = 10
LATENT_VALUES = 16


def latent_arrays(seed: int, side: int, channels: int, **changes: Any) -> dict[str, Any]:
    """What latent.npz contains: clusters by class, and noise instead of decoded images.

    The test images are the same for every seed: noise, which compresses worst.
    """
    random = np.random.default_rng(seed)
    labels = np.sort(np.arange(LATENT_IMAGES) % LATENT_CLASSES)
    centers = random.normal(0, 4, (LATENT_CLASSES, LATENT_VALUES))
    codes = centers[labels] + random.normal(0, 1, (LATENT_IMAGES, LATENT_VALUES))
    same = np.random.default_rng(0)
    sheet_shape = (LATENT_IMAGES // 25 * side, 25 * side, channels)
    sheet = same.integers(0, 256, sheet_shape, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(sheet.squeeze()).save(buffer, "JPEG", quality=50)

    def noise(count: int) -> Any:
        return random.integers(0, 256, (count, channels, side, side), dtype=np.uint8)

    arrays = {
        "epoch": np.int64(LAST_EPOCH),
        "indices": np.arange(LATENT_IMAGES),
        "labels": labels,
        "classes": np.array([f"class {number}" for number in range(LATENT_CLASSES)]),
        "codes": codes.astype(np.float32),
        "latent_shape": np.array([LATENT_VALUES]),
        "kept_variance": np.float64(1),
        "sheet": np.frombuffer(buffer.getvalue(), dtype=np.uint8),
        "tile": np.array([side, side, 25]),
        "reason": np.array(""),
        "pairs": np.array([[0, 50], [100, 150], [200, 250], [300, 350]]),
        "ends": noise(8),
        "interpolations": noise(4 * 8),
        "units": np.arange(6),
        "scores": np.arange(6, 0, -1) / 2,
        "score": np.array("variance"),
        "levels": np.tile(np.linspace(-2, 2, 7, dtype=np.float32), (6, 1)),
        "traversals": noise(6 * 7),
        "base": np.int64(0),
    }
    return arrays | changes


MakeWriter = Callable[..., RunWriter]
"""The fixture `writer`: takes a name and the keys of sweep.json that differ from `SWEEP`."""


class Outcome(StrEnum):
    """How a synthetic trial ends."""

    FINISHED = "finished"
    FAILED = "failed"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out of memory"
    STOPPED_AT_FIRST_RUNG = "stopped at epoch 1"
    STOPPED_AT_SECOND_RUNG = "stopped at epoch 3"
    KILLED = "killed"


def _add_outcome(run: RunWriter, number: int, final_loss: float, outcome: Outcome) -> None:
    """Start a trial and end it, with a loss that falls towards `final_loss`."""
    run.start(number)
    match outcome:
        case Outcome.FAILED:
            run.end(
                number, TrialState.FAILED, reason="RuntimeError", error=TRACEBACK.format(number)
            )
        case Outcome.DIVERGED:
            run.epoch(number, 1, final_loss * 9)
            run.epoch(number, 2, math.nan)
            run.end(number, TrialState.DIVERGED, reason="epoch 2: val_loss is not finite")
        case Outcome.OUT_OF_MEMORY:
            error = f"Traceback ...\ntorch.OutOfMemoryError: tried to allocate {number}.5 GiB"
            run.end(number, TrialState.OUT_OF_MEMORY, reason="out of memory", error=error)
        case Outcome.STOPPED_AT_FIRST_RUNG:
            _stop(run, number, final_loss, rung=1)
        case Outcome.STOPPED_AT_SECOND_RUNG:
            _stop(run, number, final_loss, rung=3)
        case Outcome.KILLED:
            _add_epochs(run, number, final_loss, LAST_EPOCH)
            run.end(number, TrialState.KILLED, reason="killed by hand")
        case Outcome.FINISHED:
            _finish(run, number, final_loss)


def _finish(run: RunWriter, number: int, final_loss: float) -> None:
    _add_epochs(run, number, final_loss, LAST_EPOCH)
    run.end(
        number,
        TrialState.FINISHED,
        reason="all epochs done",
        best_epoch=LAST_EPOCH,
        metrics={"test_loss": final_loss * 1.02, "test_psnr": 21.0},
    )


def _stop(run: RunWriter, number: int, final_loss: float, rung: int) -> None:
    _add_epochs(run, number, final_loss, rung)
    value = _loss_at(rung, final_loss)
    cutoff = final_loss * 0.9
    reason = (
        f"epoch {rung}: val_loss {value:.4g} is above the cutoff {cutoff:.4g} of the "
        "9 trials before it at this rung"
    )
    run.end(number, TrialState.STOPPED, reason=reason, rung=rung, value=value, cutoff=cutoff)


def _add_epochs(run: RunWriter, number: int, final_loss: float, count: int) -> None:
    for epoch in range(1, count + 1):
        run.epoch(number, epoch, _loss_at(epoch, final_loss))


def _loss_at(epoch: int, final_loss: float) -> float:
    return final_loss * (1 + 6 * math.exp(-epoch))


def _start_and_finish(run: RunWriter, number: int, final_loss: float) -> None:
    _add_outcome(run, number, final_loss, Outcome.FINISHED)


def _write_no_trials(run: RunWriter) -> RunDir:
    return run.close()


def _write_one_trial(run: RunWriter) -> RunDir:
    run.session([1])
    run.trial(1, {"arch.kernel_size": 3})
    _start_and_finish(run, 1, 0.01)
    run.samples(1, 0.05)
    return run.close()


def _write_two_trials(run: RunWriter) -> RunDir:
    run.session([1, 2])
    for number, kernel in ((1, 3), (2, 5)):
        run.trial(number, {"arch.kernel_size": kernel})
        _start_and_finish(run, number, 0.01 / number)
    return run.close()


def _write_thirty_trials(run: RunWriter) -> RunDir:
    _add_trials_in_all_states(run, 30)
    folder = run.close()
    for number in range(1, 31):
        run.samples(number, 0.01 * number, channels=3, side=32)
        run.latent(number, side=32, channels=3)
    return folder


def _write_thousand_trials(run: RunWriter) -> RunDir:
    _add_trials_in_all_states(run, 1000)
    folder = run.close()
    for number in range(1, 1001, 7):
        run.samples(number, 0.1, channels=3, side=32)
        run.latent(number, side=32, channels=3)
    return folder


def _add_trials_in_all_states(run: RunWriter, count: int) -> None:
    """Add trials that finished, were stopped, diverged, failed, ran out of memory, were killed."""
    random = np.random.default_rng(0)
    grid = list(itertools.product([3, 5, 7], [8, 16, 32], ["adam", "sgd"]))
    settings = {number: grid[(number * 7) % len(grid)] for number in range(1, count + 1)}
    run.session(list(settings))
    for number, (kernel, filters, optimizer) in settings.items():
        axes = {
            "arch.kernel_size": kernel,
            "arch.encoder_filters.1": filters,
            "optimizer.lr": float(10 ** random.uniform(-4, -1)),
            "optimizer": optimizer,
        }
        run.trial(number, axes)
    for number, (kernel, filters, optimizer) in settings.items():
        penalty = 0.0
        if optimizer == "sgd":
            penalty = 0.004
        noise = float(random.exponential(0.002))
        final_loss = 0.002 + 0.004 / kernel + 0.02 / filters + penalty + noise
        _add_outcome(run, number, final_loss, _outcome_of(number))


def _outcome_of(number: int) -> Outcome:
    """Distribute the outcomes over the trials: of 20 trials, 11 finish."""
    match (number * 7) % 20:
        case 0:
            return Outcome.FAILED
        case 1:
            return Outcome.DIVERGED
        case 2:
            return Outcome.OUT_OF_MEMORY
        case 3 | 4 | 5:
            return Outcome.STOPPED_AT_FIRST_RUNG
        case 6 | 7:
            return Outcome.STOPPED_AT_SECOND_RUNG
        case 8:
            return Outcome.KILLED
    return Outcome.FINISHED


def _write_failed_trials(run: RunWriter) -> RunDir:
    run.session([1, 2, 3])
    for number in (1, 2, 3):
        run.trial(number, {"arch.kernel_size": 2 * number + 1})
        _add_outcome(run, number, 0.01, Outcome.FAILED)
    return run.close()


def _write_nan_losses(run: RunWriter) -> RunDir:
    """Every loss is NaN; the first trial is finished nevertheless."""
    states = {1: TrialState.FINISHED, 2: TrialState.DIVERGED, 3: TrialState.DIVERGED}
    run.session(list(states))
    for number, state in states.items():
        run.trial(number, {"arch.kernel_size": 2 * number + 1})
        run.start(number)
        run.epoch(number, 1, math.nan)
        run.end(number, state, reason="epoch 1: val_loss is not finite")
    return run.close()


def _write_mixed_settings(run: RunWriter) -> RunDir:
    """A parameter is a number in some trials, a text in another one, and missing in one."""
    axes: list[dict[str, Any]] = [
        {"arch.padding": 3},
        {"arch.padding": "same"},
        {},
        {"arch.padding": 0},
    ]
    run.session([1, 2, 3, 4])
    for number, axes_of_trial in enumerate(axes, start=1):
        run.trial(number, axes_of_trial)
        _start_and_finish(run, number, 0.01 / number)
    return run.close()


def _write_equal_trials(run: RunWriter) -> RunDir:
    run.session([1, 2, 3])
    for number in (1, 2, 3):
        run.trial(number, {"arch.kernel_size": 3, "optimizer.lr": 0.01})
        _start_and_finish(run, number, 0.01)
    return run.close()


def _write_hostile_texts(run: RunWriter) -> RunDir:
    """Every text that a sweep file can set contains HTML, and an image file is damaged."""
    config: dict[str, Any] = {"arch.name": HOSTILE_TEXT}
    run.session([1, 2, 3, 4])
    for number in (1, 2, 3, 4):
        axes = {"arch.kernel_size": 3, HOSTILE_TEXT: f"{HOSTILE_TEXT} %{{x}} {number % 2}"}
        run.trial(number, axes, **config)
        run.start(number)
        if number == 4:
            error = f"Traceback\nValueError: {HOSTILE_TEXT}"
            run.end(number, TrialState.FAILED, reason=HOSTILE_TEXT, error=error)
            continue
        run.epoch(number, 1, 0.01 * number)
        if number == 3:
            stop = {"rung": 1, "value": 0.03, "cutoff": 0.02}
            run.end(number, TrialState.STOPPED, reason=HOSTILE_TEXT, **stop)
        else:
            run.end(number, TrialState.FINISHED, best_epoch=1, metrics={"test_loss": 0.02})
    damaged = run.run.trial(1)
    damaged.mkdir(parents=True, exist_ok=True)
    (damaged / "samples.npz").write_bytes(b"PK\x03\x04 torn")
    return run.close()


def _write_running_sweep(run: RunWriter) -> RunDir:
    """One trial is finished, one has an epoch, one is pending; the session has not ended."""
    run.session([1, 2, 3])
    for number in (1, 2, 3):
        run.trial(number, {"arch.kernel_size": 2 * number + 1})
    _start_and_finish(run, 1, 0.01)
    run.start(2)
    run.epoch(2, 1, 0.02)
    run.journal.close()
    return run.run


def _write_seeds(run: RunWriter) -> RunDir:
    """Three seeds of one configuration, and one of another."""
    kernels = {1: 3, 2: 3, 3: 3, 4: 5}
    run.session(list(kernels))
    for number, kernel in kernels.items():
        run.trial(number, {"arch.kernel_size": kernel}, seed=number % 4)
        _start_and_finish(run, number, 0.01 + 0.0001 * number)
    return run.close()


def _write_unusual_values(run: RunWriter) -> RunDir:
    """A loss beyond single precision, a trial without the metric of the sweep, infinite values.

    The parameters are tuples and booleans.
    """
    run.session([1, 2, 3, 4])
    for number in (1, 2, 3, 4):
        axes = {"arch.encoder_filters": [8, 16 * number], "arch.batch_norm": number % 2 == 0}
        run.trial(number, axes)
        run.start(number)
    run.epoch(1, 1, 1e300)
    run.epoch(2, 1, 1e-300)
    run.epoch(3, 1, math.inf)
    run.add("epoch", trial=4, epoch=1, metrics={"val_accuracy": 0.9, "seconds": math.nan})
    for number in (1, 2, 3, 4):
        run.end(number, TrialState.FINISHED, best_epoch=1, metrics={"test_loss": math.nan})
    return run.close()


@dataclass(frozen=True)
class RunShape:
    """A kind of synthetic run."""

    write: Callable[[RunWriter], RunDir]
    sweep: dict[str, Any] = field(default_factory=dict)
    """Keys of sweep.json that differ from `SWEEP`."""


KERNEL_AXIS = {"axes": {"arch.kernel_size": AXES["arch.kernel_size"]}}
MIXED_SWEEP = {
    "axes": {"arch.padding": {"values": [3, "same", 0], "scale": "linear"}},
    "scheduler": None,
}
HOSTILE_SWEEP = {
    "title": HOSTILE_TEXT,
    "description": HOSTILE_TEXT,
    "command": HOSTILE_TEXT,
    "host": HOSTILE_TEXT,
    "overrides": {HOSTILE_TEXT: {"full": HOSTILE_TEXT, "here": 1}},
    "axes": {
        "arch.kernel_size": AXES["arch.kernel_size"],
        HOSTILE_TEXT: {"values": None, "scale": "category"},
    },
    "published": [
        {**dict.fromkeys(PUBLISHED[0], HOSTILE_TEXT), "metric": "val_loss", "trials": ""}
    ],
}
UNUSUAL_AXES = {
    "axes": {
        "arch.encoder_filters": {"values": [[8, 16], [8, 32]], "scale": "category"},
        "arch.batch_norm": {},
    }
}

SHAPES: dict[str, RunShape] = {
    "none": RunShape(_write_no_trials),
    "one": RunShape(_write_one_trial, KERNEL_AXIS),
    "two": RunShape(_write_two_trials, {**KERNEL_AXIS, "overrides": {}, "scheduler": None}),
    "thirty": RunShape(_write_thirty_trials, {"published": PUBLISHED}),
    "all_failed": RunShape(_write_failed_trials, KERNEL_AXIS),
    "all_nan": RunShape(_write_nan_losses, KERNEL_AXIS),
    "mixed": RunShape(_write_mixed_settings, MIXED_SWEEP),
    "constant": RunShape(_write_equal_trials),
    "hostile": RunShape(_write_hostile_texts, HOSTILE_SWEEP),
    "running": RunShape(_write_running_sweep, KERNEL_AXIS),
    "seeds": RunShape(
        _write_seeds, {**KERNEL_AXIS, "seeds": 3, "overrides": {}, "published": PUBLISHED}
    ),
    "odd": RunShape(_write_unusual_values, UNUSUAL_AXES),
    "thousand": RunShape(_write_thousand_trials, {"published": PUBLISHED}),
}
"""Every shape of run, by name."""


def write_shape(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """Write the run of `SHAPES` with this name to a subfolder with the same name."""
    shape = SHAPES[name]
    return shape.write(RunWriter(folder / name, monkeypatch, **shape.sweep))
