"""Checks of the trials of a plan: their metrics, their images, parameters without effect."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping

from cae.run.metric_direction import Mode, common_directions, metric_direction
from cae.sweep.spec.candidates import BuiltTrials, Candidate, dataset_key
from cae.sweep.spec.latent_columns import reasons_unmeasured
from cae.sweep.spec.sweep import Sweep
from cae.trial.config import Trial
from cae.trial.datasets import Images
from cae.trial.messages import ConfigError
from cae.trial.tasks.shapes import result_errors


def check_inactive(sweep: Sweep, built: BuiltTrials) -> None:
    """Add errors about parameters of the base trial that are inactive in all trials."""
    trials = [candidate.trial for candidate in built.possible]
    for message in _always_inactive(sweep.base, trials):
        built.errors[message] += built.examined


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


def check_metrics(sweep: Sweep, built: BuiltTrials) -> None:
    """Add errors about metrics, unless there are other errors."""
    if not built.errors:
        built.errors += _metric_errors(sweep, [candidate.trial for candidate in built.possible])


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
    if sweep.metric in trial.latent_metric_names():  # see check_latent_metric
        return []
    message = (
        f"metric = {sweep.metric!r} is not a metric of these trials: they report {', '.join(names)}"
    )
    similar = difflib.get_close_matches(sweep.metric, names, n=1)
    for name in (f"val_{sweep.metric}", f"val_{sweep.metric.removeprefix('test_')}"):
        if name in [*names, *trial.latent_metric_names()]:
            similar = [name]
    if similar:
        message += f"; did you mean {similar[0]!r}?"
    return [message]


def check_latent_metric(
    sweep: Sweep, candidates: Iterable[Candidate], images: Mapping[str, Images]
) -> None:
    """Raise ConfigError if the sweep ranks by a metric of the latent code that trials lack."""
    setting = f"metric = {sweep.metric!r}"
    name = sweep.metric.removeprefix("val_")
    errors: dict[str, None] = {}  # an ordered set
    for candidate in candidates:
        trial = candidate.trial
        if candidate.is_dependency or sweep.metric not in trial.latent_metric_names():
            continue
        if sweep.metric in trial.metric_names():
            continue
        own_images = images[dataset_key(trial.dataset)]
        for reason in reasons_unmeasured(
            name, trial, candidate.sizes, own_images, sweep, split="val"
        ):
            errors[f"{setting}: {reason}"] = None
    if errors:
        raise ConfigError(list(errors))


def metric_directions(requested: list[Candidate]) -> dict[str, str]:
    """The directions of the metrics on which all tasks agree."""
    trials_by_task = {repr(candidate.trial.task): candidate.trial for candidate in requested}
    return common_directions([trial.metric_directions() for trial in trials_by_task.values()])


def untrained_metrics(requested: list[Candidate]) -> list[str]:
    """The metrics that depend on training in no task of the trials."""
    tasks = {repr(candidate.trial.task): candidate.trial for candidate in requested}
    untrained = [set(trial.untrained_metrics()) for trial in tasks.values()]
    return sorted(set.intersection(*untrained))


def sweep_mode(sweep: Sweep, directions: Mapping[str, str]) -> Mode:
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


def check_images(candidates: Iterable[Candidate], images: Mapping[str, Images]) -> None:
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
