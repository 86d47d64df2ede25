"""Another user of the machine: no process of a local Ray obeys without the token of the run."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys

import pytest

from cae.sweep.places.auth_token import USER_VARIABLES

PROGRAM = """
import ipaddress, json, os
from pathlib import Path
import grpc
from cae.sweep.places.auth_token import use_private_token

use_private_token()
token_file = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
from cae.sweep.places.base import Resources
from cae.sweep.places.local import local_ray


def ask(address, *headers):
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo")
        try:
            call(b"", timeout=60, metadata=headers)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"


def own_processes():
    # This process and all that descend from it.
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    own = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in own} - own
        if not more:
            return own
        own |= more


def listening_addresses():
    # The local addresses of all TCP sockets on which these processes listen.
    inodes = set()
    for pid in own_processes():
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = os.readlink(link)
            except OSError:
                continue
            inodes.add(target.removeprefix("socket:[").rstrip("]"))
    addresses = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address = bytes.fromhex(fields[1].partition(":")[0])
                words = [address[index : index + 4][::-1] for index in range(0, len(address), 4)]
                addresses.append(str(ipaddress.ip_address(b"".join(words))))
    return addresses


with local_ray(Resources(cpus=1, gpus=0, cpus_per_trial=1, gpus_per_trial=0)):
    import ray

    @ray.remote
    class Actor:
        def pid(self):
            return os.getpid()

    actor = Actor.remote()
    assert ray.get(actor.pid.remote()) in own_processes()
    print(json.dumps(listening_addresses()), flush=True)
    address = ray.get_runtime_context().gcs_address
    print(json.dumps({
        "without": ask(address),
        "wrong": ask(address, ("authorization", "Bearer " + 64 * "a")),
        "right": ask(address, ("authorization", "Bearer " + token_file.read_text())),
    }), flush=True)
    child = os.fork()
    if child == 0:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
            seen = [name for _, _, names in os.walk(token_file.parent) for name in names]
            if os.access(token_file, os.R_OK):
                seen.append("the token")
            os.write(1, json.dumps(seen).encode())
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def answers() -> list[str]:
    """What the Ray of a sweep answers, and the files of it that another user sees."""
    names = [*USER_VARIABLES, "RAY_TMPDIR"]
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ray_listens_on_the_loopback_interface_only(answers: list[str]) -> None:
    addresses = [ipaddress.ip_address(text) for text in json.loads(answers[0])]
    assert len(addresses) >= 4, "of the GCS, the raylet, this process and the actor"
    for address in addresses:
        mapped = getattr(address, "ipv4_mapped", None) or address
        assert mapped.is_loopback, str(address)


def test_ray_refuses_requests_without_the_token(answers: list[str]) -> None:
    assert json.loads(answers[1]) == {
        "without": "UNAUTHENTICATED",
        "wrong": "UNAUTHENTICATED",
        "right": "OK",
    }


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_sees_no_file_of_ray(answers: list[str]) -> None:
    assert json.loads(answers[2]) == []
