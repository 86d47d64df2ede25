"""The power-cut campaign: a sweep on a file system that stops at random moments.

    python -m tests.faults.power_cuts [--seed N] [--cuts N] [--work DIR]     (or `make power-cuts`)

The run is on an ext4 file system in a file. A cut stops it (FS_IOC_SHUTDOWN without flushing its
log: what was not synced is gone), kills all processes of the sweep, and mounts it again. Then the
same command has to resume, without anything done by hand, and in the end all numbers and weights
have to be those of an undisturbed run, bit for bit. ext4 is mounted with `noauto_da_alloc`: by
default it syncs renamed files itself, which other file systems do not.

Needs root and Linux. Exit code 1 if anything was lost that was promised, or differs.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cae.run.events import EpochFinished
from cae.run.journal import SYNC_SECONDS
from cae.run.paths import RunDir
from tests.faults.campaign import SWEEP
from tests.faults.checks import checkpointed_epochs, differences
from tests.faults.driver import COMMAND, Driver, alive_pids, descendants, wait_until

SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN: _IOR('X', 125, __u32)."""
NO_LOG_FLUSH = 2
DISK_BYTES = 2_000_000_000
"""Sparse: only what is written takes space."""
EPOCHS = 12
STARTING_SHARE = 0.3
"""Cuts at any time after the start of the command; the others are after a first epoch."""
MAX_SECONDS_UNTIL_CUT = 10.0
MAX_TRAINING_SECONDS = 4.0
SLACK_SECONDS = 3.0
"""How much later than promised a busy machine may sync the journal."""
RUN_SECONDS = 3600.0


class Disk:
    """An ext4 file system in a file, which can stop as in a power cut."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self._image = folder / "disk.img"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", self._image], check=True)
        self.mount()

    def mount(self) -> None:
        options = "loop,noauto_da_alloc"
        subprocess.run(["mount", "-o", options, self._image, self.path], check=True)

    def unmount(self) -> None:
        def is_unmounted() -> bool:
            return subprocess.run(["umount", self.path], stderr=subprocess.PIPE).returncode == 0

        wait_until(is_unmounted, f"{self.path} is not in use any more")

    def cut_power(self) -> None:
        """From now on nothing is written, and every access fails."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Reported:
    """An epoch that was in the journal when the power was cut."""

    trial: int
    epoch: int
    seconds_before: float
    """Before the cut."""


def reported_epochs(run: RunDir) -> list[Reported]:
    now = time.time()
    return [
        Reported(event.trial, event.epoch, now - event.time)
        for event in run.events()
        if isinstance(event, EpochFinished)
    ]


