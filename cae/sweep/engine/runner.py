"""Runs what a plan requests and the journal does not contain, on Ray Tune.

Ray has to be running, and the run's lock held. Ray Tune's own state is discarded: the journal and
the checkpoints are the state.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ray import tune
from ray.exceptions import OutOfMemoryError, RayError
from ray.tune import TuneError
from ray.tune.experiment import Trial as RayTrial

from cae.errors import RESUME_HINT, RunError, SweepAborted, UserError
from cae.run.events import GAVE_UP, SessionEnded
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.engine import ray_compat
from cae.sweep.engine.interruptions import exit_after_ray_death, stop_on_signals
from cae.sweep.engine.judging import (
    candidate_number,
    create_judge,
    groups_of_trials,
    trained_groups,
)
from cae.sweep.engine.limits import DEFAULT_LIMITS, DISK_ERRORS, LimitMonitor, Limits
from cae.sweep.engine.ray_watchdog import watch_ray
from cae.sweep.engine.recorder import Recorder, Watcher
from cae.sweep.engine.retention import stop_seconds
from cae.sweep.engine.session_records import (
    record_past_decisions,
    record_plan,
    record_session,
)
from cae.sweep.engine.suggestions import Suggestions
from cae.sweep.engine.sweep_stops import NO_RULES, StopRules, SweepStops
from cae.sweep.engine.trial_queue import TrialQueue, start_long_trials_early
from cae.sweep.engine.tune_scheduler import TuneScheduler
from cae.sweep.engine.worker import Worker
from cae.sweep.engine.worker_report import SweepInputs, TrialInputs
from cae.sweep.places.base import CheckedHosts, Place
from cae.sweep.places.ray_start import first_line
from cae.sweep.ray_environment import set_max_pending_trials
from cae.sweep.search.base import Suggestion
from cae.sweep.spec.candidates import dataset_key
from cae.sweep.spec.cost import images_of_an_epoch
from cae.sweep.spec.plan import Plan
from cae.sweep.spec.planned_trial import PlannedTrial

COMPLETE = "complete"
"""Why a session ended in which nothing was left to train."""
DEPENDENCY_METRIC = ("val_loss", "min")
"""How the best epoch of a dependency is chosen: it may have another task than the sweep's metric is
of."""


def run_plan(
    plan: Plan,
    run: RunDir,
    records: dict[int, Record],
    place: Place,
    checked: CheckedHosts,
    *,
    command: str,
    watch: Watcher,
    before_exit: Callable[[str], None],
    limits: Limits = DEFAULT_LIMITS,
    rules: StopRules = NO_RULES,
) -> str:
    """Train the remaining trials of a plan.

    Returns why it ended: COMPLETE, or what interrupted it. Every finished epoch is then in the
    journal or in its trial's checkpoint, and the same call resumes. Raises SweepAborted if the
    disk, the storage or Ray fails.

    Args:
        records: Those of the journal; they are kept up to date.
        checked: Resources, and where workers find the sweep file.
        before_exit: Called with the reason before this process ends itself.
    """
    ray_compat.disable_usage_tags()
    ray_compat.hide_credentials_from_actors()
    journal = Journal(run.journal)
    try:
        groups = groups_of_trials(plan, records)
        judge = create_judge(plan, groups)
        past_stops = judge.replay(run.events(epochs=judge.judged_epochs), plan.sweep.metric)
        scheduler = TuneScheduler(judge, plan.sweep.metric, stop_seconds(plan))
        monitor = LimitMonitor(limits, run.path)
        stops = SweepStops(
            rules, records, plan.sweep.metric, plan.mode, trained_groups(plan, groups)
        )
        recorder = Recorder(run, plan, journal, records, scheduler, watch, monitor, stops)
        with _sweep_aborted_by_environment(run):
            record_session(recorder, checked, command)
            record_past_decisions(recorder, past_stops)
            on_ray_death = functools.partial(exit_after_ray_death, recorder, before_exit)
            with stop_on_signals(recorder), watch_ray(on_ray_death):
                _train_all(recorder, place, checked, _suggestions(recorder, groups))
            reason = recorder.stop_reason or COMPLETE
            journal.append(SessionEnded(reason=reason))
        return reason
    finally:
        journal.close()


@contextlib.contextmanager
def _sweep_aborted_by_environment(run: RunDir) -> Iterator[None]:
    """Convert errors of the disk, the storage and Ray to SweepAborted: the sweep had started."""
    try:
        yield
    except UserError as error:
        raise SweepAborted(error.messages) from error
    except OSError as error:
        place = error.filename or run.path
        raise SweepAborted(f"{place}: {error.strerror or error}: {RESUME_HINT}") from error
    except (RayError, TuneError) as error:
        problem = f"Ray ended the sweep ({type(error).__name__}: {first_line(error)})"
        raise SweepAborted(f"{problem}: {RESUME_HINT}") from error


def _suggestions(recorder: Recorder, groups: Mapping[int, str]) -> Suggestions | None:
    """The trials that are suggested while the sweep runs; None if all were planned before."""
    search = recorder.plan.search
    if search is None:
        return None

    def record(planned: PlannedTrial, suggestion: Suggestion) -> None:
        record_plan(recorder, planned, suggestion.to_json())

    candidate_groups: list[str] = []
    for index in range(len(search.candidates)):
        candidate_groups.append(groups.get(candidate_number(index), ""))
    return Suggestions(search, recorder, candidate_groups, record)


# Training


@dataclass(frozen=True)
class _Progress:
    """What has to grow for a sweep to continue after an error of Ray."""

    epochs: int
    ended_trials: int
    trials_to_run_alone: int


def _progress(recorder: Recorder) -> _Progress:
    records = recorder.records.values()
    return _Progress(
        epochs=sum(record.last_epoch for record in records),
        ended_trials=sum(record.state.is_final for record in records),
        trials_to_run_alone=len(recorder.run_alone),
    )


def _train_all(
    recorder: Recorder, place: Place, checked: CheckedHosts, suggestions: Suggestions | None
) -> None:
    """Train batches of trials until none remains.

    Ray ends a whole sweep for some failures of one trial, such as its out-of-memory kill of a
    running step. As long as there is progress, the remaining trials are started again. Trials that
    ran out of memory beside others come last, one at a time.
    """
    recorder.stop_reason = recorder.stops.at_start()
    while not recorder.stop_reason:
        ready = _ready_trials(recorder)
        suggest = _suggest_next(recorder, suggestions)
        if not ready and suggest is None:
            if not _decide_about_waiting(recorder):
                recorder.stop_reason = _why_no_suggestions(recorder)
                return
            continue
        before = _progress(recorder)
        batch = _next_batch(recorder, ready, place, checked, suggest is not None)
        problem = _train_batch(recorder, batch, checked, before, suggest)
        if recorder.stop_reason:
            return
        remaining = _not_waiting(recorder, _not_ended(recorder, batch))
        if all(planned.number in recorder.run_alone for planned in remaining):
            continue
        if _progress(recorder) == before:
            raise RunError(f"{problem}, without another finished epoch")
        print(f"{problem}; continuing with the remaining trials", file=sys.stderr)


def _suggest_next(
    recorder: Recorder, suggestions: Suggestions | None
) -> Callable[[], int | None] | None:
    """The function that suggests further trials; None if there are none, or not yet.

    Trials are suggested when the trials that they depend on have finished.
    """
    if suggestions is None or suggestions.to_come <= 0:
        return None
    for planned in recorder.plan.trials:
        state = recorder.records[planned.number].state
        if planned.is_dependency and state != TrialState.FINISHED:
            return None
    return suggestions.next


def _why_no_suggestions(recorder: Recorder) -> str:
    """Why a search cannot suggest its remaining trials; empty if there are none."""
    if recorder.plan.to_come <= 0:
        return ""
    numbers = [planned.number for planned in recorder.plan.trials if planned.is_dependency]
    for number in numbers:
        state = recorder.records[number].state
        if state != TrialState.FINISHED:
            return f"{GAVE_UP}: trial {number}, on which all others depend, {state}"
    return f"{GAVE_UP}: the search has no further candidate"


def _next_batch(
    recorder: Recorder,
    ready: list[PlannedTrial],
    place: Place,
    checked: CheckedHosts,
    has_suggestions: bool,
) -> list[PlannedTrial]:
    """The trials to train next; sets the number of slots for them."""
    together = [planned for planned in ready if planned.number not in recorder.run_alone]
    # Trials that ran when Ray ended the sweep are queued again.
    recorder.limits.heartbeats.clear()
    if not together and not has_suggestions:
        recorder.slots = 1
        recorder.count_slots = None
        return ready[:1]
    recorder.slots = checked.resources.slots
    recorder.count_slots = None
    if checked.resources.hosts:
        recorder.count_slots = functools.partial(place.count_slots, checked.resources)
    return together


def _train_batch(
    recorder: Recorder,
    batch: list[PlannedTrial],
    checked: CheckedHosts,
    before: _Progress,
    suggest: Callable[[], int | None] | None,
) -> str:
    """Train trials until all have ended, or Ray ends the sweep. Returns what the latter was."""
    try:
        _fit(recorder, batch, checked, suggest)
    except Exception as error:
        if recorder.fatal_error is not None:
            raise recorder.fatal_error from error
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            # Tune writes files of its own to the run's folder.
            message = f"{recorder.run.path}: {error.strerror}: {RESUME_HINT}"
            raise RunError(message) from error
        if _is_out_of_memory(error):
            for planned in batch:
                if recorder.records[planned.number].state == TrialState.RUNNING:
                    reason = "out of memory: Ray killed its worker and ended the sweep"
                    recorder.out_of_memory(planned.number, reason, str(error))
        if _progress(recorder) == before:
            raise
        return f"Ray ended the sweep ({type(error).__name__}: {first_line(error)})"
    return "Ray ended the sweep before all trials ended"


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error is, or was caused by, Ray's kill of a worker because memory was scarce."""
    if error is None:
        return False
    if isinstance(error, OutOfMemoryError):
        return True
    return _is_out_of_memory(error.__cause__ or error.__context__)


