"""From the points of a search space to trials: each is built and its network is measured.

A value that is invalid wherever it is used is an error of the sweep. Values that are valid one by
one and impossible together (a kernel that is larger than the images of another axis) leave out
their points, which are counted; if no point is left, they are errors too.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

from cae.run.left_out import LeftOutPoints
from cae.sweep.spec.error_hints import describe_errors
from cae.sweep.spec.search_space import Points, interval_names, select_points
from cae.sweep.spec.sweep import Sweep
from cae.sweep.spec.trained_points import Point
from cae.trial.batches import count_images
from cae.trial.config import Trial
from cae.trial.datasets import Dataset, Images
from cae.trial.messages import ConfigError, ImpossibleCombination, with_prefix
from cae.trial.networks.create import training_error_of_one_image

LoadImages = Callable[[Dataset], Images]
"""Reads a data set."""
MAX_EXAMINED_PER_POINT = 100
"""How many points are examined for each one that is asked for, before the others are given up."""
MIN_EXAMINED = 1000
"""How many points are examined at least before the others are given up."""


@dataclass(frozen=True)
class Candidate:
    """A trial on the way to a PlannedTrial."""

    trial: Trial
    axes: dict[str, Any]
    is_dependency: bool = False
    is_kept: bool = False
    """Whether the conditions do not choose it; it has ended in the run, and stays in the sweep."""
    sizes: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    """Of its images, and of those of its dependencies."""
    pixels: dict[str, Any] = field(default_factory=dict)
    """The type and the value range of its images."""
    group: dict[str, Any] = field(default_factory=dict)
    """The description of its comparability group."""

    @functools.cached_property
    def key(self) -> str:
        """Equal for equal trials."""
        return trial_key(self.trial)


def trial_key(trial: Trial) -> str:
    """A text that is equal for equal configurations."""
    return json.dumps(trial.flat(), sort_keys=True)


def dataset_key(dataset: Dataset) -> str:
    """A text that is equal for equal data sets."""
    return json.dumps([dataset.name, dataset.parameters()], sort_keys=True)


class Networks:
    """Sizes of the networks of trials; each network is measured once."""

    def __init__(self) -> None:
        self._sizes: dict[str, dict[str, Any]] = {}
        self._errors: dict[str, list[str]] = {}

    def sizes(self, trial: Trial) -> dict[str, Any]:
        """The sizes of the network of a trial.

        Raises ConfigError if the trial cannot be trained.
        """
        network = repr((trial.arch, trial.task, trial.dataset.image_shape))
        if network not in self._sizes and network not in self._errors:
            try:
                self._sizes[network] = trial.sizes()
            except ConfigError as error:
                self._errors[network] = error.messages
        if network in self._errors:
            raise ConfigError(self._errors[network])
        return self._sizes[network]


@dataclass
class BuiltTrials:
    """The trials of the points of a search space, and what is wrong with the other points."""

    possible: list[Candidate] = field(default_factory=list)
    """The distinct trials that can be trained, with the first seed."""
    examined: int = 0
    """How many points were examined."""
    repeated: int = 0
    """How many points gave the same trial as another one."""
    invalid: int = 0
    """How many points have errors."""
    errors: Counter[str] = field(default_factory=Counter)
    """How many points have each error."""
    left_out: dict[str, LeftOutPoints] = field(default_factory=dict)
    """Points of impossible combinations by reason."""
    reason_messages: dict[str, list[str]] = field(default_factory=dict)
    """The messages of each reason."""

    def leave_out(self, messages: list[str], point: Point) -> None:
        """Count a point that is impossible for a reason, which may have several messages."""
        reason = "; ".join(messages)
        self.reason_messages[reason] = messages
        group = self.left_out.get(reason)
        if group is None:
            example = json.loads(json.dumps(point, default=str))
            self.left_out[reason] = LeftOutPoints(reason=reason, points=1, example=example)
        else:
            self.left_out[reason] = replace(group, points=group.points + 1)

    def left_out_descriptions(self) -> list[dict[str, Any]]:
        """The points that were left out, for sweep.json; the most frequent reason first."""
        groups = sorted(self.left_out.values(), key=lambda group: -group.points)
        return [asdict(group) for group in groups]

    def raise_errors(self, sweep: Sweep, *, is_strict: bool) -> None:
        """Raise ConfigError if there are errors, or impossible points and no others.

        Args:
            sweep: The sweep.
            is_strict: Whether each impossible point is an error.
        """
        errors = Counter(self.errors)
        if is_strict or not self.possible:
            for group in self.left_out.values():
                for message in self.reason_messages[group.reason]:
                    errors[message] += group.points
        if errors:
            raise ConfigError(describe_errors(errors, self.examined, sweep))
        if not self.possible:
            raise ConfigError(["space: a dimension has no values, so there is no trial"])


def build_trials(
    sweep: Sweep,
    points: Points,
    overrides: Mapping[str, Any],
    networks: Networks,
    max_points: int | None,
    after_first: Callable[[Trial], None],
    *,
    allow_inactive_defaults: bool = False,
) -> BuiltTrials:
    """Build and measure the trials of points, until there are `max_points` of them.

    Args:
        sweep: The sweep.
        points: Points of its search space, in the order in which they run.
        overrides: Settings that override base and search space.
        networks: Sizes of networks.
        max_points: How many points to use, without the impossible ones; None: all.
        after_first: Called with the first trial that is possible, before the others are measured.
        allow_inactive_defaults: Whether overrides may set inactive parameters to their defaults.
    """
    built = BuiltTrials()
    drawn = interval_names(sweep, overrides)
    keys: set[str] = set()
    for point in points:
        if _is_enough(built, max_points):
            break
        built.examined += 1
        try:
            trial = sweep.base.override(
                {**point, **overrides}, allow_inactive_defaults=allow_inactive_defaults
            )
            errors = _image_shape_errors(trial)
            if errors:
                raise ConfigError(errors)
            sizes = _measure(trial, networks)
        except ConfigError as error:
            if all(_is_impossible(message, drawn) for message in error.messages):
                built.leave_out(error.messages, point)
            else:
                built.invalid += 1
                built.errors.update(error.messages)
            continue
        candidate = Candidate(trial, point, sizes=sizes)
        key = candidate.key
        if key in keys:
            built.repeated += 1
        else:
            keys.add(key)
            built.possible.append(candidate)
            if len(keys) == 1:
                after_first(trial)
    return built


def check_names(sweep: Sweep, budget: str, settings: Mapping[str, Any]) -> None:
    """Check the parameters of the search space alone, around a base trial with errors.

    Raises ConfigError about the names and values of the search space and of the overrides.
    """
    overrides = sweep.budget(budget) | dict(settings)
    for name in ("max_trials", "seeds", "samples", "space"):
        overrides.pop(name, None)
    if not sweep.base.is_complete():
        return
    errors: Counter[str] = Counter()
    points = list(islice(select_points(sweep, overrides, MIN_EXAMINED), MIN_EXAMINED))
    for point in points:
        changes = {**point, **overrides}
        try:
            sweep.base.override(changes)
        except ConfigError as error:
            errors.update(message for message in error.messages if _is_about(message, changes))
    if errors:
        raise ConfigError(describe_errors(errors, len(points), sweep))


def _is_about(message: str, changes: Collection[str]) -> bool:
    """Whether a message is about the value of one of some parameters alone."""
    if isinstance(message, ImpossibleCombination) or " would be ignored: " in message:
        return False
    start = message
    prefix, colon, rest = message.partition(": ")
    if colon and " " not in prefix:  # the name of a dependency
        start = f"{prefix}.{rest}"
    return any(start.startswith(f"{name} ") for name in changes)


def _is_enough(built: BuiltTrials, max_points: int | None) -> bool:
    """Whether no more points have to be examined."""
    if max_points is None:
        return False
    is_given_up = built.examined >= max(MIN_EXAMINED, MAX_EXAMINED_PER_POINT * max_points)
    used = len(built.possible) + built.repeated + built.invalid
    return used >= max_points or is_given_up


def _is_impossible(message: str, drawn: Collection[str]) -> bool:
    """Whether an error leaves out the point: an impossible combination, or an invalid value that
    was drawn from an interval."""
    if isinstance(message, ImpossibleCombination):
        return True
    name = message.partition(" = ")[0]
    return name in drawn


def _image_shape_errors(trial: Trial) -> list[str]:
    """Errors of the `image_shape` of data sets of the user's own."""
    errors = list(trial.dataset.shape_errors())
    for dependency in trial.dependencies().values():
        errors += _image_shape_errors(dependency)
    return errors


