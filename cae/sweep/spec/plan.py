"""From a sweep to a list of trials: which, in which order, and what is already done."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from cae.run.metric_direction import Mode, common_directions, metric_direction
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.spec.code_snapshot import CodeSnapshot
from cae.sweep.spec.comparability import describe_group
from cae.sweep.spec.matching import Matcher, Reason, Wanted
from cae.sweep.spec.search_space import describe_axes, select_points
from cae.sweep.spec.sweep import Space, Sweep
from cae.sweep.spec.trained_points import Point, TrainedTrials, select_trained
from cae.trial.config import ConfigError, Trial, fingerprint_of, identity
from cae.trial.datasets import Dataset, Images
from cae.trial.networks.create import training_error_of_one_image
from cae.trial.tasks.shapes import result_errors

LoadImages = Callable[[Dataset], Images]


@dataclass(frozen=True)
class PlannedTrial:
    """One trial that the sweep requests."""

    number: int
    hash: str
    trial: Trial
    axes: dict[str, Any]
    """The keys of the search space with this trial's values."""
    sizes: dict[str, Any]
    """Parameters, latent size and cost of the network, and images per epoch."""
    dependencies: dict[str, int] = field(default_factory=dict)
    """Numbers of the trials that have to finish first, by parameter of the task."""
    is_dependency: bool = False
    """Whether the trial is planned only because others depend on it."""
    record: Record | None = None
    """What the journal contains about it."""
    retry: bool = False
    """Whether it has ended and is requested again."""
    group: dict[str, Any] = field(default_factory=dict, repr=False)
    """The comparability group, as the journal describes it."""
    fingerprint: str = ""
    """Of its images, and of those of its dependencies."""
    code: str = ""
    """Digest of the source code of the user's components; empty without such components."""
    requested_epochs: int = 0
    """Epochs that the sweep requests; the trial of the run that answers may have more."""
    reason: Reason | None = None
    """Why it is trained although the run holds a trial of the same configuration, `replaces`."""
    replaces: int | None = None

    @property
    def done_epochs(self) -> int:
        """Epochs that the journal contains."""
        if self.record is None:
            return 0
        return self.record.last_epoch

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left to train."""
        if self.record is None or self.retry:
            return False
        return self.record.state.is_final and self.record.hash == self.hash


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
    code: CodeSnapshot = field(default_factory=CodeSnapshot, repr=False)
    """The code that workers execute."""
    lost_weights: list[int] = field(default_factory=list)
    """Finished trials whose best weights are missing."""

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


@dataclass(frozen=True)
class _Candidate:
    """A trial on the way to a PlannedTrial."""

    trial: Trial
    axes: dict[str, Any]
    is_dependency: bool = False
    sizes: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    """Of its images, and of those of its dependencies."""
    group: dict[str, Any] = field(default_factory=dict)
    """The description of its comparability group."""

    @property
    def key(self) -> str:
        """Equal for equal trials."""
        return trial_key(self.trial)


def trial_key(trial: Trial) -> str:
    """A text that is equal for equal configurations."""
    return json.dumps(trial.flat(), sort_keys=True)


def dataset_key(dataset: Dataset) -> str:
    """A text that is equal for equal data sets."""
    return json.dumps([dataset.name, dataset.parameters()], sort_keys=True)


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
    """
    records = records or {}
    overrides = sweep.budget(budget) | dict(settings or {})
    budget_limit = overrides.pop("max_trials", None)
    if budget_limit is not None:
        budget_limit = _positive("max_trials", budget_limit)
    seeds = _positive("seeds", overrides.pop("seeds", sweep.seeds))
    sweep = sweep.model_copy(update={"seeds": seeds})
    if budget == "smoke":  # the embedded images have parameters of their own
        spaces = [_without_dataset(space) for space in sweep.spaces()]
        sweep = sweep.model_copy(update={"space": spaces})
    limit = max_trials or budget_limit
    max_points = None
    if limit is not None:
        max_points = max(1, limit // seeds)  # all seeds of some points, not one seed of more points

    def trained() -> TrainedTrials:
        return select_trained(sweep.base, overrides, seeds, records.values())

    points = select_points(sweep, overrides, max_points, trained)
    built, duplicates = _build_trials(sweep, points.points, overrides)
    requested = built[:limit]
    candidates = _add_dependencies(requested)
    candidates = _measure_networks(sweep, requested, candidates)
    directions = _directions(requested)
    images = _load_images(candidates, load)
    _check_images(candidates, images)
    candidates = [_add_images(candidate, images) for candidate in candidates]
    _check_last_batches(candidates)
    candidates = _add_groups(candidates, images)
    trials = _match_records(candidates, records, Matcher(records, retry, old_source))
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
        duplicates=duplicates,
        epochs=max(candidate.trial.epochs for candidate in candidates),
        left=[record for record in records.values() if record.number not in numbers],
    )