def _not_ended(recorder: Recorder, trials: list[PlannedTrial]) -> list[PlannedTrial]:
    records = recorder.records
    return [planned for planned in trials if not records[planned.number].state.is_final]


def _not_waiting(recorder: Recorder, trials: list[PlannedTrial]) -> list[PlannedTrial]:
    return [planned for planned in trials if not _is_waiting(recorder, planned)]


def _is_waiting(recorder: Recorder, planned: PlannedTrial) -> bool:
    """Whether a trial waits for a decision of the scheduler.

    A trial that was killed after its last epoch does not: it only has to be evaluated.
    """
    has_epochs_left = recorder.records[planned.number].last_epoch < planned.trial.epochs
    return has_epochs_left and recorder.scheduler.judge.is_waiting(planned.number)


def _decide_about_waiting(recorder: Recorder) -> bool:
    """Let the scheduler decide about the trials that wait; False if none waits."""
    judge = recorder.scheduler.judge
    is_any_waiting = any(judge.is_waiting(planned.number) for planned in recorder.plan.trials)
    for number, stop in judge.decide().items():
        record = recorder.records[number]
        if record.is_requested and not record.state.is_final:
            recorder.stop_trial(number, stop)
    for number in judge.audit_stops:  # they did not wait
        recorder.record_audit_stop(number)
    return is_any_waiting


