"""Exporting a trial's best weights as a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from cae.errors import UserError
from cae.run.paths import RunDir
from cae.run.ranking import RankedTrial
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription
from cae.run.trial_state import TrialState
from cae.sweep.engine.retention import KEPT_STOPPED_TRIALS
from cae.sweep.spec.sweep_file import load_components, unregistered_components
from cae.trial import checkpoint, image_statistics
from cae.trial.batches import DeviceImages, images_for, training_split
from cae.trial.checkpoint import Checkpoint, Owner
from cae.trial.config import Trial, fingerprint_of, from_flat, identity
from cae.trial.datasets import Dataset, Images, load_images
from cae.trial.datasets.errors import DatasetMissing
from cae.trial.evaluation import evaluate, evaluation_pairs
from cae.trial.model import how_to_load, save_model
from cae.trial.networks.create import build_network_like, to_device
from cae.trial.pixel_format import PixelFormat
from cae.trial.user_code import digest

TOLERANCE = 1e-6
"""Largest difference of a metric that is evaluated again on the kind of device that trained the
trial: absolute for values below 1, relative above."""
TOLERANCE_ACROSS_DEVICES = 1e-3
"""The same between a CPU and a GPU, whose sums have another order."""


NO_VERIFY = "--no-verify exports the weights without evaluating them again"


class Exported(NamedTuple):
    """A model that was written."""

    epoch: int
    """The epoch of its weights."""
    reevaluated: dict[str, float]
    """Metrics on the validation images; empty if it was not evaluated again."""
    how_to_load: str
    """A line of Python that loads it."""


def export(
    run: RunDir,
    ranked: RankedTrial,
    folder: Path,
    data_folders: Sequence[Path],
    *,
    sweep_file: Path | None = None,
    verify: bool = True,
) -> Exported:
    """Write the best weights of a trial as a model, after they were evaluated again.

    Raises UserError, and
    writes nothing, if those differ from the journal, or if weights or images are missing.

    Args:
        run: The run. Its own copy of the user's code is never executed.
        ranked: The trial.
        folder: Where to write the model.
        data_folders: Where to look for the images.
        sweep_file: A trusted file, which is executed: it defines the trial's own components.
        verify: Whether to evaluate the weights; without it the metrics are empty.
    """
    record = ranked.record
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"-o {folder} exists already: choose a new or an empty folder")
    saved = _load_weights(run, record)
    sweep = run.read_sweep()
    journal_metrics = record.epochs.get(saved.epoch) or saved.rows[-1]
    evaluation: dict[str, object] = {"re_evaluated": None, "pixels": record.pixels}
    reevaluated: dict[str, float] = {}
    if verify:
        trial = _build_trial(run, record, sweep, sweep_file)
        beside = _sweep_folders(run, sweep, sweep_file)
        images = _load_images(run, record, trial, data_folders, beside, sweep_file)
        device = _evaluation_device(record)
        reevaluated = _evaluate_again(trial, saved, images, device)
        tolerance = TOLERANCE
        if (device.type == "cuda") != _was_trained_on_gpu(record):
            tolerance = TOLERANCE_ACROSS_DEVICES
        _check_metrics(record, reevaluated, journal_metrics, tolerance)
        evaluation = {
            "re_evaluated": reevaluated,
            "re_evaluated_on": _device_text(device),
            "class_names": list(images.class_names),
            "pixels": PixelFormat.of(images).to_json(),
            "training_images": image_statistics.measure(
                training_split(trial.task, images).pixels, images.value_range
            ).to_json(),
        }
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
        "metrics": journal_metrics | record.final_metrics_of(saved.epoch),
        "sizes": record.sizes,
        **evaluation,
        "code": record.code,
        "trained_on": record.starts[-1].device,
        "origin": origin,
    }
    components_file = ""
    if record.code or unregistered_components(record.config):
        components_file = str(sweep_file or sweep.path or sweep.file)
    save_model(folder, saved.network, record.config, description, components_file)
    return Exported(saved.epoch, reevaluated, how_to_load(str(folder), components_file))


def _load_weights(run: RunDir, record: Record) -> Checkpoint:
    run.fetch(checkpoint.BEST, number=record.number)
    try:
        owner = Owner(record.config, record.fingerprint, record.code)
        return checkpoint.load_own(run.trial_file(record.number, checkpoint.BEST), owner)
    except FileNotFoundError:
        reason = "run the sweep with --retry lost-weights to train it again"
        if not record.state.is_final:
            reason = "the trial has not ended; large networks are not written after each epoch"
        elif record.state == TrialState.STOPPED:
            reason = f"of stopped trials, the best {KEPT_STOPPED_TRIALS} keep their weights"
        path = run.trial(record.number) / checkpoint.BEST
        raise UserError(
            f"trial {record.number}: its best weights, {path}, do not exist (any more); {reason}"
        ) from None
    except (checkpoint.DamagedCheckpoint, checkpoint.ForeignCheckpoint) as error:
        raise UserError(f"trial {record.number}: {error}") from None


def _build_trial(
    run: RunDir, record: Record, sweep: SweepDescription, sweep_file: Path | None
) -> Trial:
    """The trial of a record. Raises UserError if its components are not defined, or not as they
    were when it was trained."""
    unknown = unregistered_components(record.config)
    if unknown and sweep_file is None:
        raise UserError(
            f"trial {record.number}: {', '.join(unknown)} is not built in, and the code that a run "
            "names is never executed by itself: add --sweep FILE with a file that you trust "
            f"({_code_hint(run, record, sweep)}), or {NO_VERIFY}"
        )
    if sweep_file is None:
        return from_flat(record.config)
    try:
        load_components(sweep_file)
        return from_flat(record.config)
    except UserError as error:
        raise UserError(
            f"trial {record.number}: --sweep {sweep_file} does not define its components: {error}; "
            f"{_code_hint(run, record, sweep)}; {NO_VERIFY}"
        ) from None


def _code_hint(run: RunDir, record: Record, sweep: SweepDescription) -> str:
    """Where the code of a trial is."""
    hint = f"the run was made with {sweep.path or sweep.file}"
    if record.code_snapshot:
        copy = run.code / record.code_snapshot / Path(sweep.file).name
        hint += f"; the code that trained the trial is in {copy}"
    return hint


def _sweep_folders(run: RunDir, sweep: SweepDescription, sweep_file: Path | None) -> list[Path]:
    """The folders to which relative paths in the sweep file may belong, also after the run was
    moved with it."""
    folders: list[Path] = []
    if sweep_file is not None:
        folders.append(sweep_file.resolve().parent)
    if sweep.relative_path:
        folders.append((run.path / sweep.relative_path).resolve().parent)
    if sweep.path:
        folders.append(Path(sweep.path).parent)
        if sweep.path.endswith(f"/{sweep.file}"):  # the current folder of the command
            folders.append(Path(sweep.path.removesuffix(sweep.file)))
    return list(dict.fromkeys(folders))


def _load_images(
    run: RunDir,
    record: Record,
    trial: Trial,
    data_folders: Sequence[Path],
    beside: Sequence[Path],
    sweep_file: Path | None,
) -> Images:
    """The trial's images.

    Raises UserError if they, or the code, are not those with which it was trained.
    """
    try:
        images = load_images(trial.dataset, data_folders, beside)
    except DatasetMissing as error:
        raise UserError(
            f"trial {record.number}: its images are gone: {error}; {NO_VERIFY}"
        ) from None
    except (UserError, ValueError) as error:
        raise UserError(f"{error}; {NO_VERIFY}") from None

    def fingerprint(dataset: Dataset) -> str:
        if dataset == trial.dataset:
            return images.fingerprint
        return load_images(dataset, data_folders, beside).fingerprint

    fingerprints = fingerprint_of(trial, fingerprint)
    hashes = {identity(record.config, fingerprints, trial.code())}
    if not record.code:  # of a version that did not include what the components use
        hashes.add(identity(record.config, fingerprints, trial.class_sources()))
    if record.hash in hashes:
        return images
    has_other_code = bool(record.code) and record.code != digest(trial.code())
    code_difference = "the source code of its components differs"
    if sweep_file is not None:
        code_difference = f"the source code of its components in {sweep_file} differs"
    code_hint = _code_hint(run, record, run.read_sweep())
    if record.fingerprint == fingerprints and has_other_code:
        raise UserError(
            f"trial {record.number}: {code_difference} from that with which it was trained: add "
            f"--sweep FILE with the code of then ({code_hint}), or {NO_VERIFY}"
        )
    difference = f"the images of {trial.dataset.name} differ from those"
    if not record.fingerprint and trial.own_components():
        difference = f"the images of {trial.dataset.name} or the source code differ from those"
    message = f"{difference} that trial {record.number} was trained on"
    if record.fingerprint and has_other_code:
        message += f", and {code_difference}, too ({code_hint})"
    raise UserError(f"{message}; {NO_VERIFY}")


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
    try:
        network = to_device(build_network_like(trial, saved.network), device)
    except ValueError as error:
        raise UserError(f"the checkpoint does not fit the trial: {error}") from None
    on_device = images_for(trial.task, DeviceImages.load(images, device))
    pairs = evaluation_pairs(trial.task, on_device.val, "val")
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
                f"but the journal contains {expected!r}; {NO_VERIFY}"
            )
