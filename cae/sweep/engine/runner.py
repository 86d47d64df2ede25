"""Running is reconciling: the plan, minus what the journal says is done, goes to Ray Tune; what happens goes to the journal."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from cae.errors import RESUME_HINT, RunError
from cae.run.events import (
    SessionEnded,
    SessionStarted,
    TrialEnded,
    TrialPlanned,
    TrialRetried,
)
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.engine.limits import DEFAULTS, FULL, Guard, Limits
from cae.sweep.engine.ray_watchdog import end_ray, watched
from cae.sweep.engine.recorder import Recorder, Watcher
from cae.sweep.engine.schedulers.asha import JournaledASHA, rungs_of
from cae.sweep.engine.trial_queue import Turns, without_a_tail
from cae.sweep.engine.worker import Job, Worker
from cae.sweep.places.hosts import Demands
from cae.sweep.places.local import Resources, first_line, slots_now, versions
from cae.sweep.spec.cost import images_of_an_epoch
from cae.sweep.spec.plan import Plan, PlannedTrial, dataset_key

from ray.exceptions import OutOfMemoryError  # isort: skip
from ray.air._internal import usage  # isort: skip
from ray import tune  # isort: skip  # after connect, which sets what Ray reads when it is imported
from ray.tune.execution import class_cache  # isort: skip
from ray.tune.experiment import Trial as RayTrial  # isort: skip

class_cache.ENV_VARS_TO_PROPAGATE -= {
    name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")
}
# Ray shows an actor's environment in its dashboard and logs: each host has credentials of its own
usage.tag_callbacks = lambda callbacks: False  # noqa: ARG005
# For statistics that are off, Tune would import MLflow and its like wherever they are installed: seconds of every start


def run_plan(
    plan: Plan,
    run: RunDir,
    records: dict[int, Record],
    sweep_file: Path,
    resources: Resources,
    *,
    command: str,
    watch: Watcher,
    limits: Limits = DEFAULTS,
    demands: Demands | None = None,
) -> str:
    """Runs what the plan asks for and the journal does not hold yet. Hold the run's lock, and have Ray started. `records` are
    the journal's, and are kept up to date. `sweep_file` is where a worker finds it; `demands` is what each host of a cluster has to have.

    Returns why it ended: `complete`, or the words for what interrupted it. Every finished epoch is in the journal or in its
    trial's checkpoint by then, and the same call goes on from there.
    """
    journal = Journal(run.journal)
    try:
        needed = {planned.number for planned in plan.trials if planned.is_dependency}
        rungs = rungs_of(plan.sweep.scheduler, plan.rungs, plan.sweep.mode, needed, audited(plan))
        decided = rungs.replay(run.events(epochs=rungs.values), plan.sweep.metric)
        scheduler = JournaledASHA(rungs, plan.sweep.metric, plan.sweep.mode)
        recorder = Recorder(run, plan, journal, records, scheduler, watch, Guard(limits, run.path))
        _open(recorder, resources, command)
        for number in rungs.spared:
            recorder.spared(number)
        for number, stop in decided.items():  # decided before a crash, but not carried out
            if records[number].state == "interrupted" and records[number].last_epoch == stop.rung:
                recorder.stopped(number, stop)
        with _signals(recorder), watched(functools.partial(_ray_is_lost, recorder)):
            _supervise(recorder, sweep_file, resources, demands)
        reason = recorder.stopping or "complete"
        journal.append(SessionEnded(reason=reason))
        return reason
    finally:
        journal.close()


def audited(plan: Plan) -> set[int]:
    """The trials that run on whatever the scheduler says."""
    scheduler = plan.sweep.scheduler
    judged = (
        [planned for planned in plan.trials if not planned.is_dependency]
        if scheduler and plan.rungs
        else []
    )
    return {planned.number for planned in judged if scheduler and scheduler.audits(planned.hash)}


def _open(recorder: Recorder, resources: Resources, command: str) -> None:
    """The journal's first lines of a session: who runs it, and every trial that it does not know yet."""
    run, plan = recorder.run, recorder.plan
    for planned in plan.trials:
        known = recorder.records.get(planned.number)
        audit = planned.number in recorder.scheduler.rungs.audited
        if (
            not known
            or known.hash != planned.hash
            or known.is_dependency != planned.is_dependency
            or known.is_audit != audit
        ):
            recorder.write(
                TrialPlanned(
                    trial=planned.number,
                    hash=planned.hash,
                    config=planned.trial.flat(),
                    axes=planned.axes,
                    sizes=planned.sizes,
                    dependencies=planned.dependencies,
                    is_dependency=planned.is_dependency,
                    is_audit=audit,
                )
            )
            known = recorder.records[planned.number]
        if planned.retry and known.state.is_final:
            diverged = known.state == TrialState.DIVERGED
            kept_epochs = known.last_epoch
            if diverged:
                kept_epochs = 0  # resumed from its checkpoint it would diverge again
            recorder.write(TrialRetried(trial=known.number, epoch=kept_epochs))
            if diverged:
                run.delete_trial(known.number)
    recorder.write(
        SessionStarted(
            trials=[planned.number for planned in plan.trials],
            command=command,
            host=socket.gethostname(),
            pid=os.getpid(),
            versions=versions(),
            slots=resources.slots,
            cpus=resources.cpus,
            gpus=resources.gpus,
        )
    )


