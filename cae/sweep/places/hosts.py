"""Requirements for the hosts of a cluster, checked before the first trial and by each worker."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae.errors import RunError, UserError
from cae.run.storage import StorageError, open_store
from cae.sweep.places.devices import GpuProbe
from cae.sweep.places.machine import versions
from cae.sweep.spec.sweep_file import from_config

ANSWER_TIMEOUT_SECONDS = 90.0
"""A new host has to start Python and import torch before it answers."""
TOKEN_FILE = ".hosts"
"""File that the driver writes into the run for every host to read; each host writes one of its
own."""


@dataclass(frozen=True)
class HostRequirements:
    """What a host needs to run trials."""

    location: str
    """Where the run is stored: a path that all hosts share, or a URI."""
    token: str
    """Content of TOKEN_FILE."""
    versions: dict[str, str]
    config: dict[str, Any]
    """Configuration of a trial that the host has to be able to build, components of the sweep file
    included."""
    sweep_file: Path
    uses_gpus: bool = False
    """Whether trials run on GPUs."""


@dataclass(frozen=True)
class HostAnswer:
    """Result of the check on one host."""

    hostname: str
    devices: tuple[str, ...] = ()
    """Names of the GPUs, or `cpu`."""
    error: str = ""


def new_requirements(
    location: str, config: dict[str, Any], sweep_file: Path, *, uses_gpus: bool = False
) -> HostRequirements:
    """The requirements of a run, with this machine's versions."""
    token = secrets.token_hex(8)
    return HostRequirements(location, token, versions(), config, sweep_file, uses_gpus)


def unmet_requirement(requirements: HostRequirements) -> str:
    """Why this host cannot run trials, with its name; empty if it can."""
    host = f"host {socket.gethostname()}"
    own_versions = versions()
    differences: list[str] = []
    for name, version in requirements.versions.items():
        if own_versions.get(name) != version:
            differences.append(f"{name} {own_versions.get(name)} instead of {version}")
    if differences:
        return f"{host} has {', '.join(differences)}: install the same versions on all hosts"
    location = requirements.location
    try:
        token = open_store(location).read(TOKEN_FILE).decode()
        if token != requirements.token:
            return (
                f"{host} finds another run at {location} ({token[:20]}): "
                "the folder is not the same on all hosts"
            )
        from_config(requirements.config, requirements.sweep_file)
    except FileNotFoundError:
        return (
            f"{host} does not see {location}: store the run (--out) on a disk that all hosts "
            "share, "
            "or at s3://BUCKET/PATH"
        )
    except StorageError as error:
        return f"{host}: {error}"
    except UserError as error:
        return f"{host} cannot build the sweep's trials: {error}"
    except Exception as error:
        return f"{host}: {type(error).__name__}: {error}"
    return ""


def _check_this_host(requirements: HostRequirements, node_id: str, gpus: int) -> HostAnswer:
    """Executed on a host: check it and write a file that the driver looks for.

    `gpus`: how many it has in the cluster.
    """
    hostname = socket.gethostname()
    error = unmet_requirement(requirements)
    if error:
        return HostAnswer(hostname, error=error)
    try:
        store = open_store(requirements.location)
        store.write(f"{TOKEN_FILE}-{node_id}", node_id.encode())
    except (OSError, StorageError) as storage_error:
        error = f"host {hostname} cannot write to {requirements.location}: {storage_error}"
        return HostAnswer(hostname, error=error)
    if not (requirements.uses_gpus and gpus):
        return HostAnswer(hostname, ("cpu",))
    probe = GpuProbe().result()
    if probe.problem or len(probe.names) < gpus:
        problem = probe.problem or f"torch finds {len(probe.names)}"
        error = f"host {hostname} has {gpus} GPUs in the cluster, but torch cannot use them: "
        return HostAnswer(hostname, error=error + problem)
    return HostAnswer(hostname, probe.names[:gpus])


def check_hosts(requirements: HostRequirements, other_errors: Sequence[str] = ()) -> str:
    """Check all hosts of the cluster at the same time.

    Returns what they are, in words. Raises RunError with a message for each host that does not meet
    the requirements, and with `other_errors`.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    store = open_store(requirements.location)
    store.write(TOKEN_FILE, requirements.token.encode())
    check = ray.remote(num_cpus=0, max_retries=0)(_check_this_host)
    nodes: dict[Any, dict[str, Any]] = {}
    for node in ray.nodes():
        if node["Alive"]:
            on_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = check.options(scheduling_strategy=on_node)
            gpus = int(node["Resources"].get("GPU", 0))
            nodes[task.remote(requirements, node["NodeID"], gpus)] = node
    answered, late = ray.wait(list(nodes), num_returns=len(nodes), timeout=ANSWER_TIMEOUT_SECONDS)
    errors: list[str] = []
    devices: list[tuple[str, ...]] = []
    for reference in answered:
        node = nodes[reference]
        try:
            answer: HostAnswer = ray.get(reference)
        except Exception as error:  # the host cannot even import the check
            errors.append(f"{_name(node)}: {str(error).strip().splitlines()[-1]}")
            continue
        if answer.error:
            errors.append(f"{answer.error} ({node['NodeManagerAddress']})")
            continue
        if not _receives_file(requirements.location, node["NodeID"]):
            errors.append(
                f"what {_name(node)} writes to {requirements.location} does not arrive here: "
                "the folder is not the same on all hosts"
            )
        devices.append(answer.devices)
    for reference in late:
        errors.append(f"{_name(nodes[reference])} gave no answer in {ANSWER_TIMEOUT_SECONDS:.0f} s")
    errors += other_errors
    if errors:
        with contextlib.suppress(OSError, StorageError):
            store.delete(TOKEN_FILE)
        raise RunError(errors)
    return _describe_devices(devices)


def _name(node: dict[str, Any]) -> str:
    return f"host {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def _receives_file(location: str, node_id: str) -> bool:
    """Whether the file that a host wrote is visible here; it is deleted."""
    store = open_store(location)
    file = f"{TOKEN_FILE}-{node_id}"
    try:
        is_received = store.read(file).decode() == node_id
    except FileNotFoundError:
        is_received = False
    store.delete(file)
    return is_received


def _describe_devices(devices: list[tuple[str, ...]]) -> str:
    """The devices of all hosts, for example "3 hosts: 8 x NVIDIA A100, 1 x cpu"."""
    hosts = "1 host"
    if len(devices) != 1:
        hosts = f"{len(devices)} hosts"
    total = Counter(name for names in devices for name in names)
    counts = ", ".join(f"{count} x {name}" for name, count in total.items())
    return f"{hosts}: {counts}"
