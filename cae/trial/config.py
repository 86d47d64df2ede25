"""The configuration of one trial, and its flat form (cae/trial/flat_config.py).

No other module turns dictionaries into configurations.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from cae.trial import fitting
from cae.trial.augmentation import Augmentation, NoAugmentation
from cae.trial.component import (
    Component,
    calling_line,
    collect_error,
    create_incomplete,
    raising_errors,
)
from cae.trial.datasets import Dataset
from cae.trial.flat_config import (
    COMPONENTS,
    FlatConfig,
    below,
    default_of,
    delete_below,
    select_components,
    selected_component,
    set_parameter,
    split_changes,
    to_lists,
    to_tuples,
)
from cae.trial.latent.declaration import latent_metrics, measured_names
from cae.trial.messages import (
    ConfigError,
    ImpossibleCombination,
    explain,
    nearest,
    unknown_component,
    with_prefix,
)
from cae.trial.metrics import TRIAL_METRICS, Metric
from cae.trial.networks import Architecture, sizes
from cae.trial.optimizers import Optimizer
from cae.trial.plain_values import to_plain
from cae.trial.schedules import Constant, Schedule
from cae.trial.tasks import Task
from cae.trial.tasks.declared_tables import column_name
from cae.trial.user_code import class_source, code_of


class Trial(BaseModel):
    """The complete configuration of one trial.

    It cannot be changed; `override` returns another one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    COMPONENTS: ClassVar[dict[str, type[Component]]] = COMPONENTS
    """The fields that are components, each with its kind."""
    LATER_FIELDS: ClassVar[tuple[str, ...]] = (
        "precision",
        "clip_norm",
        "clip_value",
        "warmup_epochs",
        "augmentation",
    )
    """Fields that were added after the first runs. They are left out of the flat configuration
    while they have their defaults, so that earlier trials keep their hashes."""

    dataset: Dataset
    """The images: which data set, how many of its images, and how they are split."""
    task: Task
    """The inputs and targets that are made from the images, the loss and the metrics."""
    arch: Architecture
    """The architecture of the network."""
    optimizer: Optimizer
    """The rule by which gradients change the weights, with the learning rate of the first epoch."""
    schedule: Schedule = Constant()
    """How the learning rate changes from epoch to epoch."""
    batch_size: PositiveInt = 32
    """Images per training step; at least 1. The last batch of an epoch may be smaller. 32 is
    Keras's default."""
    epochs: PositiveInt = 10
    """Number of passes over the training images; at least 1."""
    seed: NonNegativeInt = 0
    """Seed of the trial's random numbers, at least 0: initial weights, order of the images,
    dropout, noise of the training images. The random numbers of validation and test are the same
    for all seeds."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Precision of training. Weights, losses, validation and test are always IEEE float32. `tf32`:
    factors of convolutions and matrix products are rounded to 10 bits of mantissa, on GPUs that can
    do so; elsewhere it is float32. `bfloat16`: the forward pass in mixed precision. Both may be
    faster on a GPU; the results differ."""

    augmentation: Augmentation = NoAugmentation()
    """Random changes of the training images, other ones in each epoch."""
    clip_norm: PositiveFloat | None = None
    """Largest norm of the gradient of all weights together; above 0. A longer gradient is scaled
    to it in every step. None: no limit. As torch.nn.utils.clip_grad_norm_."""
    clip_value: PositiveFloat | None = None
    """Largest absolute value of each element of the gradient; above 0. Larger ones are cut to it in
    every step, after `clip_norm`. None: no limit. As torch.nn.utils.clip_grad_value_."""
    warmup_epochs: NonNegativeInt = 0
    """Epochs of linear warm-up before the schedule starts: in epoch e of w the learning rate is
    e / (w + 1) times the optimizer's. 0: none."""

    if not TYPE_CHECKING:  # type checkers derive a signature with the fields

        def __init__(self, **fields: object) -> None:
            """Collect the errors of a sweep file that is being read."""
            fields = {name: to_plain(value) for name, value in fields.items()}
            try:
                super().__init__(**fields)
            except ValidationError as error:
                collect_error(error, calling_line())
                create_incomplete(self, fields, error)

    def is_complete(self) -> bool:
        """Return whether all components are there; False only after collected errors."""
        is_complete = all(
            isinstance(getattr(self, kind), base) for kind, base in self.COMPONENTS.items()
        )
        return is_complete and all(
            dependency.is_complete() for dependency in self.dependencies().values()
        )

    def flat(self) -> FlatConfig:
        """Return every parameter by its dotted name.

        Each value can be written as JSON: tuples become lists. Parameters that were added after the
        first runs are left out while they have their defaults (LATER_FIELDS, `later_parameters`).
        """
        flat: FlatConfig = {}
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            if key in self.LATER_FIELDS and value == field.default:
                continue
            if key in self.COMPONENTS:
                _add_component(flat, key, value)
            else:
                flat[key] = value
        return flat

    def later_defaults(self) -> FlatConfig:
        """Return the defaults of the parameters that `flat` may leave out, by dotted name."""
        defaults: FlatConfig = {}
        for key in self.LATER_FIELDS:
            value = type(self).model_fields[key].default
            if isinstance(value, Component):
                value = value.name
            defaults[key] = value
        for kind in self.COMPONENTS:
            component = type(getattr(self, kind))
            for name in sorted(component.later_parameters & set(component.model_fields)):
                defaults[f"{kind}.{name}"] = to_lists(component.model_fields[name].default)
        return defaults

    def omitted_defaults(self) -> FlatConfig:
        """Return the parameters that `flat` leaves out, by dotted name."""
        flat = self.flat()
        defaults = self.later_defaults()
        return {name: value for name, value in defaults.items() if name not in flat}

    def override(
        self, changes: Mapping[str, object], *, allow_inactive_defaults: bool = False
    ) -> Trial:
        """Return this trial with the parameters in `changes`, by dotted name.

        Another component replaces all parameters of the earlier one by its own defaults. Raises
        ConfigError with all errors in `changes`, the parameters among them that would have no
        effect.

        `allow_inactive_defaults`: whether such a parameter may be set to the value that it has
        anyway.
        """
        with raising_errors():
            return self._override(changes, allow_inactive_defaults=allow_inactive_defaults)

    def _override(self, changes: Mapping[str, object], *, allow_inactive_defaults: bool) -> Trial:
        if not self.is_complete():
            raise ConfigError(["the trial has errors, so that it cannot be overridden"])
        flat = self.flat()
        unknown_components = select_components(flat, changes)
        errors = list(unknown_components.values())
        incomplete: set[str] = set()  # kinds of components without one of their changes
        changes = _of_known_components(changes, unknown_components)
        _replace_dependencies(flat, changes)
        changes, ignored = _without_missing_dependencies(flat, changes)
        errors += ignored
        changes, dependency_changes = split_changes(flat, changes)
        for name, inner_changes in dependency_changes.items():
            try:
                _override_dependency(flat, name, inner_changes, allow_inactive_defaults)
            except ConfigError as error:
                errors += error.messages
                incomplete.add("task")
        names = known_names(flat)
        # A tuple is set before its elements, in any order of the changes.
        for key in sorted(changes, key=lambda key: key.count(".")):
            if key in self.COMPONENTS:
                continue
            try:
                set_parameter(flat, names, key, changes[key])
            except ConfigError as error:
                errors += error.messages
                incomplete.add(key.partition(".")[0])
        trial = None
        with _collect(errors):
            trial = _from_flat(flat, incomplete)
        if trial is not None and not errors:
            if allow_inactive_defaults:
                changes = trial._without_inactive_defaults(changes, self)
            errors = trial._inactive_parameter_errors(changes)
        if trial is None or errors:
            raise ConfigError(errors)
        return trial

    def _without_inactive_defaults(
        self, changes: Mapping[str, object], base: Trial
    ) -> dict[str, object]:
        """Leave out inactive parameters that have their defaults, or the value in `base`."""
        unchanged: set[str] = set()
        for kind in self.COMPONENTS:
            component = getattr(self, kind)
            other = getattr(base, kind)
            for name in component.inactive_parameters():
                value = getattr(component, name)
                is_default = value == type(component).model_fields[name].default
                is_same = type(component) is type(other) and value == getattr(other, name)
                if is_default or is_same:
                    unchanged.add(f"{kind}.{name}")
        return {name: value for name, value in changes.items() if name not in unchanged}

    def _inactive_parameter_errors(self, changes: Mapping[str, object]) -> list[str]:
        """Messages about the parameters in `changes` that have no effect in this trial."""
        errors = []
        for kind in self.COMPONENTS:
            for name, reason in getattr(self, kind).inactive_parameters().items():
                parameter = f"{kind}.{name}"
                elements = f"{parameter}."
                errors += [
                    f"{key} = {value!r} would be ignored: {reason}"
                    for key, value in changes.items()
                    if key == parameter or key.startswith(elements)
                ]
        return errors

    def sizes(self) -> dict[str, Any]:
        """Return the size of the network (see networks.base.sizes); no image is read.

        Raises ConfigError with all reasons why this trial cannot be trained: shapes that do not
        fit, outputs that the loss does not accept.
        """
        network_sizes: dict[str, Any] = {}
        errors: list[str] = []
        with self._collecting(errors):
            self.task.validate_output_range(self.arch.output_range)
        with self._collecting(errors):
            self.task.validate_trial(self)
        is_valid_task = not errors
        with self._collecting(errors):
            fitting.validate_learning_rates(self)
        with self._collecting(errors):
            fitting.validate_augmentation(self)
        if is_valid_task:  # otherwise the shapes may not fit for that reason
            with self._collecting(errors):
                network_sizes = self._network_sizes()
        if errors:
            raise ConfigError(errors)
        return network_sizes

    def _network_sizes(self) -> dict[str, Any]:
        image_shape = self.dataset.image_shape
        input_shape = self.task.input_shape(image_shape)
        fitting.validate_loss_size(self.task, image_shape)
        fitting.validate_pairs(self)
        fitting.validate_skips(self)
        return sizes(self.arch, input_shape, self.task.output_shape(image_shape))

    @contextlib.contextmanager
    def _collecting(self, errors: list[str]) -> Iterator[None]:
        """Append the message of an error to `errors` instead of raising it."""
        try:
            yield
        except ValueError as error:
            errors.append(ImpossibleCombination(error))
        except Exception as error:  # from PyTorch, or from the code of a user's component
            errors.append(_building_error(self.arch, error))

    def code(self) -> str:
        """Return the source code of the components that a sweep file defines, and of what they use.

        It is a part of the trial's identity. Empty if all components are built in.
        """
        return "".join(code_of(component) for component in self.own_components())

    def class_sources(self) -> str:
        """Return the source code of the classes alone, which identified trials of old versions."""
        return "".join(class_source(component) for component in self.own_components())

    def own_components(self) -> list[type[Component]]:
        """Return the components that a sweep file defines, those of the dependencies last."""
        components: list[type[Component]] = [type(getattr(self, kind)) for kind in self.COMPONENTS]
        components += [type(term.loss) for term in self.task.losses()]
        own = [component for component in components if not component.is_builtin()]
        for dependency in self.dependencies().values():
            own += dependency.own_components()
        return own

    def history_depends_on_epochs(self, epochs: int) -> bool:
        """Return whether the epochs of this trial differ from those with another number of epochs.

        Then a trial of one length can neither be extended to the other, nor answer for it.
        """
        if self.schedule.uses_epochs:
            return True
        shared = range(1, min(epochs, self.epochs) + 1)
        return any(
            self.task.stage(epoch, epochs) != self.task.stage(epoch, self.epochs)
            for epoch in shared
        )

    def dependencies(self) -> dict[str, Trial]:
        """Return the trials that have to finish before this one starts, by the task's parameter."""
        trials = {name: getattr(self.task, name) for name in self.task.dependency_names}
        return {name: trial for name, trial in trials.items() if trial is not None}

    def metric_directions(self) -> dict[str, str]:
        """Return "min", "max" or "none" by metric, for all declared metrics.

        Names are without the split: `psnr` declares `val_psnr` and `test_psnr`. Those of table
        columns have the form `per_class:precision`.
        """
        return {name: str(metric.direction) for name, metric in self._declared_metrics().items()}

    def untrained_metrics(self) -> list[str]:
        """Return the declared metrics that do not depend on training, named as in
        `metric_directions`."""
        metrics = self._declared_metrics()
        return [name for name, metric in metrics.items() if not metric.depends_on_training]

    def _declared_metrics(self) -> dict[str, Metric]:
        """Return all declared metrics, without the split, and columns of tables by
        `column_name`."""
        metrics = TRIAL_METRICS | self.latent_metrics() | self.task.declared_metrics()
        for table, declared in self.task.declared_tables().items():
            for column, metric in declared.columns.items():
                metrics[column_name(table, column)] = metric
        return metrics

    def latent_metrics(self) -> dict[str, Metric]:
        """Return the metrics of the latent code, by name without the split (cae/trial/latent)."""
        if not self.task.measures_latent_code:
            return {}
        return latent_metrics()

    def latent_metric_names(self) -> list[str]:
        """Return the metrics of the latent code that are measured in an epoch if they are asked
        for."""
        if not self.task.measures_latent_code:
            return []
        return [f"val_{name}" for name in measured_names()]

    def metric_names(self) -> list[str]:
        """Return the names of the metrics of every epoch of this trial.

        Raises ConfigError if a metric of the task has another shape than a value per image.
        """
        count = 2
        images = torch.zeros(count, *self.task.output_shape(self.dataset.image_shape))
        metrics = self.task.metrics(images, images)
        errors = []
        for name, values in metrics.items():
            if tuple(values.shape) != (count,):
                errors.append(
                    f"task = {self.task.name!r}: its metric {name!r} has the shape "
                    f"{tuple(values.shape)} for {count} images: should be a value per image, "
                    f"({count},)"
                )
        if errors:
            raise ConfigError(errors)
        names = ["loss", *self.task.term_names, *metrics]
        validation = [f"val_{name}" for name in names]
        return ["train_loss", *validation, "lr", "seconds", "images_per_second"]


