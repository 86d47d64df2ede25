"""The commands that `cae-sweep plan --for-claims` prints, and the trials that they train."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cae.report.data.commands import seeds_command, setting_text
from cae.report.data.results import Run
from cae.report.wording.needs import MAX_COMMANDS
from cae.run.choices import Choices
from cae.run.records import Record
from cae.run.selection import Condition, select_by_values
from cae.run.sweep_json import SweepDescription

if TYPE_CHECKING:  # these import torch, and `status` has to be quick
    from cae.sweep.engine.session import Prepared
    from cae.sweep.spec.planned_trial import PlannedTrial


@dataclass(frozen=True)
class TrainingCommands:
    """Commands of one claim."""

    commands: list[str]
    trials: list[PlannedTrial]
    """One trial of each configuration that they train: more than the claim needs if no command
    chooses exactly those."""


class ClaimCommands:
    """Makes the commands that train configurations of a plan with several seeds."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    @functools.cached_property
    def requested(self) -> list[PlannedTrial]:
        """The trials of the plan that meet the conditions of its command, without dependencies."""
        listed = [trial for trial in self._prepared.plan.listed if not trial.is_dependency]
        conditions = self._prepared.selection.where
        return select_by_values(listed, conditions, lambda trial: trial.selectable_values)

    @functools.cached_property
    def _choices(self) -> Choices[PlannedTrial]:
        return Choices(self.requested, lambda trial: trial.selectable_values)

    def for_trials(
        self, trials: Sequence[PlannedTrial], seeds: int, names: Sequence[str], options: str = ""
    ) -> TrainingCommands:
        """The commands that train the first seeds of configurations.

        One command with --where, if it chooses exactly these; otherwise one per configuration, or
        for many configurations one that trains others too.

        Args:
            trials: A trial of each configuration.
            seeds: How many seeds each of them has then.
            names: The parameters of the claim.
            options: Further options.
        """
        conditions, selected = self._where(trials, names)
        is_exact = len(selected) == len(self._requested_seeds(trials))
        if not is_exact and len(trials) <= MAX_COMMANDS:
            commands = [self._command_of_one(trial, seeds) + options for trial in trials]
            return TrainingCommands(commands, list(trials))
        trained = list(trials)
        if not is_exact:
            trained = first_seeds(selected)
        limit = ""
        if self._limit is not None:  # all seeds of the same points
            points = max(1, self._limit // self._prepared.plan.sweep.seeds)
            limit = f" --max-trials {points * seeds}"
        flags = self._flags([*conditions, *self._seed_conditions(trained, seeds)])
        command = f"{self._run_command()}{flags}{limit} --set seeds={seeds}{options}"
        return TrainingCommands([command], trained)

    def exact(self, trials: Sequence[PlannedTrial], seeds: int, names: Sequence[str]) -> str:
        """The one command that trains exactly the first seeds of configurations; empty if there is
        none."""
        found = self.for_trials(trials, seeds, names)
        if len(found.commands) == 1 and len(found.trials) == len(trials):
            return found.commands[0]
        return ""

    @property
    def _limit(self) -> int | None:
        """The largest number of trials of the plan's command."""
        selection = self._prepared.selection
        if selection.max_trials is not None:
            return selection.max_trials
        overrides = self._prepared.file.sweep.budget(selection.budget) | dict(selection.settings)
        limit: int | None = overrides.get("max_trials")
        return limit

    def _where(
        self, trials: Sequence[PlannedTrial], names: Sequence[str]
    ) -> tuple[list[Condition], list[PlannedTrial]]:
        """Conditions of --where, and the trials that they choose with any seed.

        Those of the plan's own command alone for a search, which chooses points while it runs.
        """
        plan = self._prepared.plan
        if plan.search is not None:
            return list(self._prepared.selection.where), self.requested
        parameters = [name for name in [*plan.axes, *names] if name != "seed"]
        conditions, selected = self._choices.choose(trials, parameters)
        named = {condition.name for condition in conditions}
        for condition in self._prepared.selection.where:
            if condition.name not in named:
                conditions.append(condition)
        return conditions, selected

    def _seed_conditions(self, trials: Sequence[PlannedTrial], seeds: int) -> list[Condition]:
        """The first seeds of all trials, if seeds are an axis of the search space.

        Each point of such an axis would get further seeds.
        """
        first = {trial.trial.seed for trial in trials}
        if "seed" not in self._prepared.plan.axes or len(first) != 1:
            return []
        (seed,) = first
        return [Condition("seed", str(number)) for number in range(seed, seed + seeds)]

    @staticmethod
    def _flags(conditions: Iterable[Condition]) -> str:
        return "".join(f" --where {shlex.quote(str(condition))}" for condition in conditions)

    def _requested_seeds(self, trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
        """The requested trials of the same configurations."""
        keys = {configuration(trial) for trial in trials}
        return [trial for trial in self.requested if configuration(trial) in keys]

    def _run_command(self) -> str:
        """The command of the plan, without trials."""
        selection = self._prepared.selection
        words = ["cae-sweep", "run", str(self._prepared.file.path)]
        if selection.budget != "full":
            words += ["--budget", selection.budget]
        for name, value in selection.settings.items():
            if name not in ("seeds", "max_trials"):
                words += ["--set", f"{name}={setting_text(value)}"]
        return shlex.join(words) + self._out() + self._data_dir()

    def _out(self) -> str:
        out = self._prepared.selection.out
        if out is None:
            return ""
        return f" --out {shlex.quote(str(out))}"

    def _data_dir(self) -> str:
        folder = self._prepared.selection.data_dir
        if folder is None:
            return ""
        return f" --data-dir {shlex.quote(str(folder))}"

    def _command_of_one(self, trial: PlannedTrial, seeds: int) -> str:
        """The command without the search space that trains one configuration."""
        base = self._prepared.file.sweep.base
        config: Mapping[str, Any] = trial.trial.flat()
        record = Record(
            number=trial.number,
            hash=trial.hash,
            config=dict(config),
            axes=dict(trial.axes),
            sizes=dict(trial.sizes),
        )
        sweep = SweepDescription(
            file=str(self._prepared.file.path),
            budget=self._prepared.selection.budget,
            base=base.flat(),
            defaults=base.later_defaults(),
            command=f"cae-sweep run{self._out()}",
        )
        run = self._prepared.run
        planned = Run(run, run.name, sweep, {trial.number: record}, [], running=False)
        command = seeds_command(planned, trial.number, trial.trial.seed, seeds)
        latent = self._prepared.selection.settings.get("latent")
        if latent is not None:  # a setting of the sweep, and of no trial
            command += f" --set latent={setting_text(latent)}"
        return command + self._data_dir()


def first_seeds(trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
    """The first trial of each configuration."""
    first: dict[str, PlannedTrial] = {}
    for trial in trials:
        first.setdefault(configuration(trial), trial)
    return list(first.values())


def configuration(trial: PlannedTrial) -> str:
    """A text that is equal for all seeds of a configuration."""
    flat = trial.trial.flat()
    del flat["seed"]
    return repr(sorted(flat.items()))