def _supervise(
    recorder: Recorder, sweep_file: Path, resources: Resources, demands: Demands | None
) -> None:
    """Ray ends a whole sweep for some failures of one trial (its out-of-memory kill of a running step is one): as long as
    there is progress, what is left is run again. Trials that ran out of memory beside others come last, one at a time."""

    def progress() -> tuple[int, int, int]:
        records = recorder.records.values()
        return (
            sum(record.last_epoch for record in records),
            sum(record.state.is_final for record in records),
            len(recorder.alone),
        )

    while remaining := _ready(recorder):
        crowd = [planned for planned in remaining if planned.number not in recorder.alone]
        batch, before = crowd or remaining[:1], progress()
        recorder.slots = resources.slots if crowd else 1
        recorder.capacity = (
            functools.partial(slots_now, resources) if crowd and resources.nodes else None
        )
        recorder.guard.heard.clear()  # whatever ran when Ray ended the sweep stands in the queue again
        try:
            _fit(recorder, batch, sweep_file, resources, demands)
            why = "Ray ended the sweep, and trials are left"
        except Exception as error:
            if recorder.fatal:
                raise recorder.fatal from error
            if (
                isinstance(error, OSError) and error.errno in FULL
            ):  # Tune keeps files of its own in the run's folder
                raise RunError(f"{recorder.run.path}: {error.strerror}: {RESUME_HINT}") from error
            if _is_out_of_memory(error):
                for planned in batch:
                    if recorder.records[planned.number].state == "running":
                        recorder.out_of_memory(
                            planned.number,
                            "out of memory: Ray ended its worker, and the sweep",
                            error=str(error),
                        )
            if progress() == before:
                raise
            why = f"Ray ended the sweep ({type(error).__name__}: {first_line(error)})"
        left = [planned for planned in batch if not recorder.records[planned.number].state.is_final]
        if recorder.stopping:
            return
        if all(planned.number in recorder.alone for planned in left):
            continue
        if progress() == before:
            raise RunError(f"{why}, without one more epoch")
        print(f"{why}; going on with what is left", file=sys.stderr)


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether it is, or comes from, Ray's own kill of a worker where memory is scarce: Tune wraps it as an error of any kind."""
    return error is not None and (
        isinstance(error, OutOfMemoryError)
        or _is_out_of_memory(error.__cause__ or error.__context__)
    )


def _ready(recorder: Recorder) -> list[PlannedTrial]:
    """What is left and has all that it needs. A trial whose need ended otherwise than finished can never run: it failed."""
    records = recorder.records
    for planned in recorder.plan.trials:  # those that others need come first
        for name, number in planned.dependencies.items():
            state = records[number].state
            if (
                not records[planned.number].state.is_final
                and state.is_final
                and state != TrialState.FINISHED
            ):
                recorder.write(
                    TrialEnded(
                        trial=planned.number,
                        state=TrialState.FAILED,
                        reason=f"dependency failed: trial {number} (task.{name}) {state}",
                    )
                )
    left = [
        planned for planned in recorder.plan.trials if not records[planned.number].state.is_final
    ]
    return [
        planned
        for planned in left
        if all(records[number].state == "finished" for number in planned.dependencies.values())
    ]


