"""From a sweep to a list of trials: which, in which order, and what is already done."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from cae.run.metric_direction import Mode
from cae.run.records import Record
from cae.run.selection import Condition, select_by_values
from cae.run.trial_state import TrialState
from cae.sweep.spec.candidates import (
    Candidate,
    ImagesOfTrials,
    LoadImages,
    Networks,
    add_dependencies,
    build_trials,
    dataset_key,
    leave_out_single_images,
    repeat_with_seeds,
    trial_key,
    with_dependencies,
)
from cae.sweep.spec.claim_hints import hints_about_chosen, hints_about_claims
from cae.sweep.spec.code_snapshot import CodeSnapshot
from cae.sweep.spec.comparability import describe_group
from cae.sweep.spec.leakage import check_leakage
from cae.sweep.spec.matching import Matcher, Wanted
from cae.sweep.spec.open_search import (
    OpenSearch,
    check_second_objective,
    learning_search,
    number_of_trials,
    open_search,
    sweep_of_candidates,
)
from cae.sweep.spec.plan_checks import (
    check_images,
    check_inactive,
    check_latent_metric,
    check_metrics,
    metric_directions,
    sweep_mode,
    untrained_metrics,
)
from cae.sweep.spec.plan_hints import list_hints
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.sweep.spec.search_space import describe_axes, select_points
from cae.sweep.spec.sweep import Sweep
from cae.sweep.spec.sweep_settings import changed_settings, positive_number, with_settings
from cae.sweep.spec.trained_points import TrainedTrials, select_trained
from cae.trial.batches import count_images
from cae.trial.config import Trial
from cae.trial.datasets import Dataset, Images
from cae.trial.identity import fingerprint_of, identity
from cae.trial.pixel_format import PixelFormat


@dataclass(frozen=True)
class Plan:
    """All trials that a sweep requests, in the order in which they run."""

    sweep: Sweep
    mode: Mode
    """Whether smaller or larger values of the sweep's metric are better."""
    directions: dict[str, str]
    """"min", "max" or "none" by metric, for sweep.json."""
    untrained_metrics: list[str]
    """Metrics that do not depend on training, for sweep.json."""
    trials: list[PlannedTrial]
    images: dict[str, Images] = field(repr=False)
    """The data sets by `dataset_key`."""
    axes: dict[str, dict[str, Any]]
    """The axes of the search space, for sweep.json."""
    overrides: dict[str, dict[str, Any]]
    """Settings that differ from the sweep's own: {key: {"full": ..., "here": ...}}."""
    space_size: int
    """How many points the search space has."""
    duplicates: int
    """How many points gave the same trial as another one."""
    epochs: int
    """Epochs of the longest trial that the sweep requests. The trial of the run that answers for it
    may have more."""
    left: list[Record] = field(default_factory=list)
    """Trials of the run that the sweep does not request. They keep their values; unfinished ones
    are withdrawn."""
    left_out: list[dict[str, Any]] = field(default_factory=list)
    """Points of the search space whose combination of values is impossible (`LeftOutPoints`)."""
    examined: int = 0
    """How many points were examined."""
    hints: list[str] = field(default_factory=list)
    """Values of the search space that may be meant otherwise."""
    code: CodeSnapshot = field(default_factory=CodeSnapshot, repr=False)
    """The code that workers execute."""
    lost_weights: list[int] = field(default_factory=list)
    """Finished trials whose best weights are missing."""
    unmeasured_latent: list[int] = field(default_factory=list)
    """Finished trials whose latent code was not measured, and can be."""
    search: OpenSearch | None = field(default=None, repr=False)
    """The search that chooses further trials while the sweep runs; None: all trials are planned."""

    @property
    def sweep_name(self) -> str:
        """Name of the sweep file without its suffix."""
        return PurePath(self.code.file_name).stem

    def code_snapshot(self, planned: PlannedTrial) -> str:
        """Name of the folder in `code/` with a trial's own components; empty if it has none."""
        if not planned.code:
            return ""
        return self.code.name

    @property
    def remaining(self) -> list[PlannedTrial]:
        """The trials of which something is left to train."""
        return [planned for planned in self.trials if not planned.finished]

    @property
    def to_come(self) -> int:
        """How many trials a search is still to suggest."""
        if self.search is None:
            return 0
        return self.search.to_come

    @property
    def has_work(self) -> bool:
        """Whether anything is left to train."""
        return bool(self.remaining) or self.to_come > 0

    @property
    def listed(self) -> list[PlannedTrial]:
        """The trials that are known, those of the initial design of a search included."""
        if self.search is None:
            return self.trials
        numbers = [planned.number for planned in [*self.trials, *self.search.candidates]]
        numbers += [record.number for record in self.left]
        return [*self.trials, *self.search.initial_design(max(numbers) + 1)]

    def with_suggestion(self, candidate: int, planned: PlannedTrial) -> Plan:
        """This plan with a trial that its search has suggested.

        Args:
            candidate: The index of the trial among the candidates of the search.
            planned: The trial with its number.
        """
        if self.search is None:
            raise ValueError("only the plan of a search can be extended")
        search = self.search.with_tried(candidate, planned.number)
        return replace(self, trials=[*self.trials, planned], search=search)

    def trial(self, number: int) -> PlannedTrial:
        """The trial with a number."""
        return self._trials_by_number[number]

    @functools.cached_property
    def _trials_by_number(self) -> dict[int, PlannedTrial]:
        return {planned.number: planned for planned in self.trials}

    @property
    def image_notes(self) -> list[str]:
        """What was done to the images, with the name of the data set, each once."""
        notes: dict[str, None] = {}  # an ordered set
        for planned in self.trials:
            dataset = planned.trial.dataset
            for note in self.images[dataset_key(dataset)].notes:
                notes[f"{dataset.name}: {note}"] = None
        return list(notes)

    @property
    def rungs(self) -> list[int]:
        """The epochs at which trials may be stopped; empty without a scheduler."""
        if self.sweep.scheduler is None:
            return []
        return self.sweep.scheduler.rungs(self.epochs)


