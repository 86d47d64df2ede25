"""The short, deterministic part of the fault campaign: deaths at chosen moments of one small sweep with ASHA, and what checks them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.run.events import SessionEnded
from cae.run.paths import RunDir
from cae.sweep.engine import recorder, session
from cae.sweep.engine.limits import Guard
from cae.sweep.places.local import Resources
from cae.trial import checkpoint
from tests.conftest import SWEEP
from tests.faults.checks import Witness, losses
from tests.faults.driver import Driver, epochs, kill, until
from tests.faults.faults import ended
from tests.sweep.engine.failing_trials import troubled

Write = Callable[..., Path]
Run = Callable[..., RunDir]
pytestmark = pytest.mark.timeout(
    600
)  # workers that die have to be started again, which takes long on a machine that is busy
ONE_SLOT = Resources(cpus=1, gpus=0, cpus_per_trial=1, gpus_per_trial=0)
SPACE = "{'optimizer.lr': tune.grid_search([1e-2, 9e-3, 8e-3, 1e-5, 2e-5, 3e-5])}"
SCHEDULER = "scheduler=ASHA(grace_epochs=1, reduction_factor=2, min_trials=2)"


def run_to_its_end(sweep: Path, run: RunDir) -> str:
    prepared = session.prepare(session.Selection(sweep, run.path, "full", {}, None, None))
    return session.execute(prepared, ONE_SLOT, command="a test")


MOMENTS: dict[str, Callable[[str, dict[str, Any]], bool]] = {
    "a checkpoint is written, its epoch is not in the journal": lambda event, said: (
        event == "epoch" and said["epoch"] == 2
    ),
    "a stop is decided, and not in the journal": lambda event, said: (
        event == "end" and said["state"] == "stopped"
    ),
    "a trial has ended, and that is not in the journal": lambda event, said: (
        event == "end" and said["state"] == "finished"
    ),
}


@pytest.fixture(scope="module")
def undisturbed(one_ray: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ARG001
    """The sweep file; its run, which nothing disturbed; and the run's folder as it was at each of MOMENTS."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep, run = folder / "small.py", RunDir(folder / "run")
    sweep.write_text(SWEEP.format(space=SPACE, epochs=6, more=SCHEDULER))
    write, times = recorder.Recorder.write, Counter[str]()

    def snapshot(self: recorder.Recorder, event: str, **fields: Any) -> None:
        for name, is_it in MOMENTS.items():
            times[name] += is_it(event, fields)
            if (
                times[name] == 2 and not (folder / name).exists()
            ):  # by then there are rungs to be rebuilt, and trials are left
                shutil.copytree(run.path, folder / name)
        write(self, event, **fields)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder.Recorder, "write", snapshot)
        assert run_to_its_end(sweep, run) == "complete"
    assert {record.state for record in run.records().values()} == {"finished", "stopped"}
    return sweep, run, folder


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_driver_that_dies_at_the_worst_moment_loses_nothing(
    undisturbed: Any, moment: str
) -> None:
    sweep, reference, folder = undisturbed
    run, witness = RunDir(folder / moment), Witness()
    with run.journal.open("ab") as journal:
        journal.write(b'{"event":"epoch","trial":1,"ep')
    witness.look(run, list(run.records()))
    assert run.records() != reference.records()
    assert run_to_its_end(sweep, run) == "complete"
    assert losses(run, reference, stops=True) + witness.losses(run) == []


