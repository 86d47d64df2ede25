"""Exporting a trial's best weights as a model."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from cae.errors import UserError
from cae.files import write_whole
from cae.run.paths import RunDir
from cae.run.ranking import RankedTrial
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription
from cae.sweep.model_card import CardFacts, metrics_over_seeds, model_card, unfinished_seeds
from cae.sweep.network_files import (
    FileFormat,
    NetworkFiles,
    check_packages,
    write_network_files,
)
from cae.sweep.spec.packaged_sweeps import locate_sweep
from cae.sweep.spec.sweep_file import load_components, unregistered_components
from cae.sweep.trial_weights import code_hint, describe_trial, journal_row, load_weights
from cae.trial import image_statistics
from cae.trial.batches import DeviceImages, images_for, training_split
from cae.trial.checkpoint import Checkpoint
from cae.trial.config import Trial, from_flat
from cae.trial.datasets import Dataset, Images, load_images
from cae.trial.datasets.errors import DatasetMissing
from cae.trial.evaluation import evaluate, evaluation_pairs
from cae.trial.identity import fingerprint_of, identity
from cae.trial.model import how_to_load, save_model
from cae.trial.networks.create import build_network_like, to_device
from cae.trial.pixel_format import PixelFormat
from cae.trial.user_code import DIGEST_LENGTH, digest

TOLERANCE = 1e-6
"""Largest difference of a metric that is evaluated again on the kind of device that trained the
trial: absolute for values below 1, relative above."""
TOLERANCE_ACROSS_DEVICES = 1e-3
"""The same between a CPU and a GPU, whose sums have another order."""


CARD = "README.md"
CODE = "code"
"""Folder in that of a model with the code of its components."""
SNAPSHOT_NAME = re.compile(f"[0-9a-f]{{{DIGEST_LENGTH}}}")
MAX_CODE_BYTES = 2**24
NO_VERIFY = "--no-verify exports the weights without evaluating them again"


class Exported(NamedTuple):
    """A model that was written."""

    epoch: int
    """The epoch of its weights."""
    reevaluated: dict[str, float]
    """Metrics on the validation images; empty if it was not evaluated again."""
    how_to_load: str
    """A line of Python that loads it."""
    notes: list[str]
    """What a user has to know: files of other formats, the copy of the code."""


def export(
    run: RunDir,
    ranked: RankedTrial,
    folder: Path,
    data_folders: Sequence[Path],
    *,
    sweep_file: Path | None = None,
    verify: bool = True,
    file_format: FileFormat | None = None,
    verdicts: Sequence[str] = (),
) -> Exported:
    """Write the best weights of a trial as a model, after they were evaluated again.

    The folder also gets a model card, a copy of the code of own components, and with `file_format`
    the network in this format. Raises UserError, and writes nothing, if weights or images are
    missing, if the metrics differ from the journal, or if a file of the format gives other outputs
    than the network.

    Args:
        run: The run. Its own copy of the user's code is never executed.
        ranked: The trial.
        folder: Where to write the model.
        data_folders: Where to look for the images.
        sweep_file: A trusted file, which is executed: it defines the trial's own components.
        verify: Whether to evaluate the weights; without it the metrics are empty.
        file_format: Also write the network as onnx or torch (see network_files.py).
        verdicts: Paragraphs of the model card about the claims and published numbers of the sweep.
    """
    record = ranked.record
    if file_format is not None:
        check_packages(file_format)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"-o {folder} exists already: choose a new or an empty folder")
    saved = load_weights(run, record)
    sweep = run.read_sweep()
    evaluation: dict[str, object] = {"re_evaluated": None}
    reevaluated: dict[str, float] = {}
    if verify:
        evaluation = _verify(run, record, saved, data_folders, sweep_file)
        reevaluated = dict(evaluation["re_evaluated"])  # type: ignore[call-overload]
    description = describe_trial(run, record, saved, sweep) | evaluation
    components_file = ""
    if record.code or unregistered_components(record.config):
        components_file = str(sweep_file or sweep.path or sweep.file)
    code = code_files(run, record)
    with tempfile.TemporaryDirectory() as scratch:
        files = NetworkFiles([], [])
        if file_format is not None:
            trial = _build_trial(run, record, sweep, sweep_file)
            network = build_network_like(trial, saved.network).eval()
            shape = trial.task.input_shape(trial.dataset.image_shape)
            files = write_network_files(network, shape, file_format, Path(scratch))
        for path in files.paths:
            write_whole(folder / path.name, path.read_bytes())
    for name, content in code.items():
        write_whole(folder / CODE / name, content)
    records = list(run.records().values())
    facts = CardFacts(
        how_to_load=how_to_load("FOLDER", _code_copy(code, sweep)),
        files=[path.name for path in files.paths],
        notes=files.notes,
        seeds=metrics_over_seeds(record, records, sweep.metric, sweep.mode),
        unfinished_seeds=unfinished_seeds(record, records),
        code_file=_code_copy(code, sweep),
        verdicts=verdicts,
    )
    card = model_card(description, record, sweep, facts)
    write_whole(folder / CARD, card)
    save_model(folder, saved.network, record.config, description, components_file)
    notes = _notes(folder, files, facts)
    return Exported(saved.epoch, reevaluated, how_to_load(str(folder), components_file), notes)


def _verify(
    run: RunDir,
    record: Record,
    saved: Checkpoint,
    data_folders: Sequence[Path],
    sweep_file: Path | None,
) -> dict[str, object]:
    """Evaluate the weights again; what `model.json` has about it, and about the images.

    Raises UserError if a metric differs from the journal.
    """
    sweep = run.read_sweep()
    trial = _build_trial(run, record, sweep, sweep_file)
    beside = _sweep_folders(run, sweep, sweep_file)
    images = _load_images(run, record, trial, data_folders, beside, sweep_file)
    device = _evaluation_device(record)
    reevaluated = _evaluate_again(trial, saved, images, device)
    tolerance = TOLERANCE
    if (device.type == "cuda") != _was_trained_on_gpu(record):
        tolerance = TOLERANCE_ACROSS_DEVICES
    _check_metrics(record, reevaluated, journal_row(record, saved), tolerance)
    trained_on = training_split(trial.task, images).pixels
    training = image_statistics.measure(trained_on, images.value_range)
    return {
        "re_evaluated": reevaluated,
        "re_evaluated_on": _device_text(device),
        "class_names": list(images.class_names),
        "pixels": PixelFormat.of(images).to_json(),
        "training_images": training.to_json(),
    }


def code_files(run: RunDir, record: Record) -> dict[str, bytes]:
    """The files of the code that trained a trial with components of a sweep file, by name.

    They are read from the run's copy, and never executed. A run of somebody else's may name any
    folder, or contain links: nothing outside of the run's folder is copied. Empty for a run in a
    bucket, whose copy is there.
    """
    if not record.code or not SNAPSHOT_NAME.fullmatch(record.code_snapshot):
        return {}
    snapshot = run.code / record.code_snapshot
    inside = run.path.resolve() / snapshot.relative_to(run.path)
    files: dict[str, bytes] = {}
    for path in sorted(snapshot.rglob("*.py")):
        name = path.relative_to(snapshot)
        if path.resolve() != inside / name or not path.is_file():
            continue
        if path.stat().st_size <= MAX_CODE_BYTES:
            files[str(name)] = path.read_bytes()
    return files


def _code_copy(code: Mapping[str, bytes], sweep: SweepDescription) -> str:
    """The path of the copied sweep file in the model's folder; empty if nothing was copied."""
    name = sweep.file_name
    if name not in code:
        return ""
    return f"{CODE}/{name}"


