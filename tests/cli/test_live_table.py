"""The table of a running sweep: complete numbers and sums in terminals of every size."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.cells import cell_len

from cae.cli.console import Console
from cae.cli.live_table import MAX_RUNNING_ROWS, LiveTable, wrap_parts
from cae.run.events import Stopping, TrialEnded, TrialStarted
from cae.run.records import Record, apply_event
from cae.run.trial_state import TrialState
from tests.run.events import epoch, planned, started

WIDTHS = [40, 80, 120, 200]
TITLE = "CIFAR-10 autoencoder, the best network of report 000 and its neighbours"


def records_of(running: int, pending: int) -> dict[int, Record]:
    """Trials of which some have finished two epochs."""
    records: dict[int, Record] = {}
    for number in range(1, running + pending + 1):
        apply_event(records, planned(number, epochs=3))
        if number <= running:
            apply_event(records, started(number))
            for finished in (1, 2):
                metrics = {"val_loss": 0.0123456 * number / finished, "images_per_second": 12345.6}
                event = epoch(finished, 0.5, number)
                event.metrics = event.metrics | metrics
                apply_event(records, event)
    return records


def live_table(records: dict[int, Record], width: int, height: int = 24) -> LiveTable:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    table = LiveTable(
        TITLE, records, metric="val_loss", mode="min", slots=2, console=console, quiet=False
    )
    table._has_started = True
    return table


def lines_of(table: LiveTable) -> list[str]:
    """The lines of the table as a terminal shows them, without colors."""
    console = Console(file=io.StringIO(), width=table._console.width, force_terminal=False)
    console.print(table._render())
    file: Any = console.file
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_and_sums_are_complete_in_every_width(width: int) -> None:
    lines = lines_of(live_table(records_of(3, 15), width))
    text = "\n".join(lines)
    assert max(map(cell_len, lines)) <= width
    assert "0/18" in text
    assert "3 running" in text
    assert "15 pending" in text
    assert "best val_loss 0.006173" in text
    assert "(trial 1, epoch 2)" in text
    (heading,) = [number for number, line in enumerate(lines) if line.split()[:1] == ["trial"]]
    rows = [line.split() for line in lines[heading + 1 : heading + 4]]
    assert [row[:3] for row in rows] == [
        ["1", "2/3", "0.006173"],
        ["2", "2/3", "0.01235"],
        ["3", "2/3", "0.01852"],
    ]
    assert ("images/s" in lines[heading]) == (width > 40)
    assert "12346" in text or width == 40


@pytest.mark.parametrize("height", [8, 12, 24])
def test_the_table_is_not_higher_than_the_terminal(height: int) -> None:
    records = records_of(30, 0)
    table = live_table(records, 80, height)
    for number in range(1, 9):
        table._ended_lines.append(f"[green]finished [/] trial {number} {'a long reason ' * 9}")
    lines = lines_of(table)
    assert len(lines) < height
    rows = [line for line in lines if line.split()[1:2] == ["2/3"]]
    (rest,) = [line for line in lines if line.startswith("and ")]
    assert rest == f"and {30 - len(rows)} more running"
    assert len(rows) <= MAX_RUNNING_ROWS


@pytest.mark.parametrize("width", WIDTHS)
def test_a_stop_is_shown_with_what_it_waits_for(width: int) -> None:
    table = live_table(records_of(3, 15), width)
    table(Stopping("interrupted by SIGINT", 3))
    text = " ".join(lines_of(table))
    assert "stopping: saving 3 trials; press Ctrl-C again to end immediately" in text
    assert " left" not in text


def test_the_start_of_workers_is_shown() -> None:
    records = records_of(0, 2)
    table = live_table(records, 80)
    table._has_started = False
    assert "starting workers" in "\n".join(lines_of(table))
    table(TrialStarted(trial=1, epoch=0))
    assert "starting workers" not in "\n".join(lines_of(table))


def test_trials_that_ended_are_listed_with_their_state() -> None:
    records = records_of(1, 1)
    table = live_table(records, 80)
    end = TrialEnded(trial=1, state=TrialState.FINISHED, reason="all 3 epochs")
    apply_event(records, end)
    table(end)
    line = "finished  trial 1    its best val_loss 0.006173 (epoch 2); all 3 epochs"
    assert line in lines_of(table)
    assert any("1/2" in line and "1 finished" in line for line in lines_of(table))


def test_the_line_of_a_stopped_trial_names_the_epoch_of_each_value() -> None:
    """The best value and the one at which it was stopped are of the same metric."""
    records = records_of(1, 1)
    apply_event(records, epoch(3, 0.5, 1))
    file = io.StringIO()
    console = Console(file=file, force_terminal=False)
    table = LiveTable(
        TITLE, records, metric="val_loss", mode="min", slots=2, console=console, quiet=False
    )
    reason = "epoch 3: val_loss 0.5 is above the cutoff 0.01"
    end = TrialEnded(trial=1, state=TrialState.STOPPED, reason=reason, rung=3, value=0.5)
    apply_event(records, end)
    table(end)
    assert file.getvalue().startswith(
        "stopped   trial 1    its best val_loss 0.006173 (epoch 2); epoch 3: val_loss 0.5 is above "
        "the cutoff 0.01  1 of 2 trials ended; best val_loss 0.006173 (trial 1, epoch 2)"
    )


@pytest.mark.parametrize("is_terminal", [True, False])
def test_brackets_of_a_group_are_no_markup(is_terminal: bool) -> None:
    """Regression: [raw] was printed as a style, and [/raw] ended the sweep with an error."""
    records = records_of(2, 0)
    for number, path in ((1, "photos[raw]"), (2, "photos[/raw]")):
        records[number].config["dataset.path"] = path
        records[number].__dict__.pop("group", None)
    file = io.StringIO()
    console = Console(file=file, width=200, force_terminal=is_terminal)
    table = LiveTable(
        TITLE, records, metric="val_loss", mode="min", slots=2, console=console, quiet=False
    )
    end = TrialEnded(trial=1, state=TrialState.FINISHED, reason="all 3 epochs")
    apply_event(records, end)
    table(end)
    table._last_line = -1e9
    table(epoch(3, 0.5, 2))
    assert file.getvalue().count("at dataset.path = photos[raw] (trial 1)") == 2
    assert file.getvalue().count("at dataset.path = photos[/raw] (trial 2)") == 2


def test_parts_are_not_divided_between_lines() -> None:
    assert wrap_parts(["10 running", "", "2 pending", "a long part"], 22) == [
        "10 running  2 pending",
        "a long part",
    ]
