"""From a sweep to a list of trials: which, in which order, and what is already done."""

from __future__ import annotations

import difflib
import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from cae.run.formatting import count_of
from cae.run.metric_direction import Mode, common_directions, metric_direction
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.spec.candidates import (
    BuiltTrials,
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
)
from cae.sweep.spec.code_snapshot import CodeSnapshot
from cae.sweep.spec.comparability import describe_group
from cae.sweep.spec.drawn_points import is_random
from cae.sweep.spec.error_hints import list_constants
from cae.sweep.spec.matching import Matcher, Wanted
from cae.sweep.spec.open_search import (
    OpenSearch,
    check_second_objective,
    learning_search,
    number_of_trials,
    open_search,
    sweep_of_candidates,
)
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.sweep.spec.search_space import describe_axes, select_points
from cae.sweep.spec.space_forms import Space
from cae.sweep.spec.sweep import Sweep
from cae.sweep.spec.trained_points import TrainedTrials, select_trained
from cae.trial.config import ConfigError, Trial, fingerprint_of, identity
from cae.trial.datasets import Dataset, Images
from cae.trial.messages import short_repr
from cae.trial.tasks.shapes import result_errors

NO_SPACE: tuple[object, ...] = ("none", None, {})
"""Values of the setting `space` that leave out the search space."""


@dataclass(frozen=True)
class Plan:
    """All trials that a sweep requests, in the order in which they run."""

    sweep: Sweep
    mode: Mode
    """Whether smaller or larger values of the sweep's metric are better."""
    directions: dict[str, str]
    """"min", "max" or "none" by metric, for sweep.json."""
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
    records: Mapping[int, Record] | None = None,
    retry: Collection[TrialState] = (),
    old_source: str = "",
    strict: bool = False,
) -> Plan:
    """Expand the search space, build and check every trial, and match it with the journal's
    records.

    Raises ConfigError with every error of the whole sweep, and DatasetMissing for missing images.

    Args:
        sweep: The sweep.
        load: Reads a data set.
        budget: Name of a budget of the sweep.
        settings: Overrides of the command line. They and the budget's override the search space.
        max_trials: How many trials to run, seeds included; overrides the budget's.
        records: What the journal contains about each trial.
        retry: Trials that ended in these states are requested again.
        old_source: The text of the sweep file with which the run was made.
        strict: Points of impossible combinations are errors instead of being left out.
    """
    records = records or {}
    overrides = sweep.budget(budget) | dict(settings or {})
    limit = overrides.pop("max_trials", None)
    if limit is not None:
        limit = _positive("max_trials", limit)
    limit = max_trials or limit
    is_one_trial = "space" in overrides
    sweep = _with_settings(sweep, overrides, budget)
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
        _check_inactive(sweep, built)
    _check_metrics(sweep, built)
    built.raise_errors(sweep, is_strict=strict)
    for candidate in built.possible:
        loaded.add(candidate.trial)
    images = loaded.by_key
    leave_out_single_images(built, images)
    built.raise_errors(sweep, is_strict=strict)
    repeated, repeated_seeds = repeat_with_seeds(built.possible, sweep.seeds)
    requested = repeated[:limit]
    candidates = add_dependencies(requested, networks)
    directions = _directions(requested)
    _check_images(candidates, images)
    candidates = [_add_images(candidate, images) for candidate in candidates]
    candidates = _add_groups(candidates, images)
    trials = _match_records(candidates, records, Matcher(records, retry, old_source))
    opened: OpenSearch | None = None
    if search is not None:
        trials, opened = open_search(search, to_suggest, trials)
    numbers = {planned.number for planned in trials}
    return Plan(
        sweep=sweep,
        mode=_mode(sweep, directions),
        directions=directions,
        trials=trials,
        images=images,
        axes=describe_axes(sweep, overrides),
        overrides=_changed_settings(sweep.base, requested[0].trial, overrides),
        space_size=points.space_size,
        duplicates=built.repeated * sweep.seeds + repeated_seeds,
        epochs=max(candidate.trial.epochs for candidate in candidates),
        left=[record for record in records.values() if record.number not in numbers],
        left_out=built.left_out_descriptions(),
        examined=built.examined,
        hints=_hints(sweep, candidates),
        search=opened,
    )


