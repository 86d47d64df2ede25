"""Files of a run are lost: the same command repairs it, and no number changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.cli import plan_text
from cae.errors import RunError
from cae.run.events import SessionStarted, TrialRetried
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.status import run_status
from cae.run.sweep_json import LostSweepJson
from cae.sweep.engine import session
from cae.trial import checkpoint
from cae.trial.checkpoint import BEST, LAST
from tests.undisturbed import undisturbed_losses

Write = Callable[..., Path]
Run = Callable[..., RunDir]

SPACE = "{'optimizer.lr': tune.grid_search([1e-3, 3e-3])}"
EPOCHS = 3


def prepare(path: Path, **options: Any) -> session.Prepared:
    selection: dict[str, Any] = {"out": Path("run"), "budget": "full", "settings": {}}
    selection |= {"max_trials": None, "data_dir": None}
    return session.prepare(session.Selection(sweep=path, **(selection | options)))


def losses(run: RunDir, number: int) -> list[float]:
    return [row["val_loss"] for _, row in sorted(run.records()[number].epochs.items())]


@pytest.mark.slow
def test_lost_weights_and_a_lost_sweep_json_are_repaired_by_run(
    sweep_file: Write, run_sweep: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sweep_file(SPACE, epochs=EPOCHS, more="metric='val_loss', mode='max'")
    run = run_sweep(path)
    before = {number: losses(run, number) for number in (1, 2)}
    number = 2
    end_before = run.records()[number].end
    assert end_before is not None
    assert end_before.best_epoch == 1, "the newest checkpoint does not contain its weights"
    (run.trial(number) / BEST).unlink()
    axes = run.read_sweep().axes
    run.sweep_json.write_bytes(b"")
    with pytest.raises(LostSweepJson, match="is empty; the trials are not affected: `a test`"):
        run_status(run)
    prepared = prepare(path)
    assert "sweep.json is empty" in capsys.readouterr().err
    assert prepared.plan.lost_weights == [number]
    assert not prepared.plan.remaining
    assert plan_text.change_lines(prepared.plan) == [
        f"best weights (best.safetensors) missing for trial {number}: "
        "--retry lost-weights trains them again"
    ]

    run_sweep(path)
    assert run.read_sweep().axes == axes
    assert run.read_sweep().command == "a test"
    assert not (run.trial(number) / BEST).exists(), "it was not requested"

    run_sweep(path, retries_lost_weights=True)
    assert {number: losses(run, number) for number in (1, 2)} == before
    end = run.records()[number].end
    assert end is not None
    assert end.metrics == end_before.metrics
    assert checkpoint.load(run.trial(number) / BEST).epoch == end.best_epoch
    assert run_status(run).restarts == {
        number: f"{EPOCHS} finished epochs trained again because {BEST} is missing"
    }
    retries = [event for event in run.events() if isinstance(event, TrialRetried)]
    assert [(event.trial, event.epoch, event.reason) for event in retries] == [
        (number, EPOCHS, ""),
        (number, 0, f"{BEST} is missing"),
    ]
    assert not prepare(path).plan.lost_weights


@pytest.mark.slow
def test_without_its_journal_a_run_uses_only_checkpoints_of_the_same_configuration(
    sweep_file: Write, run_sweep: Run
) -> None:
    run = run_sweep(sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 3e-3])}", epochs=2))
    run.journal.unlink()
    unchanged = run.trial(1) / LAST
    changed_at = unchanged.stat().st_mtime_ns
    run_sweep(sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 1e-2])}", epochs=2))
    assert unchanged.stat().st_mtime_ns == changed_at
    for number in (1, 2):
        assert losses(run, number) == undisturbed_losses(run, number)
    assert (run.trial(2) / f"{LAST}.foreign").exists()
    log = (run.trial(2) / "log.txt").read_text()
    assert "belongs to another trial: its optimizer.lr is 0.003, and not 0.01" in log


def test_a_damaged_sweep_json_does_not_let_another_sweep_take_over(
    sweep_file: Write, tmp_path: Path
) -> None:
    path = sweep_file("{}")
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.sweep_json.write_text("{")
    journal = Journal(run.journal)
    journal.append(SessionStarted(trials=[], sweep="other", metric="val_loss", mode="min"))
    journal.close()
    with pytest.raises(RunError, match="contains a run of another sweep, other"):
        prepare(path)