def _notes(folder: Path, files: NetworkFiles, facts: CardFacts) -> list[str]:
    notes: list[str] = []
    if files.paths:
        names = ", ".join(path.name for path in files.paths)
        notes.append(f"{names}: checked against the network with another batch size")
    notes += files.notes
    if facts.code_file:
        notes.append(
            f"the code of its components is in {folder / facts.code_file}; loading the model never "
            f"executes it: cae.load_components({str(folder / facts.code_file)!r})"
        )
    return notes


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
            f"({code_hint(run, record, sweep)}), or {NO_VERIFY}"
        )
    if sweep_file is None:
        return from_flat(record.config)
    try:
        load_components(sweep_file)
        return from_flat(record.config)
    except UserError as error:
        raise UserError(
            f"trial {record.number}: --sweep {sweep_file} does not define its components: {error}; "
            f"{code_hint(run, record, sweep)}; {NO_VERIFY}"
        ) from None


def _sweep_folders(run: RunDir, sweep: SweepDescription, sweep_file: Path | None) -> list[Path]:
    """The folders to which relative paths in the sweep file may belong, also after the run was
    moved with it."""
    folders: list[Path] = []
    if sweep_file is not None:
        folders.append(locate_sweep(sweep_file).resolve().parent)
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
    where = code_hint(run, record, run.read_sweep())
    if record.fingerprint == fingerprints and has_other_code:
        raise UserError(
            f"trial {record.number}: {code_difference} from that with which it was trained: add "
            f"--sweep FILE with the code of then ({where}), or {NO_VERIFY}"
        )
    difference = f"the images of {trial.dataset.name} differ from those"
    if not record.fingerprint and trial.own_components():
        difference = f"the images of {trial.dataset.name} or the source code differ from those"
    message = f"{difference} that trial {record.number} was trained on"
    if record.fingerprint and has_other_code:
        message += f", and {code_difference}, too ({where})"
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
    """Raise UserError if a metric differs from the journal.

    Metrics that the journal lacks were added by a later version. A metric of the user's may be NaN
    or infinite, in the journal and now.
    """
    for name, value in reevaluated.items():
        expected = journal_metrics.get(name, value)
        if not _is_close(value, expected, tolerance):
            raise UserError(
                f"trial {record.number}: its weights give {name} {value!r}, "
                f"but the journal contains {expected!r}; {NO_VERIFY}"
            )


def _is_close(value: float, expected: float, tolerance: float) -> bool:
    if math.isfinite(value) and math.isfinite(expected):
        return abs(value - expected) <= tolerance * max(1.0, abs(expected))
    return value == expected or (math.isnan(value) and math.isnan(expected))