def _ready_trials(recorder: Recorder) -> list[PlannedTrial]:
    """The remaining trials whose dependencies have finished.

    A trial with a dependency that ended in another state can never run: it fails.
    """
    records = recorder.records
    for planned in recorder.plan.trials:  # dependencies come first
        for name, number in planned.dependencies.items():
            state = records[number].state
            has_failed = state.is_final and state != TrialState.FINISHED
            if has_failed and not records[planned.number].state.is_final:
                recorder.fail_dependent(planned.number, f"trial {number} (task.{name}) {state}")
    ready: list[PlannedTrial] = []
    for planned in _not_waiting(recorder, _not_ended(recorder, recorder.plan.trials)):
        states = {records[number].state for number in planned.dependencies.values()}
        if states <= {TrialState.FINISHED}:
            ready.append(planned)
    return ready


def _fit(
    recorder: Recorder,
    trials: list[PlannedTrial],
    checked: CheckedHosts,
    suggest: Callable[[], int | None] | None,
) -> None:
    """Run Ray Tune once on these trials, and on those that are suggested meanwhile."""
    plan = recorder.plan
    resources = checked.resources
    inputs = _sweep_inputs(recorder, checked)
    keys = {dataset_key(planned.trial.dataset) for planned in trials}
    if suggest is not None and plan.search is not None:
        keys |= {dataset_key(planned.trial.dataset) for planned in plan.search.candidates}
    images = {key: value for key, value in plan.images.items() if key in keys}
    trainable = tune.with_resources(
        tune.with_parameters(Worker, inputs=inputs, images=images),
        {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
    )
    recorder.queue = TrialQueue(
        _start_order(recorder, trials),
        recorder.slots,
        inputs=functools.partial(_trial_inputs, recorder),
        suggest=suggest or _no_suggestion,
    )
    set_max_pending_trials(recorder.slots)
    if not resources.hosts:  # a cluster may have to wait for its hosts
        recorder.limits.expect_worker()
    with _scratch_folder(recorder.run) as scratch:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=recorder.queue,
                num_samples=-1,  # as many as the queue contains
                scheduler=recorder.scheduler,
                reuse_actors=True,
                trial_dirname_creator=_trial_name,
                trial_name_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=recorder.run.name,
                storage_path=scratch,
                callbacks=[recorder, ray_compat.NoTuneOutput()],
                stop=recorder,
                # Every epoch is saved already; Tune would keep a result per trial in memory.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        tuner.fit()


def _no_suggestion() -> None:
    """The trials that are planned are all."""


def _trial_inputs(recorder: Recorder, number: int) -> TrialInputs:
    run = recorder.run
    planned = recorder.plan.trial(number)
    metric = recorder.plan.sweep.metric
    mode: str = recorder.plan.mode
    if planned.is_dependency:
        metric, mode = DEPENDENCY_METRIC
    dependencies = planned.dependencies.items()
    judged_epochs: frozenset[int] | None = None
    if recorder.scheduler.judge.judged_epochs is not None:
        judged_epochs = frozenset(recorder.scheduler.judge.judged_epochs)
    return TrialInputs(
        config=planned.trial.flat(),
        location=run.location(number),
        dataset_key=dataset_key(planned.trial.dataset),
        fingerprint=planned.fingerprint,
        code=planned.code,
        finished_epochs=recorder.records[number].last_epoch,
        dependency_locations={name: run.location(other) for name, other in dependencies},
        metric=metric,
        mode=mode,
        judged_epochs=judged_epochs,
    )


def _sweep_inputs(recorder: Recorder, checked: CheckedHosts) -> SweepInputs:
    sweep = recorder.plan.sweep
    return SweepInputs(
        sweep_file=checked.sweep_file,
        code=recorder.plan.code,
        metric=sweep.metric,
        cpus_per_trial=checked.resources.cpus_per_trial,
        gpus_per_trial=checked.resources.gpus_per_trial,
        gpu_memory_share=_gpu_memory_share(recorder, checked),
        simulates_gpus=checked.resources.simulates_gpus,
        latent=sweep.latent,
        requirements=checked.requirements,
    )


def _gpu_memory_share(recorder: Recorder, checked: CheckedHosts) -> float:
    """The part of a GPU's memory for each trial; all of it for a trial that runs alone."""
    if recorder.slots < 2:
        return 1.0
    return min(1.0, checked.resources.gpus_per_trial)


def _start_order(recorder: Recorder, trials: list[PlannedTrial]) -> list[int]:
    """The order in which trials start.

    With rungs it is the order of the plan: a trial is compared with those before it, and the
    decisions should not depend on how long trials take.
    """
    if recorder.plan.rungs:
        return [planned.number for planned in trials]
    work: dict[int, float] = {}
    for planned in trials:
        done = recorder.records[planned.number].last_epoch
        work[planned.number] = _remaining_work(planned, done)
    return start_long_trials_early(work, recorder.slots)


def _remaining_work(planned: PlannedTrial, finished_epochs: int) -> float:
    """Remaining work of a trial, in millions of floating-point operations of a forward pass."""
    epochs = max(1, planned.trial.epochs - finished_epochs)
    return float(planned.sizes["megaflops"]) * images_of_an_epoch(planned) * epochs


@contextlib.contextmanager
def _scratch_folder(run: RunDir) -> Iterator[str]:
    """A folder for Tune's own state. One that a killed process left behind is deleted."""
    folder = run.path.resolve() / ".tune"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _trial_name(trial: RayTrial) -> str:
    return f"{trial.config['number']:04d}"
