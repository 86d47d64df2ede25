"""Hosts on one machine: network namespaces with addresses and host names, joined by a bridge.

Needs root and iproute2.
"""

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
from typing import IO

BRIDGE = "cae-bridge"
NETWORK = "10.77.0"
OUTSIDE = "10.77.0.254"
"""Address of the machine itself: what runs there is outside the cluster."""
BIN = Path(sys.executable).parent
HEAD_PORT = 6379
DASHBOARD_PORT = 8265
OBJECT_STORE_BYTES = 300_000_000

ENTER_HOST = 'hostname {name} && mount --bind {folder} /tmp/ray && exec "$@"'
"""Each host has its own /tmp/ray: in a shared one, each Ray would delete files of the others."""
RESTART_FOREVER = 'while :; do "$@"; sleep 1; done'
"""As a service manager would."""
COUNT_ALIVE = """
import ray
ray.init("{address}", log_to_driver=False, logging_level="ERROR")
print("alive", sum(node["Alive"] for node in ray.nodes()))
"""


def why_impossible() -> str:
    """Why hosts cannot be created here; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "there is no `ip` (iproute2)"
    command = ["ip", "netns", "add", "cae-try"]
    added = subprocess.run(command, capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "delete", "cae-try"], capture_output=True, check=False)
    if added.returncode:
        return added.stderr.strip()
    return ""


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition. Raises TimeoutError, naming `what`, if it does not become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.2)


class Hosts:
    """A cluster of hosts h1, h2, ...: h1 is the head; each has a Ray, all with one token."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._services: dict[int, subprocess.Popen[bytes]] = {}
        """`ray start` by host."""
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self.environment = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "RAY_ADDRESS": "",
        }

    @staticmethod
    def address(number: int) -> str:
        """The address of a host."""
        return f"{NETWORK}.{number}"

    def create(self, count: int) -> None:
        """Create the bridge and the hosts, without Ray."""
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{OUTSIDE}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for number in range(1, count + 1):
            self._create_host(number)

    def _create_host(self, number: int) -> None:
        link = f"cae-v{number}"
        namespace = f"cae{number}"
        # A link of an earlier campaign may still exist.
        subprocess.run(["ip", "link", "delete", link], capture_output=True, check=False)
        _ip("netns", "add", namespace)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", link, "master", BRIDGE, "up")
        _ip("-n", namespace, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "route", "add", "default", "via", OUTSIDE)

    def start_command(
        self,
        number: int,
        *command: str,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command on a host."""
        ray_folder = self._folder / "ray" / f"h{number}"
        ray_folder.mkdir(parents=True, exist_ok=True)
        Path("/tmp/ray").mkdir(exist_ok=True)
        script = ENTER_HOST.format(name=f"h{number}", folder=ray_folder)
        enter = ["ip", "netns", "exec", f"cae{number}", "unshare", "--uts", "--mount"]
        return subprocess.Popen(
            [*enter, "sh", "-c", script, "sh", *command],
            env=self.environment,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    def start(self, number: int, *, cpus: int = 1, gpus: int = 0) -> None:
        """Start Ray on a host, and again whenever it ends; `kill` ends it."""
        if number == 1:
            role = [
                "--head",
                f"--port={HEAD_PORT}",
                f"--dashboard-host={self.address(1)}",
                f"--dashboard-port={DASHBOARD_PORT}",
            ]
        else:
            role = [f"--address={self.address(1)}:{HEAD_PORT}"]
        resources = [
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--num-cpus={cpus}",
            f"--num-gpus={gpus}",
            f"--node-ip-address={self.address(number)}",
        ]
        ray_start = ["ray", "start", *role, *resources, "--block", "--disable-usage-stats"]
        log = (self._folder / f"h{number}.log").open("ab")
        command = ["sh", "-c", RESTART_FOREVER, "sh", *ray_start]
        self._services[number] = self.start_command(number, *command, stdout=log, stderr=log)

    def wait(self, count: int, seconds: float = 120) -> None:
        """Wait until this many hosts have joined the cluster."""
        wait_for(lambda: self.count_alive() == count, seconds, f"{count} hosts in the cluster")

    def count_alive(self) -> int:
        """Number of hosts in the cluster; 0 if its head does not respond."""
        code = COUNT_ALIVE.format(address=f"{self.address(1)}:{HEAD_PORT}")
        process = self.start_command(
            1,
            str(BIN / "python"),
            "-c",
            code,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        output = process.communicate()[0].decode()
        if "alive " not in output:
            return 0
        return int(output.rpartition("alive ")[2])

    def kill(self, number: int) -> None:
        """Kill every process of a host, as if its power was cut."""
        command = ["ip", "netns", "pids", f"cae{number}"]
        pids = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if number in self._services:
            self._services.pop(number).wait()

    def cut_link(self, number: int) -> None:
        """Disconnect a host from the network."""
        _ip("link", "set", f"cae-v{number}", "down")

    def restore_link(self, number: int) -> None:
        """Connect a host to the network again."""
        _ip("link", "set", f"cae-v{number}", "up")

    def close(self) -> None:
        """Delete all hosts and the bridge."""
        command = ["ip", "netns", "list"]
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        for name in names:
            if name.startswith("cae") and name[3:].isdecimal():
                self.kill(int(name[3:]))
                _ip("netns", "delete", name)
        _ip("link", "delete", BRIDGE)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def create_hosts(folder: Path, count: int) -> Iterator[Hosts]:
    """Hosts that are deleted at the end."""
    hosts = Hosts(folder)
    try:
        hosts.create(count)
        yield hosts
    finally:
        hosts.close()
