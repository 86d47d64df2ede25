"""The best weights of a trial of a run: loading them, and what describes them."""

from __future__ import annotations

import warnings

from cae.errors import UserError
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription
from cae.sweep.engine.retention import KEPT_STOPPED_TRIALS
from cae.sweep.spec.sweep_file import unregistered_components
from cae.trial import checkpoint
from cae.trial.checkpoint import Checkpoint, Owner
from cae.trial.config import from_flat
from cae.trial.model import OTHER_CODE, Model
from cae.trial.networks.create import build_network_like


def load_trial(run: RunDir, number: int) -> Model:
    """Return the best weights of a trial as a model, on the CPU.

    No code of the run is executed, and no image is read. Warns if the trial's own components are
    not defined as they were when it was trained.

    Raises UserError if there is no such trial, if its weights were pruned, are lost or not written
    yet, or if its components are not defined.
    """
    records = run.records()
    record = records.get(number)
    if record is None:
        numbers = ", ".join(map(str, list(records)[:20])) or "none"
        raise UserError(f"trial = {number}: the run has no such trial; it has {numbers}")
    sweep = run.read_sweep()
    unknown = unregistered_components(record.config)
    if unknown:
        raise UserError(
            f"trial {number}: {', '.join(unknown)} is not built in, and the code that a run names "
            "is never executed by itself: call cae.load_components(FILE) before, with a file that "
            f"you trust ({code_hint(run, record, sweep)})"
        )
    saved = load_weights(run, record)
    trial = from_flat(record.config)
    try:
        network = build_network_like(trial, saved.network)
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"trial {number}: its weights do not fit the network: {error}; "
            f"{code_hint(run, record, sweep)}"
        ) from None
    model = Model(network.eval(), trial, describe_trial(run, record, saved, sweep))
    if model.has_other_code:
        hint = code_hint(run, record, sweep)
        warnings.warn(f"trial {number}: {OTHER_CODE} ({hint})", stacklevel=3)
    return model


def journal_row(record: Record, saved: Checkpoint) -> dict[str, float]:
    """Return the metrics of the epoch of a checkpoint, in the journal or in the checkpoint."""
    return record.epochs.get(saved.epoch) or saved.rows[-1]


def describe_trial(
    run: RunDir, record: Record, saved: Checkpoint, sweep: SweepDescription
) -> dict[str, object]:
    """Return what `model.json` has about a trial."""
    return {
        "run": run.name,
        "trial": record.number,
        "hash": record.hash,
        "epoch": saved.epoch,
        "metrics": journal_row(record, saved) | record.final_metrics_of(saved.epoch),
        "sizes": record.sizes,
        "pixels": record.pixels,
        "code": record.code,
        "trained_on": record.starts[-1].device,
        "origin": {
            "sweep": sweep.sweep,
            "budget": sweep.budget,
            "git_commit": sweep.git_commit,
            "versions": sweep.versions,
            "device": sweep.device,
        },
    }


def load_weights(run: RunDir, record: Record) -> Checkpoint:
    """Return the best weights of a trial. Raises UserError if they are lost, pruned or damaged."""
    run.fetch(checkpoint.BEST, number=record.number)
    try:
        owner = Owner(record.config, record.fingerprint, record.code)
        return checkpoint.load_own(run.trial_file(record.number, checkpoint.BEST), owner)
    except FileNotFoundError:
        reason = "run the sweep with --retry lost-weights to train it again"
        if not record.state.is_final:
            reason = "the trial has not ended; large networks are not written after each epoch"
        elif record.is_cut_short:
            kept = f"the best {KEPT_STOPPED_TRIALS} keep their weights"
            reason = f"of trials that were stopped for their values, {kept}"
        path = run.trial(record.number) / checkpoint.BEST
        raise UserError(
            f"trial {record.number}: its best weights, {path}, do not exist (any more); {reason}"
        ) from None
    except (checkpoint.DamagedCheckpoint, checkpoint.ForeignCheckpoint) as error:
        raise UserError(f"trial {record.number}: {error}") from None


def code_hint(run: RunDir, record: Record, sweep: SweepDescription) -> str:
    """Where the code of a trial is."""
    hint = f"the run was made with {sweep.path or sweep.file}"
    if record.code_snapshot:
        copy = run.code / record.code_snapshot / sweep.file_name
        hint += f"; the code that trained the trial is in {copy}"
    return hint
