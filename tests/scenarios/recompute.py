"""Every number that the commands show, computed again from the journal alone.

Only the lines of `journal.jsonl` and the metric of `sweep.json` are read, with the json module:
no code of `cae` takes part, so that an error in it cannot hide. `recompute_page.py` does the same
for the page.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Call = Callable[..., str]
"""Runs a command in this process and returns its output; fails if its exit code is not the keyword
`code`, by default 0."""
Event = dict[str, Any]

STATES = (
    "finished",
    "stopped",
    "diverged",
    "failed",
    "oom",
    "killed",
    "running",
    "interrupted",
    "waiting",
    "pending",
    "withdrawn",
)
"""In the order in which commands list them."""
ENDED = STATES[:6]
FAILURES = ("failed", "oom")
UNRANKED = ("diverged", "failed", "oom", "pending")


@dataclass
class Trial:
    """What the journal says about a trial."""

    number: int
    config: dict[str, Any]
    axes: dict[str, Any]
    fingerprint: str
    hash: str
    state: str = "pending"
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    starts: list[float] = field(default_factory=list)
    """When it was started, in seconds since the epoch."""
    end: Event | None = None
    """Its newest end; None if it was started or retried since."""
    earlier_end: Event | None = None
    """How it finished before it was extended to more epochs."""

    def finite_epochs(self, metric: str) -> list[int]:
        """The epochs with a finite value, the first one first."""
        return [
            epoch
            for epoch in sorted(self.epochs)
            if math.isfinite(to_float(self.epochs[epoch][metric]))
        ]

    def best_epoch(self, metric: str, sign: int) -> int | None:
        """The first epoch with the best value; None for a trial that is not ranked."""
        epochs = self.finite_epochs(metric)
        if not epochs or (self.state in UNRANKED and self.earlier_end is None):
            return None
        return min(epochs, key=lambda epoch: (sign * self.epochs[epoch][metric], epoch))

    def final(self, best_epoch: int | None) -> dict[str, float]:
        """The final evaluation of the weights of its best epoch; {} without one."""
        metrics: dict[str, float] = {}
        if self.end is not None and self.end.get("metrics"):
            metrics = self.end["metrics"]
        elif self.earlier_end is not None and self.earlier_end["best_epoch"] == best_epoch:
            metrics = self.earlier_end["metrics"]
        return metrics


@dataclass
class Run:
    """What the files of a run say, without any interpretation by `cae`."""

    folder: Path
    title: str
    metric: str
    sign: int
    """1 if a lower value of the metric is better, -1 if a higher one is."""
    trials: dict[int, Trial]

    def group_of(self, trial: Trial) -> str:
        """Equal for trials that may be compared: the same images, task, parameters and loss."""
        names = [name for name in trial.config if name.partition(".")[0] in ("dataset", "task")]
        return json.dumps([trial.fingerprint, {name: trial.config[name] for name in names}])

    def groups(self) -> dict[str, list[Trial]]:
        """All trials of each group, in the order of their numbers."""
        groups: dict[str, list[Trial]] = {}
        for number in sorted(self.trials):
            trial = self.trials[number]
            groups.setdefault(self.group_of(trial), []).append(trial)
        return groups

    def epochs_of(self, number: int) -> list[int]:
        """The epochs of a trial, the first one first."""
        return sorted(self.trials[number].epochs)

    def ranking(self, trials: list[Trial]) -> list[tuple[int, int, float]]:
        """The number, best epoch and value of each ranked trial; the best one first."""
        ranked: list[tuple[int, int, float]] = []
        for trial in trials:
            epoch = trial.best_epoch(self.metric, self.sign)
            if epoch is not None:
                ranked.append((trial.number, epoch, trial.epochs[epoch][self.metric]))
        return sorted(ranked, key=lambda entry: (self.sign * entry[2], entry[0]))

    def rankings(self) -> list[list[tuple[int, int, float]]]:
        """The ranking of each group that has one."""
        rankings = [self.ranking(trials) for trials in self.groups().values()]
        return [ranking for ranking in rankings if ranking]

    def state_counts(self, numbers: set[int]) -> dict[str, int]:
        """How many of some trials are in each state, in the order in which commands list them."""
        counts = Counter(self.trials[number].state for number in numbers)
        return {state: counts[state] for state in STATES if counts[state]}


def to_float(value: Any) -> float:
    """A metric of the journal, where JSON has no word for it: null, "NaN", "Infinity"."""
    if value is None:
        return math.nan
    return float(value)


def read(folder: Path) -> Run:
    """Read a run's folder that no process writes to."""
    sweep = json.loads((folder / "sweep.json").read_text())
    trials: dict[int, Trial] = {}
    requested: set[int] = set()
    for line in (folder / "journal.jsonl").read_text().splitlines():
        event = json.loads(line)
        match event["event"]:
            case "session":
                requested = set(event["trials"])
                interrupt(trials)
            case "close":
                interrupt(trials)
            case "trial":
                plan(trials, event)
            case "retry_alone" | "audit_stop":
                pass
            case _:
                change(trials[event["trial"]], event)
    interrupt(trials)
    for trial in trials.values():
        if trial.state in ("pending", "interrupted") and trial.number not in requested:
            trial.state = "withdrawn"
    sign = {"min": 1, "max": -1}[sweep["mode"]]
    return Run(folder, sweep["title"], sweep["metric"], sign, trials)