def _measure(trial: Trial, networks: Networks) -> dict[str, Any]:
    """The sizes of the network of a trial.

    Raises ConfigError with all errors of the trial and its dependencies.
    """
    messages: list[str] = []
    for name, dependency in trial.dependencies().items():
        try:
            _measure(dependency, networks)
        except ConfigError as error:
            messages += [with_prefix(f"task.{name}", text) for text in error.messages]
    try:
        sizes = networks.sizes(trial)
    except ConfigError as error:
        raise ConfigError([*messages, *error.messages]) from None
    if messages:
        raise ConfigError(messages)
    return sizes


def leave_out_single_images(built: BuiltTrials, images: Mapping[str, Images]) -> None:
    """Leave out trials whose last batch of an epoch is too small for the network.

    Batch normalization needs two values per channel: one image is not enough for a 1x1 map.
    """
    reasons: dict[str, str] = {}
    possible: list[Candidate] = []
    for candidate in built.possible:
        reason = ""
        for trial in with_dependencies(candidate.trial):
            count = _training_images(trial, images)
            if not reason and count % trial.batch_size == 1:
                reason = _last_batch_error(trial, count, reasons)
        if reason:
            built.leave_out([reason], candidate.axes)
        else:
            possible.append(candidate)
    built.possible = possible


