"""The Ray Trainable: one step is one epoch of a trial. The whole bridge between Ray and `cae.trial`.

A worker is an actor that lives through many trials: starting one costs seconds, resetting it a few milliseconds.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae.sweep.engine.worker_memory import give_back, keep_freed, settle  # isort: skip  # before all that takes long to import
import ray
import torch
from ray import tune

from cae.run.storage import LOG, Home, StorageError
from cae.sweep.engine.limits import FULL
from cae.sweep.places.devices import choose_device
from cae.sweep.places.hosts import Demands, unfit
from cae.sweep.spec.sweep_file import from_config
from cae.trial import checkpoint
from cae.trial.batches import Resident
from cae.trial.config import Trial
from cae.trial.datasets.base import Images
from cae.trial.training import Epoch, train


@dataclass(frozen=True)
class Job:
    """What all workers of a sweep are given, once per node."""

    places: dict[int, str]
    """Where each trial's folder is, by number: a path or an address."""
    configs: dict[int, dict[str, Any]]
    """Each trial's flat configuration."""
    done: dict[int, int]
    """Epochs that the journal already holds."""
    dataset_keys: dict[int, str]
    dependencies: dict[int, dict[str, str]]
    """Where the folders of the trials are that each one needs, by the task's parameter."""
    sweep_file: Path
    rules: dict[int, tuple[str, str]]
    """By which metric each trial's epochs are ranked, and its mode."""
    metric: str
    """The sweep's, by which its scheduler judges."""
    cpus: float
    gpus: float
    demands: Demands | None = None
    """What a host of a cluster must have; None on one machine."""


class Worker(tune.Trainable):
    """Trains one trial after another; its results are told to the journal by the runner."""

    def setup(self, config: dict[str, Any], job: Job, images: dict[str, Images]) -> None:  # type: ignore[override]  # by tune.with_parameters
        self.job, self.images = job, images
        torch.set_num_threads(max(1, int(job.cpus)))
        keep_freed()
        settle()
        self.device, self.device_name = choose_device(job.gpus)
        self.resident: tuple[str, Resident] | None = None
        self.homes: list[Home] = []
        self.unfit = (
            unfit(job.demands) if job.demands else ""
        )  # this host may have joined after all were checked
        self.reset_config(config)

    def reset_config(self, config: dict[str, Any]) -> bool:
        self.number: int = config["number"]
        self.epochs: Iterator[Epoch] = iter(
            ()
        )  # lets go of the last trial's network before the next one is made
        self.cleanup()
        give_back()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return True

    def cleanup(self) -> None:
        for home in self.homes:
            home.leave()
        self.homes = []

    def step(self) -> dict[str, Any]:
        """The next epoch that the journal does not hold; with `done` and `end` when it was the last one."""
        place: dict[str, Any] = {
            "host": socket.gethostname(),
            "device": self.device_name,
            "worker": os.getpid(),
        }
        if gpus := ray.get_gpu_ids():
            place["gpu_ids"] = ",".join(map(str, gpus))
        if self.unfit:
            return place | {"done": True, "halt": self.unfit}
        try:
            if not self.homes:
                self._enter()
            result = self._step(place)
            self.homes[0].push()
        except StorageError as error:
            return place | {"done": True, "halt": str(error)}
        except OSError as error:
            if error.errno not in FULL:
                raise
            return place | {
                "done": True,
                "halt": f"{error.filename or self.folder}: {error.strerror} ({place['host']})",
            }
        return result

    def _enter(self) -> None:
        """Takes the trial up: its folder with what is in it already, and those of the trials that it needs."""
        home = Home(self.job.places[self.number], checkpoint.LAST)
        home.pull(checkpoint.LAST, checkpoint.PREVIOUS, checkpoint.BEST, LOG)
        needed = {
            name: Home(place, checkpoint.LAST, write=False)
            for name, place in self.job.dependencies[self.number].items()
        }
        for one in needed.values():
            one.pull(checkpoint.BEST)
        self.homes, self.folder = [home, *needed.values()], home.path
        for torn in self.folder.glob(
            ".*.safetensors.*"
        ):  # left by a process that was killed while it wrote
            torn.unlink(missing_ok=True)
        self.epochs = self._train({name: one.path for name, one in needed.items()})

    def _step(self, place: dict[str, Any]) -> dict[str, Any]:
        with (
            (self.folder / LOG).open("a", buffering=1) as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            try:
                epoch = next(self.epochs)
            except torch.OutOfMemoryError:
                return place | {
                    "done": True,
                    "end": self._failure("oom", "out of memory on the GPU"),
                }
            except Exception as error:
                if isinstance(error, OSError) and error.errno in FULL:
                    raise
                if isinstance(error, torch.AcceleratorError):
                    raise  # the process has lost its GPU: only a new one can go on, and Ray starts it
                oom = "can't allocate memory" in str(error) or isinstance(error, MemoryError)
                return place | {
                    "done": True,
                    "end": self._failure(
                        "oom" if oom else "failed", f"{type(error).__name__}: {error}"
                    ),
                }
            source = ", from the checkpoint" if epoch.restored else ""
            print(
                f"{time.strftime('%F %T')} epoch {epoch.epoch}{source}: "
                + " ".join(f"{name}={value:.6g}" for name, value in epoch.row.items())
            )
        judged = {"epoch": epoch.epoch, self.job.metric: epoch.row.get(self.job.metric, math.nan)}
        result = place | judged | {"row": epoch.row, "done": epoch.final is not None}
        if epoch.final is not None:
            result["end"] = _ending(epoch)
        return result

    def _train(self, dependencies: dict[str, Path]) -> Iterator[Epoch]:
        print(
            f"{time.strftime('%F %T')} trial {self.number} on {socket.gethostname()}, {self.device_name}, process {os.getpid()}"
        )
        config = self._config()
        metric, mode = self.job.rules[self.number]
        epochs = train(
            config, self._images(), self.folder, metric=metric, mode=mode, dependencies=dependencies
        )
        done = self.job.done[self.number]
        for epoch in epochs:
            if (
                epoch.epoch > done or not epoch.restored or epoch.final is not None
            ):  # the journal has the others
                yield epoch

    def _config(self) -> Trial:
        return from_config(self.job.configs[self.number], self.job.sweep_file)

    def _images(self) -> Resident:
        key = self.job.dataset_keys[self.number]
        if not self.resident or self.resident[0] != key:
            self.resident = (key, Resident.of(self.images[key], self.device))
        return self.resident[1]

    def _failure(self, state: str, reason: str) -> dict[str, Any]:
        traceback.print_exc()
        self.epochs = iter(())
        return {"state": state, "reason": reason, "error": traceback.format_exc()}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: every epoch is already in the trial's own folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: `train` finds the newest checkpoint itself."""


def _ending(epoch: Epoch) -> dict[str, Any]:
    losses = epoch.row["train_loss"], epoch.row["val_loss"]
    if not all(map(math.isfinite, losses)):
        reason = f"epoch {epoch.epoch}: train_loss {losses[0]} and val_loss {losses[1]} are not both finite"
        return {
            "state": "diverged",
            "reason": reason,
            "best_epoch": epoch.best_epoch,
            "metrics": epoch.final,
        }
    found = {"best_epoch": epoch.best_epoch, "metrics": epoch.final, "tables": dict(epoch.tables)}
    return {"state": "finished", "reason": f"all {epoch.epoch} epochs", **found}
