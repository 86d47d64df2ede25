"""How the best trial of a run becomes an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from cae.errors import UserError
from cae.run.paths import RunDir
from cae.run.ranking import Ranked
from cae.sweep.engine.retention import KEPT_STOPPED_TRIALS
from cae.sweep.spec.sweep_file import from_config
from cae.trial import checkpoint
from cae.trial.batches import Resident
from cae.trial.config import fingerprint_of, identity
from cae.trial.datasets.base import Dataset
from cae.trial.evaluation import measure, pairs_of
from cae.trial.model import save_model
from cae.trial.networks.create import build

TOLERANCE = 1e-6
"""How far a re-evaluated metric may be from the journal's, absolutely for values below 1 and relatively above."""


def export(
    run: RunDir, ranked: Ranked, folder: Path, data_folders: Sequence[Path]
) -> tuple[int, dict[str, float]]:
    """Writes a trial's best weights as a model, once they have given the journal's own numbers again on the validation
    images. Returns their epoch and those numbers. Raises UserError, and writes nothing, where they do not or cannot be had."""
    record = ranked.record
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"-o {folder} is there already: choose a folder that is new or empty")
    run.fetch(checkpoint.BEST, number=record.number)
    try:
        saved = checkpoint.load(run.trial(record.number) / checkpoint.BEST)
    except FileNotFoundError as error:
        why = (
            f"; of stopped trials, the best {KEPT_STOPPED_TRIALS} keep their weights"
            if record.state == "stopped"
            else ""
        )
        raise UserError(f"trial {record.number}: {error} is gone{why}") from None
    except checkpoint.DamagedCheckpoint as error:
        raise UserError(f"trial {record.number}: {error}") from None
    sweep = run.read_sweep()
    trial = from_config(record.config, Path(sweep.path))
    try:
        images = trial.dataset.load(data_folders)
    except ValueError as error:
        raise UserError(str(error)) from None

    def known(dataset: Dataset) -> str:
        return (images if dataset == trial.dataset else dataset.load(data_folders)).fingerprint

    if identity(record.config, fingerprint_of(trial, known), trial.code()) != record.hash:
        raise UserError(
            f"the images of {trial.dataset.name} are not the ones that trial {record.number} was trained on"
        )
    device = torch.device(
        "cuda"
        if torch.cuda.is_available() and (record.starts[-1].device or "cpu") != "cpu"
        else "cpu"
    )
    network = build(trial).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.load_state_dict(saved.network)
    measured = measure(network, pairs_of(trial.task, Resident.of(images, device).val, "val"))
    again = {f"val_{name}": value for name, value in measured.items()}
    written = record.epochs.get(saved.epoch) or saved.rows[-1]
    for name, value in again.items():
        if not abs(value - written[name]) <= TOLERANCE * max(1.0, abs(written[name])):
            raise UserError(
                f"trial {record.number}: its weights give {name} {value!r}, but the journal says {written[name]!r}"
            )
    origin = {
        key: getattr(sweep, key) for key in ("sweep", "budget", "git_commit", "versions", "device")
    }
    end = record.final_metrics
    said = {
        "run": run.name,
        "trial": record.number,
        "hash": record.hash,
        "epoch": saved.epoch,
        "metrics": written | end,
    }
    save_model(
        folder,
        saved.network,
        trial,
        said | {"sizes": record.sizes, "re_evaluated": again, "origin": origin},
    )
    return saved.epoch, again
