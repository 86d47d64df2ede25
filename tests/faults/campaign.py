"""The fault campaign: real sweeps under random SIGKILLs and other faults; nothing may be lost.

    python -m tests.faults.campaign [--seed N] [--kills N] [--work DIR]        (or `make faults`)

Prints its seed, a line for every fault as it happens, and a table. Exit code 1 if anything was lost
or differs from the same sweep without faults.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from tests.faults import scenarios
from tests.faults.checks import Witness, losses, repetitions, wrong_suggestions
from tests.faults.driver import Driver, journal_epochs, kill_process

SWEEP = '''"""Small autoencoders of digits, for the fault campaign."""

from ray import tune

from cae import (
    ASHA, Adam, ConvAutoencoder, Denoise, Digits, ModelBased, Screen, Sweep, Trial
)

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=16, train_images=640, val_images=128, test_images=64),
        task=Denoise(),
        arch=ConvAutoencoder(
            encoder_filters=(32, 16), decoder_filters=(32,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs=8,
    ),
    space={
        "optimizer.lr": tune.grid_search([1e-4, 3e-4, 1e-3, 2e-3, 4e-3, 8e-3]),
        "arch.kernel_size": tune.grid_search([3, 5]),
        "task.noise_factor": tune.grid_search([0.1, 0.3]),
    },
    SCHEDULER
)
'''
WORKER = "worker"
WRITING_WORKER = "worker that writes a checkpoint"
DRIVER = "driver"
STARTING_DRIVER = "driver that starts"
KILLS = {WORKER: 14, WRITING_WORKER: 7, DRIVER: 2, STARTING_DRIVER: 1}
"""What is killed, and how often of 24 times. Drivers less often: they take long to start again."""
RUN_SECONDS = 3600.0
WRITE_SECONDS = 30.0


@dataclass(frozen=True)
class KilledSweep:
    """A sweep that is run with random kills."""

    settings: str
    """Parameters of Sweep, as in a sweep file."""
    slots: int
    """Trials at a time."""
    is_exact: bool
    """Whether the same trials have to end for the same reasons as without kills."""


ASHA = "scheduler=ASHA(grace_epochs=1, reduction_factor=2, min_trials=2),"
SEARCH = f"search=ModelBased(), samples=16, plateau=8, patience=4, {ASHA}"
KILLED_SWEEPS = {
    "asha": KilledSweep(ASHA, slots=1, is_exact=True),
    "plain": KilledSweep("", slots=2, is_exact=False),
    "screen": KilledSweep("scheduler=Screen(epochs=2, keep=5),", slots=2, is_exact=True),
    "search": KilledSweep(SEARCH, slots=1, is_exact=True),
    "search-2": KilledSweep(SEARCH, slots=2, is_exact=False),
}


class Campaign:
    """Kills processes at random, runs the scenarios, and collects what was lost."""

    def __init__(self, seed: int, work: Path) -> None:
        self._random = random.Random(seed)
        self.work = work
        self._started = time.monotonic()
        self._kill_counts: Counter[str] = Counter()
        """Random kills by kind."""
        self._partial_files = 0
        """Files that a kill left half written."""
        self.lost: defaultdict[str, list[str]] = defaultdict(list)
        """What was lost, in words, by fault."""

    @property
    def kills(self) -> int:
        """Number of random kills so far."""
        return self._kill_counts.total()

    def report(self, text: str) -> None:
        """Print a line with the time since the start."""
        print(f"{time.monotonic() - self._started:7.1f} s  {text}", flush=True)

    def record(self, fault: str, lost: list[str]) -> None:
        """Add what a fault has cost."""
        self.lost[fault] += lost
        for line in lost:
            self.report(f"LOST  {fault}: {line}")

    # Random kills

    def write_sweep(self, name: str) -> Path:
        """Write the sweep file of a sweep of KILLED_SWEEPS."""
        path = self.work / f"{name}.py"
        path.write_text(SWEEP.replace("SCHEDULER", KILLED_SWEEPS[name].settings))
        return path

    def run_reference(self, sweep: Path) -> RunDir:
        """Run the sweep undisturbed, with its number of slots."""
        run = RunDir(self.work / f"{sweep.stem}-reference")
        slots = KILLED_SWEEPS[sweep.stem].slots
        code = Driver(sweep, run, cores=slots).wait(RUN_SECONDS)
        self.report(f"reference {sweep.stem}: exit code {code}, {_summary(run)}")
        if code:
            raise RuntimeError(f"the reference did not finish: see {self.work}")
        return run

    def run_disturbed(self, sweep: Path, reference: RunDir, kills: int) -> None:
        """Run the sweep with up to `kills` kills, by the same command until it is complete."""
        killed = KILLED_SWEEPS[sweep.stem]
        slots = killed.slots
        run = RunDir(self.work / f"{sweep.stem}-{self.kills}-kills-before")
        witness = Witness()
        max_kills = self.kills + kills
        driver = Driver(sweep, run, cores=slots)
        while driver.is_alive and self.kills < max_kills:
            (kind,) = self._random.choices(list(KILLS), list(KILLS.values()))
            trials = self.kill(kind, driver)
            if trials:
                witness.look(run, trials)
            if driver.process.poll() == -signal.SIGKILL:
                driver = Driver(sweep, run, cores=slots)
        code = driver.wait(RUN_SECONDS)
        if killed.is_exact or "search=" not in killed.settings:
            lost = losses(run, reference, same_stops=killed.is_exact)
        else:
            lost = repetitions(run)
        lost += witness.losses(run) + wrong_suggestions(run, sweep)
        if code:
            lost.append(f"exit code {code}")
        self.record(f"SIGKILLs of {sweep.stem}, {slots} at a time", lost)
        self.report(f"{run.name}: complete, {_summary(run)}, {len(lost)} losses")

    def kill(self, kind: str, driver: Driver) -> list[int]:
        """Kill a process. Returns the trials that have no worker now; empty if none was killed."""
        if kind == STARTING_DRIVER:
            # Anywhere: during imports, while Ray starts, before the first epoch.
            time.sleep(self._random.uniform(0, 15))
        else:
            driver.wait_for_epochs(1)  # repeated deaths without progress would end a trial
            time.sleep(self._random.uniform(0, 1.5))
        if kind in (DRIVER, STARTING_DRIVER):
            pid = driver.process.pid
            trials = self._kill_driver(driver)
        else:
            workers = driver.worker_pids()
            if not workers:
                return []
            number = self._random.choice(sorted(workers))
            pid = workers[number]
            trials = self._kill_worker(kind, driver.run, number, pid)
        if not trials:
            return []
        self._kill_counts[kind] += 1
        partial_files = 0
        for number in trials:
            partial_files += len(list(driver.run.trial(number).glob(".*.safetensors.*")))
        self._partial_files += partial_files
        self.report(
            f"kill {self.kills:3}  {kind} (process {pid}; trials {trials}; {partial_files} partial "
            f"files); {len(journal_epochs(driver.run))} epochs in the journal"
        )
        return trials

    def _kill_driver(self, driver: Driver) -> list[int]:
        if not driver.is_alive:
            return []
        driver.kill()
        records = driver.run.records()
        return [
            number for number, record in records.items() if record.state == TrialState.INTERRUPTED
        ]

    def _kill_worker(self, kind: str, run: RunDir, number: int, pid: int) -> list[int]:
        if kind == WRITING_WORKER and not _wait_for_write(run, number, pid):
            return []
        if not kill_process(pid):
            return []
        return [number]

    # Scenarios

    def run_scenario(self, scenario: scenarios.Scenario) -> None:
        """Run one scenario in a folder of its own."""
        name = scenario.__name__.replace("_", " ")
        self.report(name)
        folder = self.work / scenario.__name__
        folder.mkdir()
        try:
            lost_by_fault = scenario(folder)
        except (TimeoutError, OSError, ValueError, subprocess.SubprocessError) as error:
            lost_by_fault = {name: [f"{type(error).__name__}: {error}"]}
        for fault, lost in lost_by_fault.items():
            self.report(f"  {fault}: {len(lost)} losses")
            self.record(fault, lost)

    def print_table(self) -> None:
        """Print how often each fault happened and what it cost."""
        kill_losses = 0
        for fault, lost in self.lost.items():
            if fault.startswith("SIGKILLs of"):
                kill_losses += len(lost)
        print(f"\n{'fault':60}  times  lost")
        for kind, count in self._kill_counts.items():
            print(f"{'SIGKILL: ' + kind:60}  {count:5}  {kill_losses}")
        if self._partial_files:
            print(f"{'  of these while a file was written':60}  {self._partial_files:5}")
        for fault, lost in self.lost.items():
            if not fault.startswith("SIGKILLs of"):
                print(f"{fault:60}  {1:5}  {len(lost)}")
        minutes = (time.monotonic() - self._started) / 60
        total = sum(len(lost) for lost in self.lost.values())
        print(
            f"{self.kills} random kills, {len(self.lost)} checks, {total} losses, {minutes:.0f} min"
        )


def _summary(run: RunDir) -> str:
    states = Counter(str(record.state) for record in run.records().values())
    return f"{dict(states)}, {len(journal_epochs(run))} epochs"


def _wait_for_write(run: RunDir, number: int, pid: int) -> bool:
    """Wait until a worker writes a checkpoint: a temporary file with its process id exists then."""
    deadline = time.monotonic() + WRITE_SECONDS
    while time.monotonic() < deadline:
        if any(run.trial(number).glob(f".*.safetensors.{pid}-*")):
            return True
    return False


def parse_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description="The fault campaign: nothing that is finished is ever lost."
    )
    parser.add_argument("--seed", type=int, help="Default: a new one each time.")
    parser.add_argument(
        "--kills",
        type=int,
        default=100,
        help="Minimum number of random SIGKILLs; 0: only the scenarios. Default: 100.",
    )
    parser.add_argument(
        "--work", type=Path, help="Folder for the runs, which is kept. Default: a temporary folder."
    )
    parser.add_argument(
        "--sweeps",
        nargs="+",
        choices=list(KILLED_SWEEPS),
        default=list(KILLED_SWEEPS),
        help="The sweeps with random kills. Default: all in turns.",
    )
    parser.add_argument("--only", default="", help="Run scenarios whose name contains this text.")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    return options


def kill_at_random(campaign: Campaign, kills: int, names: list[str]) -> None:
    """Run the sweeps with random kills until there were enough of them."""
    sweeps = {name: campaign.write_sweep(name) for name in names}
    references = {name: campaign.run_reference(sweeps[name]) for name in names}
    kills_per_run = -(-kills // len(names))
    for name in itertools.cycle(names):
        if campaign.kills >= kills:
            break
        share = min(kills_per_run, kills - campaign.kills)
        campaign.run_disturbed(sweeps[name], references[name], share)


def main() -> int:
    options = parse_options()
    # A shell that starts this in the background ignores SIGINT, for all processes started here too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(f"seed {options.seed}, {options.kills} kills", flush=True)
    work = options.work or Path(tempfile.mkdtemp(prefix="cae-faults-"))
    campaign = Campaign(options.seed, work.resolve())
    campaign.work.mkdir(parents=True, exist_ok=True)
    for scenario in scenarios.SCENARIOS:
        if options.only in scenario.__name__:
            campaign.run_scenario(scenario)
    if options.kills:
        kill_at_random(campaign, options.kills, options.sweeps)
    campaign.print_table()
    if any(campaign.lost.values()):
        print(f"the runs are in {campaign.work}")
        return 1
    if not options.work:
        shutil.rmtree(campaign.work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
