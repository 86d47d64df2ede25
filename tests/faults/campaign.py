"""The fault campaign: real sweeps under random SIGKILLs and every other fault that is planned for; nothing may be lost.

    python -m tests.faults.campaign [--seed N] [--kills N] [--work DIR]        (or `make faults`)

Prints its seed, a line for every fault as it happens, and a table; exit code 1 if anything was lost or is otherwise than
without the faults.
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
from pathlib import Path

from cae.run.paths import RunDir
from tests.faults import faults
from tests.faults.checks import Witness, losses
from tests.faults.driver import Driver, epochs, kill

SWEEP = '''"""Small autoencoders of digits, for the fault campaign."""

from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, Denoise, Digits, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=16, train_images=640, val_images=128, test_images=64),
        task=Denoise(),
        arch=ConvAutoencoder(encoder_filters=(32, 16), decoder_filters=(32,), pool_after=(1,), upsample_after=(0,)),
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
KINDS = {"worker": 14, "worker that writes a checkpoint": 7, "driver": 2, "driver that starts": 1}
"""What is killed, and how often of 24 times. A driver takes long to come back: its death is the rarer one."""


class Campaign:
    def __init__(self, seed: int, work: Path) -> None:
        self.random, self.work, self.begun = random.Random(seed), work, time.monotonic()
        self.count: Counter[str] = Counter()
        """Random kills, by kind."""
        self.halves = 0
        """Files that a kill left half written."""
        self.lost: defaultdict[str, list[str]] = defaultdict(list)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.begun:7.1f} s  {text}", flush=True)

    def record(self, kind: str, lost: list[str]) -> None:
        """What one or several faults of a kind have cost."""
        self.lost[kind] += lost
        for line in lost:
            self.say(f"LOST  {kind}: {line}")

    # Random kills.

    def sweep(self, name: str, scheduler: str) -> Path:
        path = self.work / f"{name}.py"
        path.write_text(SWEEP.replace("SCHEDULER", scheduler))
        return path

    def reference(self, sweep: Path) -> RunDir:
        """The same sweep, one trial at a time and undisturbed."""
        run = RunDir(self.work / f"{sweep.stem}-reference")
        code = Driver(sweep, run).wait(3600)
        records = run.records().values()
        states = dict(Counter(record.state for record in records))
        self.say(
            f"reference {sweep.stem}: exit code {code}, {len(records)} trials, {len(epochs(run))} epochs, {states}"
        )
        if code:
            raise RuntimeError(f"the reference did not come to its end: see {self.work}")
        return run

    def disturbed(self, sweep: Path, reference: RunDir, kills: int, *, slots: int) -> None:
        """The sweep with up to so many kills, by the same command again and again until it is complete."""
        run = RunDir(self.work / f"{sweep.stem}-{self.kills}-kills-before")
        witness, most = Witness(), self.kills + kills
        driver = Driver(sweep, run, cores=slots)
        while driver.alive and self.kills < most:
            (kind,) = self.random.choices(list(KINDS), list(KINDS.values()))
            dead = self.strike(kind, driver)
            if dead:
                witness.look(run, dead)
            if (
                driver.process.poll() == -signal.SIGKILL
            ):  # otherwise it lives, or has come to its end
                driver = Driver(sweep, run, cores=slots)
        code = driver.wait(3600)
        lost = (
            losses(run, reference, stops=slots == 1)
            + witness.losses(run)
            + ([f"exit code {code}"] if code else [])
        )
        self.record(f"SIGKILLs with {slots} at a time", lost)
        states = dict(Counter(record.state for record in run.records().values()))
        self.say(f"{run.name}: complete, {states}, {len(epochs(run))} epochs, {len(lost)} losses")

    @property
    def kills(self) -> int:
        return sum(self.count.values())

    def strike(self, kind: str, driver: Driver) -> list[int]:
        """Kills once; the trials that have no worker now. Nothing is hit where there is nothing left to hit."""
        run = driver.run
        if kind == "driver that starts":
            time.sleep(
                self.random.uniform(0, 15)
            )  # anywhere: in imports, while Ray starts, before the first epoch
        else:
            driver.came_to(1)  # deaths without progress in a row would, rightly, give a trial up
            time.sleep(self.random.uniform(0, 1.5))
        if kind.startswith("driver"):
            pids = [driver.process.pid]
            if not driver.alive:
                return []
            driver.kill()
            hit = [
                number for number, record in run.records().items() if record.state == "interrupted"
            ]
        elif not (workers := driver.workers()):
            return []
        else:
            number = self.random.choice(sorted(workers))
            pids, hit = [workers[number]], [number]
            if kind != "worker" and not self.in_write(run, number, pids[0]):
                return []
            if not kill(pids[0]):
                return []
        self.count[kind] += 1
        halves = len(
            [path for number in hit for path in run.trial(number).glob(".*.safetensors.*")]
        )
        left = f", {halves} file{'s' if halves > 1 else ''} half written" if halves else ""
        self.say(
            f"kill {self.kills:3}  {kind} (process {pids[0]}; trials {hit}{left}); {len(epochs(run))} epochs in the journal"
        )
        self.halves += halves
        return hit

    def scripted(self, scenario: faults.Scenario) -> None:
        """One fault, or several in one run, by a script of their own."""
        name = scenario.__name__.replace("_", " ")
        self.say(name)
        folder = self.work / scenario.__name__
        folder.mkdir()
        try:
            found = scenario(folder)
        except (TimeoutError, OSError, subprocess.SubprocessError) as error:
            found = {name: [f"{type(error).__name__}: {error}"]}
        for kind, lost in found.items():
            self.say(f"  {kind}: {len(lost)} losses")
            self.record(kind, lost)

    def table(self) -> None:
        rows = [*self.count.items(), ("  of these in the write of a file", self.halves)]
        rows = [
            (f"SIGKILL: {kind}" if kind[0] != " " else kind, count) for kind, count in rows if count
        ]
        print(f"\n{'fault':60}  times  lost")
        lost = sum(len(found) for kind, found in self.lost.items() if kind.startswith("SIGKILL"))
        for kind, count in rows:
            print(f"{kind:60}  {count:5}  {lost}")
        for kind, found in self.lost.items():
            if not kind.startswith("SIGKILL"):
                print(f"{kind:60}  {1:5}  {len(found)}")
        minutes = (time.monotonic() - self.begun) / 60
        print(
            f"{self.kills} random kills, {len(self.lost)} checks, {sum(map(len, self.lost.values()))} losses, {minutes:.0f} min"
        )

    def in_write(self, run: RunDir, number: int, pid: int) -> bool:
        """Waits until a worker writes a checkpoint: there is a file aside then, which bears its process."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if any(run.trial(number).glob(f".*.safetensors.{pid}")):
                return True
        return False


