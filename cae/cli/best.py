"""`cae-sweep best`: the best trials of each comparability group, and their export."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cae.cli.machine_output import check_outputs, echo_json, write_csv
from cae.cli.output import echo
from cae.errors import UserError
from cae.run.formatting import format_axes, format_value
from cae.run.groups import differences_text, distinguishing_texts
from cae.run.latent_floors import is_latent_floor
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.ranking import (
    GroupRanking,
    RankedTrial,
    find_trial,
    metrics_across_groups,
    rank_across_groups,
    rank_by_group,
)
from cae.run.records import Record
from cae.run.selection import parse_conditions, select_trials
from cae.run.storage import is_url
from cae.run.sweep_json import SweepDescription

MAX_CHOICES = 12
"""Groups that an error lists."""


@dataclass(frozen=True, kw_only=True)
class BestOptions:
    """Options of `cae-sweep best`."""

    metric: str = ""
    """Empty: the metric of the sweep."""
    mode: Mode | None = None
    top: int = 1
    """Number of trials of each group."""
    where: Sequence[str] = ()
    """Conditions KEY=VALUE that the trials meet."""
    trial: int | None = None
    """Number of a trial to show instead of the best ones."""
    across_groups: bool = False
    """Whether the trials of all groups are ranked together."""
    out: Path | None = None
    """Folder of the export; None: nothing is exported."""
    data_dir: Path | None = None
    sweep_file: Path | None = None
    """A file that the user trusts, with the components of the trial."""
    verify: bool = True
    """Whether weights are evaluated again before they are exported."""
    file_format: Literal["onnx", "torch"] | None = None
    """Format of files of the network that the export also writes."""
    quiet: bool = False
    as_json: bool = False
    csv: Path | None = None
    """File for CSV; None: none."""

    @property
    def is_for_programs(self) -> bool:
        """Whether nothing but the trials may be printed."""
        return self.quiet or self.as_json or self.csv is not None


@dataclass(frozen=True)
class _Choice:
    """The trials that are shown of one comparability group."""

    label: str
    """The parameters in which the groups differ; empty if trials of one group are shown."""
    trials: Sequence[RankedTrial]


def print_best(run: RunDir, options: BestOptions) -> None:
    """Print the best trials and export them if a folder is given.

    Several trials are exported to subfolders named by their numbers. Raises UserError if trials of
    several groups would be exported and none was chosen.
    """
    check_outputs(as_json=options.as_json, csv_file=options.csv)
    if options.file_format is not None and options.out is None:
        raise UserError(f"--format {options.file_format}: needs -o DIR, the folder of the export")
    sweep = run.read_sweep()
    metric = options.metric or sweep.metric
    choices = _choose(list(run.records().values()), sweep, metric, options)
    if options.as_json or options.csv is not None:
        _write_rows(run, choices, metric, options)
        return
    for choice in choices:
        if choice.label and not options.quiet:
            echo(f"\n{choice.label}")
        _print_trials(run, choice, metric, options)


def _choose(
    records: list[Record], sweep: SweepDescription, metric: str, options: BestOptions
) -> list[_Choice]:
    """The trials that the options choose."""
    if options.trial is not None:
        _check_trial_alone(options)
        return [_Choice("", [find_trial(records, sweep, metric, options.trial)])]
    records = select_trials(records, parse_conditions(options.where))
    if options.across_groups:
        trials = rank_across_groups(records, sweep, metric, options.mode)[: options.top]
        _note_comparison(records, sweep, metric, options)
        return [_Choice("", trials)]
    rankings = rank_by_group(records, sweep, metric, options.mode)
    if len(rankings) == 1:
        return [_Choice("", rankings[0].trials[: options.top])]
    if options.out is not None:
        raise UserError(f"-o {options.out}: {_choices(rankings, sweep)}")
    reason = _not_comparable(rankings)
    _note(f"{reason[0].upper()}{reason[1:]}. The best of each:", options)
    return [_Choice(ranking.label, ranking.trials[: options.top]) for ranking in rankings]


def _check_trial_alone(options: BestOptions) -> None:
    """Raise UserError for options that choose trials in another way."""
    others = {
        "--where": bool(options.where),
        "--top": options.top > 1,
        "--across-groups": options.across_groups,
    }
    given = [name for name, is_given in others.items() if is_given]
    if given:
        raise UserError(f"--trial {options.trial}: cannot be combined with {' and '.join(given)}")


def _note(text: str, options: BestOptions) -> None:
    """Print a note; if the output is for programs, to stderr."""
    if options.is_for_programs:
        echo(text, to_stderr=True)
    else:
        echo(text)


def _note_comparison(
    records: list[Record], sweep: SweepDescription, metric: str, options: BestOptions
) -> None:
    rankings = rank_by_group(records, sweep, metric, options.mode)
    if len(rankings) > 1:
        differences = differences_text([ranking.group for ranking in rankings])
        _note(
            f"Ranked over {len(rankings)} groups that differ in {differences}: {metric} has the "
            "same formula in all of them, but one group may be easier than another.",
            options,
        )


def _not_comparable(rankings: Sequence[GroupRanking]) -> str:
    differences = differences_text([ranking.group for ranking in rankings])
    return (
        f"the trials are in {len(rankings)} groups that are not comparable with each other: they "
        f"differ in {differences}"
    )


def _choices(rankings: Sequence[GroupRanking], sweep: SweepDescription) -> str:
    """An error that lists how each group is chosen."""
    choices: list[str] = []
    for ranking in rankings[:MAX_CHOICES]:
        number = ranking.trials[0].record.number
        choices.append(f"{_flags(ranking, rankings)} (best: trial {number})")
    if len(rankings) > MAX_CHOICES:
        choices.append("...")
    message = f"{_not_comparable(rankings)}. Choose one: {'; '.join(choices)}; or --trial N"
    metrics = metrics_across_groups(rankings, sweep)
    if metrics:
        message += f"; or rank them together with --across-groups --metric {metrics[0]}"
    return message


def _flags(ranking: GroupRanking, rankings: Sequence[GroupRanking]) -> str:
    """The options that choose a group."""
    texts = distinguishing_texts([other.group for other in rankings])
    flags: list[str] = []
    for name, text in texts[ranking.group].items():
        if name not in ranking.group.parameters:
            return f"--trial {ranking.trials[0].record.number}"
        flags.append(f"--where {shlex.quote(f'{name}={text}')}")
    return " ".join(flags)


def _print_trials(run: RunDir, choice: _Choice, metric: str, options: BestOptions) -> None:
    for trial in choice.trials:
        number = trial.record.number
        location = _location(run, trial, options)
        if options.out is None:
            chosen = ""
            if choice.label:
                chosen = f"--trial {number} "
            note = f"weights: {location} (export them with {chosen}-o DIR)"
            if not is_url(run.location()) and not location.exists():
                note = f"weights: {location} {_missing(trial.record)}"
        else:
            note = _export(run, trial, location, options)
        if options.quiet:
            if options.out is None:
                _check_weights(run, number)
            echo(str(location))
            continue
        value = ""
        if math.isfinite(trial.value):
            value = f"{metric} {trial.value:.6g} "
        summary = f"{value}at epoch {trial.epoch} ({trial.record.state})"
        if not trial.record.is_requested:
            summary += ", of an earlier sweep"
        echo(f"trial {number}: {summary}; {format_axes(trial.record.axes)}")
        metrics = _metrics(trial)
        parts: list[str] = []
        for name, value in metrics.items():
            if not is_latent_floor(name, metrics):  # --json has them
                parts.append(f"{name} {format_value(value)}")
        echo("  " + "  ".join(parts))
        echo(f"  {note}")


def _location(run: RunDir, trial: RankedTrial, options: BestOptions) -> Path:
    """The weights of a trial, or the folder of its export."""
    if options.out is None:
        return run.trial(trial.record.number) / "best.safetensors"
    if options.top > 1:
        return options.out / f"{trial.record.number:04d}"
    return options.out


def _metrics(trial: RankedTrial) -> dict[str, Any]:
    """All metrics of the best epoch, those of the final evaluation included."""
    metrics = trial.record.epochs.get(trial.epoch, {})
    return metrics | trial.record.final_metrics_of(trial.epoch)


def _write_rows(run: RunDir, choices: Sequence[_Choice], metric: str, options: BestOptions) -> None:
    """Write the trials as JSON or CSV, for programs."""
    rows: list[dict[str, Any]] = []
    for choice in choices:
        for trial in choice.trials:
            location = _location(run, trial, options)
            if options.out is not None:
                _export(run, trial, location, options)
            rows.append(
                {
                    "trial": trial.record.number,
                    "group": choice.label,
                    "state": str(trial.record.state),
                    "in_current_sweep": trial.record.is_requested,
                    "metric": metric,
                    "value": trial.value,
                    "epoch": trial.epoch,
                    "location": str(location),
                    "axes": trial.record.axes,
                    "metrics": _metrics(trial),
                    "config": trial.record.config,
                    "sizes": trial.record.sizes,
                }
            )
    if options.as_json:
        echo_json(rows)
    if options.csv is not None:
        write_csv([_flat_row(row) for row in rows], options.csv)


def _flat_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in which metrics and parameters have columns of their own."""
    flat = {name: value for name, value in row.items() if not isinstance(value, Mapping)}
    for name in ("axes", "metrics", "sizes", "config"):
        for key, value in row[name].items():
            flat.setdefault(key, value)
    return flat


