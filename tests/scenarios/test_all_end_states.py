"""One run with every way in which a trial can end, killed with SIGKILL in the middle.

After each command, every number shown is compared with the journal.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from cae.run.paths import RunDir
from tests.faults.driver import Driver, journal_epochs, wait_until
from tests.scenarios.commands import call
from tests.scenarios.recompute import check_everything, read

SWEEP = '''"""Every way in which a trial can end."""

import time
from pathlib import Path

import torch
from ray import tune
from torch import nn

from cae import ASHA, SGD, Architecture, Denoise, Digits, Sweep, Trial

FOLDER = Path({folder!r})


class Fragile(Architecture):
    fails: str = "never"

    def build(self, input_shape, output_shape):
        return Network(self.fails, output_shape)


class Network(nn.Module):
    """Fails in the second epoch, each of which has three batches."""

    def __init__(self, fails, output_shape):
        super().__init__()
        self.fails = fails
        self.batches = 0
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 16),
            nn.Unflatten(1, output_shape),
        )

    def forward(self, images):
        self.batches += self.training
        if self.training and self.batches > 3 and self.fails != "never":
            self.fail()
        outputs = self.layers(images)
        if self.training and self.batches > 3 and self.fails == "nan":
            return outputs * float("nan")
        return outputs

    def fail(self):
        if self.fails == "raises" and not (FOLDER / "repaired").exists():
            raise RuntimeError("the layer is tired")
        if self.fails == "memory":
            raise torch.OutOfMemoryError("more than there is")
        held = read_hold()
        while self.fails == "waits" and self.batches == 4 and held and read_hold() == held:
            time.sleep(0.05)


def read_hold():
    """Trials wait until the text of the file changes, or not at all without the file."""
    if not (FOLDER / "hold").exists():
        return ""
    return (FOLDER / "hold").read_text()


NOISE = tune.grid_search({noise})
SPACES = [
    {{"task.noise_factor": NOISE, "optimizer.lr": tune.grid_search([0.3, 1e-3])}},
    {{"task.noise_factor": 0.3, "optimizer.lr": 1.0, "arch.fails": tune.grid_search({fails})}},
    {{"task.noise_factor": 0.3, "optimizer.lr": 2.0, "arch.fails": "waits"}},
    {{"task.noise_factor": 0.5, "optimizer.lr": 1e30}},
]

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=4, train_images=96, val_images=32, test_images=32),
        task=Denoise(noise_factor=0.1, loss="mse"),
        arch=Fragile(),
        optimizer=SGD(lr=0.1),
        batch_size=32,
        epochs={epochs},
    ),
    space=SPACES[:{spaces}],
    seeds=2,
    scheduler=ASHA(reduction_factor=2, min_trials=2),
)
'''
VALUES = {
    "noise": [0.1, 0.3, 0.5],
    "fails": ["raises", "memory", "nan"],
    "epochs": 3,
    "spaces": 4,
}
ALL = set(range(1, 23))
"""22 trials: 11 configurations with two seeds. In the group of 0.3 those that fail have better
learning rates: they would be ranked first if they were ranked."""
ENDS = {"finished", "stopped", "diverged", "failed", "oom", "killed"}


def edit(**values: object) -> None:
    """Write the sweep file with some values changed."""
    text = SWEEP.format(folder=str(Path.cwd()), **(VALUES | values))
    Path("ends.py").write_text(text)


def run_sweep(*options: str, code: int = 0) -> str:
    return call("run", "ends.py", "--slots", "1", *options, code=code)


def waiting_trials(run: RunDir) -> list[int]:
    """The numbers of the trials that wait, those of the first seed first."""
    numbers = [
        record.number for record in run.records().values() if record.config["arch.fails"] == "waits"
    ]
    return sorted(numbers)


def kill_in_mid_run(run: RunDir) -> None:
    """Run the sweep in another process until a trial waits, and kill that process.

    Before that, the first trial that waits is ended with `cae-sweep kill`.
    """
    hold = Path("hold")
    hold.write_text("the first one")
    with Driver(Path("ends.py"), run, "--slots", "1", cores=2) as driver:
        wait_until(lambda: len(waiting_trials(run)) == 2, "the run is planned")
        killed, interrupted = waiting_trials(run)
        wait_until(lambda: (killed, 1) in journal_epochs(run), f"trial {killed} waits")
        call("kill", run.path, killed)
        wait_until(lambda: run.records()[killed].state.is_final, f"trial {killed} is killed")
        hold.write_text("the second one")
        wait_until(lambda: (interrupted, 1) in journal_epochs(run), f"trial {interrupted} waits")
        driver.kill()
    hold.unlink()


def states(run: Path) -> Counter[str]:
    """How many trials of a run are in each state."""
    return Counter(trial.state for trial in read(run).trials.values())


def planned(output: str) -> int:
    """How many trials a plan lists."""
    return len(re.findall(r"^ +\d+ ", output, re.MULTILINE))


def trials_at(run: Path, noise: float) -> set[int]:
    """The numbers of the trials with a level of noise that do not fail."""
    return {
        trial.number
        for trial in read(run).trials.values()
        if trial.config["task.noise_factor"] == noise and trial.config["arch.fails"] == "never"
    }


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_every_number_is_right_whatever_end_the_trials_have() -> None:
    edit()
    assert planned(call("plan", "ends.py")) == len(ALL)
    run = Path("runs/ends").absolute()
    kill_in_mid_run(RunDir(run))
    call("report", run)
    check_everything(call, run, ALL)
    assert ENDS | {"interrupted", "pending"} <= states(run).keys()

    edit(noise=[0.1], spaces=1)  # narrower: what has not ended is withdrawn
    assert planned(call("plan", "ends.py")) == 4
    run_sweep()
    check_everything(call, run, trials_at(run, 0.1))
    assert ENDS | {"withdrawn"} <= states(run).keys()

    edit()
    output = run_sweep(code=1)
    check_everything(call, run, ALL)
    assert states(run).keys() == ENDS
    for ranking in read(run).rankings():
        number, epoch, value = ranking[0]
        assert f"trial {number}, epoch {epoch}, val_loss {value:.6g}\n" in output

    Path("repaired").touch()
    run_sweep("--retry", "failed", code=1)  # for lack of memory
    check_everything(call, run, ALL)
    assert states(run).keys() == ENDS - {"failed"}

    edit(epochs=4)
    assert call("plan", "ends.py").count("finished, extended from 3") == states(run)["finished"]
    run_sweep(code=1)
    check_everything(call, run, ALL)
    extended = read(run)
    finished = [trial for trial in extended.trials.values() if trial.state == "finished"]
    assert {max(trial.epochs) for trial in finished} == {4}
    assert (run / "journal.jsonl").read_text().count('"event":"epoch"') == sum(
        len(trial.epochs) for trial in extended.trials.values()
    ), "no epoch was trained twice, except those of which no checkpoint was left"
