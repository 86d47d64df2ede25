"""The training loop of one trial.

`train` yields once per epoch. It can be interrupted at any time, and resumes after the last epoch
that it yielded.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from cae.files import SyncSchedule
from cae.trial import checkpoint, torch_compat
from cae.trial.batches import DeviceImages, derive_seed, generator
from cae.trial.checkpoint import Checkpoint, Owner, copy_to_cpu, copy_weights
from cae.trial.checkpoint_writer import (
    MAX_UNSAVED_SECONDS,
    BestEpoch,
    CheckpointWriter,
    is_large,
)
from cae.trial.config import Trial
from cae.trial.evaluation import (
    best_of,
    better_epoch,
    conclude,
    evaluate,
    has_finite_losses,
)
from cae.trial.latent.final import measure_epoch, measure_latent
from cae.trial.latent_samples import remove_other_latent_samples, save_latent_samples
from cae.trial.schedules import lr_with_warmup
from cae.trial.steps import GraphedStep, build_optimizer, create_step, set_learning_rate
from cae.trial.tasks.base import Table
from cae.trial.training_state import DependencyFolders, TrainingState, start_training

SAMPLES = 8
"""Number of validation images in the samples of every trial: the first ones, the same for all
trials."""


@dataclass(frozen=True)
class Epoch:
    """The result of an epoch; with the last one, the results of the trial."""

    epoch: int
    """Number of the epoch, from 1."""
    row: dict[str, float]
    """Metrics: train_loss (running mean over the epoch's batches), val_*, lr, seconds (of training
    and validation), images_per_second (of training)."""
    best_epoch: int
    """The best epoch so far; 0 if the metric was not finite in any."""
    final: dict[str, float] | None = None
    """Metrics test_* with the weights of the best epoch; only with the last epoch, and empty if
    there is no best one."""
    tables: Mapping[str, Table] = field(default_factory=dict)
    """The task's tables about the test split; only with the last epoch."""
    restored: bool = False
    """Whether the epoch comes from a checkpoint and was not trained again."""
    replayed_steps: int = 0
    """How many of the epoch's steps were replays of a CUDA graph."""
    plain_steps_reason: str = ""
    """Why no step was a replay; empty if some were, or if no step was taken."""
    restart_reason: str = ""
    """Why this epoch and those after it are trained although they had been finished before."""


class _LostWeights(Exception):
    """The weights of the best epoch are lost; the message names the file."""


def train(
    trial: Trial,
    images: DeviceImages,
    folder: Path,
    *,
    metric: str = "val_loss",
    mode: str = "min",
    dependencies: DependencyFolders = MappingProxyType({}),
    fingerprint: str = "",
    code: str = "",
    durable: bool = True,
    judged_epochs: Collection[int] | None = (),
    recorded_epochs: int = 0,
    latent: bool = True,
) -> Generator[Epoch, None, None]:
    """Train a trial to its last epoch, starting with the newest undamaged checkpoint in `folder`.

    Yields every epoch from 1; epochs of the checkpoint are not trained again. Writes the
    checkpoints of each epoch, and the samples of each epoch whose `metric` is better (`mode`: min
    or max) than in all epochs before; those of a large network at most every 10 s, and when the
    generator is closed (see `CheckpointWriter`). An epoch with a loss that is not finite is the
    last one.

    If the weights of the best epoch are lost and no other file contains them, all epochs are
    trained, and yielded, again: the same seed gives the same weights.

    `fingerprint` and `code`: see `Owner`. Checkpoints of other trials are not used. `durable`:
    whether the files have to survive a power cut. `judged_epochs`: those after which the caller
    may end or pause the trial; their checkpoints are not postponed. None: all. `recorded_epochs`:
    how many epochs the caller has recorded already. `latent`: whether the latent code is measured
    and saved after the last epoch (see cae/trial/latent and latent_samples.py).
    """
    owner = Owner(trial.flat(), fingerprint, code, trial.history_depends_on_epochs)
    files = SyncSchedule(enabled=durable)
    writer = CheckpointWriter(folder, files)
    start = functools.partial(
        start_training, trial, images, dependencies, folder, owner, files, writer
    )
    train_epochs = functools.partial(
        _train_epochs,
        metric=metric,
        mode=mode,
        judged_epochs=judged_epochs,
        recorded_epochs=recorded_epochs,
        latent=latent,
    )
    state = start()
    try:
        try:
            _restore(state, metric, mode)
            yield from train_epochs(state)
        except _LostWeights as error:
            state = start()
            state.restart_reason = str(error)
            yield from train_epochs(state)
    finally:  # the trial may have been stopped, or have failed
        writer.close()
        files.sync()


