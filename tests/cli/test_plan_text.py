"""What `plan` and `run` print about trials that the run holds already."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cae import Sweep, Trial
from cae.cli import plan_text
from cae.cli.app import app
from cae.cli.console import Console
from cae.cli.plan_settings import plan_settings
from cae.cli.plan_text import change_lines
from cae.run.events import TrialEnded, TrialPlanned, event_fields
from cae.run.trial_state import TrialState
from cae.sweep.engine import session
from cae.sweep.spec.plan import Plan, make_plan
from tests.sweep.spec.test_matching import BASE, load, record_of
from tests.sweep.spec.test_trained_points import trained

SWEEP = '''"""Digits."""

from ray import tune
from cae import Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=32, val_images=16, test_images=16),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(),
        epochs=3,
    ),
    space={"optimizer.lr": tune.grid_search([1e-3, 3e-3])},
    seeds=SEEDS,
)
'''


def grid(*rates: float, base: Trial = BASE, **options: Any) -> Plan:
    space = {"optimizer.lr": {"grid_search": list(rates)}}
    return make_plan(Sweep(base=base, space=space), load, **options)


def test_nothing_is_announced_for_a_new_or_a_complete_run() -> None:
    plan = grid(0.1, 0.2)
    assert change_lines(plan) == []
    assert change_lines(grid(0.1, 0.2, records=trained(plan))) == []


def test_withdrawn_and_kept_trials_are_announced() -> None:
    records = trained(grid(0.1, 0.2, 0.3, 0.4))
    records[2].state = TrialState.INTERRUPTED
    assert change_lines(grid(0.1, records=records)) == [
        "1 unfinished trial withdrawn, not requested any more: trial 2",
        "2 trials of earlier sweeps keep the values: trials 3, 4",
    ]


def test_extended_trials_are_announced() -> None:
    longer = BASE.override({"epochs": 15})
    assert change_lines(grid(0.1, 0.2, base=longer, records=trained(grid(0.1, 0.2)))) == [
        "2 trials extended to more epochs: trials 1, 2"
    ]


@pytest.mark.parametrize(
    ("fingerprint", "text"),
    [("other images", "the images changed"), ("", "the images changed")],
)
def test_trials_on_changed_images_are_announced(fingerprint: str, text: str) -> None:
    records = record_of(9)
    records[7].fingerprint = fingerprint
    records[7].hash = "of other images"
    plan = make_plan(Sweep(base=BASE), load, records=records)
    assert change_lines(plan) == [
        f"1 trial trained anew: {text}; trial 7 of the run keeps the values",
        "1 trial of earlier sweeps keeps the values: trial 7",
    ]


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (TrialState.FAILED, "1 failed trial not extended: trial 1; --retry failed re-runs it"),
        (
            TrialState.DIVERGED,
            "1 diverged trial not extended: trial 1; --retry diverged re-runs it",
        ),
        (TrialState.STOPPED, "1 stopped trial not extended: trial 1"),
    ],
)
def test_trials_that_ended_early_are_not_extended(state: TrialState, line: str) -> None:
    records = trained(grid(0.1, 0.2))
    records[1].state = state
    plan = grid(0.1, 0.2, base=BASE.override({"epochs": BASE.epochs + 2}), records=records)
    assert [trial.number for trial in plan.remaining] == [2]
    assert change_lines(plan) == ["1 trial extended to more epochs: trial 2", line]


def test_the_schedule_that_prevents_an_extension_is_named() -> None:
    base = BASE.override({"schedule": "cosine"})
    longer = base.override({"epochs": BASE.epochs + 2})
    (line, kept) = change_lines(grid(0.1, base=longer, records=trained(grid(0.1, base=base))))
    assert "(schedule = 'cosine'); trial 1 of the run keeps the values" in line
    assert kept.startswith("1 trial of earlier sweeps")


def test_failed_trials_are_extended_by_a_retry() -> None:
    records = trained(grid(0.1))
    records[1].state = TrialState.FAILED
    base = BASE.override({"epochs": BASE.epochs + 2})
    plan = grid(0.1, base=base, records=records, retry=[TrialState.FAILED])
    assert change_lines(plan) == ["1 trial extended to more epochs: trial 1"]


def test_long_lists_of_trials_are_cut() -> None:
    records = trained(grid(*[0.01 * index for index in range(1, 31)]))
    (line,) = change_lines(grid(0.01, records=records))
    assert line.endswith("trials 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, ... and 17 more")


# The text of `cae-sweep plan`


def printed_plan(seeds: int = 1, settings: dict[str, Any] | None = None) -> str:
    """The plan of the sweep in digits.py and runs/digits."""
    from cae.sweep.places.base import Resources

    Path("digits.py").write_text(SWEEP.replace("SEEDS", str(seeds)))
    options: dict[str, Any] = {"budget": "full", "max_trials": None, "data_dir": None}
    selection = session.Selection(Path("digits.py"), None, settings=settings or {}, **options)
    prepared = session.prepare(selection)
    buffer = io.StringIO()
    console = Console(file=buffer, width=160)
    resources = Resources(cpus=1, gpus=0, cpus_per_trial=1, gpus_per_trial=0)
    cost = tables_cost(prepared.plan)
    plan_text.print_plan_table(console, prepared.plan, cost)
    plan_text._print_plan_summary(console, prepared, resources, cost)
    return buffer.getvalue()


def tables_cost(plan: Plan) -> Any:
    from cae.sweep.spec.cost import Cost

    return Cost([1.0] * len(plan.trials), 1.0, 1.0, 1)


def write_run(seeds: int = 1) -> None:
    """A run in which all trials finished."""
    run = Path("runs/digits")
    run.mkdir(parents=True)
    Path("digits.py").write_text(SWEEP.replace("SEEDS", str(seeds)))
    options: dict[str, Any] = {"budget": "full", "max_trials": None, "data_dir": None}
    selection = session.Selection(Path("digits.py"), None, settings={}, **options)
    lines: list[str] = []
    for planned in session.prepare(selection).plan.trials:
        events = [
            TrialPlanned(
                trial=planned.number,
                hash=planned.hash,
                config=planned.trial.flat(),
                axes=planned.axes,
                sizes=planned.sizes,
            ),
            TrialEnded(trial=planned.number, state=TrialState.FINISHED, reason="all 3 epochs"),
        ]
        lines += [json.dumps(event_fields(event)) + "\n" for event in events]
    (run / "journal.jsonl").write_text("".join(lines))


def test_the_plan_of_finished_trials_says_that_they_are_done() -> None:
    write_run()
    text = printed_plan()
    assert text.count("finished") == 2
    assert "Digits: 2 trials, 2 done\n" in text


def test_the_plan_of_an_extension_says_from_how_many_epochs() -> None:
    write_run()
    text = printed_plan(settings={"epochs": 5, "optimizer.lr": 0.001})
    assert "finished, extended from 3" in text
    assert "Digits: 1 trial, 0 done\n" in text
    assert "1 trial extended to more epochs: trial 1" in text


def test_the_plan_of_several_seeds_has_a_column_for_them() -> None:
    rows = printed_plan(seeds=3).splitlines()
    heading = next(row for row in rows if "state" in row)
    assert "seed" in heading
    assert "seed" not in printed_plan(seeds=1).split("parameters")[0]


def test_empty_values_of_settings_are_named() -> None:
    text = printed_plan(settings={"arch.hidden_units": [8]})
    assert "arch.hidden_units 8 (full: none)" in text


FRAGILE = '''"""Networks of which one fails and one has a loss that fails."""

from ray import tune
from torch import nn

from cae import Adam, Architecture, Digits, Reconstruct, Sweep, Trial


class Fails(Architecture):
    units: int = 4

    def build(self, input_shape, output_shape):
        return Layers(self.units, output_shape)


class Layers(nn.Module):
    def __init__(self, units, output_shape):
        super().__init__()
        self.units = units
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(16, units), nn.Linear(units, 16), nn.Unflatten(1, output_shape)
        )

    def forward(self, images):
        if self.training and self.units in FAILING:
            raise RuntimeError("units = [red]6[/red]: too many")
        return self.layers(images)


sweep = Sweep(
    base=Trial(
        dataset=Digits(size=4, train_images=16, val_images=8, test_images=8),
        task=Reconstruct(loss="mse"),
        arch=Fails(),
        optimizer=Adam(lr=1e-3),
        epochs=1,
    ),
    space={"arch.units": tune.grid_search([2, 4, 6])},
)
'''


def plan_of_failing_networks(failing: str) -> str:
    """The output of `plan`, where the networks with some numbers of units fail."""
    Path("fragile.py").write_text(FRAGILE.replace("FAILING", failing))
    result = CliRunner().invoke(app, ["plan", "fragile.py", "--csv", "plan.csv"])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_network_that_fails_while_it_is_timed_does_not_end_the_plan() -> None:
    text = plan_of_failing_networks("[6]")
    assert "estimated from 2 networks" in text
    error = "RuntimeError: units = [red]6[/red]: too many"
    assert f"the network of trial 3 could not be timed: {error}" in text
    assert "unknown" not in text


def test_a_plan_whose_networks_all_fail_has_an_unknown_time() -> None:
    text = plan_of_failing_networks("[2, 4, 6]")
    assert "time: unknown" in text
    assert text.count("could not be timed") == 3
    with open("plan.csv", newline="") as file:
        assert [row["seconds_per_epoch"] for row in csv.DictReader(file)] == ["", "", ""]


# Which settings the table shows, and how wide it is


NEIGHBOURS: list[dict[str, Any]] = [
    {"optimizer.lr": rate, "batch_size": size, "seed": 3}
    for rate, size in [(0.1, 8), (0.1, 16), (0.1, 8), (0.2, 8)]
]


def planned_trials(*axes: dict[str, Any]) -> list[Any]:
    return [SimpleNamespace(axes=of_trial) for of_trial in axes]


def test_a_table_states_only_how_trials_differ_from_most() -> None:
    trials = planned_trials(*NEIGHBOURS)
    settings = plan_settings(trials, ["optimizer.lr", "batch_size", "seed"])
    assert settings.of_all == {"seed": 3}
    assert settings.of_most == {"optimizer.lr": 0.1, "batch_size": 8}
    assert settings.columns == ["optimizer.lr", "batch_size"]
    texts = [settings.text_of(trial) for trial in trials]
    assert texts == ["-", "batch_size 16", "-", "lr 0.2"]


def test_a_setting_that_a_trial_does_not_have_is_stated() -> None:
    trials = planned_trials({"a.b": 1, "a.c": 2}, {"a.b": 1, "a.c": 2}, {"a.c": 2}, {})
    settings = plan_settings(trials, ["a.b", "a.c"])
    assert settings.of_all == {"a.c": 2}
    texts = [settings.text_of(trial) for trial in trials]
    assert texts == ["-", "-", "no b", "the base trial"]


def test_settings_without_a_majority_are_stated_for_every_trial() -> None:
    trials = planned_trials({"a.b": 1}, {"a.b": []})
    settings = plan_settings(trials, ["a.b"])
    assert settings.of_most == {}
    assert [settings.text_of(trial) for trial in trials] == ["b 1", "b none"]


def printed_table(width: int, axes: int) -> list[str]:
    """The lines of a plan of nine trials that differ in some axes."""
    trials: list[Any] = []
    for number in range(1, 10):
        values = {f"arch.parameter_{axis}": (number * axis) % 3 for axis in range(1, axes + 1)}
        sizes = {"parameters": 1_234_567, "megaflops": 12.5, "latent_values": 64}
        trial = SimpleNamespace(epochs=25, seed=0)
        trials.append(
            SimpleNamespace(
                number=number,
                axes={"arch.kernel_size": 3, **values},
                sizes=sizes,
                trial=trial,
                record=None,
                is_dependency=False,
            )
        )
    names = ["arch.kernel_size", *[f"arch.parameter_{axis}" for axis in range(1, axes + 1)]]
    plan: Any = SimpleNamespace(
        listed=trials, axes=dict.fromkeys(names), sweep=SimpleNamespace(seeds=1)
    )
    buffer = io.StringIO()
    cost: Any = SimpleNamespace(seconds_per_epoch=[1.25] * 9)
    plan_text.print_plan_table(Console(file=buffer, width=width), plan, cost)
    return buffer.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("axes", [2, 9])
def test_rows_are_complete_in_every_width(width: int, axes: int) -> None:
    lines = printed_table(width, axes)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    rows = [line.split() for line in lines if line[:5].strip().isdigit()]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 10)]
    assert all(row[1] == "new" for row in rows)
    assert "all trials: kernel_size 3" in text
    left_out = " ".join(text[text.find("without room:") :].split())
    for name, value in [("parameters", "1,234,567"), ("epochs", "25"), ("s/epoch", "1.2")]:
        assert all(value in row for row in rows) or name in left_out
    if width == 200:
        assert "without room" not in text
        assert all("1,234,567" in row for row in rows)