def _directions(requested: list[_Candidate]) -> dict[str, str]:
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
    if not isinstance(value, int) or value < 1:
        raise ConfigError([f"{name} = {value!r}: should be a whole number above 0"])
    return value


def _without_dataset(space: Space) -> Space:
    axes: dict[str, Any] = {}
    for key, domain in space.items():
        if not key.startswith("dataset.") and ".dataset." not in key:
            axes[key] = domain
    return axes


def _build_trials(
    sweep: Sweep, points: list[Point], overrides: Mapping[str, Any]
) -> tuple[list[_Candidate], int]:
    """The distinct trials, all points with the first seed first, and the number of duplicates.

    Raises ConfigError with the errors of all points.
    """
    errors: Counter[str] = Counter()
    distinct: dict[str, _Candidate] = {}
    for seed in range(sweep.seeds):
        for point in points:
            try:
                trial = sweep.base.override({**point, **overrides})
            except ConfigError as error:
                errors.update(error.messages)
                continue
            if sweep.seeds > 1:
                trial = trial.override({"seed": trial.seed + seed})
            candidate = _Candidate(trial, point)
            distinct.setdefault(candidate.key, candidate)
    total = len(points) * sweep.seeds
    if errors:
        raise ConfigError(_with_counts(errors, total))
    if not distinct:
        raise ConfigError(["space: a dimension has no values, so there is no trial"])
    return list(distinct.values()), total - len(distinct)


def _add_dependencies(requested: list[_Candidate]) -> list[_Candidate]:
    """The requested trials, after the trials that they depend on, each once."""
    if not any(candidate.trial.dependencies() for candidate in requested):
        return requested
    known = {candidate.key for candidate in requested}
    only_dependencies: list[_Candidate] = []

    def visit(trial: Trial) -> None:
        for dependency in trial.dependencies().values():
            visit(dependency)
            candidate = _Candidate(dependency, {}, is_dependency=True)
            if candidate.key not in known:
                known.add(candidate.key)
                only_dependencies.append(candidate)

    needed: set[str] = set()
    for candidate in requested:
        visit(candidate.trial)
        for dependency in candidate.trial.dependencies().values():
            needed.add(trial_key(dependency))
    requested_dependencies = [candidate for candidate in requested if candidate.key in needed]
    others = [candidate for candidate in requested if candidate.key not in needed]
    return [*only_dependencies, *requested_dependencies, *others]


def _measure_networks(
    sweep: Sweep, requested: list[_Candidate], candidates: list[_Candidate]
) -> list[_Candidate]:
    """The candidates with the sizes of their networks; each network is measured once.

    Raises ConfigError with every trial that cannot be trained, and why.
    """
    errors: Counter[str] = Counter()
    sizes_by_network: dict[str, dict[str, Any]] = {}
    errors_by_network: dict[str, list[str]] = {}
    measured: list[_Candidate] = []
    _check_image_shapes(candidates)
    for candidate in candidates:
        trial = candidate.trial
        network = repr((trial.arch, trial.task, trial.dataset.image_shape))
        if network not in sizes_by_network and network not in errors_by_network:
            try:
                sizes_by_network[network] = trial.sizes()
            except ConfigError as error:
                errors_by_network[network] = error.messages
        if network in errors_by_network:
            errors.update(errors_by_network[network])
        else:
            measured.append(replace(candidate, sizes=sizes_by_network[network]))
    trials = [candidate.trial for candidate in requested]
    for message in _always_inactive(sweep.base, trials):
        errors[message] += len(candidates)
    if not errors:
        errors += _metric_errors(sweep, trials)
    if errors:
        raise ConfigError(_with_counts(errors, len(candidates)))
    return measured


