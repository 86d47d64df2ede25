"""A sweep on a real cluster of hosts while they fail: `make cluster` (root, for the hosts are network namespaces).

1. From one of the hosts, the run in a folder that all share. A host is killed, another joins, the link of a third is cut for a minute.
2. Submitted from outside, the run in a bucket. The command is left by Ctrl-C and given again; the S3 server is down for a minute.

In the end every trial is finished, every epoch stands once and was trained once where it was finished, and all numbers are those of
an undisturbed run of the same sweep on one machine.
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
from cae.run.storage import run_at
from tests.cluster.hosts import BIN, OUTSIDE, Hosts, hosts, possible, wait_for
from tests.faults.checks import losses
from tests.faults.driver import epochs

PORT = 5057
OWN = '''"""Parts that lie beside the sweep file: they have to reach every host."""

from torch import nn

from cae import Architecture


class OneConvolution(Architecture):
    """A single convolution, and many images to put through it."""

    kernel: int = 3

    def build(self, input_shape, output_shape):
        layers = [nn.Conv2d(input_shape[0], 8, self.kernel, padding=self.kernel // 2), nn.ReLU()]
        return nn.Sequential(*layers, nn.Conv2d(8, output_shape[0], 3, padding=1), nn.Sigmoid())
'''
SWEEP = '''"""Hosts that fail: what is lost."""

from beside import OneConvolution
from ray import tune

from cae import Adam, Denoise, Digits, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=28, train_images=1400, val_images=200, test_images=100),
        task=Denoise(loss="mse"), arch=OneConvolution(), optimizer=Adam(), epochs={epochs},
    ),
    space={{"arch.kernel": tune.grid_search([3, 5, 7]), "optimizer.lr": tune.grid_search([1e-3, 3e-3, 1e-2, 3e-2])}},
)
'''
SERVER = """
import signal, sys, threading, urllib.request
from moto.server import ThreadedMotoServer
def serve():
    server = ThreadedMotoServer(ip_address=sys.argv[1], port=int(sys.argv[2]), verbose=False)
    server.start()
    return server
server, wanted = serve(), threading.Event()
urllib.request.urlopen(urllib.request.Request(f"http://{sys.argv[1]}:{sys.argv[2]}/bucket", method="PUT")).read()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "down": server.stop()
    else: server = serve()
    print(line.strip(), flush=True)
