"""What a sweep file declares: `sweep = Sweep(...)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    FiniteFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from cae.run.metric_direction import Mode
from cae.sweep.schedulers.base import Scheduler
from cae.sweep.search.base import Search
from cae.sweep.spec.claims import Claim, check_claims, unknown_parameter
from cae.sweep.spec.space_forms import Space, plain_space_of
from cae.trial.config import Trial
from cae.trial.messages import ConfigError
from cae.trial.plain_values import to_plain

SMOKE_IMAGES = {
    "dataset.train_images": 128,
    "dataset.val_images": 64,
    "dataset.test_images": 64,
}
MAX_SMOKE_SIZE = 96
"""Pixels per side of the embedded patches."""


class Sweep(BaseModel):
    """One base trial, the search space around it, and what counts as good."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        arbitrary_types_allowed=True,
    )

    base: Trial
    """The trial whose parameters the search space changes."""
    space: Any = {}
    """Dotted names to domains of Ray Tune (tune.grid_search, tune.choice, tune.loguniform, ...) or
    constants. A list of such dictionaries is a union of search spaces."""
    samples: PositiveInt = 1
    """How many points are drawn if the search space has random dimensions (tune.choice, ...).
    Impossible draws are left out, counted and not replaced."""
    metric: str = "val_loss"
    """The metric by which trials are ranked and their best epoch is chosen."""
    mode: Mode | None = None
    """Whether smaller or larger values of the metric are better. None: the declared direction of
    the metric; a metric without one needs `mode`."""
    scheduler: Scheduler | None = None
    """Early stopping: ASHA() or Screen(). None: every trial trains all its epochs."""
    patience: PositiveInt | None = None
    """A trial is stopped when its metric has not improved for so many epochs. None: never."""
    worst_value: FiniteFloat | None = None
    """A trial is stopped at a value of the metric that is worse than this. None: never."""
    target: FiniteFloat | None = None
    """The sweep ends when the best trial of every comparability group has reached this value of the
    metric. None: never."""
    plateau: PositiveInt | None = None
    """The sweep ends when so many trials in a row have not improved the best value of their
    comparability group. None: never."""
    search: Search | None = None
    """How points of the search space are chosen: Grid(), Random() or ModelBased(). None: all points
    of a grid, and in random order those of which `max_trials` are used."""
    latent: bool = True
    """Whether the latent code of each trial is measured when it ends, `test_probe_accuracy` and
    others (`cae-sweep describe metrics`), and saved for the page (`latent.npz`). It does not change
    what is trained; `--retry latent` measures trials that finished without it."""
    seeds: PositiveInt = 1
    """How many seeds each configuration runs with: base.seed, base.seed + 1, ..."""
    budgets: dict[str, dict[str, Any]] = {}
    """Named overrides for `--budget`: dotted names, `seeds`, `max_trials`. `full` is the sweep
    itself, `smoke` is built in."""
    published: str | None = None
    """CSV file of published numbers, relative to the sweep file."""
    claims: list[Claim] = []
    """Claims of a report that the trials support or contradict."""
    provenance: dict[str, dict[Literal["stated", "repo"], list[Any]]] = {}
    """Where the values of an axis come from: {"arch.kernel_size": {"stated": [3, 7]}}. `stated`: in
    the report; `repo`: in its author's code or logs; values that are not named are inferred."""
    title: str = ""
    """Title of the page. Default: the first line of the sweep file's docstring."""

    def spaces(self) -> list[Space]:
        """The search spaces of the union; one if it is not a union."""
        if isinstance(self.space, Sequence):
            return list(self.space)
        return [self.space]

    def budget(self, name: str) -> dict[str, Any]:
        """The overrides of a budget. Raises ConfigError for an unknown one."""
        if name in self.budgets:
            return self.budgets[name]
        if name == "full":
            return {}
        if name == "smoke":
            return _smoke_budget(self.base) | {"max_trials": 4 * self.seeds}
        names = ", ".join(dict.fromkeys(["full", *self.budgets, "smoke"]))
        raise ConfigError([f"--budget {name}: this sweep has the budgets {names}"])

    @field_validator("seeds", "samples", "budgets", mode="before")
    @classmethod
    def _plain_values(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return to_plain(value)
        plain: dict[Any, Any] = {}
        for name, settings in value.items():
            plain[name] = settings
            if isinstance(settings, Mapping):
                plain[name] = {key: to_plain(setting) for key, setting in settings.items()}
        return plain

    @field_validator("scheduler", mode="before")
    @classmethod
    def _check_scheduler(cls, scheduler: object) -> object:
        if scheduler is not None and not isinstance(scheduler, Scheduler):
            raise ValueError("should be a scheduler of cae-sweep, such as ASHA(grace_epochs=1)")
        return scheduler

    @field_validator("search", mode="before")
    @classmethod
    def _check_search(cls, search: object) -> object:
        if search is not None and not isinstance(search, Search):
            raise ValueError("should be a search of cae-sweep: Grid(), Random() or ModelBased()")
        return search

    @field_validator("space")
    @classmethod
    def _check_space(cls, space: Any) -> Any:
        if isinstance(space, list | tuple):
            plain: list[dict[str, Any]] = []
            errors: list[str] = []
            for part in space:
                plain_space, part_errors = plain_space_of(part)
                plain.append(plain_space)
                errors += part_errors
            if not space:
                errors = ["is an empty list; leave it out, or write {} for the base trial alone"]
            return _without_errors(plain, errors)
        return _without_errors(*plain_space_of(space))

    @model_validator(mode="after")
    def _check_names(self) -> Sweep:
        if not self.base.is_complete():  # its errors were collected
            return self
        axes = {key for space in self.spaces() for key in space}
        errors = check_claims(self.claims, [*self.base.flat(), *axes])
        for name in self.provenance:
            error = unknown_parameter(name, axes)
            if error:
                errors.append(f"provenance: {error}")
        if errors:
            raise ValueError("; ".join(errors))
        return self


def _without_errors(plain_space: Any, errors: list[str]) -> Any:
    """Return a search space. Raises ValueError if there are errors."""
    if errors:
        raise ValueError("; ".join(dict.fromkeys(errors)))
    return plain_space


def _smoke_budget(trial: Trial) -> dict[str, Any]:
    """Embedded images in the shape of the trial's own, and two epochs: seconds per trial."""
    channels, height, _ = trial.dataset.image_shape
    dataset = "patches"
    if channels == 1:
        dataset = "digits"
    overrides: dict[str, Any] = {
        "dataset": dataset,
        "dataset.size": min(height, MAX_SMOKE_SIZE),
        **SMOKE_IMAGES,
    }
    for name, dependency in trial.dependencies().items():
        for key, value in _smoke_budget(dependency).items():
            overrides[f"task.{name}.{key}"] = value
    if "generated" in type(trial.task).model_fields:
        overrides["task.generated"] = 100
    if "threshold_quantile" in type(trial.task).model_fields:  # there are a few images per class
        overrides["task.threshold_quantile"] = 0.5
    if trial.warmup_epochs:
        overrides["warmup_epochs"] = 1
    return overrides | {"epochs": 2, "batch_size": 32}