def interrupt(trials: dict[int, Trial]) -> None:
    """The process that ran trials has ended."""
    for trial in trials.values():
        if trial.state == "running":
            trial.state = "interrupted"


def plan(trials: dict[int, Trial], event: Event) -> None:
    """A trial is new, known, or extended to more epochs."""
    number = event["trial"]
    trial = trials.get(number)
    if trial is None:
        config = event["config"]
        trials[number] = Trial(number, config, event["axes"], event["fingerprint"], event["hash"])
    elif trial.hash != event["hash"]:
        trial.config = event["config"]
        trial.axes = event["axes"]
        trial.hash = event["hash"]
        if trial.state == "finished":
            trial.state = "interrupted"
            trial.earlier_end = trial.end
            trial.end = None


def change(trial: Trial, event: Event) -> None:
    """An event of one trial."""
    match event["event"]:
        case "start":
            trial.state = "running"
            trial.starts.append(event["time"])
            trial.end = None
        case "epoch":
            trial.epochs.setdefault(event["epoch"], event["metrics"])
        case "end":
            trial.state = event["state"]
            trial.end = event
        case "retry":
            trial.state = "interrupted"
            trial.end = None
            kept = {epoch: row for epoch, row in trial.epochs.items() if epoch <= event["epoch"]}
            if len(kept) < len(trial.epochs):
                trial.earlier_end = None
            trial.epochs = kept


def check_everything(call: Call, folder: Path, current: set[int]) -> None:
    """Compare all that the commands show with the journal.

    Args:
        call: Runs a command.
        folder: The run's folder.
        current: The numbers of the trials that the sweep file asks for now.
    """
    from tests.scenarios.recompute_page import check_page

    run = read(folder)
    check_status(call, run, current)
    check_best(call, run)
    check_trials_csv(run, current)
    check_epochs_csv(run)
    check_page(run)
    check_list(call, run, current)


def check_status(call: Call, run: Run, current: set[int]) -> None:
    states = run.state_counts(current)
    earlier = set(run.trials) - current
    code = int(any(state in states for state in FAILURES))
    status = json.loads(call("status", run.folder, "--json", code=code))
    assert status["states"] == states
    assert status["trials"] == len(current)
    assert status["ended"] == sum(states.get(state, 0) for state in ENDED)
    assert status["earlier_trials"] == len(earlier)
    assert status["earlier_states"] == run.state_counts(earlier)
    failures: dict[str, str] = {}
    for trial in run.trials.values():
        if trial.state in FAILURES and trial.end is not None:
            failures[str(trial.number)] = trial.end["reason"]
    assert status["failures"] == failures
    bests = [ranking[0] for ranking in run.rankings()]
    shown = [status["best"]]
    if len(run.groups()) > 1:
        shown = status["groups"]
    assert sorted((item["trial"], item["epoch"], item["value"]) for item in shown) == sorted(bests)
    assert (status["seconds_left"] is None) == (status["ended"] == len(current))
    text = call("status", run.folder, code=code)
    assert f"{status['ended']} of {count_of(len(current), 'trial')} ended: " in text
    assert counts_text(states) in text
    for number, epoch, value in bests:
        assert re.search(rf"{re.escape(f'{value:.4g}')} \(trial {number}, epoch {epoch}\b", text)
    for failed_number, reason in failures.items():
        assert f"trial {failed_number} failed: {reason}" in text


def count_of(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}s"


def counts_text(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items())


def check_list(call: Call, run: Run, current: set[int]) -> None:
    """The line of the run has its trials, their states and the best of each group."""
    lines = call("list").splitlines()
    line = next(line for line in lines if line.split()[:1] == [run.folder.name])
    trials = str(len(current))
    earlier = len(run.trials) - len(current)
    if earlier:
        trials += f" + {earlier} earlier"
    assert f"  {trials}  " in line
    assert f"  {counts_text(run.state_counts(current))}  " in line
    for ranking in run.rankings()[:1]:
        if len(run.groups()) == 1:
            number, _, value = ranking[0]
            assert f"{run.metric} {value:.4g} (trial {number})" in line
    if 1 < len(run.groups()) <= 3:
        for ranking in run.rankings():
            number, _, value = ranking[0]
            assert re.search(rf"{re.escape(f'{value:.4g}')} at [^;]* \(trial {number}\)", line)