def test_workers_that_die_now_and_then_cost_a_trial_nothing_and_change_no_stop(
    undisturbed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, reference, _ = undisturbed
    run, witness, killed = RunDir(tmp_path / "run"), Witness(), list[int]()
    monkeypatch.setattr(recorder, "RESTARTS", 1)
    sign = Guard.sign

    def kill_its_worker(guard: Guard, number: int) -> None:
        """Twice with progress between, while two deaths in a row would be too many; and once when its last epoch has just
        been told, so that the next trial is given a worker that is dead."""
        sign(guard, number)
        record = run.records()[number]
        if (
            record.state == "running"
            and "worker" in record.starts[-1]
            and number == 1
            and record.last_epoch in (1, 3, 5)
        ):
            kill(record.starts[-1].worker)
            witness.look(run, [number])
            killed.append(record.last_epoch)

    monkeypatch.setattr(Guard, "sign", kill_its_worker)
    assert run_to_its_end(sweep, run) == "complete"
    assert killed == [1, 3, 5]
    assert losses(run, reference, stops=True) + witness.losses(run) == []


def test_sigterm_ends_a_sweep_gently(sweep_file: Write, run_sweep: Run) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are heard in the main thread only")
    run = RunDir("run")

    def terminate() -> None:
        until(lambda: len(epochs(run)) >= 2, "two epochs")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    thread.start()
    run_sweep(troubled(sweep_file, ["slow"], epochs=1000))
    thread.join()
    close = [event for event in run.events() if isinstance(event, SessionEnded)]
    assert [event.reason for event in close] == ["interrupted by SIGTERM"]
    assert run.records()[1].state == "interrupted"


def test_a_raylet_that_is_killed_ends_the_sweep_in_a_sentence(
    sweep_file: Write, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    with Driver(troubled(sweep_file, ["slow"], epochs=1000), run) as driver:
        until(lambda: len(epochs(run)) >= 2, "two epochs")
        kill(driver.child("raylet"))
        assert (
            ended(
                driver,
                1,
                "Ray's raylet on this machine ended; what is finished is saved, and the same command goes on",
            )
            == []
        )
    assert run.records()[1].state == "interrupted"
    assert json.loads(run.journal.read_text().splitlines()[-1])["event"] == "close"


def test_the_checks_find_what_is_lost(undisturbed: Any, tmp_path: Path) -> None:
    _, reference, _ = undisturbed
    (number,) = [
        number for number, record in reference.records().items() if record.state == "finished"
    ][:1]

    def damaged(*changes: Callable[[RunDir], object]) -> list[str]:
        run = RunDir(tmp_path / "copy")
        shutil.rmtree(run.path, ignore_errors=True)
        shutil.copytree(reference.path, run.path)
        for change in changes:
            change(run)
        return losses(run, reference, stops=True)

    def rewritten(old: str, new: str) -> Callable[[RunDir], object]:
        return lambda run: run.journal.write_text(run.journal.read_text().replace(old, new))

    first = next(
        line for line in reference.journal.read_text().splitlines() if '"event":"epoch"' in line
    )
    loss = json.dumps(json.loads(first)["metrics"]["val_loss"])
    trained = f"2026-01-01 00:00:00 epoch 1: val_loss={loss}\n"

    def log(run: RunDir, line: str) -> None:
        with (run.trial(number) / "log.txt").open("a") as file:
            file.write(line)

    assert damaged() == []
    assert damaged(rewritten(first, f"{first}\n{first}")) == [
        f"trial {json.loads(first)['trial']}: epoch 1 stands 2 times"
    ]
    assert "has other numbers" in damaged(rewritten(loss, "0.5"))[0]
    assert "is interrupted" in damaged(rewritten('"state":"finished"', '"state":"unknown"'))[0]
    assert "cutoff is" in " ".join(damaged(rewritten('"cutoff":0.', '"cutoff":1.')))
    assert damaged(lambda run: log(run, trained)) == [
        f"trial {number}: epoch 1 was trained 2 times"
    ]
    assert damaged(lambda run: log(run, trained.replace(" 1:", " 1, from the checkpoint:"))) == []
    assert damaged(lambda run: (run.trial(number) / checkpoint.BEST).unlink()) == [
        f"trial {number}: only one of the two runs has its best weights"
    ]
    witness = Witness()
    witness.look(reference, [number])
    copy = RunDir(tmp_path / "copy")
    damaged(lambda run: log(run, trained))
    assert witness.losses(copy) == [f"trial {number}: epoch 1 was finished and trained again"]
    assert witness.losses(reference) == []