def _check_weights(run: RunDir, number: int) -> None:
    """Raise UserError if there are no weights of a trial on this machine or in its bucket."""
    run.fetch("best.safetensors", number=number)
    location = run.trial(number) / "best.safetensors"
    if not location.exists():
        record = run.records()[number]
        raise UserError(f"trial {number}: the file {location} {_missing(record)}")


def _missing(record: Record) -> str:
    """Why the file of a trial's best weights may be missing."""
    if record.state.is_final:
        return "does not exist any more"
    return "does not exist (yet): those of a large network are not written after each epoch"


def _verdicts(run: RunDir, number: int) -> list[str]:
    """The verdicts on the claims and published numbers of a run, for the card of a trial."""
    sweep = run.read_sweep()
    if not sweep.claims and not sweep.published:
        return []
    from cae.report.data import tables
    from cae.report.statistics.claims.judge import judge_claims
    from cae.report.statistics.published import compare_published
    from cae.report.wording.model_card import verdict_lines

    results = tables.read([run])
    return verdict_lines(number, judge_claims(results), compare_published(results))


def _export(run: RunDir, trial: RankedTrial, folder: Path, options: BestOptions) -> str:
    from cae.sweep.export import export
    from cae.trial.datasets import data_folders

    exported = export(
        run,
        trial,
        folder,
        data_folders(options.data_dir),
        sweep_file=options.sweep_file,
        verify=options.verify,
        file_format=options.file_format,
        verdicts=_verdicts(run, trial.record.number),
    )
    evaluation = "not re-evaluated"
    if options.verify:
        values = [f"{name} {value:.8g}" for name, value in exported.reevaluated.items()]
        evaluation = f"re-evaluated: {', '.join(values)}"
    if exported.epoch != trial.epoch:
        evaluation = (
            f"the weights of epoch {trial.epoch} are not written yet, or are lost; {evaluation}"
        )
    lines = [
        f"exported to {folder} (epoch {exported.epoch}); {evaluation}",
        f"  load it: {exported.how_to_load}",
    ]
    lines += [f"  {note}" for note in exported.notes]
    return "\n".join(lines)
