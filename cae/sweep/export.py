"""Exporting a trial's best weights as a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from cae.errors import UserError
from cae.run.paths import RunDir
from cae.run.ranking import RankedTrial
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.engine.retention import KEPT_STOPPED_TRIALS
from cae.sweep.spec.sweep_file import from_config
from cae.trial import checkpoint, image_statistics
from cae.trial.batches import DeviceImages
from cae.trial.checkpoint import Checkpoint
from cae.trial.config import Trial, fingerprint_of, identity
from cae.trial.datasets import Dataset, Images, load_images
from cae.trial.evaluation import evaluate, evaluation_pairs
from cae.trial.model import save_model
from cae.trial.networks.create import build_network, to_device

TOLERANCE = 1e-6
"""Largest difference of a metric that is evaluated again on the kind of device that trained the
trial: absolute for values below 1, relative above."""
TOLERANCE_ACROSS_DEVICES = 1e-3
"""The same between a CPU and a GPU, whose sums have another order."""


def export(
    run: RunDir, ranked: RankedTrial, folder: Path, data_folders: Sequence[Path]
) -> tuple[int, dict[str, float]]:
    """Write the best weights of a trial as a model, after they were evaluated again.

    Returns their epoch and the re-evaluated metrics on the validation images. Raises UserError, and
    writes nothing, if those differ from the journal, or if weights or images are missing.
    """
    record = ranked.record
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"-o {folder} exists already: choose a new or an empty folder")
    saved = _load_weights(run, record)
    sweep = run.read_sweep()
    trial = from_config(record.config, Path(sweep.path))
    images = _load_images(record, trial, data_folders)
    device = _evaluation_device(record)
    reevaluated = _evaluate_again(trial, saved, images, device)
    journal_metrics = record.epochs.get(saved.epoch) or saved.rows[-1]
    tolerance = TOLERANCE
    if (device.type == "cuda") != _was_trained_on_gpu(record):
        tolerance = TOLERANCE_ACROSS_DEVICES
    _check_metrics(record, reevaluated, journal_metrics, tolerance)
    origin = {
        "sweep": sweep.sweep,
        "budget": sweep.budget,
        "git_commit": sweep.git_commit,
        "versions": sweep.versions,
        "device": sweep.device,
    }
    description = {
        "run": run.name,
        "trial": record.number,
        "hash": record.hash,
        "epoch": saved.epoch,
        "metrics": journal_metrics | record.final_metrics,
        "sizes": record.sizes,
        "re_evaluated": reevaluated,
        "re_evaluated_on": _device_text(device),
        "trained_on": record.starts[-1].device,
        "class_names": list(images.class_names),
        "training_images": image_statistics.measure(images.train.pixels).to_json(),
        "origin": origin,
    }
    save_model(folder, saved.network, trial, description)
    return saved.epoch, reevaluated


def _load_weights(run: RunDir, record: Record) -> Checkpoint:
    run.fetch(checkpoint.BEST, number=record.number)
    try:
        return checkpoint.load(run.trial(record.number) / checkpoint.BEST)
    except FileNotFoundError as error:
        reason = ""
        if record.state == TrialState.STOPPED:
            reason = f"; of stopped trials, the best {KEPT_STOPPED_TRIALS} keep their weights"
        raise UserError(f"trial {record.number}: {error} does not exist{reason}") from None
    except checkpoint.DamagedCheckpoint as error:
        raise UserError(f"trial {record.number}: {error}") from None


def _load_images(record: Record, trial: Trial, data_folders: Sequence[Path]) -> Images:
    """The trial's images. Raises UserError if they are not those that it was trained on."""
    images = load_images(trial.dataset, data_folders)

    def fingerprint(dataset: Dataset) -> str:
        if dataset == trial.dataset:
            return images.fingerprint
        return load_images(dataset, data_folders).fingerprint

    trial_hash = identity(record.config, fingerprint_of(trial, fingerprint), trial.code())
    if trial_hash != record.hash:
        raise UserError(
            f"the images of {trial.dataset.name} differ from those that trial {record.number} was "
            "trained on"
        )
    return images


def _was_trained_on_gpu(record: Record) -> bool:
    """Whether the last epochs of a trial were trained on a GPU.

    Runs of earlier versions have devices such as "cpu (1 GPU was asked for, but torch finds none)".
    """
    device = record.starts[-1].device
    return bool(device) and not device.startswith("cpu")


def _evaluation_device(record: Record) -> torch.device:
    """The kind of device that trained the trial, if this machine has it; otherwise the CPU."""
    if _was_trained_on_gpu(record) and torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def _device_text(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return device.type


def _evaluate_again(
    trial: Trial, saved: Checkpoint, images: Images, device: torch.device
) -> dict[str, float]:
    """Metrics on the validation images."""
    network = to_device(build_network(trial), device)
    network.load_state_dict(saved.network)
    pairs = evaluation_pairs(trial.task, DeviceImages.load(images, device).val, "val")
    metrics = evaluate(network, pairs)
    return {f"val_{name}": value for name, value in metrics.items()}


def _check_metrics(
    record: Record,
    reevaluated: Mapping[str, float],
    journal_metrics: Mapping[str, float],
    tolerance: float,
) -> None:
    for name, value in reevaluated.items():
        expected = journal_metrics[name]
        if not abs(value - expected) <= tolerance * max(1.0, abs(expected)):
            raise UserError(
                f"trial {record.number}: its weights give {name} {value!r}, "
                f"but the journal contains {expected!r}"
            )
