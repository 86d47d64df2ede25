"""The hosts of a cluster: what each must have for trials to run on it, checked before the first one, and by each worker again."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cae.errors import RunError, UserError
from cae.run.storage import StorageError, open_store
from cae.sweep.places.devices import choose_device
from cae.sweep.places.local import Resources, versions
from cae.sweep.spec.sweep_file import from_config

PATIENCE_S = 90.0
"""A host that does not answer for so long is told by its name; a fresh one has to start Python and import torch."""
TOKEN = ".hosts"
"""What the driver writes into the run for every host to read. Each host answers beside it."""


@dataclass(frozen=True)
class Demands:
    """What every host is asked for."""

    place: str
    """Where the run is kept: a path that all hosts share, or an address."""
    token: str
    versions: dict[str, str]
    config: dict[str, Any]
    """A trial's, which has to be built there: the sweep file's own parts have to have come along."""
    sweep_file: Path


def unfit(demands: Demands) -> str:
    """Why this host cannot run trials, in words that name it; "" where it can."""
    host = socket.gethostname()
    found, wanted = versions(), demands.versions
    other = [
        f"{name} {found.get(name)} instead of {version}"
        for name, version in wanted.items()
        if found.get(name) != version
    ]
    if other:
        return f"host {host} has {', '.join(other)}: install what the others have"
    try:
        if (said := open_store(demands.place).read(TOKEN).decode()) != demands.token:
            return f"host {host} finds another run at {demands.place} ({said[:20]}): the folder is not the same on all hosts"
        from_config(demands.config, demands.sweep_file)
    except FileNotFoundError:
        return f"host {host} does not see {demands.place}: keep the run (--out) on a disk that all hosts share, or at s3://BUCKET/PATH"
    except StorageError as error:
        return f"host {host}: {error}"
    except UserError as error:
        return f"host {host} cannot build the sweep's trials: {error}"
    except Exception as error:
        return f"host {host}: {type(error).__name__}: {error}"
    return ""


def _answer(demands: Demands, name: str) -> dict[str, str]:
    """Runs on a host: whether it is fit, what it is, and a file that the driver looks for."""
    if mistake := unfit(demands):
        return {"mistake": mistake}
    try:
        open_store(demands.place).write(f"{TOKEN}-{name}", name.encode())
    except (OSError, StorageError) as error:
        return {"mistake": f"host {socket.gethostname()} cannot write to {demands.place}: {error}"}
    return {
        "host": socket.gethostname(),
        "device": choose_device(float(torch.cuda.is_available()))[1],
    }


def check_hosts(demands: Demands, resources: Resources) -> list[dict[str, str]]:
    """Asks every host of the cluster, all at once. Returns what they are; raises RunError with a message for each that is unfit."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    store = open_store(demands.place)
    store.write(TOKEN, demands.token.encode())
    ask, mistakes, fit = ray.remote(num_cpus=0, max_retries=0)(_answer), [], []
    asked = {}
    for node in (node for node in ray.nodes() if node["Alive"]):
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[ask.options(scheduling_strategy=here).remote(demands, node["NodeID"])] = node
    done, late = ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE_S)
    for answer in done:
        name = (
            f"host {asked[answer]['NodeManagerHostname']} ({asked[answer]['NodeManagerAddress']})"
        )
        try:
            said = ray.get(answer)
        except Exception as error:  # it cannot even import what it is asked with
            mistakes.append(f"{name}: {str(error).strip().splitlines()[-1]}")
            continue
        if "mistake" in said:
            mistakes.append(f"{said['mistake']} ({asked[answer]['NodeManagerAddress']})")
            continue
        reply = f"{TOKEN}-{asked[answer]['NodeID']}"
        try:
            if store.read(reply).decode() != asked[answer]["NodeID"]:
                raise FileNotFoundError
        except FileNotFoundError:
            mistakes.append(
                f"what {name} writes to {demands.place} does not arrive here: the folder is not the same on all hosts"
            )
        store.delete(reply)
        fit.append(said)
    mistakes += [
        f"host {asked[one]['NodeManagerHostname']} ({asked[one]['NodeManagerAddress']}) gave no answer in {PATIENCE_S:.0f} s"
        for one in late
    ]
    if not resources.slots:
        mistakes.append(_no_room(resources))
    if mistakes:
        with contextlib.suppress(OSError, StorageError):
            store.delete(TOKEN)
        raise RunError(mistakes)
    return fit


def _no_room(resources: Resources) -> str:
    there = "; ".join(f"{cpus:g} CPUs, {gpus:g} GPUs" for cpus, gpus in resources.nodes)
    return (
        f"no host has room for a trial of {resources.cpus_per_trial:g} CPUs and {resources.gpus_per_trial:g} GPUs: there are {there}; "
        "see --cpus-per-trial, --gpus-per-trial"
    )


def described(hosts: list[dict[str, str]]) -> str:
    """`3 hosts: 2 x NVIDIA A100, 1 x cpu`: what the hosts of a cluster are."""
    kinds = Counter(host["device"] for host in hosts)
    return f"{len(hosts)} host{'s' * (len(hosts) > 1)}: " + ", ".join(
        f"{count} x {kind}" for kind, count in kinds.items()
    )


def new_token() -> str:
    return secrets.token_hex(8)
