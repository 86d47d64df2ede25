"""A sweep file's words: Sweep and ASHA, and how such a file is read."""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from cae.errors import UserError
from cae.run.sweep_json import PUBLISHED
from cae.sweep.schedulers.asha import ASHA
from cae.sweep.schedulers.base import Scheduler
from cae.sweep.spec import claims as claims_
from cae.trial.component import COLLECTED_ERRORS
from cae.trial.config import ConfigError, Trial, explain, from_flat

Space = Mapping[str, Any]


class Sweep(BaseModel):
    """What a sweep file defines, as `sweep = Sweep(...)`: one base trial, the space around it, and what counts as good."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True
    )

    base: Trial
    space: Any = {}
    """Dotted names to Ray Tune's own words (tune.grid_search, tune.choice, tune.loguniform, ...) or to plain values; a list
    of such dictionaries is a union of spaces."""
    samples: PositiveInt = 1
    """How often each random dimension is drawn (tune.choice and its kin); a grid alone needs one."""
    metric: str = "val_loss"
    mode: Literal["min", "max"] = "min"
    scheduler: Scheduler | None = None
    """None: every trial runs to its last epoch."""
    seeds: PositiveInt = 1
    """Each configuration runs with the seeds base.seed, base.seed + 1, ..."""
    budgets: dict[str, dict[str, Any]] = {}
    """Named overrides (dotted names, `seeds` and `max_trials`). `full` is the base itself; `smoke` is built in."""
    published: str | None = None
    """A CSV file of published numbers, relative to the sweep file."""
    claims: list[claims_.Claim] = []
    """What the report claims, each to be judged from the trials (see cae/sweep/spec/claims.py)."""
    origins: dict[str, dict[Literal["stated", "repo"], list[Any]]] = {}
    """Where the values of an axis stand: {"arch.kernel_size": {"stated": [3, 7]}}. `repo`: in the code or the logs of a report's
    author. Values that are not named are inferred; the page says of each which it is."""
    title: str = ""

    def spaces(self) -> list[Space]:
        return list(self.space) if isinstance(self.space, Sequence) else [self.space]

    def budget(self, name: str) -> dict[str, Any]:
        """The overrides of a budget. Raises ConfigError for one that is not there."""
        if name == "smoke" and name not in self.budgets:
            return _smoke(self.base)
        budgets: dict[str, dict[str, Any]] = {"full": {}} | self.budgets
        if name not in budgets:
            raise ConfigError(
                [
                    f"--budget {name} is not one of this sweep's: there are {', '.join([*budgets, 'smoke'])}"
                ]
            )
        return budgets[name]

    @model_validator(mode="after")
    def _claims(self) -> Sweep:
        own = [*self.base.flat(), *(key for space in self.spaces() for key in space)]
        if told := claims_.mistakes(self.claims, own):
            raise ValueError("; ".join(told))
        axes = {key for space in self.spaces() for key in space}
        if told := [
            f"origins: {mistake}"
            for name in self.origins
            if (mistake := claims_.unknown(name, axes))
        ]:
            raise ValueError("; ".join(told))
        return self

    @field_validator("space")
    @classmethod
    def _words(cls, space: Any) -> Any:
        spaces = list(space) if isinstance(space, list | tuple) else [space]
        for one in spaces:
            if not isinstance(one, Mapping) or not all(isinstance(key, str) for key in one):
                raise ValueError(
                    'should be a dictionary of dotted names, such as {"arch.kernel_size": tune.grid_search([3, 5])}, or a list of such'
                )
            for key, word in one.items():
                if isinstance(word, Mapping) and not isinstance(
                    word.get("grid_search"), list | tuple
                ):
                    raise ValueError(f"{key}: tune.grid_search takes a list of values")
        return space


def _smoke(base: Trial) -> dict[str, Any]:
    """Minutes become seconds: embedded images in the sweep's own shape, a few trials, two epochs."""
    channels, height, _ = base.dataset.image_shape
    images = {
        "dataset": "digits" if channels == 1 else "patches",
        "dataset.size": min(height, 96),
    }  # as large as patches are
    sizes = {"dataset.train_images": 128, "dataset.val_images": 64, "dataset.test_images": 64}
    needed = {
        f"task.{name}.{key}": value
        for name, trial in base.dependencies().items()
        for key, value in _smoke(trial).items()
    }
    needed = {key: value for key, value in needed.items() if not key.endswith("max_trials")}
    generated = {"task.generated": 100} if "generated" in type(base.task).model_fields else {}
    return images | sizes | needed | generated | {"epochs": 2, "batch_size": 32, "max_trials": 4}