def _with_settings(sweep: Sweep, overrides: dict[str, Any], budget: str) -> Sweep:
    """The sweep with the overrides that are settings of the sweep, which are removed from
    `overrides`. Raises ConfigError."""
    changes: dict[str, Any] = {}
    errors: list[str] = []
    for name in ("seeds", "samples"):
        if name in overrides:
            try:
                changes[name] = _positive(name, overrides.pop(name))
            except ConfigError as error:
                errors += error.messages
    if "space" in overrides and overrides["space"] in NO_SPACE:
        del overrides["space"]
        changes["space"] = {}
        changes["search"] = None
        changes.setdefault("samples", 1)
    elif budget == "smoke":  # the embedded images have parameters of their own
        spaces = [_without_dataset(space) for space in sweep.spaces()]
        changes["space"] = spaces
        if not any(spaces):
            changes["search"] = None
    for name in Sweep.model_fields:
        if name in overrides:
            rule = f"{name} is set in the sweep file and cannot be overridden"
            if name == "space":
                rule = "should be none, which leaves out the search space"
            errors.append(f"{name} = {short_repr(overrides[name])}: {rule}")
    if errors:
        raise ConfigError(errors)
    return sweep.model_copy(update=changes)


def _hints(sweep: Sweep, candidates: list[Candidate]) -> list[str]:
    """What of the sweep file has no effect, or may be meant otherwise."""
    hints = list_constants(sweep)
    has_draws = any(map(is_random, sweep.spaces()))
    # A search that learns from results runs `samples` trials of a grid, too.
    if sweep.samples > 1 and not has_draws and learning_search(sweep.search) is None:
        hints.append(
            f"samples = {sweep.samples} has no effect: the search space has no random dimension, "
            "such as tune.uniform or tune.choice"
        )
    if sweep.scheduler is not None:
        epochs = max(candidate.trial.epochs for candidate in candidates)
        rungs = sweep.scheduler.rungs(epochs)
        largest = _largest_group(candidates)
        if not rungs:
            hints.append(
                "the scheduler has no effect: the first epoch at which it may stop trials is not "
                f"before epoch {epochs}, the last one"
            )
        elif sweep.scheduler.expected_epochs(epochs, rungs, largest) >= epochs:
            trials = count_of(largest, "trial")
            hints.append(
                f"the scheduler has no effect: it compares {trials} at most, and all continue"
            )
    return hints


def _largest_group(candidates: list[Candidate]) -> int:
    """The number of trials of the largest comparability group, without dependencies."""
    groups: Counter[str] = Counter()
    for candidate in candidates:
        if not candidate.is_dependency:
            groups[str(candidate.group.get("key"))] += 1
    return max(groups.values())


def _check_inactive(sweep: Sweep, built: BuiltTrials) -> None:
    """Add errors about parameters of the base trial that are inactive in all trials."""
    trials = [candidate.trial for candidate in built.possible]
    for message in _always_inactive(sweep.base, trials):
        built.errors[message] += built.examined


def _check_metrics(sweep: Sweep, built: BuiltTrials) -> None:
    """Add errors about metrics, unless there are other errors."""
    if not built.errors:
        built.errors += _metric_errors(sweep, [candidate.trial for candidate in built.possible])


def _directions(requested: list[Candidate]) -> dict[str, str]:
    """The directions of the metrics on which all tasks agree."""
    trials_by_task = {repr(candidate.trial.task): candidate.trial for candidate in requested}
    return common_directions([trial.metric_directions() for trial in trials_by_task.values()])


def _mode(sweep: Sweep, directions: Mapping[str, str]) -> Mode:
    """The mode of the sweep, or the declared direction of its metric.

    Raises ConfigError if there is neither.
    """
    if sweep.mode is not None:
        return sweep.mode
    direction = metric_direction(sweep.metric, directions)
    if direction is None:
        raise ConfigError(
            [
                f"metric = {sweep.metric!r}: it is not declared whether lower or higher values are "
                "better: set mode='min' or mode='max'"
            ]
        )
    return direction