def check_best(call: Call, run: Run) -> None:
    """The ranking of each group, and the metrics of each trial at its best epoch."""
    output = call("best", run.folder, "--top", "1000")
    pattern = rf"^trial (\d+): {run.metric} (\S+) at epoch (\d+) \((\w+)\)"
    shown = re.findall(pattern + r".*\n  (.*)$", output, re.MULTILINE)
    entries = [(int(number), int(epoch), value) for number, value, epoch, _, _ in shown]
    expected: list[tuple[int, int, str]] = []
    for ranking in sorted(run.rankings(), key=lambda ranking: numbers_index(entries, ranking)):
        expected += [(number, epoch, f"{value:.6g}") for number, epoch, value in ranking]
    assert entries == expected
    for number, _, epoch, state, line in shown:
        trial = run.trials[int(number)]
        assert state == trial.state
        metrics = trial.epochs[int(epoch)] | trial.final(int(epoch))
        texts: list[str] = []
        for name, value in metrics.items():
            base = re.sub("_(pca|random_encoder|pixels)$", "", name)
            if base == name or base not in metrics:  # floors of the latent code are not printed
                texts.append(f"{name} {to_float(value):.4g}")
        assert line == "  ".join(texts)


def numbers_index(shown: list[tuple[int, int, str]], ranking: list[tuple[int, int, float]]) -> int:
    """Where a group's best trial stands in the output: groups may be in any order."""
    return [number for number, _, _ in shown].index(ranking[0][0])


def check_trials_csv(run: Run, current: set[int]) -> None:
    with (run.folder / "trials.csv").open(newline="") as file:
        rows = {int(row["trial"]): row for row in csv.DictReader(file)}
    assert set(rows) == set(run.trials)
    groups: dict[str, set[str]] = {}
    for number, trial in run.trials.items():
        row = rows[number]
        assert row["state"] == trial.state
        assert row["in_current_sweep"] == str(number in current)
        assert int(row["epochs_done"]) == len(trial.epochs)
        groups.setdefault(row.get("group", ""), set()).add(run.group_of(trial))
        check_metrics(row, trial, trial.best_epoch(run.metric, run.sign))
        check_ending(row, trial)
        for name, value in trial.config.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert float(row[name]) == value
    assert all(len(members) == 1 for members in groups.values()), "a label for two groups"
    assert len(groups) == len(run.groups())


def check_metrics(row: dict[str, str], trial: Trial, best_epoch: int | None) -> None:
    """A row has the metrics of the best epoch, of the last epoch and of the final evaluation."""
    last: dict[str, float] = {}
    if trial.epochs:
        last = trial.epochs[max(trial.epochs)]
    for name, value in last.items():
        assert_cell(row, f"last_{name}", value)
    if best_epoch is None:
        assert row["best_epoch"] == ""
        assert {row[name] for name in last if name != "seconds"} <= {""}
    else:
        assert int(row["best_epoch"]) == best_epoch
        for name, value in trial.epochs[best_epoch].items():
            if name != "seconds":
                assert_cell(row, name, value)
    seconds = sum(epoch["seconds"] for epoch in trial.epochs.values())
    if trial.epochs:
        assert abs(float(row["seconds"]) - seconds) < 1e-6
    final = trial.final(best_epoch)
    for name, value in final.items():
        assert_cell(row, name, value)
    if not final:
        assert {row[name] for name in row if name.startswith("test_")} <= {""}


def assert_cell(row: dict[str, str], name: str, value: Any) -> None:
    """A cell has exactly the journal's number; an empty cell is one that is not finite."""
    if math.isnan(to_float(value)):
        assert row[name] == ""
    else:
        assert float(row[name]) == to_float(value)


def check_ending(row: dict[str, str], trial: Trial) -> None:
    """A row says how often, when and why."""
    assert int(row["attempts"]) == len(trial.starts)
    started = ""
    if trial.starts:
        started = utc(trial.starts[0])
    assert row["started"] == started
    end = trial.end or {}
    assert row["reason"] == end.get("reason", "")
    ended = ""
    if end:
        ended = utc(end["time"])
    assert row["ended"] == ended
    for name in ("rung", "value", "cutoff"):
        assert_cell(row, name, end.get(name))
    error = end.get("error", "").strip()
    if error:
        error = error.splitlines()[-1].strip()
    assert row["error"] == error


def utc(time: float) -> str:
    """Seconds since the epoch as the tables print them."""
    return datetime.fromtimestamp(math.floor(time), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_epochs_csv(run: Run) -> None:
    with (run.folder / "epochs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(number, epoch) for number in sorted(run.trials) for epoch in run.epochs_of(number)]
    assert [(int(row["trial"]), int(row["epoch"])) for row in rows] == expected
    for row in rows:
        metrics = run.trials[int(row["trial"])].epochs[int(row["epoch"])]
        for name, value in metrics.items():
            assert_cell(row, name, value)
