"""What `cae.run_sweep` asks of the process that runs the sweep. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from cae.sweep.spec.sweep import Sweep


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run, besides those that select its trials."""

    gpus: int | None = None
    gpus_per_trial: float | None = None
    cpus_per_trial: float = 1
    slots: int | None = None
    address: str | None = None
    epoch_timeout: float | None = None
    max_failures: int = 10
    max_hours: float | None = None
    max_epochs: int | None = None
    track: Literal["mlflow", "wandb", "tensorboard"] | None = None
    notify: str | None = None
    watch: bool = False
    quiet: bool = False
    command: str = ""
    """The command or call, for sweep.json."""
    arguments: tuple[str, ...] = ()
    """Of the command line, for a place that executes it elsewhere."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A call of `cae.run_sweep`, as its process receives it."""

    selection: dict[str, Any]
    """Arguments of `session.select`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Overrides by dotted name."""
    sweep: Sweep | None = None
    """A sweep that is declared in no file."""
    options: RunOptions = field(default_factory=RunOptions)


def to_bytes(request: RunRequest) -> bytes:
    """Return a pickled request; functions inside a search space are pickled by value."""
    import ray.cloudpickle  # the pickle of the standard library refuses lambdas

    content: bytes = ray.cloudpickle.dumps(request)
    return content