def _positive(name: str, value: Any) -> int:
    """A whole number above 0. Raises ConfigError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError([f"{name} = {value!r}: should be a whole number above 0"])
    return value


def _without_dataset(space: Space) -> Space:
    axes: dict[str, Any] = {}
    for key, domain in space.items():
        if not key.startswith("dataset.") and ".dataset." not in key:
            axes[key] = domain
    return axes


def _metric_errors(sweep: Sweep, trials: list[Trial]) -> Counter[str]:
    """Errors: trials that do not report the metric of the sweep, or report metrics wrongly."""
    errors: Counter[str] = Counter()
    errors_by_task: dict[str, list[str]] = {}
    for trial in trials:
        key = repr((trial.task, trial.dataset.image_shape))
        if key not in errors_by_task:
            output_shape = trial.task.output_shape(trial.dataset.image_shape)
            errors_by_task[key] = result_errors(trial.task, output_shape)
            if not errors_by_task[key]:
                errors_by_task[key] = _sweep_metric_errors(sweep, trial)
        errors.update(errors_by_task[key])
    return errors


def _sweep_metric_errors(sweep: Sweep, trial: Trial) -> list[str]:
    try:
        names = trial.metric_names()
    except ConfigError as error:
        return error.messages
    if sweep.metric in names:
        return []
    message = (
        f"metric = {sweep.metric!r} is not a metric of these trials: they report {', '.join(names)}"
    )
    similar = difflib.get_close_matches(sweep.metric, names, n=1)
    if f"val_{sweep.metric}" in names:
        similar = [f"val_{sweep.metric}"]
    if similar:
        message += f"; did you mean {similar[0]!r}?"
    return [message]


def _always_inactive(base: Trial, trials: list[Trial]) -> list[str]:
    """Errors: parameters that the sweep file sets and that are inactive in all trials."""
    errors: list[str] = []
    for kind in Trial.COMPONENTS:
        component = getattr(base, kind)
        same_type = [
            getattr(trial, kind)
            for trial in trials
            if type(getattr(trial, kind)) is type(component)
        ]
        if not same_type:
            continue
        inactive = [other.inactive_parameters() for other in same_type]
        for name in sorted(component.model_fields_set):
            value = getattr(component, name)
            is_default = value == type(component).model_fields[name].default
            if not is_default and all(name in parameters for parameters in inactive):
                reason = inactive[0][name]
                errors.append(f"{kind}.{name} = {value!r} would be ignored: {reason}")
    return errors


def _check_images(candidates: Iterable[Candidate], images: Mapping[str, Images]) -> None:
    """Raise ConfigError if images do not fit the task of a trial."""
    errors: dict[str, None] = {}  # an ordered set
    checked: set[tuple[str, str]] = set()
    for candidate in candidates:
        trial = candidate.trial
        key = dataset_key(trial.dataset)
        if (key, repr(trial.task)) in checked:
            continue
        checked.add((key, repr(trial.task)))
        try:
            trial.task.validate_images(trial.dataset, images[key])
        except ValueError as error:
            errors[str(error)] = None
    if errors:
        raise ConfigError(list(errors))


def _add_images(candidate: Candidate, images: Mapping[str, Images]) -> Candidate:
    """The candidate with its fingerprint and the number of images per epoch.

    A data set's own parameters may only state "all" images.
    """

    def fingerprint(dataset: Dataset) -> str:
        return images[dataset_key(dataset)].fingerprint

    own_images = images[dataset_key(candidate.trial.dataset)]
    counts = {
        "train_images": len(own_images.train.pixels),
        "val_images": len(own_images.val.pixels),
    }
    return replace(
        candidate,
        sizes=candidate.sizes | counts,
        fingerprint=fingerprint_of(candidate.trial, fingerprint),
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
        is_needed = candidate.key in needed
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
                record=match.record,
                retry=match.is_retry,
                group=candidate.group,
                fingerprint=candidate.fingerprint,
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


def _changed_settings(
    base: Trial, trial: Trial, overrides: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The settings that budget and command line changed, as {"full": ..., "here": ...}."""
    full = {"precision": base.precision} | base.flat()
    here = {"precision": trial.precision} | trial.flat()
    changed: dict[str, dict[str, Any]] = {}
    for key in here | full:
        is_override = any(_sets(name, key) for name in overrides)
        if is_override and here.get(key) != full.get(key):
            changed[key] = {
                "full": _setting_text(full.get(key, "not set")),
                "here": _setting_text(here.get(key, "not set")),
            }
    return changed


def _setting_text(value: Any) -> Any:
    """None in the image counts of a data set means all images."""
    if value is None:
        return "all"
    return value


def _sets(name: str, key: str) -> bool:
    """Whether overriding `name` changes `key`: itself, a component's parameter, a tuple's
    element."""
    parent, _, element = name.rpartition(".")
    is_element = key == parent and element.isdecimal()
    return key == name or key.startswith(f"{name}.") or is_element