"""


class Campaign:
    def __init__(self, folder: Path, made: Hosts, epochs_each: int) -> None:
        self.folder, self.hosts, self.began, self.lost = folder, made, time.monotonic(), list[str]()
        self.sweep = folder / "sweeps" / "hosts_that_fail.py"
        self.sweep.parent.mkdir()
        (self.sweep.parent / "beside.py").write_text(OWN)
        self.sweep.write_text(SWEEP.format(epochs=epochs_each))
        self.whole = 12 * epochs_each

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", flush=True)

    def when(
        self, run: Callable[[], RunDir], what: str, *, share: float = 0.0, training: str = ""
    ) -> None:
        """Once a share of all epochs is in the journal, or a host is known to train a trial that has some way to go."""

        def far_enough() -> bool:
            now = run()
            running = [
                record for record in now.records().values() if record.starts and not record.end
            ]
            there = [
                record
                for record in running
                if record.starts[-1].host == training
                and record.last_epoch < record.config["epochs"] / 2
            ]
            return len(epochs(now)) >= share * self.whole and (bool(there) or not training)

        wait_for(far_enough, 900, what)
        self.say(f"{len(epochs(run()))} epochs of {self.whole} in the journal: {what}")

    def judge(self, run: RunDir, reference: RunDir, name: str) -> None:
        found = losses(run, reference, stops=True)
        where = sorted(
            {
                start.host
                for record in run.records().values()
                for start in record.starts
                if "host" in start
            }
        )
        missing = [number for number, record in run.records().items() if record.state != "finished"]
        self.lost += [f"{name}: {one}" for one in found] + [
            f"{name}: trial {number} is not finished" for number in missing
        ]
        starts = sum(len(record.starts) for record in run.records().values())
        self.say(
            f"{name}: {len(run.records())} trials, {len(epochs(run))} epochs, {starts} starts on {', '.join(where)}; lost: {len(found)}"
        )

    def undisturbed(self) -> RunDir:
        run = RunDir(self.folder / "undisturbed")
        command = [
            str(BIN / "cae-sweep"),
            "run",
            str(self.sweep),
            "--out",
            str(run.path),
            "--quiet",
        ]
        subprocess.run(command, check=True, env=self.hosts.environment, stdout=subprocess.DEVNULL)
        self.say(f"undisturbed: {len(epochs(run))} epochs")
        return run

    def in_a_folder(self, reference: RunDir) -> None:
        run = RunDir(self.folder / "shared" / "run")
        command = [
            "cae-sweep",
            "run",
            str(self.sweep),
            "--address",
            f"{self.hosts.address(1)}:6379",
            "--out",
            str(run.path),
        ]
        with (self.folder / "driver.log").open("ab") as log:
            driver = self.hosts.on(1, *command, stdout=log, stderr=log)
        self.when(lambda: run, "h3 is killed, h4 joins", training="h3")
        self.hosts.kill(3)
        self.hosts.start(4)
        self.when(lambda: run, "the link of h2 is cut for 60 s", training="h2")
        self.hosts.cut(2)
        time.sleep(60)
        self.hosts.mend(2)
        self.say("the link of h2 is whole again")
        code = driver.wait(1200)
        self.lost += [f"the driver ended with {code}"] if code else []
        self.judge(run, reference, "a folder that all share")

    def in_a_bucket(self, reference: RunDir) -> None:
        endpoint = f"http://{OUTSIDE}:{PORT}"
        url = f"s3://bucket/runs/hosts?endpoint_override={endpoint}&region=us-east-1"
        with subprocess.Popen(
            [sys.executable, "-c", SERVER, OUTSIDE, str(PORT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as server:
            assert server.stdin
            assert server.stdout
            server.stdout.readline()
            command = [
                str(BIN / "cae-sweep"),
                "run",
                str(self.sweep),
                "--address",
                f"http://{self.hosts.address(1)}:8265",
                "--out",
                url,
            ]
            log = (self.folder / "job.log").open("ab")
            outside = subprocess.Popen(
                command, env=self.hosts.environment, stdout=log, stderr=log, start_new_session=True
            )
            self.when(
                lambda: run_at(url),
                share=0.1,
                what="Ctrl-C leaves the job, the same command picks it up",
            )
            outside.send_signal(signal.SIGINT)
            self.lost += [
                f"Ctrl-C ended the command with {code}"
                for code in [outside.wait(60)]
                if code != 130
            ]
            again = subprocess.Popen(
                command, env=self.hosts.environment, stdout=log, stderr=log, start_new_session=True
            )
            self.when(lambda: run_at(url), share=0.4, what="the S3 server is down for 60 s")
            server.stdin.write("down\n")
            server.stdin.flush()
            server.stdout.readline()
            time.sleep(60)
            server.stdin.write("up\n")
            server.stdin.flush()
            server.stdout.readline()
            self.say("the S3 server is there again")
            code = again.wait(1200)
            self.lost += [f"the job ended with {code}"] if code else []
            run = run_at(url)
            run.fetch("best.safetensors", "last.safetensors", "log.txt")
            self.judge(run, reference, "a bucket, by a job from outside")
            server.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="of each of the 12 trials")
    parser.add_argument("--work", type=Path, help="keeps logs and runs there")
    parser.add_argument("--only", choices=["folder", "bucket"])
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell that starts this in the background has it ignored, by all below too
    if why := possible():
        print(f"no hosts can be made here: {why}")
        return 2
    os.environ |= {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        with hosts(folder, 4) as made:
            campaign = Campaign(folder, made, options.epochs)
            reference = campaign.undisturbed()
            made.start(1)
            made.wait(1, 300)
            for number in (2, 3):
                made.start(number)
            made.wait(3, 300)
            campaign.say(
                "three hosts, each with an address, a name and a Ray of its own, and one token"
            )
            if options.only != "bucket":
                campaign.in_a_folder(reference)
            if options.only != "folder":
                campaign.in_a_bucket(reference)
    print("\n".join(campaign.lost) or "nothing was lost")
    return 1 if campaign.lost else 0


if __name__ == "__main__":
    sys.exit(main())
