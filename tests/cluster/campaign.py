"""A sweep on a real cluster of hosts that fail (`make cluster`).

Needs root, because the hosts are network namespaces.

1. Started on one of the hosts, the run in a shared folder. A host is killed, another one joins, the
   link of a third one is cut for a minute.
2. Submitted from outside, the run in a bucket. The command is interrupted by Ctrl-C and run again;
   the S3 server is down for a minute.

At the end every trial is finished, every epoch is in the journal once and was trained once, and all
numbers equal those of an undisturbed run of the same sweep on one machine.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.storage import run_at
from cae.run.trial_state import TrialState
from tests.cluster.hosts import (
    BIN,
    DASHBOARD_PORT,
    HEAD_PORT,
    OUTSIDE,
    Hosts,
    create_hosts,
    wait_for,
    why_impossible,
)
from tests.faults.checks import losses
from tests.faults.driver import journal_epochs

S3_PORT = 5057
TRIALS = 12
FAULT_SECONDS = 60
WAIT_SECONDS = 900
RUN_SECONDS = 1200
COMPONENTS = '''"""Components beside the sweep file: they have to reach every host."""

from torch import nn

from cae import Architecture


class OneConvolution(Architecture):
    """A single convolution, and many images to process."""

    kernel: int = 3

    def build(self, input_shape, output_shape):
        layers = [nn.Conv2d(input_shape[0], 8, self.kernel, padding=self.kernel // 2), nn.ReLU()]
        return nn.Sequential(*layers, nn.Conv2d(8, output_shape[0], 3, padding=1), nn.Sigmoid())
'''
SWEEP = '''"""What is lost when hosts fail."""

from beside import OneConvolution
from ray import tune

from cae import Adam, Denoise, Digits, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=28, train_images=1400, val_images=200, test_images=100),
        task=Denoise(loss="mse"),
        arch=OneConvolution(),
        optimizer=Adam(),
        epochs={epochs},
    ),
    space={{
        "arch.kernel": tune.grid_search([3, 5, 7]),
        "optimizer.lr": tune.grid_search([1e-3, 3e-3, 1e-2, 3e-2]),
    }},
)
'''
SERVER = """
import sys, urllib.request
from moto.server import ThreadedMotoServer

def start():
    server = ThreadedMotoServer(ip_address=sys.argv[1], port=int(sys.argv[2]), verbose=False)
    server.start()
    return server

server = start()
url = f"http://{sys.argv[1]}:{sys.argv[2]}/bucket"
urllib.request.urlopen(urllib.request.Request(url, method="PUT")).read()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "stop":
        server.stop()
    else:
        server = start()
    print(line.strip(), flush=True)
"""
"""An S3 server that stops and starts when it reads a line with that word."""


class S3Server:
    """The S3 server in a process outside the cluster."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, OUTSIDE, str(S3_PORT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read_line()

    def command(self, word: str) -> None:
        """Send `stop` or `start` and wait until it is done."""
        assert self.process.stdin
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        self._read_line()

    def _read_line(self) -> None:
        assert self.process.stdout
        self.process.stdout.readline()