def make_plan(
    sweep: Sweep,
    load: LoadImages,
    *,
    budget: str = "full",
    settings: Mapping[str, Any] | None = None,
    max_trials: int | None = None,
    where: Sequence[Condition] = (),
    records: Mapping[int, Record] | None = None,
    retry: Collection[TrialState] = (),
    old_source: str = "",
    strict: bool = False,
) -> Plan:
    """Expand the search space, build and check every trial, and match it with the journal's
    records.

    Raises ConfigError with every error of the whole sweep, DatasetMissing for missing images, and
    UserError if no trial meets a condition.

    Args:
        sweep: The sweep.
        load: Reads a data set.
        budget: Name of a budget of the sweep.
        settings: Overrides of the command line. They and the budget's override the search space.
        max_trials: How many trials to run, seeds included; overrides the budget's.
        where: Of these, only trials that meet all conditions are trained.
        records: What the journal contains about each trial.
        retry: Trials that ended in these states are requested again.
        old_source: The text of the sweep file with which the run was made.
        strict: Points of impossible combinations are errors instead of being left out.
    """
    records = records or {}
    overrides = sweep.budget(budget) | dict(settings or {})
    limit = overrides.pop("max_trials", None)
    if limit is not None:
        limit = positive_number("max_trials", limit)
    limit = max_trials or limit
    is_one_trial = "space" in overrides
    declared = sweep
    sweep = with_settings(sweep, overrides, budget)
    search = learning_search(sweep.search)
    to_suggest = 0
    if search is not None:
        if max_trials is None and "samples" in (settings or {}):
            limit = None  # that of the budget: the command line overrides it
        check_second_objective(sweep, search)
        to_suggest = number_of_trials(sweep, limit)
        limit = search.candidates
        sweep = sweep_of_candidates(sweep, search, overrides)
    max_points = None
    if limit is not None:
        # All seeds of some points, not one seed of more points.
        max_points = max(1, limit // sweep.seeds)

    def trained() -> TrainedTrials:
        return select_trained(sweep.base, overrides, sweep.seeds, records.values())

    points = select_points(sweep, overrides, max_points, trained)
    networks = Networks()
    loaded = ImagesOfTrials(load)
    built = build_trials(
        sweep,
        points,
        overrides,
        networks,
        max_points,
        loaded.add,  # missing files are reported before all networks are measured
        allow_inactive_defaults=is_one_trial,
    )
    if built.examined == points.space_size and not is_one_trial:
        check_inactive(sweep, built)
    check_metrics(sweep, built)
    built.raise_errors(sweep, is_strict=strict)
    for candidate in built.possible:
        loaded.add(candidate.trial)
    images = loaded.by_key
    leave_out_single_images(built, images)
    built.raise_errors(sweep, is_strict=strict)
    repeated, repeated_seeds = repeat_with_seeds(built.possible, sweep.seeds)
    requested = repeated[:limit]
    whole = requested  # the sweep without `where`
    if where:
        chosen = select_by_values(requested, where, _values_of_candidate)
        requested = _with_ended(chosen, requested, images, records, retry)
    candidates = add_dependencies(requested, networks)
    directions = metric_directions(requested)
    check_images(candidates, images)
    check_leakage(candidates, images)
    check_latent_metric(sweep, candidates, images)
    candidates = [_add_images(candidate, images) for candidate in candidates]
    candidates = _add_groups(candidates, images)
    trials = _match_records(candidates, records, Matcher(records, retry, old_source))
    opened: OpenSearch | None = None
    if search is not None:
        trials, opened = open_search(search, to_suggest, trials)
    numbers = {planned.number for planned in trials}
    changed = {}
    if overrides:
        axes = describe_axes(declared, {})
        changed = changed_settings(sweep.base, requested[0].trial, overrides, axes)
    hints = list_hints(sweep, candidates)
    if sweep.claims:
        in_run = [record.config for record in records.values()]
        trials_of_sweep = _with_dependencies(whole)
        hints += hints_about_claims(sweep.claims, trials_of_sweep, changed, in_run)
        if where:
            chosen_trials = _with_dependencies(requested)
            hints += hints_about_chosen(
                sweep.claims, trials_of_sweep, chosen_trials, changed, in_run
            )
    return Plan(
        sweep=sweep,
        mode=sweep_mode(sweep, directions),
        directions=directions,
        untrained_metrics=untrained_metrics(requested),
        trials=trials,
        images=images,
        axes=describe_axes(sweep, overrides),
        overrides=changed,
        space_size=points.space_size,
        duplicates=built.repeated * sweep.seeds + repeated_seeds,
        epochs=max(candidate.trial.epochs for candidate in candidates),
        left=[record for record in records.values() if record.number not in numbers],
        left_out=built.left_out_descriptions(),
        examined=built.examined,
        hints=hints,
        search=opened,
    )


def _with_dependencies(candidates: list[Candidate]) -> list[Trial]:
    """The distinct trials of candidates and of their dependencies."""
    trials: dict[str, Trial] = {}
    for candidate in candidates:
        for dependency in candidate.trial.dependencies().values():
            for trial in with_dependencies(dependency):
                trials.setdefault(trial_key(trial), trial)
        trials.setdefault(candidate.key, candidate.trial)
    return list(trials.values())


def _values_of_candidate(candidate: Candidate) -> dict[str, Any]:
    return {**candidate.axes, **candidate.trial.flat()}


def _with_ended(
    chosen: list[Candidate],
    candidates: list[Candidate],
    images: Mapping[str, Images],
    records: Mapping[int, Record],
    retry: Collection[TrialState],
) -> list[Candidate]:
    """The chosen candidates, and the others that have ended in the run: they stay in the sweep.

    `retry`: States of trials that are to be run again, which only the chosen ones are.
    """
    ended: set[str] = set()
    for record in records.values():
        if record.state.is_final and record.state not in retry:
            ended.add(record.hash)
    chosen_keys = {candidate.key for candidate in chosen}
    kept: list[Candidate] = []
    for candidate in candidates:
        if candidate.key in chosen_keys:
            kept.append(candidate)
        elif _hash(_add_images(candidate, images)) in ended:
            kept.append(replace(candidate, is_kept=True))
    return kept


def _add_images(candidate: Candidate, images: Mapping[str, Images]) -> Candidate:
    """The candidate with its fingerprint, the number of images per epoch and their pixel format.

    A data set's own parameters may only state "all" images, and a task may use some of them.
    """

    def fingerprint(dataset: Dataset) -> str:
        return images[dataset_key(dataset)].fingerprint

    task = candidate.trial.task
    own_images = images[dataset_key(candidate.trial.dataset)]
    counts = {
        "train_images": count_images(task, own_images.train, own_images.class_names),
        "val_images": count_images(task, own_images.val, own_images.class_names),
    }
    return replace(
        candidate,
        sizes=candidate.sizes | counts,
        fingerprint=fingerprint_of(candidate.trial, fingerprint),
        pixels=PixelFormat.of(own_images).to_json(),
    )


def _add_groups(candidates: list[Candidate], images: Mapping[str, Images]) -> list[Candidate]:
    """The candidates with their comparability groups; each group is described once."""

    def fingerprint(dataset: Dataset) -> str:
        return images[dataset_key(dataset)].fingerprint

    groups: dict[str, dict[str, Any]] = {}
    described: list[Candidate] = []
    for candidate in candidates:
        key = repr((candidate.trial.dataset, candidate.trial.task))
        if key not in groups:
            groups[key] = describe_group(candidate.trial, fingerprint)
        described.append(replace(candidate, group=groups[key]))
    return described


def _match_records(
    candidates: list[Candidate], records: Mapping[int, Record], matcher: Matcher
) -> list[PlannedTrial]:
    """The trials with their numbers: those of the run that answer for them, or new ones."""
    needed = _needed_by_unfinished(candidates, records)
    wanted: list[Wanted] = []
    for candidate in candidates:
        is_needed = bool(needed) and candidate.key in needed
        wanted.append(Wanted(candidate.trial, candidate.fingerprint, is_needed))
    has_dependencies = any(candidate.trial.dependencies() for candidate in candidates)
    numbers: dict[str, int] = {}
    next_number = max(records, default=0) + 1
    planned: list[PlannedTrial] = []
    for candidate, item, match in zip(candidates, wanted, matcher.match(wanted), strict=True):
        number = next_number
        is_dependency = candidate.is_dependency
        if match.record is None:
            next_number += 1
        else:
            number = match.record.number
            # A trial that was requested for itself keeps its value.
            is_dependency = is_dependency and match.record.is_dependency
        dependencies: dict[str, int] = {}
        for name, dependency in candidate.trial.dependencies().items():
            dependencies[name] = numbers[repr(dependency)]
        if has_dependencies:
            numbers[repr(candidate.trial)] = number
        planned.append(
            PlannedTrial(
                number=number,
                hash=match.hash,
                trial=match.trial,
                axes=candidate.axes,
                sizes=candidate.sizes,
                dependencies=dependencies,
                is_dependency=is_dependency,
                is_kept=candidate.is_kept and candidate.key not in needed,
                record=match.record,
                retry=match.is_retry,
                group=candidate.group,
                fingerprint=candidate.fingerprint,
                pixels=candidate.pixels,
                code=item.code,
                requested_epochs=candidate.trial.epochs,
                reason=match.reason,
                replaces=match.replaces,
            )
        )
    return planned


def _needed_by_unfinished(candidates: list[Candidate], records: Mapping[int, Record]) -> set[str]:
    """Keys of the trials on whose weights trials depend that have not ended."""
    ended = {record.hash for record in records.values() if record.state.is_final}
    needed: set[str] = set()
    for candidate in candidates:
        dependencies = candidate.trial.dependencies().values()
        if dependencies and _hash(candidate) not in ended:
            needed |= {trial_key(dependency) for dependency in dependencies}
    return needed


def _hash(candidate: Candidate) -> str:
    return identity(candidate.trial.flat(), candidate.fingerprint, candidate.trial.code())