def _fit(
    recorder: Recorder,
    remaining: list[PlannedTrial],
    sweep_file: Path,
    resources: Resources,
    demands: Demands | None,
) -> None:
    plan, run = recorder.plan, recorder.run
    job = Job(
        places={planned.number: run.location(planned.number) for planned in remaining},
        configs={planned.number: planned.trial.flat() for planned in remaining},
        done={planned.number: recorder.records[planned.number].last_epoch for planned in remaining},
        dataset_keys={planned.number: dataset_key(planned.trial.dataset) for planned in remaining},
        dependencies={
            planned.number: {
                name: run.location(need) for name, need in planned.dependencies.items()
            }
            for planned in remaining
        },
        sweep_file=sweep_file,
        rules={
            p.number: ("val_loss", "min")
            if p.is_dependency
            else (plan.sweep.metric, plan.sweep.mode)
            for p in remaining
        },
        metric=plan.sweep.metric,
        cpus=resources.cpus_per_trial,
        gpus=resources.gpus_per_trial,
        demands=demands,
    )
    needed = {job.dataset_keys[planned.number] for planned in remaining}
    images = {key: value for key, value in plan.images.items() if key in needed}
    trainable = tune.with_resources(
        tune.with_parameters(Worker, job=job, images=images),
        {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
    )
    order = [planned.number for planned in remaining]
    if (
        not plan.rungs
    ):  # rungs judge a trial by those before it: the plan's order is the one that can be told
        order = without_a_tail(
            {planned.number: _work(planned, job.done[planned.number]) for planned in remaining},
            recorder.slots,
        )
    recorder.turns = Turns(order, recorder.slots)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(recorder.slots)
    with _scratch(run) as scratch:  # Tune's own state: ours is the journal
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=recorder.turns,
                num_samples=-1,  # as many as have a turn
                scheduler=recorder.scheduler,
                reuse_actors=True,
                trial_dirname_creator=_name,
                trial_name_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=run.name,
                storage_path=scratch,
                callbacks=[recorder],
                stop=recorder,
                verbose=0,
            ),
        )
        tuner.fit()


def _work(planned: PlannedTrial, done: int) -> float:
    """What is left of a trial, in millions of floating-point operations of a forward pass."""
    return (
        float(planned.sizes["megaflops"])
        * images_of_an_epoch(planned)
        * max(1, planned.trial.epochs - done)
    )


@contextlib.contextmanager
def _scratch(run: RunDir) -> Iterator[str]:
    """A folder of the run that goes with the process, or, where that was killed, with the next one."""
    folder = run.path.resolve() / ".tune"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _name(trial: RayTrial) -> str:
    return f"{trial.config['number']:04d}"


@contextlib.contextmanager
def _signals(recorder: Recorder) -> Iterator[None]:
    """Ctrl-C or SIGTERM ends the sweep gently; a second one at once. Either way nothing finished is lost."""

    def gently(number: int, frame: object) -> None:  # noqa: ARG001
        if recorder.stopping:
            _leave_now(128 + number)
        recorder.stopping = f"interrupted by {signal.Signals(number).name}"

    kinds = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {kind: signal.signal(kind, gently) for kind in kinds}
    except ValueError:  # not in the main thread: whoever runs us there has the signals
        yield
        return
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _ray_is_lost(recorder: Recorder, kind: str) -> None:
    """Without its own processes Ray may hang anywhere: this process ends here, and what is finished is in the run's folder."""
    reason = f"given up: Ray's {kind} on this machine ended"
    recorder.journal.append(SessionEnded(reason=reason))
    print(
        f"\nerror: {reason}; what is finished is saved, and the same command goes on from here",
        file=sys.stderr,
    )
    end_ray()
    _leave_now(1)


def _leave_now(code: int) -> NoReturn:
    sys.stderr.write(
        "\x1b[?25h" if sys.stderr.isatty() else ""
    )  # the cursor, which the live table hides
    sys.stderr.flush()
    os._exit(code)
