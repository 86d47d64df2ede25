"""The model card of an exported model: README.md in its folder."""

from __future__ import annotations

import inspect
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cae.run.formatting import count_of, format_value
from cae.run.markdown import escaped
from cae.run.metric_direction import Mode
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription
from cae.trial.datasets import Dataset

CONFIDENCE = 0.95
MIN_SEEDS = 2
METRIC_PREFIXES = ("val_", "test_", "train_loss")
"""Metrics of the card; the others are about time and hardware."""


@dataclass(frozen=True)
class CardFacts:
    """What the card says besides what `model.json` has."""

    how_to_load: str
    files: Sequence[str]
    """Names of the files of other formats."""
    notes: Sequence[str]
    seeds: Mapping[str, Sequence[float]]
    """Values of the same configuration with each seed that finished, by metric; empty with less
    than two of them."""
    unfinished_seeds: int = 0
    """Seeds of the same configuration that were started and did not finish."""
    code_file: str = ""
    """The copy of the sweep file that defines components; empty if all are built in."""
    verdicts: Sequence[str] = ()
    """Paragraphs with the verdicts on the claims and published numbers of the sweep."""


def metrics_over_seeds(
    record: Record, records: Iterable[Record], metric: str, mode: Mode
) -> dict[str, list[float]]:
    """Return the metrics of a configuration with each of its seeds that finished, at the best epoch
    of each.

    Empty if there are fewer than MIN_SEEDS. The best epoch of a seed that was stopped early is one
    of few, and is not averaged with those after all epochs.
    """
    values: dict[str, list[float]] = {}
    count = 0
    for other in _seeds_of(record, records):
        best = other.best(metric, mode)
        if best is None or not _has_finished(other):
            continue
        count += 1
        metrics = other.epochs[best.epoch] | other.final_metrics_of(best.epoch)
        for name, value in metrics.items():
            values.setdefault(name, []).append(value)
    if count < MIN_SEEDS:
        return {}
    complete: dict[str, list[float]] = {}
    for name, numbers in values.items():
        if len(numbers) == count and all(math.isfinite(number) for number in numbers):
            complete[name] = numbers
    return complete


def unfinished_seeds(record: Record, records: Iterable[Record]) -> int:
    """Return how many seeds of a configuration were started and did not finish: they were stopped,
    failed, or are not complete."""
    unfinished = 0
    for other in _seeds_of(record, records):
        if other.starts and not _has_finished(other):
            unfinished += 1
    return unfinished


def _seeds_of(record: Record, records: Iterable[Record]) -> list[Record]:
    """The trials that differ from one only in their seed; itself included."""
    seeds: list[Record] = []
    for other in records:
        same = other.fingerprint == record.fingerprint and other.code == record.code
        if same and _without_seed(other.config) == _without_seed(record.config):
            seeds.append(other)
    return seeds


def _has_finished(record: Record) -> bool:
    """Whether a trial is fully trained; also while it is extended to more epochs."""
    return record.is_fully_trained or record.earlier_end is not None


def _without_seed(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "seed"}


def model_card(
    description: Mapping[str, Any],
    record: Record,
    sweep: SweepDescription,
    facts: CardFacts,
) -> str:
    """Return the card as Markdown. `description`: the entries of `model.json`.

    Components of the sweep file need not be defined.
    """
    config = record.config
    sections = [
        f"# {escaped(sweep.title or sweep.sweep)}: trial {record.number}",
        f"A network of the architecture {escaped(config['arch'])} for the task "
        f"{escaped(config['task'])}, trained with cae-sweep: run {escaped(description['run'])}, "
        f"the weights of epoch {description['epoch']}.",
        "## How to load it",
        f"```python\n{facts.how_to_load}\ncodes = model.encode(images)  # files, arrays, tensors\n"
        "outputs = model.reconstruct(images)\n```",
        *_code_section(facts),
        *_files_section(facts),
        "## Images",
        *_images_section(description, record),
        "## Metrics",
        *_metrics_section(description, facts),
        *_verdicts_section(facts),
        "## Limits",
        *_limits_section(description),
        "## Configuration",
        _configuration(record),
    ]
    return "\n\n".join(sections) + "\n"


def _code_section(facts: CardFacts) -> list[str]:
    if not facts.code_file:
        return []
    return [
        f"Components of this model are defined in `{facts.code_file}`, a copy of the sweep file. "
        "Loading the model never executes it: read it, and execute it yourself with "
        f"`cae.load_components('{facts.code_file}')` before."
    ]


