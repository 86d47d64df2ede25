"""Every number that the commands show, computed again from the journal alone.

Only the lines of `journal.jsonl` and the metric of `sweep.json` are read, with the json module:
no code of `cae` takes part, so that an error in it cannot hide.
"""

from __future__ import annotations

import base64
import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Call = Callable[..., str]
"""Runs a command in this process and returns its output; fails if its exit code is not 0."""


@dataclass
class Trial:
    """What the journal says about a trial."""

    number: int
    config: dict[str, Any]
    fingerprint: str
    state: str = "pending"
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)

    def best_epoch(self, metric: str, sign: int) -> int:
        """The first epoch with the best value of a metric of the epochs."""
        return min(self.epochs, key=lambda epoch: (sign * self.epochs[epoch][metric], epoch))


@dataclass
class Run:
    """What the files of a run say, without any interpretation by `cae`."""

    folder: Path
    metric: str
    sign: int
    """1 if a lower value of the metric is better, -1 if a higher one is."""
    trials: dict[int, Trial]

    def group_of(self, trial: Trial) -> str:
        """Equal for trials that may be compared: the same images, task, parameters and loss."""
        names = [name for name in trial.config if name.partition(".")[0] in ("dataset", "task")]
        return json.dumps([trial.fingerprint, {name: trial.config[name] for name in names}])

    def epochs_of(self, number: int) -> list[int]:
        """The epochs of a trial, the first one first."""
        return sorted(self.trials[number].epochs)

    def rankings(self) -> list[list[tuple[int, int, float]]]:
        """For each group its trials, as number, best epoch and value; the best trial first."""
        groups: dict[str, list[tuple[int, int, float]]] = {}
        for trial in self.trials.values():
            if trial.epochs:
                epoch = trial.best_epoch(self.metric, self.sign)
                value = trial.epochs[epoch][self.metric]
                groups.setdefault(self.group_of(trial), []).append((trial.number, epoch, value))
        return [
            sorted(group, key=lambda entry: (self.sign * entry[2], entry[0]))
            for group in groups.values()
        ]


def read(folder: Path) -> Run:
    """Read a run's folder."""
    sweep = json.loads((folder / "sweep.json").read_text())
    trials: dict[int, Trial] = {}
    for line in (folder / "journal.jsonl").read_text().splitlines():
        event = json.loads(line)
        kind = event["event"]
        if kind == "trial":
            new = Trial(event["trial"], event["config"], event["fingerprint"])
            trial = trials.setdefault(new.number, new)
            trial.config = new.config
        elif kind == "start":
            trials[event["trial"]].state = "running"
        elif kind == "epoch":
            trials[event["trial"]].epochs[event["epoch"]] = event["metrics"]
        elif kind == "end":
            trial = trials[event["trial"]]
            trial.state = event["state"]
            trial.final = event.get("metrics", {})
    sign = {"min": 1, "max": -1}[sweep["mode"]]
    return Run(folder, sweep["metric"], sign, trials)


def check_everything(call: Call, folder: Path, current: set[int]) -> None:
    """Compare all that the commands show with the journal.

    Args:
        call: Runs a command.
        folder: The run's folder.
        current: The numbers of the trials that the sweep file asks for now.
    """
    run = read(folder)
    check_status(call, run, current)
    check_best(call, run)
    check_trials_csv(run, current)
    check_epochs_csv(run)
    check_page(run)
    assert f"{len(current)} finished" in call("list")


def check_status(call: Call, run: Run, current: set[int]) -> None:
    status = json.loads(call("status", str(run.folder), "--json"))
    states = Counter(run.trials[number].state for number in current)
    assert status["states"] == dict(states)
    assert status["trials"] == len(current)
    assert status["ended"] == len(current)
    assert status["earlier_trials"] == len(run.trials) - len(current)
    shown = status.get("groups", [status["best"]])
    bests = [ranking[0] for ranking in run.rankings()]
    assert sorted((item["trial"], item["epoch"], item["value"]) for item in shown) == sorted(bests)


def check_best(call: Call, run: Run) -> None:
    output = call("best", str(run.folder), "--top", "1000")
    shown = re.findall(rf"^trial (\d+): {run.metric} (\S+) at epoch (\d+)", output, re.MULTILINE)
    numbers = [(int(number), int(epoch), value) for number, value, epoch in shown]
    expected: list[tuple[int, int, str]] = []
    for ranking in sorted(run.rankings(), key=lambda ranking: numbers_index(numbers, ranking)):
        expected += [(number, epoch, f"{value:.6g}") for number, epoch, value in ranking]
    assert numbers == expected


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
        for name, value in trial.config.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert float(row[name]) == value
    assert all(len(members) == 1 for members in groups.values()), "a label for two groups"
    assert len(groups) == len(run.rankings())


def check_metrics(row: dict[str, str], trial: Trial, best_epoch: int) -> None:
    """A row has the metrics of the best epoch, of the last epoch and of the final evaluation."""
    assert int(row["best_epoch"]) == best_epoch
    last = trial.epochs[max(trial.epochs)]
    for name, value in trial.epochs[best_epoch].items():
        if name != "seconds":
            assert float(row[name]) == value
        assert float(row[f"last_{name}"]) == last[name]
    seconds = sum(epoch["seconds"] for epoch in trial.epochs.values())
    assert abs(float(row["seconds"]) - seconds) < 1e-6
    for name, value in trial.final.items():
        assert float(row[name]) == value


def check_epochs_csv(run: Run) -> None:
    with (run.folder / "epochs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(number, epoch) for number in sorted(run.trials) for epoch in run.epochs_of(number)]
    assert [(int(row["trial"]), int(row["epoch"])) for row in rows] == expected
    for row in rows:
        metrics = run.trials[int(row["trial"])].epochs[int(row["epoch"])]
        for name, value in metrics.items():
            assert float(row[name]) == value


def check_page(run: Run) -> None:
    """The page holds the table of trials as it is on disk, and names the best of each group."""
    page = (run.folder / "report.html").read_text()
    match = re.search(r'id="csv">([^<]*)</script>', page)
    assert match is not None
    rows = json.loads(gzip.decompress(base64.b64decode(match[1])))
    assert "".join(rows).split() == (run.folder / "trials.csv").read_text().split()
    text = re.sub(r"<[^>]*>", "", page)
    for ranking in run.rankings():
        number, _, value = ranking[0]
        assert f"trial {number}: {run.metric} {value:.4g}" in text