def _train_epochs(
    state: TrainingState,
    *,
    metric: str,
    mode: str,
    judged_epochs: Collection[int] | None,
    recorded_epochs: int,
    latent: bool,
) -> Generator[Epoch, None, None]:
    """All epochs of a trial: those that were restored, and the others.

    Raises _LostWeights if the weights of the best epoch are lost.
    """
    trial = state.trial
    state.metric = metric
    restored_epochs = len(state.rows)
    best_epoch = 0
    for epoch in range(1, trial.epochs + 1):
        restored = epoch <= restored_epochs
        if not restored:
            state.rows.append(_train_epoch(state, epoch))
        row = state.rows[epoch - 1]
        best_epoch = better_epoch(state.rows, best_epoch, epoch, metric, mode)
        result = Epoch(epoch, row, best_epoch, restored=restored)
        is_last = epoch == trial.epochs or not has_finite_losses(row)
        if not restored:
            is_judged = judged_epochs is None or epoch in judged_epochs
            _save(
                state, epoch, is_best=best_epoch == epoch, continues=not is_last and not is_judged
            )
            if state.is_large and epoch == restored_epochs + 1 <= recorded_epochs:
                state.restart_reason = state.restart_reason or _postponed_reason(restored_epochs)
            result = replace(
                result,
                replayed_steps=state.replayed_steps,
                plain_steps_reason=state.plain_steps_reason,
                restart_reason=state.restart_reason,
            )
            state.restart_reason = ""
        if is_last:
            final, tables = _evaluate_best(state, best_epoch, latent=latent)
            state.files.sync()
            yield replace(result, final=final, tables=tables)
            return
        yield result


def _restore(state: TrainingState, metric: str, mode: str) -> None:
    """Continue from the newest checkpoint, if there is one.

    Raises _LostWeights if there is one, but not the weights of its best epoch.
    """
    saved = checkpoint.load_newest(state.folder, state.owner)
    if saved is None:
        checkpoint.load_best(state.folder, state.owner)  # sets one of another trial aside
        return
    epochs = len(saved.rows)
    best_epoch = best_of(saved.rows, metric, mode)
    if best_epoch > state.trial.epochs:  # the trial had more epochs when the checkpoint was written
        return
    best = checkpoint.load_best(state.folder, state.owner, best_epoch)
    has_best = best is not None and best.epoch == best_epoch
    # The process died after the best one was written, or the newest checkpoint was damaged: its
    # epoch is reached again, or `_evaluate_best` finds out that it is of another epoch.
    is_ahead = best is not None and epochs < best.epoch <= state.trial.epochs
    if best_epoch not in (0, epochs) and not has_best and not is_ahead:
        raise _LostWeights(_lost_weights(state, best_epoch, best))
    state.network.load_state_dict(saved.network)
    checkpoint.restore_optimizer(state.optimizer, saved.optimizer)
    state.rows = saved.rows
    if best_epoch == epochs and not has_best:
        # The process died between the two files, or somebody deleted one: both have these weights.
        state.writer.write_best(_best_epoch(state, epochs, saved.network))


def _lost_weights(state: TrainingState, best_epoch: int, best: Checkpoint | None) -> str:
    path = state.folder / checkpoint.BEST
    if best is not None:
        problem = f"contains epoch {best.epoch}, and not the best one, {best_epoch}"
    elif path.exists():
        problem = "is damaged"
    else:
        problem = "is missing"
    return f"{checkpoint.BEST} {problem}"


def _train_epoch(state: TrainingState, epoch: int) -> dict[str, float]:
    """Train one epoch and validate; return its metrics."""
    trial = state.trial
    # What is made once per trial is not part of an epoch's time.
    val_pairs = state.val_pairs
    pairs = state.train_pairs
    started = time.perf_counter()
    if not state.is_drawn_once:
        pairs.start_epoch(epoch)
    lr = _prepare_optimizer(state, epoch)
    torch.manual_seed(derive_seed(trial.seed, epoch, "layers"))
    count = len(pairs.pixels)
    order_generator = generator(trial.seed, epoch, "order", "cpu")
    order = torch.randperm(count, generator=order_generator).to(state.device)
    state.network.train()
    trial.task.prepare(state.network, trial.task.stage(epoch, trial.epochs))
    row = {"train_loss": _train_on_all(state, order, trial.task.term_factor(epoch))}
    trained = time.perf_counter()
    for name, value in evaluate(state.network, val_pairs).items():
        row[f"val_{name}"] = value
    metric = state.metric
    if metric not in row and metric in trial.latent_metric_names():
        row[metric] = measure_epoch(
            state.network, trial, state.images, val_pairs, metric.removeprefix("val_")
        )
    row["lr"] = lr
    row["seconds"] = time.perf_counter() - started
    row["images_per_second"] = count / (trained - started)
    return row


def _train_on_all(state: TrainingState, order: Tensor, term_factor: float) -> float:
    """Train on all images; return their mean loss, each as it was when its batch was used.

    `order`: the indices of the images, N on the device; `term_factor`: see Task.term_factor.
    """
    trial = state.trial
    if state.step is None:
        state.step, state.plain_steps_reason = create_step(
            trial, state.network, state.optimizer, state.train_pairs
        )
    step = state.step
    step.loss_sum.zero_()
    step.term_factor.fill_(term_factor)
    replayed_before = step.replayed
    batches = order.split(trial.batch_size)
    numerics = torch_compat.gpu_numerics(tf32=trial.precision == "tf32")
    with numerics, state.train_pairs.prefetch(batches):
        for indices in batches:
            step(indices)
    loss = step.loss_sum.item() / len(order)
    state.replayed_steps = step.replayed - replayed_before
    if isinstance(step, GraphedStep) and step.reason:
        state.plain_steps_reason = step.reason
    return loss