def main() -> int:
    parser = argparse.ArgumentParser(
        description="The fault campaign: nothing finished is ever lost."
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(10**6),
        help="default: a new one each time",
    )
    parser.add_argument(
        "--kills",
        type=int,
        default=100,
        help="random SIGKILLs, at least; 0: only the scripted faults",
    )
    parser.add_argument(
        "--work", type=Path, help="where the runs go, and stay; default: a temporary folder"
    )
    parser.add_argument(
        "--slots",
        type=int,
        choices=(1, 2),
        help="random kills with so many trials at a time; default: with 1 and with 2",
    )
    parser.add_argument("--only", default="", help="scripted faults whose name holds this")
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell that starts this in the background has it ignored, by all below too
    print(f"seed {options.seed}, {options.kills} kills", flush=True)
    work = options.work or Path(tempfile.mkdtemp(prefix="cae-faults-"))
    campaign = Campaign(options.seed, work.resolve())
    campaign.work.mkdir(parents=True, exist_ok=True)
    for scenario in faults.SCENARIOS:
        if options.only in scenario.__name__:
            campaign.scripted(scenario)
    sweeps = {
        1: ("asha", "scheduler=ASHA(grace_epochs=1, reduction_factor=2, min_trials=2),"),
        2: ("plain", ""),
    }
    chosen = [options.slots] if options.slots else sorted(sweeps)
    files = {slots: campaign.sweep(*sweeps[slots]) for slots in chosen}
    references = {slots: campaign.reference(files[slots]) for slots in chosen if options.kills}
    for slots in itertools.cycle(chosen):
        if campaign.kills >= options.kills:
            break
        share = min(-(-options.kills // len(chosen)), options.kills - campaign.kills)
        campaign.disturbed(files[slots], references[slots], share, slots=slots)
    campaign.table()
    if any(campaign.lost.values()):
        print(f"the runs stay in {campaign.work}")
        return 1
    if not options.work:
        shutil.rmtree(campaign.work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