def _check_image_shapes(candidates: list[_Candidate]) -> None:
    """Raise ConfigError if the `image_shape` of a data set of the user's own is invalid."""
    errors: dict[str, None] = {}  # an ordered set
    for candidate in candidates:
        for message in candidate.trial.dataset.shape_errors():
            errors[message] = None
    if errors:
        raise ConfigError(list(errors))


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
    return [
        f"metric = {sweep.metric!r} is not a metric of these trials: they report {', '.join(names)}"
    ]


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


def _with_counts(errors: Counter[str], total: int) -> list[str]:
    """Each error once, with the number of trials that have it if not all have it."""
    messages: list[str] = []
    for message, count in errors.items():
        if count < total:
            message = f"{message} ({count} of {total} trials)"
        messages.append(message)
    return messages


def _load_images(candidates: Iterable[_Candidate], load: LoadImages) -> dict[str, Images]:
    images: dict[str, Images] = {}
    for candidate in candidates:
        key = dataset_key(candidate.trial.dataset)
        if key not in images:
            images[key] = load(candidate.trial.dataset)
    return images


def _check_images(candidates: Iterable[_Candidate], images: Mapping[str, Images]) -> None:
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


def _add_images(candidate: _Candidate, images: Mapping[str, Images]) -> _Candidate:
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


def _check_last_batches(candidates: Iterable[_Candidate]) -> None:
    """Raise ConfigError if the last batch of an epoch is too small for a network.

    Batch normalization needs two values per channel: one image is not enough for a 1x1 map.
    """
    errors: dict[str, None] = {}
    checked: set[str] = set()
    for candidate in candidates:
        trial = candidate.trial
        count = candidate.sizes["train_images"]
        network = repr((trial.arch, trial.task, trial.dataset.image_shape, trial.batch_size, count))
        if count % trial.batch_size != 1 or network in checked:
            continue
        checked.add(network)
        error = training_error_of_one_image(trial)
        if error:
            errors[
                f"batch_size = {trial.batch_size}: the last batch of the {count} training images "
                f"has one image, which {trial.arch.name!r} cannot be trained on ({error}); choose "
                "another batch_size or dataset.train_images"
            ] = None
    if errors:
        raise ConfigError(list(errors))


def _add_groups(candidates: list[_Candidate], images: Mapping[str, Images]) -> list[_Candidate]:
    """The candidates with their comparability groups; each group is described once."""

    def fingerprint(dataset: Dataset) -> str:
        return images[dataset_key(dataset)].fingerprint

    groups: dict[str, dict[str, Any]] = {}
    described: list[_Candidate] = []
    for candidate in candidates:
        key = repr((candidate.trial.dataset, candidate.trial.task))
        if key not in groups:
            groups[key] = describe_group(candidate.trial, fingerprint)
        described.append(replace(candidate, group=groups[key]))
    return described


def _match_records(
    candidates: list[_Candidate], records: Mapping[int, Record], matcher: Matcher
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


def _needed_by_unfinished(candidates: list[_Candidate], records: Mapping[int, Record]) -> set[str]:
    """Keys of the trials on whose weights trials depend that have not ended."""
    ended = {record.hash for record in records.values() if record.state.is_final}
    needed: set[str] = set()
    for candidate in candidates:
        dependencies = candidate.trial.dependencies().values()
        if dependencies and _hash(candidate) not in ended:
            needed |= {trial_key(dependency) for dependency in dependencies}
    return needed


def _hash(candidate: _Candidate) -> str:
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