class SweepFile(BaseModel):
    """A sweep together with where it was read."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    path: Path
    source: str
    description: str
    sweep: Sweep
    published: list[dict[str, str]]
    mistakes: list[str] = []
    """What is wrong with parts that the file builds: they stand in without it, so that the rest can be checked too."""

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def title(self) -> str:
        return self.sweep.title or next(iter(self.description.strip().splitlines()), self.name)


def read_sweep_file(path: Path) -> SweepFile:
    """Runs a sweep file (it is code, and trusted) and takes its `sweep`. Raises ConfigError with all that is wrong with it."""
    if not path.is_file():
        near = (
            sorted(str(other) for other in path.parent.glob("*.py")) if path.parent.is_dir() else []
        )
        raise ConfigError(
            [
                f"{path} is not there"
                + (f"; in {path.parent} there are {', '.join(near)}" if near else "")
            ]
        )
    noted: list[tuple[ValidationError, int]] = []
    token = COLLECTED_ERRORS.set(noted)
    failure, module = None, None
    try:
        module = define(path)
    except ValidationError as error:  # of the trial or the sweep; or of a part that cannot stand in
        noted.append((error, _line(error, path)))
    except UserError as error:
        failure = (
            f"{path}: line {_line(error, path)}: {error}" if _line(error, path) else str(error)
        )
    except Exception as error:
        failure = (
            f"{path} cannot be run: line {_line(error, path)}: {type(error).__name__}: {error}"
        )
    finally:
        COLLECTED_ERRORS.reset(token)
    mistakes = list(
        dict.fromkeys(
            f"{path}: line {line}: {mistake}"
            for error, line in noted
            for mistake in _explain(error)
        )
    )
    if (
        failure
        or not module
        or (mistakes and not isinstance(getattr(module, "sweep", None), Sweep))
    ):
        raise ConfigError([*mistakes, *([failure] if failure else [])])
    sweep = getattr(module, "sweep", None)
    if not isinstance(sweep, Sweep):
        found = "no `sweep`" if sweep is None else f"a `sweep` that is a {type(sweep).__name__}"
        raise ConfigError(
            [
                f"{path} defines {found}: a sweep file ends in `sweep = Sweep(base=Trial(...), space={{...}})`"
            ]
        )
    published = _read_published(sweep, path)
    source, description = path.read_text(), module.__doc__ or ""
    return SweepFile(
        path=path,
        source=source,
        description=description,
        sweep=sweep,
        published=published,
        mistakes=mistakes,
    )


def _explain(error: ValidationError) -> list[str]:
    parts: list[type[BaseModel]] = [
        part for kind in Trial.COMPONENTS.values() for part in kind.registry.values()
    ]
    parts += [Trial, Sweep, ASHA, *claims_.KINDS]
    names = {one.__name__: list(one.model_fields) for one in parts}
    return explain(error, f"{error.title}.", valid=names.get(error.title, []))


def from_config(flat: Mapping[str, Any], path: Path) -> Trial:
    """The trial of a flat configuration, whose parts may be the sweep file's own. Raises ConfigError."""
    if (
        any(flat.get(kind) not in part.registry for kind, part in Trial.COMPONENTS.items())
        and path.is_file()
    ):
        define(path)
    return from_flat(flat)


def define(path: Path) -> ModuleType:
    """Runs a sweep file as a module; parts that it defines are registered. Its own folder is importable meanwhile and after."""
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    name = f"cae_sweep_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if not spec or not spec.loader:
        raise ConfigError([f"{path} is no Python file: a sweep file ends in .py"])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks the annotations of its classes up there
    spec.loader.exec_module(module)
    return module


def _line(error: Exception, path: Path) -> int:
    """The line of the sweep file at which it failed; 0 where it was none of its lines."""
    lines, trace = [0], error.__traceback__
    while trace:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == path.resolve():
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return lines[-1] or (getattr(error, "lineno", 0) or 0)


def _read_published(sweep: Sweep, path: Path) -> list[dict[str, str]]:
    if not sweep.published:
        return []
    file = path.parent / sweep.published
    try:
        with file.open(newline="") as lines:
            reader = csv.DictReader(lines)
            rows = [
                dict.fromkeys(PUBLISHED, "")
                | {key: value or "" for key, value in row.items() if key}
                for row in reader
            ]
            missing = [
                column
                for column in ("quantity", "value")
                if column not in (reader.fieldnames or [])
            ]
    except (OSError, UnicodeError, csv.Error) as error:
        raise ConfigError(
            [f"published = {sweep.published!r}: {file} cannot be read ({error})"]
        ) from None
    if missing:
        raise ConfigError(
            [
                f"published = {sweep.published!r}: {file} has no column {' and none '.join(missing)}: {', '.join(PUBLISHED)}"
            ]
        )
    return rows