class Campaign:
    """Cuts the power at random moments, and collects what was lost."""

    def __init__(self, seed: int, work: Path) -> None:
        self._random = random.Random(seed)
        self._work = work
        self._started = time.monotonic()
        self.lost: list[str] = []
        """What was lost although it was promised, or differs, in words."""
        self.counts: Counter[str] = Counter()
        """Figures of all cuts."""
        work.mkdir(parents=True, exist_ok=True)
        self._sweep = work / "plain.py"
        text = SWEEP.replace("SCHEDULER", "").replace("epochs=8", f"epochs={EPOCHS}")
        self._sweep.write_text(text)
        self._reference = RunDir(work / "reference" / "plain")
        self.disk = Disk(work)

    def report(self, text: str) -> None:
        """Print a line with the time since the start."""
        print(f"{time.monotonic() - self._started:7.1f} s  {text}", flush=True)

    def check(self, fault: str, lost: list[str]) -> None:
        """Record what a cut has cost."""
        for text in lost:
            self.report(f"LOST  {fault}: {text}")
            self.lost.append(f"{fault}: {text}")

    def run_reference(self) -> None:
        """Run the sweep undisturbed."""
        code = Driver(self._sweep, self._reference, cores=2).wait(RUN_SECONDS)
        if code:
            raise RuntimeError(f"the reference did not finish: see {self._work}")
        self.report("the reference is complete")

    def run(self, cuts: int) -> None:
        """Run the sweep, again if it becomes complete, until there were enough cuts."""
        runs = 0
        while self.counts["cuts"] < cuts:
            runs += 1
            self._run_once(RunDir(self.disk.path / str(runs) / "plain"), cuts)
        self.counts["runs that became complete"] = runs

    def _run_once(self, run: RunDir, cuts: int) -> None:
        while self.counts["cuts"] < cuts:
            driver = self._start(run)
            self._wait_for_cut(driver)
            if not driver.is_alive:
                break
            self._cut(driver)
        driver = self._start(run)
        code = driver.wait(RUN_SECONDS)
        lost = differences(run, self._reference, same_stops=False)
        if code:
            lost.append(f"exit code {code}: {driver.output[-600:]}")
        self.check(f"run {run.path.parent.name}", lost)
        self.report(f"run {run.path.parent.name}: complete, {len(lost)} losses")

    def _start(self, run: RunDir) -> Driver:
        return Driver(self._sweep, run, cores=2, log=self._work / "output.txt")

    def _wait_for_cut(self, driver: Driver) -> None:
        if self._random.random() < STARTING_SHARE:
            seconds = self._random.uniform(0, MAX_SECONDS_UNTIL_CUT)
        else:
            driver.wait_for_epochs(1)
            seconds = self._random.uniform(0, MAX_TRAINING_SECONDS)
        deadline = time.monotonic() + seconds
        while driver.is_alive and time.monotonic() < deadline:
            time.sleep(0.01)

    def _cut(self, driver: Driver) -> None:
        run = driver.run
        reported = reported_epochs(run)
        self.disk.cut_power()
        pids = [driver.process.pid, *descendants(driver.process.pid)]
        for pid in pids:
            kill_if_alive(pid)
        driver.process.wait()
        wait_until(lambda: not alive_pids(pids), "the processes of the sweep end")
        self.disk.unmount()
        self.disk.mount()
        self._note_losses(run, reported)

    def _note_losses(self, run: RunDir, reported: list[Reported]) -> None:
        """Compare the run after a cut with what was reported before it."""
        self.counts["cuts"] += 1
        name = f"cut {self.counts['cuts']}"
        kept = {(epoch.trial, epoch.epoch) for epoch in reported_epochs(run)}
        lost = [epoch for epoch in reported if (epoch.trial, epoch.epoch) not in kept]
        retrained: list[Reported] = []
        for epoch in reported:
            if checkpointed_epochs(run.trial(epoch.trial)) < epoch.epoch:
                retrained.append(epoch)
        problems: list[str] = []
        for epoch in lost:
            if epoch.seconds_before > SYNC_SECONDS + SLACK_SECONDS:
                problems.append(f"{epoch} is not in the journal")
        if run.journal.exists() and not run.sweep_json.stat().st_size:
            problems.append("sweep.json is empty")
        status = subprocess.run(
            [COMMAND, "status", run.path], capture_output=True, text=True, check=False
        )
        if "Traceback" in status.stderr:
            problems.append(f"status: {status.stderr[-300:]}")
        oldest = max((epoch.seconds_before for epoch in lost), default=0.0)
        self.counts["epochs reported at a cut"] += len(reported)
        self.counts["of these, not in the journal after it"] += len(lost)
        self.counts["of these, to be trained again"] += len(retrained)
        self.check(name, problems)
        self.report(
            f"{name}: {len(reported)} epochs reported, {len(lost)} of them not in the journal "
            f"(the oldest was {oldest:.1f} s old), {len(retrained)} to be trained again"
        )


def kill_if_alive(pid: int) -> None:
    """Send SIGKILL to a process that may have ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def parse_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description="The power-cut campaign.")
    parser.add_argument("--seed", type=int, help="Default: a new one each time.")
    parser.add_argument("--cuts", type=int, default=20, help="Default: 20.")
    parser.add_argument("--work", type=Path, help="A new folder. Default: a temporary folder.")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    return options


def main() -> int:
    options = parse_options()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(f"seed {options.seed}, {options.cuts} cuts", flush=True)
    work = options.work or Path(tempfile.mkdtemp(prefix="cae-power-cuts-"))
    campaign = Campaign(options.seed, work.resolve())
    try:
        campaign.run_reference()
        campaign.run(options.cuts)
    finally:
        campaign.disk.unmount()
    for text, count in campaign.counts.items():
        print(f"{text:40}  {count:5}")
    print(f"{'losses':40}  {len(campaign.lost):5}   (files: {work})")
    return int(bool(campaign.lost))


if __name__ == "__main__":
    sys.exit(main())