def _prepare_optimizer(state: TrainingState, epoch: int) -> float:
    """Set the learning rate of an epoch and return it.

    A new stage of the task starts with a new optimizer.
    """
    trial = state.trial
    val_losses = [row["val_loss"] for row in state.rows]
    lr = lr_with_warmup(
        trial.schedule, trial.optimizer.lr, val_losses, trial.epochs, trial.warmup_epochs
    )
    stage = trial.task.stage(epoch, trial.epochs)
    if epoch > 1 and stage != trial.task.stage(epoch - 1, trial.epochs):
        state.optimizer = build_optimizer(trial.optimizer, state.network)
        state.step = None
    set_learning_rate(state.optimizer, lr)
    return lr


def _postponed_reason(epoch: int) -> str:
    """Why the epochs after the newest checkpoint are trained again; 0: there is no checkpoint."""
    newest = f"the newest checkpoint is of epoch {epoch}"
    if epoch == 0:
        newest = "there was no checkpoint yet"
    return f"{newest}: those of large networks are written every {MAX_UNSAVED_SECONDS:.0f} s"


def _save(state: TrainingState, epoch: int, *, is_best: bool, continues: bool) -> None:
    """Write the checkpoints of an epoch, and the samples if it is the best one so far.

    Those of large networks are postponed if the trial certainly continues.
    """
    last = Checkpoint(
        network=copy_weights(state.network),
        epoch=epoch,
        config=dict(state.owner.config),
        rows=list(state.rows),
        optimizer=checkpoint.optimizer_tensors(state.optimizer),
        fingerprint=state.owner.fingerprint,
        code=state.owner.code,
    )
    state.is_large = is_large(last)
    if state.is_large:
        last = replace(last, optimizer=copy_to_cpu(last.optimizer))
    best = None
    if is_best:
        best = _best_epoch(state, epoch, last.network)
    seconds = state.rows[-1]["seconds"]
    state.writer.add(last, best, seconds, may_postpone=state.is_large and continues)


def _best_epoch(state: TrainingState, epoch: int, weights: dict[str, Tensor]) -> BestEpoch:
    """The weights of the last trained epoch, which is the best one, and its samples."""
    best = Checkpoint(
        network=weights,
        epoch=epoch,
        config=dict(state.owner.config),
        rows=state.rows[-1:],
        fingerprint=state.owner.fingerprint,
        code=state.owner.code,
    )
    return BestEpoch(best, _samples(state, epoch))


def _samples(state: TrainingState, epoch: int) -> checkpoint.Samples:
    """The first validation images: input, target and output, as the task displays them."""
    task = state.trial.task
    count = min(SAMPLES, len(state.images.val.pixels))
    inputs, targets = state.val_pairs.at(torch.arange(count, device=state.device))
    # A restored network is still in training mode: batch normalization would learn from the images.
    state.network.eval()
    with torch.inference_mode(), torch_compat.gpu_numerics():
        target_images = task.to_image(inputs, targets)
        output_images = task.to_image(inputs, state.network(inputs))
    return checkpoint.Samples.from_images(epoch, inputs, target_images, output_images)


def _evaluate_best(
    state: TrainingState, best_epoch: int, *, latent: bool
) -> tuple[dict[str, float], dict[str, Table]]:
    """The metrics test_* and the tables of the best epoch's weights; empty if there is none.

    Raises _LostWeights if they are lost.
    """
    if best_epoch == 0:
        return {}, {}
    best = checkpoint.load_best(state.folder, state.owner)
    if best is None or best.epoch != best_epoch:
        if best_epoch != len(state.rows):
            raise _LostWeights(_lost_weights(state, best_epoch, best))
        weights = copy_weights(state.network)
        state.writer.write_best(_best_epoch(state, best_epoch, weights))
    else:
        state.network.load_state_dict(best.network)
        if checkpoint.samples_epoch(state.folder) != best_epoch:
            _samples(state, best_epoch).save(state.folder, state.files.write)
    metrics, tables, galleries = conclude(
        state.network, state.trial.task, state.images, state.dependency_networks
    )
    if galleries:
        checkpoint.save_galleries(state.folder, galleries)
    if latent:
        save_latent_samples(state.folder, state.network, state.trial.task, state.images, best_epoch)
        measured = measure_latent(state.network, state.trial, state.images, metrics)
        metrics |= measured.metrics
        tables |= measured.tables
        if measured.reason:
            print(f"latent code not measured: {measured.reason}")
    else:
        remove_other_latent_samples(state.folder, best_epoch)
    return {f"test_{name}": value for name, value in metrics.items()}, tables
