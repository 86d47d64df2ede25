"""Hosts on one machine: network namespaces with addresses and host names of their own, joined by a bridge. Needs root and iproute2."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BRIDGE, NETWORK, OUTSIDE = "cae-bridge", "10.77.0", "10.77.0.254"
"""The machine itself is on the bridge too: what runs there is outside the cluster."""
BIN = Path(sys.executable).parent


def possible() -> str:
    """Why hosts cannot be made here; "" where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "there is no `ip` (iproute2)"
    made = subprocess.run(
        ["ip", "netns", "add", "cae-try"], capture_output=True, text=True, check=False
    )
    subprocess.run(["ip", "netns", "delete", "cae-try"], capture_output=True, check=False)
    return made.stderr.strip() if made.returncode else ""


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.2)


class Hosts:
    """A cluster of them: h1 is its head; each has a Ray of its own, all with one token."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.token = folder, folder / "token"
        self.started: dict[int, subprocess.Popen[bytes]] = {}
        self.token.write_text(secrets.token_hex(32))
        self.token.chmod(0o600)
        self.environment = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "RAY_ADDRESS": "",
        }

    @staticmethod
    def address(number: int) -> str:
        return f"{NETWORK}.{number}"

    def make(self, count: int) -> None:
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{OUTSIDE}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for number in range(1, count + 1):
            subprocess.run(
                ["ip", "link", "delete", f"cae-v{number}"], capture_output=True, check=False
            )  # of hosts before, if it lingers
            _ip("netns", "add", f"cae{number}")
            _ip(
                "link",
                "add",
                f"cae-v{number}",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                f"cae{number}",
            )
            _ip("link", "set", f"cae-v{number}", "master", BRIDGE, "up")
            for words in (
                ["addr", "add", f"{self.address(number)}/24", "dev", "eth0"],
                ["link", "set", "eth0", "up"],
            ):
                _ip("-n", f"cae{number}", *words)
            _ip("-n", f"cae{number}", "link", "set", "lo", "up")
            _ip("-n", f"cae{number}", "route", "add", "default", "via", OUTSIDE)

    def on(self, number: int, *words: str, **options: object) -> subprocess.Popen[bytes]:
        """Starts a command on a host, with that host's name and its own /tmp/ray: of a shared one, each Ray deletes what others use."""
        own = self.folder / "ray" / f"h{number}"
        own.mkdir(parents=True, exist_ok=True)
        Path("/tmp/ray").mkdir(exist_ok=True)
        enter = ["ip", "netns", "exec", f"cae{number}", "unshare", "--uts", "--mount"]
        command = [
            *enter,
            "sh",
            "-c",
            f'hostname h{number} && mount --bind {own} /tmp/ray && exec "$@"',
            "sh",
            *words,
        ]
        return subprocess.Popen(command, env=self.environment, start_new_session=True, **options)  # type: ignore[call-overload,no-any-return]

    def start(self, number: int, *, cpus: int = 1, gpus: int = 0) -> None:
        """`ray start` on a host, again whenever it ends, as a service manager would; `kill` ends all that it started."""
        role = (
            [
                "--head",
                "--port=6379",
                f"--dashboard-host={self.address(1)}",
                "--dashboard-port=8265",
            ]
            if number == 1
            else [f"--address={self.address(1)}:6379"]
        )
        memory = [
            "--object-store-memory=300000000",
            f"--num-cpus={cpus}",
            f"--num-gpus={gpus}",
            f"--node-ip-address={self.address(number)}",
        ]
        log = (self.folder / f"h{number}.log").open("ab")
        command = ["ray", "start", *role, *memory, "--block", "--disable-usage-stats"]
        self.started[number] = self.on(
            number,
            "sh",
            "-c",
            'while :; do "$@"; sleep 1; done',
            "sh",
            *command,
            stdout=log,
            stderr=log,
        )

    def wait(self, count: int, seconds: float = 120) -> None:
        """Until so many hosts have joined."""
        wait_for(lambda: self.alive() == count, seconds, f"{count} hosts in the cluster")

    def alive(self) -> int:
        code = (
            f"import ray; ray.init('{self.address(1)}:6379', log_to_driver=False, logging_level='ERROR');"
            "print('alive', sum(node['Alive'] for node in ray.nodes()))"
        )
        done = (
            self.on(
                1,
                str(BIN / "python"),
                "-c",
                code,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            .communicate()[0]
            .decode()
        )
        return int(done.rpartition("alive ")[2]) if "alive " in done else 0

    def kill(self, number: int) -> None:
        """As if its power was cut: every process on it, at once."""
        found = subprocess.run(
            ["ip", "netns", "pids", f"cae{number}"], capture_output=True, text=True, check=False
        ).stdout.split()
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if number in self.started:
            self.started.pop(number).wait()

    def cut(self, number: int) -> None:
        _ip("link", "set", f"cae-v{number}", "down")

    def mend(self, number: int) -> None:
        _ip("link", "set", f"cae-v{number}", "up")

    def close(self) -> None:
        for name in subprocess.run(
            ["ip", "netns", "list"], capture_output=True, text=True, check=True
        ).stdout.split():
            if name.startswith("cae") and name[3:].isdecimal():
                self.kill(int(name[3:]))
                _ip("netns", "delete", name)
        _ip("link", "delete", BRIDGE)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def hosts(folder: Path, count: int) -> Iterator[Hosts]:
    made = Hosts(folder)
    try:
        made.make(count)
        yield made
    finally:
        made.close()