def _training_images(trial: Trial, images: Mapping[str, Images]) -> int:
    """How many images an epoch has; 0 if the task does not fit them, which is reported later."""
    own_images = images[dataset_key(trial.dataset)]
    try:
        return count_images(trial.task, own_images.train, own_images.class_names)
    except ValueError:
        return 0


def _last_batch_error(trial: Trial, count: int, reasons: dict[str, str]) -> str:
    """Why the last batch cannot be trained; empty if it can. `reasons`: those of other trials."""
    network = repr((trial.arch, trial.task, trial.dataset.image_shape, trial.batch_size, count))
    if network not in reasons:
        error = training_error_of_one_image(trial)
        reasons[network] = ""
        if error:
            reasons[network] = (
                f"batch_size = {trial.batch_size}: the last batch of the {count} training images "
                f"has one image, which {trial.arch.name!r} cannot be trained on ({error}); choose "
                "another batch_size or dataset.train_images"
            )
    return reasons[network]


def with_dependencies(trial: Trial) -> Iterator[Trial]:
    """A trial, after all trials that it depends on."""
    for dependency in trial.dependencies().values():
        yield from with_dependencies(dependency)
    yield trial


def repeat_with_seeds(possible: list[Candidate], seeds: int) -> tuple[list[Candidate], int]:
    """The distinct trials of all seeds, all points with the first seed first, and the number of
    trials that were there already."""
    if seeds == 1:
        return possible, 0
    distinct: dict[str, Candidate] = {}
    for seed in range(seeds):
        for candidate in possible:
            trial = candidate.trial.override({"seed": candidate.trial.seed + seed})
            axes = candidate.axes
            if "seed" in axes:
                axes = axes | {"seed": trial.seed}
            repeated = replace(candidate, trial=trial, axes=axes)
            distinct.setdefault(repeated.key, repeated)
    return list(distinct.values()), seeds * len(possible) - len(distinct)


def add_dependencies(requested: list[Candidate], networks: Networks) -> list[Candidate]:
    """The requested trials, after the trials that they depend on, each once."""
    if not any(candidate.trial.dependencies() for candidate in requested):
        return requested
    known = {candidate.key for candidate in requested}
    only_dependencies: list[Candidate] = []
    needed: set[str] = set()
    for candidate in requested:
        needed |= {trial_key(trial) for trial in candidate.trial.dependencies().values()}
        for trial in with_dependencies(candidate.trial):
            dependency = Candidate(trial, {}, is_dependency=True)
            if dependency.key not in known:
                known.add(dependency.key)
                sizes = networks.sizes(trial)
                only_dependencies.append(replace(dependency, sizes=sizes))
    requested_dependencies = [candidate for candidate in requested if candidate.key in needed]
    others = [candidate for candidate in requested if candidate.key not in needed]
    return [*only_dependencies, *requested_dependencies, *others]


class ImagesOfTrials:
    """The images of trials and of their dependencies; each data set is loaded once."""

    def __init__(self, load: LoadImages) -> None:
        self._load = load
        self.by_key: dict[str, Images] = {}
        """Images by `dataset_key`."""

    def add(self, requested: Trial) -> None:
        """Load the images of a trial and of its dependencies."""
        for trial in with_dependencies(requested):
            key = dataset_key(trial.dataset)
            if key not in self.by_key:
                self.by_key[key] = self._load(trial.dataset)