def _building_error(arch: Architecture, error: Exception) -> str:
    """The message for an error that building a network raised."""
    text = str(error).partition("\nException raised from ")[0]  # the stack of PyTorch's C++ code
    start = f"arch = {arch.name!r} cannot be built: "
    if "overflow" in text.lower() or isinstance(error, MemoryError | OverflowError):
        return ImpossibleCombination(f"{start}a layer is too large ({text}); choose a smaller one")
    return ImpossibleCombination(f"{start}{type(error).__name__}: {text}")


def _add_component(flat: FlatConfig, kind: str, component: Component) -> None:
    """Add the component's name and its parameters to `flat`, under their dotted names."""
    flat[kind] = component.name
    for name, value in component.parameters().items():
        if isinstance(value, Trial):
            for inner_name, inner_value in value.flat().items():
                flat[f"{kind}.{name}.{inner_name}"] = inner_value
        else:
            flat[f"{kind}.{name}"] = to_lists(value)


def from_flat(flat: Mapping[str, object]) -> Trial:
    """Return the trial whose `flat()` this is; missing parameters take their defaults.

    Raises ConfigError with all errors.
    """
    with raising_errors():
        return _from_flat(flat)


def _from_flat(flat: Mapping[str, object], incomplete: Collection[str] = ()) -> Trial:
    """See `from_flat`. `incomplete`: kinds of components that lack a parameter, because it has an
    error of its own: combinations of their other parameters are not errors."""
    errors = []
    is_built = True
    for key in flat:
        if key not in Trial.model_fields and key.partition(".")[0] not in COMPONENTS:
            hint = nearest(key, list(Trial.model_fields))
            errors.append(f"{key} is not a parameter of a trial; {hint}")
    fields: dict[str, Any] = {}
    for key in Trial.model_fields:
        if key in COMPONENTS:
            try:
                fields[key] = _build_component(key, flat)
            except ConfigError as error:
                is_built = False
                errors += _causes(error.messages, is_incomplete=key in incomplete)
        elif key in flat:
            fields[key] = flat[key]
    if is_built and not errors:
        try:
            return Trial(**fields)
        except ValidationError as error:
            raise ConfigError(explain(error, "")) from None
    # The other parameters are validated too, so that all errors are reported together.
    others = {key: value for key, value in fields.items() if key not in COMPONENTS}
    try:
        Trial.model_validate(others)
    except ValidationError as error:
        errors += explain(error, "", skip=COMPONENTS)
    raise ConfigError(errors)