class Campaign:
    """Runs the sweep undisturbed and with faults, and collects what was lost."""

    def __init__(self, folder: Path, hosts: Hosts, epochs: int) -> None:
        self._folder = folder
        self._hosts = hosts
        self._started = time.monotonic()
        self.lost: list[str] = []
        self._sweep = folder / "sweeps" / "hosts_that_fail.py"
        self._sweep.parent.mkdir()
        (self._sweep.parent / "beside.py").write_text(COMPONENTS)
        self._sweep.write_text(SWEEP.format(epochs=epochs))
        self._total_epochs = TRIALS * epochs

    def report(self, text: str) -> None:
        """Print a line with the time since the start."""
        print(f"{time.monotonic() - self._started:7.1f} s  {text}", flush=True)

    def wait_for_epochs(self, run: Callable[[], RunDir], share: float, what: str) -> None:
        """Wait until a share of all epochs is in the journal."""
        count = share * self._total_epochs
        wait_for(lambda: len(journal_epochs(run())) >= count, WAIT_SECONDS, what)
        self._report_progress(run(), what)

    def wait_for_training(self, run: RunDir, host: str, what: str) -> None:
        """Wait until a host trains a trial of which at least half remains."""

        def is_training() -> bool:
            return any(_is_in_first_half(record, host) for record in run.records().values())

        wait_for(is_training, WAIT_SECONDS, what)
        self._report_progress(run, what)

    def _report_progress(self, run: RunDir, what: str) -> None:
        count = len(journal_epochs(run))
        self.report(f"{count} epochs of {self._total_epochs} in the journal: {what}")

    def check(self, run: RunDir, reference: RunDir, name: str) -> None:
        """Compare a run with the undisturbed one."""
        records = run.records()
        lost = losses(run, reference, same_stops=True)
        for number, record in records.items():
            if record.state != TrialState.FINISHED:
                lost.append(f"trial {number} is not finished")
        self.lost += [f"{name}: {loss}" for loss in lost]
        starts = [start for record in records.values() for start in record.starts]
        hosts = sorted({start.host for start in starts if start.host})
        self.report(
            f"{name}: {len(records)} trials, {len(journal_epochs(run))} epochs, "
            f"{len(starts)} starts on {', '.join(hosts)}; lost: {len(lost)}"
        )

    def check_exit(self, what: str, code: int, expected: int = 0) -> None:
        """Record an unexpected exit code."""
        if code != expected:
            self.lost.append(f"{what} ended with {code}")

    def run_undisturbed(self) -> RunDir:
        """Run the sweep on this machine, without faults."""
        run = RunDir(self._folder / "undisturbed")
        command = [str(BIN / "cae-sweep"), "run", str(self._sweep), "--out", str(run.path)]
        subprocess.run(
            [*command, "--quiet"],
            check=True,
            env=self._hosts.environment,
            stdout=subprocess.DEVNULL,
        )
        self.report(f"undisturbed: {len(journal_epochs(run))} epochs")
        return run

    def run_in_folder(self, reference: RunDir) -> None:
        """Part 1: the run in a folder that all hosts share."""
        run = RunDir(self._folder / "shared" / "run")
        address = f"{self._hosts.address(1)}:{HEAD_PORT}"
        command = ["cae-sweep", "run", str(self._sweep), "--address", address]
        with (self._folder / "driver.log").open("ab") as log:
            driver = self._hosts.start_command(
                1, *command, "--out", str(run.path), stdout=log, stderr=log
            )
        self.wait_for_training(run, "h3", "h3 is killed, h4 joins")
        self._hosts.kill(3)
        self._hosts.start(4)
        self.wait_for_training(run, "h2", f"the link of h2 is cut for {FAULT_SECONDS} s")
        self._hosts.cut_link(2)
        time.sleep(FAULT_SECONDS)
        self._hosts.restore_link(2)
        self.report("the link of h2 is restored")
        self.check_exit("the driver", driver.wait(RUN_SECONDS))
        self.check(run, reference, "a shared folder")

    def run_in_bucket(self, reference: RunDir) -> None:
        """Part 2: the run in a bucket, submitted as a job from outside the cluster."""
        endpoint = f"http://{OUTSIDE}:{S3_PORT}"
        url = f"s3://bucket/runs/hosts?endpoint_override={endpoint}&region=us-east-1"
        server = S3Server()
        try:
            self._submit_twice(url, server)
            run = run_at(url)
            run.fetch("best.safetensors", "last.safetensors", "log.txt")
            self.check(run, reference, "a bucket, by a job from outside")
        finally:
            server.process.kill()
            server.process.wait()

    def _submit_twice(self, url: str, server: S3Server) -> None:
        first = self._submit(url)
        what = "Ctrl-C ends the command and not the job; the same command attaches to it again"
        self.wait_for_epochs(lambda: run_at(url), 0.1, what)
        first.send_signal(signal.SIGINT)
        self.check_exit("the command, after Ctrl-C,", first.wait(FAULT_SECONDS), 130)
        second = self._submit(url)
        what = f"the S3 server is down for {FAULT_SECONDS} s"
        self.wait_for_epochs(lambda: run_at(url), 0.4, what)
        server.command("stop")
        time.sleep(FAULT_SECONDS)
        server.command("start")
        self.report("the S3 server is up again")
        self.check_exit("the job", second.wait(RUN_SECONDS))

    def _submit(self, url: str) -> subprocess.Popen[bytes]:
        address = f"http://{self._hosts.address(1)}:{DASHBOARD_PORT}"
        command = [str(BIN / "cae-sweep"), "run", str(self._sweep), "--address", address]
        with (self._folder / "job.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--out", url],
                env=self._hosts.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _is_in_first_half(record: Record, host: str) -> bool:
    """Whether the host trains the trial and at least half of it remains."""
    if not record.starts or record.end is not None or record.starts[-1].host != host:
        return False
    return record.last_epoch < int(record.config["epochs"]) / 2


def run_campaign(folder: Path, epochs: int, only: str | None) -> list[str]:
    """Run the parts on new hosts. Returns what was lost, in words."""
    with create_hosts(folder, 4) as hosts:
        campaign = Campaign(folder, hosts, epochs)
        reference = campaign.run_undisturbed()
        hosts.start(1)
        hosts.wait(1, 300)
        for number in (2, 3):
            hosts.start(number)
        hosts.wait(3, 300)
        campaign.report("three hosts, each with its own address, name and Ray, and one token")
        if only != "bucket":
            campaign.run_in_folder(reference)
        if only != "folder":
            campaign.run_in_bucket(reference)
    return campaign.lost


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="Epochs of each of the 12 trials.")
    parser.add_argument("--work", type=Path, help="Folder for logs and runs, which is kept.")
    parser.add_argument("--only", choices=["folder", "bucket"], help="Run only this part.")
    options = parser.parse_args()
    # A shell that starts this in the background ignores SIGINT, for all processes started here too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    reason = why_impossible()
    if reason:
        print(f"hosts cannot be created here: {reason}")
        return 2
    os.environ |= {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        lost = run_campaign(folder, options.epochs, options.only)
    if lost:
        print("\n".join(lost))
        return 1
    print("nothing was lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
