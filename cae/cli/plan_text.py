"""`cae-sweep plan`: the planned trials as a table, and what the run would change."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from cae.cli.columns import Column, fitting_columns, make_table
from cae.cli.console import Console
from cae.cli.gpu_text import gpu_line
from cae.cli.plan_settings import PlanSettings, plan_settings, settings_text, without_component
from cae.cli.tables import BETTER_VALUES
from cae.run.formatting import count_of, format_duration, format_value
from cae.run.groups import differences_text, is_defined_equally, parse_group
from cae.run.left_out import left_out_lines

if TYPE_CHECKING:  # these import torch, and `status` has to be quick
    from cae.run.trial_state import TrialState
    from cae.sweep.engine.session import Prepared
    from cae.sweep.places.base import Resources
    from cae.sweep.spec.cost import Cost
    from cae.sweep.spec.open_search import OpenSearch
    from cae.sweep.spec.plan import Plan
    from cae.sweep.spec.planned_trial import PlannedTrial

MAX_AXIS_COLUMNS = 7
"""If more axes differ between trials, they share one column."""
MAIN_COLUMNS = {"parameters", "epochs", "s/epoch"}
"""For the others, settings share a column before one of these is left out."""
MIN_SETTINGS_WIDTH = 18
MIN_STATE_WIDTH = 12


def print_plan(prepared: Prepared, resources: Resources, cost: Cost) -> None:
    """Print the trials of a plan and their costs."""
    console = Console()
    print_plan_table(console, prepared.plan, cost)
    _print_plan_summary(console, prepared, resources, cost)


def print_plan_table(console: Console, plan: Plan, cost: Cost) -> None:
    """Print a row per trial: what differs between trials, as far as the terminal is wide enough."""
    settings = plan_settings(plan.listed, list(plan.axes))
    columns = _columns(plan, cost, _axis_columns(plan, settings))
    shown = fitting_columns(columns, console.width)
    is_wide = len(settings.columns) > MAX_AXIS_COLUMNS or not _has_main_columns(shown)
    has_shared_column = is_wide and bool(settings.columns)
    if has_shared_column:
        columns = _columns(plan, cost, _shared_column(plan, settings))
        shown = fitting_columns(columns, console.width)
    console.print(make_table(shown, console.width, header_style="bold"))
    left_out = [column.name.replace("\n", " ") for column in columns if column not in shown]
    if left_out:
        console.print(f"without room: {', '.join(left_out)} (--csv FILE has all columns)")
    if settings.of_all:
        console.print(f"all trials: {escape(settings_text(settings.of_all))}", highlight=False)
    if settings.of_most and has_shared_column:
        most = escape(settings_text(settings.of_most))
        console.print(f"where the table states no other value: {most}", highlight=False)


def _has_main_columns(columns: list[Column]) -> bool:
    """Whether a table is complete except for what can be computed from the settings."""
    return MAIN_COLUMNS.issubset(column.name for column in columns)


def _columns(plan: Plan, cost: Cost, axis_columns: list[Column]) -> list[Column]:
    trials = plan.listed
    states = [planned_state(trial) for trial in trials]
    columns = [
        Column("trial", [str(trial.number) for trial in trials]),
        Column("state", states, justify="left", min_width=MIN_STATE_WIDTH),
        *axis_columns,
        *_seed_column(plan),
        Column("parameters", [f"{trial.sizes['parameters']:,}" for trial in trials], left_out=4),
    ]
    if any("total_parameters" in trial.sizes for trial in trials):
        totals = [f"{_total_parameters(trial):,}" for trial in trials]
        columns.append(Column("with running\nstatistics", totals, left_out=1))
    latent_sizes = [format_value(trial.sizes.get("latent_values", "")) for trial in trials]
    megaflops = [format_value(trial.sizes["megaflops"]) for trial in trials]
    seconds = [_seconds_text(seconds) for seconds in cost.seconds_per_epoch]
    columns += [
        Column("latent\nsize", latent_sizes, left_out=3),
        Column("MFLOP", megaflops, left_out=2),
        Column("epochs", [str(trial.trial.epochs) for trial in trials], left_out=6),
        Column("s/epoch", seconds, left_out=5),
    ]
    return columns


def _seconds_text(seconds: float) -> str:
    if math.isnan(seconds):
        return "unknown"
    return f"{seconds:.2g}"


def _total_parameters(trial: PlannedTrial) -> int:
    """Number of parameters and of running statistics of batch normalization."""
    total: int = trial.sizes.get("total_parameters", trial.sizes["parameters"])
    return total


def _axis_columns(plan: Plan, settings: PlanSettings) -> list[Column]:
    """A column per axis whose values differ between trials."""
    columns: list[Column] = []
    for axis in settings.columns:
        narrow_name = without_component(axis).replace("_", "_\n")
        cells = [format_value(trial.axes.get(axis, "")) for trial in plan.listed]
        columns.append(Column(narrow_name, cells))
    return columns


def _shared_column(plan: Plan, settings: PlanSettings) -> list[Column]:
    """One column for all axes whose values differ between trials."""
    texts = [settings.text_of(trial) for trial in plan.listed]
    return [Column("settings", texts, justify="left", min_width=MIN_SETTINGS_WIDTH)]


def _seed_column(plan: Plan) -> list[Column]:
    """The seeds, if a configuration runs with several."""
    if plan.sweep.seeds == 1 or "seed" in plan.axes:
        return []
    return [Column("seed", [str(trial.trial.seed) for trial in plan.listed])]


def planned_state(trial: PlannedTrial) -> str:
    """The state of the trial in the run; "new" if it is not in the run yet."""
    state = "new"
    if trial.record is not None:
        state = str(trial.record.state)
        if trial.retry:
            state += ", continues"
        elif not trial.finished and trial.has_more_epochs:
            state += f", extended from {trial.record.config['epochs']}"
    if trial.is_dependency:
        state += " (dependency)"
    return state


def _print_plan_summary(
    console: Console, prepared: Prepared, resources: Resources, cost: Cost
) -> None:
    plan = prepared.plan
    console.print(f"\n[bold]{escape(prepared.file.title)}[/]: {_trial_counts(plan)}")
    if plan.overrides:
        budget = f"budget {prepared.selection.budget}: {escape(_overrides(plan))}"
        console.print(budget, highlight=False)
    for note in plan.image_notes:
        console.print(f"images: {escape(note)}", highlight=False)
    for line in note_lines(plan):
        console.print(escape(line), highlight=False, soft_wrap=True)
    better_values = BETTER_VALUES[plan.mode]
    console.print(f"ranked by: {escape(plan.sweep.metric)}, {better_values} is better")
    if plan.search is not None:
        console.print(f"search: {_search_text(plan.search)}", highlight=False)
    _print_groups(console, plan)
    if plan.sweep.scheduler and plan.rungs:
        rungs = ", ".join(map(str, plan.rungs))
        summary = plan.sweep.scheduler.summary()
        noun = "epochs"
        if len(plan.rungs) == 1:
            noun = "epoch"
        console.print(f"early stopping: at {noun} {rungs}; {summary}")
    console.print(_time_estimate(plan, resources, cost))
    for number, error in cost.errors.items():
        network = "the network of a candidate"
        if number:
            network = f"the network of trial {number}"
        text = f"{network} could not be timed: {error}"
        console.print(escape(text), highlight=False, soft_wrap=True)
    console.print(_disk_estimate(prepared, resources), highlight=False)
    gpu = gpu_line(prepared, resources)
    if gpu:
        console.print(escape(gpu), highlight=False, soft_wrap=True)
    hint = resources.idle_gpus_hint()
    if hint:
        console.print(hint, highlight=False)


def _search_text(search: OpenSearch) -> str:
    """What the search does with the trials that are not known yet."""
    candidates = count_of(len(search.candidates), "candidate")
    text = f"{search.search.name}, of {candidates}: {search.search.summary()}"
    if search.to_come:
        text += f"; {count_of(search.to_come, 'trial')} to come"
    return text


def _trial_counts(plan: Plan) -> str:
    trials = count_of(len(plan.trials) + plan.to_come, "trial")
    seeds = plan.sweep.seeds
    if seeds > 1:
        trials += f" with {seeds} seeds per configuration"
    requested = sum(not trial.is_dependency for trial in plan.trials) + plan.to_come
    if plan.search is None and plan.space_size * seeds != requested:
        trials += f", of a search space of {count_of(plan.space_size, 'point')}"
    done = len(plan.trials) - len(plan.remaining)
    counts = f"{trials}, {done} done"
    if plan.duplicates:
        counts += f", {count_of(plan.duplicates, 'duplicate')} left out"
    return counts


def _overrides(plan: Plan) -> str:
    """The settings of the budget and the command that differ from the sweep file."""
    overrides: list[str] = []
    for key, override in plan.overrides.items():
        here = _setting(override["here"])
        full = _setting(override["full"])
        overrides.append(f"{key} {here} (full: {full})")
    return ", ".join(overrides)


def _time_estimate(plan: Plan, resources: Resources, cost: Cost) -> str:
    if plan.trials and not cost.probed:
        return "time: unknown"
    networks = count_of(cost.probed, "network")
    slots = count_of(resources.slots, "trial")
    time = f"about {format_duration(cost.seconds)} with {slots} at a time"
    if plan.rungs:
        time += f" ({format_duration(cost.seconds_without_stopping)} without early stopping)"
    return (
        f"time: {time}, estimated from {networks} timed on this machine; it may take "
        "half or twice as long"
    )


def _disk_estimate(prepared: Prepared, resources: Resources) -> str:
    from cae.sweep.engine.retention import plan_bytes

    needed_mb = plan_bytes(prepared.plan, resources.slots) / 1e6
    free_gb = shutil.disk_usage(existing_parent(prepared.run.path)).free / 1e9
    return (
        f"disk: up to {needed_mb:,.0f} MB in {escape(str(prepared.run))} ({free_gb:,.0f} GB free)"
    )


def _print_groups(console: Console, plan: Plan) -> None:
    """Print in how many comparability groups the trials are, if there are several."""
    groups = {
        parse_group(planned.group, {}): None for planned in plan.trials if not planned.is_dependency
    }
    if len(groups) < 2:
        return
    text = (
        f"{len(groups)} groups of trials are not comparable with each other: they differ in "
        f"{differences_text(groups)}; each has a best trial of its own"
    )
    metric = plan.sweep.metric
    if is_defined_equally(metric, groups):
        text += f". {metric} has one definition: cae-sweep best --across-groups ranks all by it"
    console.print(escape(text))


def _setting(value: Any) -> str:
    """A setting as `--set` takes it; None is a value too."""
    return format_value(value) or "none"


REASONS = {
    "code": "the source code of the components, or of what they use, changed",
    "images": "the images changed",
    "code and images": "the source code and the images changed",
    "code or images": "the images changed, or the source code of the components",
    "epochs": "the first epochs depend on the number of epochs, so that they cannot be extended",
    "diverged": "with more epochs it diverged after the epochs that are requested",
    "weights": "other trials depend on the weights, which differ with more epochs",
}
"""Why trials are trained anew, by the `Reason` of their plan."""
MAX_LISTED_TRIALS = 12


def note_lines(plan: Plan) -> list[str]:
    """What a user should know before the trials start."""
    left_out = left_out_lines(plan.left_out, plan.examined)
    hints = [f"hint: {hint}" for hint in plan.hints]
    return [*hints, *left_out, *change_lines(plan)]


def change_lines(plan: Plan) -> list[str]:
    """What a plan changes in a run: trained anew, extended, answered by others, withdrawn, kept."""
    lines: list[str] = []
    for reason, text in REASONS.items():
        anew = [trial for trial in plan.trials if trial.reason == reason]
        if anew:
            numbers = [trial.replaces for trial in anew if trial.replaces is not None]
            kept = f"{_listed(numbers)} of the run {_verb(len(set(numbers)), 'keep')} the values"
            if reason == "epochs":
                text += f" ({_what_uses_epochs(anew)})"
            trained = f"{count_of(len(anew), 'trial')} trained anew: {text}"
            lines.append(f"{trained}; {kept}")
    extended = [trial.number for trial in plan.remaining if trial.has_more_epochs]
    if extended:
        lines.append(
            f"{count_of(len(extended), 'trial')} extended to more epochs: {_listed(extended)}"
        )
    lines += _lines_about_trials_not_extended(plan)
    again = [trial.number for trial in plan.remaining if trial.starts_again]
    if again:
        lines.append(
            f"{count_of(len(again), 'trial')} trained again from the first epoch, because the last "
            f"checkpoint is missing: {_listed(again)}"
        )
    longer = [trial for trial in plan.trials if trial.trial.epochs > trial.requested_epochs]
    if longer:
        lines.append(
            f"{count_of(len(longer), 'trial')} of the run with more epochs "
            f"{_verb(len(longer), 'answer')} for the requested ones: "
            f"{_listed([trial.number for trial in longer])}"
        )
    if plan.lost_weights:
        lost = f"best weights (best.safetensors) missing for {_listed(plan.lost_weights)}"
        if any(trial.retry for trial in plan.trials if trial.number in plan.lost_weights):
            lines.append(f"{lost}: trained again")
        else:
            lines.append(f"{lost}: --retry lost-weights trains them again")
    if plan.unmeasured_latent:
        text = (
            f"latent code not measured (latent=False, an older version, or as its log states) for "
            f"{_listed(plan.unmeasured_latent)}"
        )
        if any(trial.retry for trial in plan.trials if trial.number in plan.unmeasured_latent):
            lines.append(f"{text}: measured from their checkpoints")
        else:
            lines.append(f"{text}: --retry latent measures it from their checkpoints")
    ended: list[int] = []
    unfinished: list[int] = []
    for record in plan.left:
        if record.state.is_final:
            ended.append(record.number)
        elif record.is_requested:  # otherwise it was withdrawn by an earlier command
            unfinished.append(record.number)
    if unfinished:
        lines.append(
            f"{count_of(len(unfinished), 'unfinished trial')} withdrawn, not requested any more: "
            f"{_listed(unfinished)}"
        )
    if ended:
        lines.append(
            f"{count_of(len(ended), 'trial')} of earlier sweeps {_verb(len(ended), 'keep')} the "
            f"values: {_listed(ended)}"
        )
    return lines


def _what_uses_epochs(trials: Iterable[PlannedTrial]) -> str:
    """The schedules and tasks for which the number of epochs matters."""
    names: dict[str, None] = {}  # an ordered set
    for planned in trials:
        name = f"task = {planned.trial.task.name!r}"
        if planned.trial.schedule.uses_epochs:
            name = f"schedule = {planned.trial.schedule.name!r}"
        names[name] = None
    return ", ".join(names)


def _lines_about_trials_not_extended(plan: Plan) -> list[str]:
    """A line per state: trials that ended before their last epoch and stay as they are."""
    numbers: dict[TrialState, list[int]] = {}
    for trial in plan.trials:
        if trial.record is not None and trial.finished and trial.has_more_epochs:
            numbers.setdefault(trial.record.state, []).append(trial.number)
    lines: list[str] = []
    for state, ended in numbers.items():
        line = f"{count_of(len(ended), f'{state} trial')} not extended: {_listed(ended)}"
        if state.is_retryable:
            line += f"; --retry {state} re-runs {_pronoun(len(ended))}"
        lines.append(line)
    return lines


def _pronoun(count: int) -> str:
    if count == 1:
        return "it"
    return "them"


def _verb(count: int, verb: str) -> str:
    """A verb in the third person: "keeps" for one, "keep" for several."""
    if count == 1:
        return f"{verb}s"
    return verb


def _listed(numbers: Iterable[int]) -> str:
    """ "trial 3", "trials 3, 4, 5", "trials 1, 2, 3, ... and 20 more"."""
    distinct = sorted(set(numbers))
    if len(distinct) == 1:
        return f"trial {distinct[0]}"
    text = ", ".join(map(str, distinct[:MAX_LISTED_TRIALS]))
    if len(distinct) > MAX_LISTED_TRIALS:
        text += f", ... and {len(distinct) - MAX_LISTED_TRIALS} more"
    return f"trials {text}"


def existing_parent(path: Path) -> Path:
    """The path, or its nearest parent that exists: a new run has no folder yet."""
    if path.exists():
        return path
    return existing_parent(path.resolve().parent)