def _build_component(kind: str, flat: Mapping[str, object]) -> Component:
    """The component of a kind with its parameters. Raises ConfigError."""
    registry = COMPONENTS[kind].registry
    selected = selected_component(flat, kind)
    if not isinstance(selected, str) or selected not in registry:
        raise ConfigError(unknown_component(kind, selected, registry))
    component: type[Component] = registry[selected]
    parameters = {name: to_tuples(value) for name, value in below(flat, kind).items()}
    invalid: list[str] = []  # dependencies with errors
    messages: list[str] = []
    for name in component.dependency_names:
        inner = below(flat, f"{kind}.{name}")
        if not inner:
            continue
        for key in inner:
            del parameters[f"{name}.{key}"]
        try:
            parameters[name] = from_flat(inner)
        except ConfigError as error:
            invalid.append(name)
            messages += [with_prefix(f"{kind}.{name}", text) for text in error.messages]
    try:
        built = component(**parameters)
    except ValidationError as error:
        own_messages = explain(error, f"{kind}.", skip=invalid)
        messages += _causes(own_messages, is_incomplete=bool(invalid))
        raise ConfigError(messages) from None
    if messages:
        raise ConfigError(messages)
    return built


def _causes(messages: list[str], *, is_incomplete: bool) -> list[str]:
    """The messages that do not follow from another error.

    A component that lacks a parameter with an error has that parameter's default, which may not fit
    the others: such messages are left out if the component `is_incomplete`.
    """
    if not is_incomplete:
        return messages
    return [text for text in messages if not isinstance(text, ImpossibleCombination)]


