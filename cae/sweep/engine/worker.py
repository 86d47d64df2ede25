"""The Ray Tune Trainable: one step is one epoch of a trial.

The only connection between Ray and `cae.trial`.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import sys
import time
import traceback
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from typing_extensions import override

from cae.run.events import EpochFinished, TrialEnded
from cae.run.storage import LOG, StorageError, TrialDirectory, is_url
from cae.run.trial_state import TrialState
from cae.sweep.engine.child_processes import close_connections_in_children
from cae.sweep.engine.limits import DISK_ERRORS
from cae.sweep.engine.out_of_memory import is_cpu_out_of_memory, is_gpu_out_of_memory
from cae.sweep.engine.usage import UsageMonitor, describe_usage
from cae.sweep.engine.worker_memory import (
    keep_freed_memory,
    resume_garbage_collection,
    return_freed_memory,
)
from cae.sweep.engine.worker_report import (
    INPUTS,
    REPORT,
    SweepInputs,
    TrialInputs,
    WorkerReport,
)
from cae.sweep.places.devices import UnusableGpu, choose_device
from cae.sweep.places.hosts import unmet_requirement
from cae.sweep.spec.code_snapshot import build_trial
from cae.trial import checkpoint
from cae.trial.batches import DeviceImages
from cae.trial.datasets import Images
from cae.trial.training import Epoch, train


class Worker(tune.Trainable):
    """Trains one trial after another. The runner writes its reports to the journal."""

    @override
    def setup(  # type: ignore[override]  # tune.with_parameters adds the arguments
        self, config: dict[str, Any], inputs: SweepInputs, images: dict[str, Images]
    ) -> None:
        close_connections_in_children()
        self.inputs = inputs
        self.images = images
        torch.set_num_threads(max(1, int(inputs.cpus_per_trial)))
        keep_freed_memory()
        resume_garbage_collection()
        self.unmet_requirement = ""
        self._choose_device()
        self.usage_monitor = UsageMonitor(self.device, inputs.gpus_per_trial)
        self.resident_key = ""
        self.resident_images: DeviceImages | None = None
        self.directories: list[TrialDirectory] = []
        self.epochs = _no_epochs()
        if inputs.requirements is not None:  # this host may have joined after all were checked
            unmet = unmet_requirement(inputs.requirements)
            self.unmet_requirement = self.unmet_requirement or unmet
        self.reset_config(config)

    def _choose_device(self) -> None:
        inputs = self.inputs
        self.device, self.device_name = torch.device("cpu"), "cpu"
        if inputs.simulates_gpus:
            self.device_name = "cpu (simulated GPU)"
            return
        try:
            self.device, self.device_name = choose_device(
                inputs.gpus_per_trial, inputs.gpu_memory_share
            )
        except UnusableGpu as error:
            self.unmet_requirement = f"host {socket.gethostname()} cannot use its GPU: {error}"

    @override
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.number: int = new_config["number"]
        self.trial: TrialInputs = new_config[INPUTS]
        # Release the previous trial's network before the next one is built.
        self.cleanup()
        self._has_printed_steps = False
        return_freed_memory()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.usage_monitor.start_trial()
        return True

    @override
    def cleanup(self) -> None:
        self._end_training()
        for directory in self.directories:
            directory.close()
        self.directories = []

    def _end_training(self) -> None:
        """Write the checkpoints that were postponed: the trial may have been stopped."""
        epochs = self.epochs
        self.epochs = _no_epochs()
        if not self.directories:
            return
        try:
            with self._output_in_log():
                epochs.close()
            self.directories[0].push()
        except (OSError, StorageError) as error:  # these epochs are trained again
            print(f"{self.folder}: the newest epochs are not saved: {error}", file=sys.stderr)

    @override
    def step(self) -> dict[str, Any]:
        """Train the next epoch that the journal does not contain."""
        if self.unmet_requirement:
            return self._result(WorkerReport(abort_reason=self.unmet_requirement))
        try:
            if not self.directories:
                self._open_trial()
            report = self._train_epoch()
            self.directories[0].push()
        except StorageError as error:
            report = WorkerReport(abort_reason=str(error))
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            file = error.filename or self.folder
            reason = f"{file}: {error.strerror} ({socket.gethostname()})"
            report = WorkerReport(abort_reason=reason)
        return self._result(report)

    def _result(self, report: WorkerReport) -> dict[str, Any]:
        """A result of Tune: the report, and what the scheduler judges."""
        is_done = report.end is not None or bool(report.abort_reason)
        result: dict[str, Any] = {REPORT: report, "done": is_done}
        if report.epoch is not None:
            metric = self.inputs.metric
            result["epoch"] = report.epoch.epoch
            result[metric] = report.epoch.metrics.get(metric, math.nan)
        return result

    def _open_trial(self) -> None:
        """Open the trial's folder, with the files that exist, and the folders of its
        dependencies."""
        own = TrialDirectory(self.trial.location, checkpoint.LAST)
        own.pull(checkpoint.LAST, checkpoint.PREVIOUS, checkpoint.BEST, checkpoint.SAMPLES, LOG)
        dependencies: dict[str, TrialDirectory] = {}
        for name, location in self.trial.dependency_locations.items():
            directory = TrialDirectory(location, checkpoint.LAST, write=False)
            directory.pull(checkpoint.BEST)
            dependencies[name] = directory
        self.directories = [own, *dependencies.values()]
        self.folder = own.path
        for partial in self.folder.glob(".*.safetensors.*"):  # of a process killed while writing
            partial.unlink(missing_ok=True)
        self.epochs = self._train(
            {name: directory.path for name, directory in dependencies.items()}
        )

    @contextlib.contextmanager
    def _output_in_log(self) -> Iterator[None]:
        """Append what is printed to the trial's log."""
        log_file = self.folder / LOG
        with (
            log_file.open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            yield

    def _train_epoch(self) -> WorkerReport:
        with self._output_in_log():
            try:
                epoch = next(self.epochs)
            except torch.AcceleratorError:
                raise  # this process has lost its GPU; Ray starts a new one
            except Exception as error:
                if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                    raise
                if is_gpu_out_of_memory(error):
                    return self._failure(TrialState.OUT_OF_MEMORY, "out of memory on the GPU")
                state = TrialState.FAILED
                if is_cpu_out_of_memory(error):
                    state = TrialState.OUT_OF_MEMORY
                return self._failure(state, f"{type(error).__name__}: {error}")
            self._print_epoch(epoch)
            usage = self.usage_monitor.usage()
            if epoch.final is not None:
                print(describe_usage(usage))
        end = None
        if epoch.final is not None:
            end = _trial_end(self.number, epoch)
        if epoch.restart_reason:
            print(f"trained again from epoch {epoch.epoch}: {epoch.restart_reason}")
        return WorkerReport(
            epoch=self._epoch_event(epoch),
            end=end,
            is_restored=epoch.restored,
            restart_reason=epoch.restart_reason,
            usage=usage,
        )

    def _train(self, dependencies: dict[str, Path]) -> Generator[Epoch, None, None]:
        """The epochs that the journal does not contain, and the last one with the trial's end."""
        print(
            f"{time.strftime('%F %T')} trial {self.number} on {socket.gethostname()}, "
            f"{self.device_name}, process {os.getpid()}"
        )
        trial = build_trial(self.trial.config, self.inputs.code, self.inputs.sweep_file)
        epochs = train(
            trial,
            self._load_images(),
            self.folder,
            metric=self.trial.metric,
            mode=self.trial.mode,
            dependencies=dependencies,
            fingerprint=self.trial.fingerprint,
            code=self.trial.code,
            durable=not is_url(self.trial.location),  # a bucket's files are in a temporary folder
            judged_epochs=self.trial.judged_epochs,
            recorded_epochs=self.trial.finished_epochs,
            latent=self.inputs.latent,
        )
        with contextlib.closing(epochs):
            for epoch in epochs:
                is_new = epoch.epoch > self.trial.finished_epochs or not epoch.restored
                if is_new or epoch.final is not None:
                    yield epoch

    def _load_images(self) -> DeviceImages:
        """The trial's images on the device; they stay there for trials with the same data set."""
        key = self.trial.dataset_key
        if self.resident_images is None or self.resident_key != key:
            self.resident_images = None  # both data sets would need memory at the same time
            self.resident_images = DeviceImages.load(self.images[key], self.device)
            self.resident_key = key
        return self.resident_images

    def _epoch_event(self, epoch: Epoch) -> EpochFinished:
        gpu_ids = ",".join(map(str, ray.get_gpu_ids()))
        return EpochFinished(
            trial=self.number,
            epoch=epoch.epoch,
            metrics=dict(epoch.row),
            host=socket.gethostname(),
            device=self.device_name,
            worker=os.getpid(),
            gpu_ids=gpu_ids,
            replayed_steps=epoch.replayed_steps,
            peak_gpu_bytes=self._peak_gpu_bytes(),
        )

    def _peak_gpu_bytes(self) -> int | None:
        """The most memory of the GPU that this process has held since the trial began."""
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_reserved()

    def _failure(self, state: TrialState, reason: str) -> WorkerReport:
        traceback.print_exc()
        self.epochs = _no_epochs()
        error = traceback.format_exc()
        end = TrialEnded(trial=self.number, state=state, reason=reason, error=error)
        return WorkerReport(end=end, usage=self.usage_monitor.usage())

    def _print_epoch(self, epoch: Epoch) -> None:
        source = ""
        if epoch.restored:
            source = ", from the checkpoint"
        metrics = " ".join(f"{name}={value:.6g}" for name, value in epoch.row.items())
        print(f"{time.strftime('%F %T')} epoch {epoch.epoch}{source}: {metrics}")
        if self.device.type == "cuda" and not epoch.restored and not self._has_printed_steps:
            self._has_printed_steps = True
            steps = f"{epoch.replayed_steps} steps were replays of a CUDA graph"
            if epoch.plain_steps_reason:
                steps = f"no CUDA graph: {epoch.plain_steps_reason}"
            print(steps)

    @override
    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to do: every epoch is saved in the trial's own folder."""

    @override
    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to do: `train` finds the newest checkpoint itself."""


def _no_epochs() -> Generator[Epoch, None, None]:
    """The epochs of a trial that is not in training."""
    yield from ()


def _trial_end(number: int, epoch: Epoch) -> TrialEnded:
    train_loss = epoch.row["train_loss"]
    val_loss = epoch.row["val_loss"]
    end = TrialEnded(
        trial=number,
        state=TrialState.FINISHED,
        reason=f"all {epoch.epoch} epochs",
        best_epoch=epoch.best_epoch,
        metrics=dict(epoch.final or {}),
    )
    if math.isfinite(train_loss) and math.isfinite(val_loss):
        end.tables = dict(epoch.tables)
    else:
        end.state = TrialState.DIVERGED
        end.reason = (
            f"epoch {epoch.epoch}: train_loss {train_loss} and val_loss {val_loss} "
            "are not both finite"
        )
    return end
