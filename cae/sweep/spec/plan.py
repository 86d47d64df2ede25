"""A sweep becomes a list of trials: which, in which order, what each would cost, and what is already done."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from ray.tune.search.sample import Categorical, Domain, Float, Integer
from ray.tune.search.variant_generator import generate_variants

from cae.run.records import Record
from cae.sweep.spec.sweep_file import Space, Sweep
from cae.trial.config import ConfigError, Trial, fingerprint_of, identity
from cae.trial.datasets.base import Dataset, Images

LoadImages = Callable[[Dataset], Images]
ORDER_SEED = 0
"""Of the order in which a sampled or ASHA-stopped space is run: the sample of 48 begins with the sample of 24."""


@dataclass(frozen=True)
class PlannedTrial:
    """One trial that the sweep asks for."""

    number: int
    hash: str
    trial: Trial
    axes: dict[str, Any]
    """The keys of the space, with this trial's values."""
    sizes: dict[str, Any]
    dependencies: dict[str, int] = field(default_factory=dict)
    """The trials that have to be finished before this one begins, by the task's parameter."""
    is_dependency: bool = False
    """Whether only other trials ask for this one."""
    record: Record | None = None
    """What the journal already knows of it."""
    retry: bool = False
    """Whether it ended, and is asked for again all the same."""

    @property
    def done_epochs(self) -> int:
        return self.record.last_epoch if self.record else 0

    @property
    def finished(self) -> bool:
        ended = (
            self.record is not None and self.record.state.is_final and self.record.hash == self.hash
        )
        return ended and not self.retry


@dataclass(frozen=True)
class Plan:
    """All trials that a sweep asks for, in the order in which they run."""

    sweep: Sweep
    trials: list[PlannedTrial]
    images: dict[str, Images] = field(repr=False)
    """The data sets, by `dataset_key`."""
    axes: dict[str, dict[str, Any]]
    """The keys of the space, with their values and the scale on which to draw them."""
    overrides: dict[str, dict[str, Any]]
    """In what this plan differs from the sweep's own settings: key -> {"full": ..., "here": ...}."""
    space_size: int
    duplicates: int

    @property
    def remaining(self) -> list[PlannedTrial]:
        return [planned for planned in self.trials if not planned.finished]

    @property
    def rungs(self) -> list[int]:
        epochs = max((planned.trial.epochs for planned in self.trials), default=1)
        return self.sweep.scheduler.rungs(epochs) if self.sweep.scheduler else []


def dataset_key(dataset: Dataset) -> str:
    return json.dumps([dataset.name, dataset.parameters()], sort_keys=True)


def counts(images: Images) -> dict[str, int]:
    """How many images an epoch takes: a data set's own parameters may only say "all"."""
    return {"train_images": len(images.train.pixels), "val_images": len(images.val.pixels)}


def make_plan(
    sweep: Sweep,
    load: LoadImages,
    *,
    budget: str = "full",
    settings: Mapping[str, Any] | None = None,
    max_trials: int | None = None,
    records: Mapping[int, Record] | None = None,
    retry: tuple[str, ...] = (),
) -> Plan:
    """Expands the space, samples it, builds and checks every trial, and finds each in the journal's records.

    `settings` are the command line's overrides; they and the budget's win over the space. `load` reads a data set.
    Raises ConfigError with every mistake of the whole sweep at once; DatasetMissing where images are not there.
    """
    chosen = sweep.budget(budget) | dict(settings or {})
    own_limit = chosen.pop("max_trials", None)
    seeds = chosen.pop("seeds", sweep.seeds)
    if not isinstance(seeds, int) or seeds < 1:
        raise ConfigError([f"seeds = {seeds!r}: should be a whole number above 0"])
    sweep = sweep.model_copy(update={"seeds": seeds})
    limit = max_trials or own_limit
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ConfigError([f"max_trials = {limit!r}: should be a whole number above 0"])
    if budget == "smoke":  # the embedded images have parameters of their own
        sweep = sweep.model_copy(
            update={"space": [_without_dataset(space) for space in sweep.spaces()]}
        )
    points, space_size = _points(sweep, chosen, limit)
    asked, duplicates = _build(sweep, points, chosen)
    built = _with_needed(asked)
    sizes = _check(sweep, [trial for trial, _ in asked], [trial for trial, _, _ in built])
    images = {}
    for trial, _, _ in built:
        key = dataset_key(trial.dataset)
        if key not in images:
            images[key] = load(trial.dataset)
    fingerprints = (
        fingerprint_of(trial, lambda dataset: images[dataset_key(dataset)].fingerprint)
        for trial, _, _ in built
    )
    counted = (
        size | counts(images[dataset_key(trial.dataset)])
        for (trial, _, _), size in zip(built, sizes, strict=True)
    )
    hashed = [
        (fingerprint, *one, size)
        for fingerprint, one, size in zip(fingerprints, built, counted, strict=True)
    ]
    trials = _number(hashed, records or {}, retry)
    full, here = (
        {"precision": trial.precision} | trial.flat() for trial in (sweep.base, asked[0][0])
    )
    changed = [
        key
        for key in here | full
        if here.get(key) != full.get(key) and any(_within(key, name) for name in chosen)
    ]
    overrides = {
        key: {"full": _told(full.get(key, "no such")), "here": _told(here.get(key, "no such"))}
        for key in changed
    }
    return Plan(sweep, trials, images, _axes(sweep, chosen), overrides, space_size, duplicates)