def _files_section(facts: CardFacts) -> list[str]:
    if not facts.files:
        return []
    names = ", ".join(f"`{name}`" for name in facts.files)
    lines = [
        f"{names}: the network, its encoder and its decoder as other programs read them. Images "
        "are N x C x H x W, float32 in [0, 1], for any N. Each file was run again with another N: "
        "its outputs are those of the network to 1e-5."
    ]
    lines += [f"There is {note}." for note in facts.notes]
    return lines


def _images_section(description: Mapping[str, Any], record: Record) -> list[str]:
    name = record.config["dataset"]
    dataset = Dataset.registry.get(name)
    summary = ""
    licence = ""
    if dataset is not None:
        first = inspect.cleandoc(dataset.__doc__ or "").split("\n\n")[0]
        summary = " ".join(first.split())
        licence = dataset.licence
    lines = [f"- data set: {escaped(name)}. {summary}".rstrip()]
    if record.fingerprint:
        lines.append(f"- fingerprint of the images of all splits: `{record.fingerprint}`")
    pixels = description.get("pixels")
    if isinstance(pixels, dict) and pixels:
        lines.append(
            f"- pixels: {pixels['dtype']}, black and white are {pixels['value_range']}; inputs of "
            f"the network are {pixels['inputs']}"
        )
    else:
        lines.append("- pixels: their type and value range are not recorded")
    if licence:
        lines.append(f"- licence of the images: {licence}")
    else:
        lines.append("- licence of the images: not known to cae-sweep; ask their publisher")
    return ["\n".join(lines)]


def _metrics_section(description: Mapping[str, Any], facts: CardFacts) -> list[str]:
    metrics: Mapping[str, float] = description["metrics"]
    names = [name for name in metrics if name.startswith(METRIC_PREFIXES)]
    if not facts.seeds:
        rows = ["| metric | value |", "|---|---|"]
        rows += [f"| {escaped(name)} | {format_value(metrics[name])} |" for name in names]
        note = "The configuration was trained with one seed: there are no intervals."
        if facts.unfinished_seeds:
            note = (
                "Fewer than two seeds of the configuration finished, and "
                f"{count_of(facts.unfinished_seeds, 'seed')} did not: there are no intervals."
            )
        return ["\n".join(rows), note]
    count = 0
    rows = [
        "| metric | this model | mean over seeds | 95 % interval of the mean |",
        "|---|---|---|---|",
    ]
    for name in names:
        values = facts.seeds.get(name)
        mean = interval = ""
        if values:
            count = len(values)
            mean = format_value(statistics.fmean(values))
            low, high = mean_interval(values)
            interval = f"{format_value(low)} to {format_value(high)}"
        rows.append(f"| {escaped(name)} | {format_value(metrics[name])} | {mean} | {interval} |")
    note = (
        f"Of {count} seeds, each at its best epoch; Student's t. This model is one of them, and if "
        "it was chosen as the best of them, its own values are optimistically biased."
    )
    if facts.unfinished_seeds:
        note += (
            f" {count_of(facts.unfinished_seeds, 'seed')} did not finish, and the means may be too "
            "good: they are those of the others."
        )
    return ["\n".join(rows), note]


def _verdicts_section(facts: CardFacts) -> list[str]:
    if not facts.verdicts:
        return []
    return [
        "## Verdicts",
        "On the claims and published numbers of the sweep, from all its trials when this model was "
        "exported. The reasons are on the page of the run.",
        *facts.verdicts,
    ]


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the interval of CONFIDENCE of the mean of at least two values, by Student's t."""
    from scipy import stats

    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return mean - quantile * error, mean + quantile * error


def _limits_section(description: Mapping[str, Any]) -> list[str]:
    lines = [
        "- Images of another size are resized and cropped to that of the training images.",
        "- Images unlike the training images give outputs without meaning; there is a warning if "
        "their brightness or contrast differs.",
    ]
    if description.get("re_evaluated") is None:
        lines.append("- The weights were not evaluated again when they were exported.")
    return ["\n".join(lines)]


def _configuration(record: Record) -> str:
    rows = ["| parameter | value |", "|---|---|"]
    for name, value in record.config.items():
        rows.append(f"| {escaped(name)} | {escaped(str(value))} |")
    return "\n".join(rows)