def known_names(flat: FlatConfig) -> list[str]:
    """Return every dotted name that can be set in a configuration with the components of `flat`."""
    names = list(Trial.model_fields)
    for kind, base in COMPONENTS.items():
        component = base.registry[selected_component(flat, kind)]
        names += [f"{kind}.{name}" for name in component.parameter_names()]
    return names


@contextlib.contextmanager
def _collect(errors: list[str]) -> Iterator[None]:
    """Append the messages of a ConfigError to `errors` instead of raising it."""
    try:
        yield
    except ConfigError as error:
        errors += error.messages


def _of_known_components(
    changes: Mapping[str, object], unknown: Collection[str]
) -> dict[str, object]:
    """Leave out the parameters of unknown components: whether they are valid cannot be known.

    `unknown`: kinds of components.
    """
    return {key: value for key, value in changes.items() if key.partition(".")[0] not in unknown}


def _without_missing_dependencies(
    flat: FlatConfig, changes: Mapping[str, object]
) -> tuple[dict[str, object], list[str]]:
    """Leave out the changes of dependencies that are not there.

    Returns the others, and a message for each change of a dependency that is None. If a dependency
    is invalid or missing, the task reports that alone.
    """
    others = dict(changes)
    messages: list[str] = []
    for name in Task.registry[str(flat["task"])].dependency_names:
        dependency = f"task.{name}"
        if f"{dependency}.dataset" in flat:
            continue
        value = flat.get(dependency, default_of(flat, dependency))
        for key, inner_value in below(changes, dependency).items():
            del others[f"{dependency}.{key}"]
            if value is None:
                text = f"{dependency}.{key} = {inner_value!r} would be ignored"
                messages.append(f"{text}: {dependency} is None")
    return others, messages


def _replace_dependencies(flat: FlatConfig, changes: Mapping[str, object]) -> None:
    """Set the trials that `changes` replaces as a whole: {"task.encoder": None}.

    A value that is neither a Trial nor None stays, for the task to refuse.
    """
    task = Task.registry.get(str(flat["task"]))
    names = task.dependency_names if task else ()
    for name in names:
        dependency = f"task.{name}"
        if dependency not in changes:
            continue
        value = changes[dependency]
        delete_below(flat, dependency)
        flat[dependency] = value
        if isinstance(value, Trial):
            for key, inner_value in value.flat().items():
                flat[f"{dependency}.{key}"] = inner_value


def _override_dependency(
    flat: FlatConfig, name: str, changes: Mapping[str, object], allow_inactive_defaults: bool
) -> None:
    """Override a trial that is a parameter; `name`: its dotted name. Raises ConfigError."""
    dependency = from_flat(below(flat, name))
    try:
        changed = dependency.override(
            changes, allow_inactive_defaults=allow_inactive_defaults
        ).flat()
    except ConfigError as error:
        raise ConfigError([with_prefix(name, text) for text in error.messages]) from None
    delete_below(flat, name)
    for key, value in changed.items():
        flat[f"{name}.{key}"] = value