def _told(value: Any) -> Any:
    """None is how a data set's counts say `all`; a parameter that one of the two lacks belongs to another part."""
    return "all" if value is None else value


def _within(key: str, name: str) -> bool:
    """Whether setting `name` sets `key`: the same, one of a chosen part's parameters, or the tuple of an element."""
    whole, _, element = name.rpartition(".")
    return key == name or key.startswith(f"{name}.") or (key == whole and element.isdecimal())


def _without_dataset(space: Space) -> Space:
    return {
        key: word
        for key, word in space.items()
        if not key.startswith("dataset.") and ".dataset." not in key
    }


def _points(
    sweep: Sweep, chosen: Mapping[str, Any], limit: int | None
) -> tuple[list[dict[str, Any]], int]:
    """The points of the space to run, in their order, and how many there are in all. A key that is overridden is no axis."""
    points = [
        point
        for space in sweep.spaces()
        for point in expand({k: v for k, v in space.items() if k not in chosen}, sweep.samples)
    ]
    if sweep.scheduler or (limit and limit < len(points)):
        # ASHA judges a trial by those that came before: in the order of a grid it would stop nearly all or nearly none
        random.Random(ORDER_SEED).shuffle(points)
    return points[:limit], len(points)


def expand(space: Space, samples: int) -> Iterator[dict[str, Any]]:
    """Every point of one space: its grid, and `samples` draws of what is random (seeded: the same each time)."""
    rng = np.random.RandomState(ORDER_SEED)
    random_dimensions = any(isinstance(value, Domain) for value in space.values())
    for _ in range(samples if random_dimensions else 1):
        for _, point in generate_variants(dict(space), random_state=rng):
            yield {
                key: value.item() if isinstance(value, np.generic) else value
                for key, value in point.items()
            }


def _build(
    sweep: Sweep, points: list[dict[str, Any]], chosen: Mapping[str, Any]
) -> tuple[list[tuple[Trial, dict[str, Any]]], int]:
    """The distinct trials with their axes, seeds outermost, and how many points were the same as another."""
    mistakes: Counter[str] = Counter()
    distinct: dict[str, tuple[Trial, dict[str, Any]]] = {}
    for seed in range(sweep.seeds):
        for point in points:
            try:
                trial = sweep.base.override({**point, **chosen})
            except ConfigError as error:
                mistakes.update(error.messages)
                continue
            if sweep.seeds > 1:
                trial = trial.override({"seed": trial.seed + seed})
            distinct.setdefault(json.dumps(trial.flat(), sort_keys=True), (trial, point))
    if mistakes:
        raise ConfigError(_counted(mistakes, len(points) * sweep.seeds))
    if not distinct:
        raise ConfigError(["space: it has no point, for one of its dimensions has no value"])
    return list(distinct.values()), len(points) * sweep.seeds - len(distinct)


def _with_needed(
    asked: list[tuple[Trial, dict[str, Any]]],
) -> list[tuple[Trial, dict[str, Any], bool]]:
    """The trials asked for, and before them those that they need and nobody asks for, each once, with a mark."""
    if not any(trial.dependencies() for trial, _ in asked):
        return [(trial, axes, False) for trial, axes in asked]
    known = {json.dumps(trial.flat(), sort_keys=True) for trial, _ in asked}
    needed: list[tuple[Trial, dict[str, Any], bool]] = []

    def visit(trial: Trial) -> None:
        for one in trial.dependencies().values():
            visit(one)
            if (key := json.dumps(one.flat(), sort_keys=True)) not in known:
                known.add(key)
                needed.append((one, {}, True))

    for trial, _ in asked:
        visit(trial)
    also = {
        json.dumps(one.flat(), sort_keys=True)
        for trial, _ in asked
        for one in trial.dependencies().values()
    }
    first = sorted(
        asked, key=lambda pair: json.dumps(pair[0].flat(), sort_keys=True) not in also
    )  # stable: the others keep their order
    return [*needed, *((trial, axes, False) for trial, axes in first)]


def _check(sweep: Sweep, asked: list[Trial], trials: list[Trial]) -> list[dict[str, Any]]:
    """The sizes of every trial's network. Raises ConfigError with every trial that cannot be trained, and why."""
    mistakes: Counter[str] = Counter()

    @cache
    def sizes(network: str) -> dict[str, Any]:
        return by_network[network].sizes()

    found = []
    by_network: dict[str, Trial] = {}
    for trial in trials:
        key = repr((trial.arch, trial.task, trial.dataset.image_shape))
        by_network.setdefault(key, trial)
        try:
            found.append(sizes(key))
        except ConfigError as error:
            mistakes.update(error.messages)
    mistakes.update({message: len(trials) for message in _idle_in_all(sweep.base, asked)})
    if not mistakes and asked and sweep.metric not in (names := asked[0].metric_names()):
        mistakes[
            f"metric = {sweep.metric!r} is not one that these trials report: there are {', '.join(names)}"
        ] += len(trials)
    if mistakes:
        raise ConfigError(_counted(mistakes, len(trials)))
    return found


def _idle_in_all(base: Trial, trials: list[Trial]) -> list[str]:
    """Mistakes: what the sweep file sets in a part, and no trial with that part would heed."""
    mistakes = []
    for kind in Trial.COMPONENTS:
        part = getattr(base, kind)
        alike = [
            getattr(trial, kind).inactive_parameters()
            for trial in trials
            if type(getattr(trial, kind)) is type(part)
        ]
        given = [
            name
            for name in sorted(part.model_fields_set)
            if getattr(part, name) != type(part).model_fields[name].default
        ]
        idle = [name for name in given if alike and all(name in ignored for ignored in alike)]
        mistakes += [
            f"{kind}.{name} = {getattr(part, name)!r} would be ignored: {alike[0][name]}"
            for name in idle
        ]
    return mistakes


def _counted(mistakes: Counter[str], total: int) -> list[str]:
    """Each mistake once, with the number of trials that make it where it is not all of them."""
    return [
        message if count >= total else f"{message} ({count} of {total} trials)"
        for message, count in mistakes.items()
    ]


def _number(
    hashed: list[tuple[str, Trial, dict[str, Any], bool, dict[str, Any]]],
    records: Mapping[int, Record],
    retry: tuple[str, ...],
) -> list[PlannedTrial]:
    """Numbers the trials (each with its images' fingerprint): one that the journal knows keeps its number; one that asks for
    more epochs of a trial that is no longer asked for takes that one's, and goes on from there; the others count on."""
    by_hash = {record.hash: record for record in records.values()}
    keys = [identity(trial.flat(), fingerprint, trial.code()) for fingerprint, trial, *_ in hashed]
    asked = set(keys)
    left = {key: record for key, record in by_hash.items() if key not in asked}
    lengths = sorted({record.config["epochs"] for record in left.values()}, reverse=True)
    planned: list[PlannedTrial] = []
    wanted = {repr(one) for _, trial, *_ in hashed for one in trial.dependencies().values()}
    numbers: dict[str, int] = {}
    next_number = max(records, default=0) + 1
    for key, (fingerprint, trial, axes, needed, sizes) in zip(keys, hashed, strict=True):
        record = by_hash.get(key)
        if not record:  # the same trial, images and all, but for its number of epochs
            shorter = [
                trial.flat() | {"epochs": epochs} for epochs in lengths if epochs < trial.epochs
            ]
            earlier = (identity(flat, fingerprint, trial.code()) for flat in shorter)
            record = next((left.pop(one) for one in earlier if one in left), None)
        again = record is not None and record.state in retry
        number = record.number if record else next_number
        dependencies = {name: numbers[repr(one)] for name, one in trial.dependencies().items()}
        planned.append(
            PlannedTrial(number, key, trial, axes, sizes, dependencies, needed, record, again)
        )
        if wanted:
            numbers[repr(trial)] = number
        next_number += record is None
    return planned


def _axes(sweep: Sweep, chosen: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the space varies, as the report draws it. Values are listed in the order in which the sweep file gives them."""
    axes: dict[str, dict[str, Any]] = {}
    for space in sweep.spaces():
        for key, word in space.items():
            if key in chosen:
                continue
            if isinstance(word, Float | Integer):
                scale = "log" if "Log" in type(word.sampler).__name__ else "linear"
                axes[key] = {"values": None, "low": word.lower, "high": word.upper, "scale": scale}
                continue
            values = (
                word.categories
                if isinstance(word, Categorical)
                else word["grid_search"]
                if _is_grid(word)
                else [word]
            )
            known = axes.get(key, {"values": []})["values"] or []
            values = json.loads(
                json.dumps(
                    [*known, *(value for value in values if value not in known)], default=str
                )
            )
            axes[key] = {"values": values, "scale": _scale(values)}
    for key, named in sweep.origins.items():
        if values := axes.get(key, {}).get("values"):
            plain = {
                origin: json.loads(json.dumps(of, default=str)) for origin, of in named.items()
            }
            if not all(
                key in space for space in sweep.spaces()
            ):  # then it is the base's own value in some
                base = json.loads(json.dumps(sweep.base.flat().get(key), default=str))
                values = [*([base] if base not in values else []), *values]
            if strange := [value for of in plain.values() for value in of if value not in values]:
                raise ConfigError(
                    [
                        f"origins: {key} has no value {strange[0]!r} in the space: {', '.join(map(repr, values))}"
                    ]
                )
            axes[key]["origins"] = [
                [value, next((origin for origin, of in plain.items() if value in of), "inferred")]
                for value in values
            ]
    return axes


def _is_grid(word: Any) -> bool:
    return isinstance(word, Mapping) and "grid_search" in word


def _scale(values: list[Any]) -> str:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "category"
    return "log" if min(values) > 0 and max(values) / min(values) >= 50 else "linear"
