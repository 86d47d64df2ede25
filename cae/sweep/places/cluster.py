"""A running Ray cluster as the place where trials run, driven from one of its hosts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from typing_extensions import override

from cae.errors import RunError
from cae.run.paths import RunDir
from cae.run.storage import open_store
from cae.sweep.places.base import (
    Available,
    CheckedHosts,
    Host,
    Place,
    ResourceOptions,
    Resources,
    allocate_gpus,
)
from cae.sweep.places.hosts import TOKEN_FILE, check_hosts, new_requirements
from cae.sweep.places.ray_start import first_line, ray_session
from cae.sweep.places.staging import PACKAGE, stage_sweep
from cae.sweep.ray_environment import is_inside_ray_job
from cae.sweep.spec.plan import Plan

NO_CLUSTER_HINT = (
    "this command has to run on one of the cluster's hosts (`ray start` there first, see "
    "cluster/README.md), with its token (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH); from "
    "elsewhere, "
    "submit a job: --address http://HOST:8265"
)


class ClusterPlace(Place):
    """Trials run on the hosts of a Ray cluster. `address`: `auto` or HOST:PORT of the head node."""

    def __init__(self, address: str, options: ResourceOptions) -> None:
        self.address = address
        self.options = options

    @override
    @contextlib.contextmanager
    def connect(self, sweep_file: Path, *, start: bool) -> Iterator[Resources]:
        """Connect to the cluster; the sweep file and this package are copied to every host."""
        with contextlib.ExitStack() as stack:
            environment = None
            if not is_inside_ray_job():  # the files of a job are on the hosts already
                folder = stack.enter_context(stage_sweep(sweep_file))
                environment = {"working_dir": folder, "py_modules": [str(PACKAGE)]}
            try:
                stack.enter_context(ray_session(address=self.address, runtime_env=environment))
            except (OSError, RuntimeError, ValueError) as error:
                message = f"--address {self.address}: {first_line(error)}; {NO_CLUSTER_HINT}"
                raise RunError(message) from error
            yield self._resources()

    def _resources(self) -> Resources:
        """What the cluster has. Raises ConfigError with every option that it cannot meet."""
        hosts = current_hosts()
        gpus = int(sum(host.gpus for host in hosts))
        max_cpus = max(host.cpus for host in hosts)
        available = Available(
            gpus=gpus,
            gpus_text=f"the cluster's {len(hosts)} hosts have {gpus}",
            max_cpus_per_trial=max_cpus,
            cpus_text=f"the cluster's {len(hosts)} hosts have at most {max_cpus:g} CPUs each",
        )
        used_gpus, gpus_per_trial = allocate_gpus(self.options, available)
        cpus = int(sum(host.cpus for host in hosts))
        return Resources(cpus, used_gpus, self.options.cpus_per_trial, gpus_per_trial, hosts)

    @override
    def check_hosts(
        self, run: RunDir, plan: Plan, sweep_file: Path, resources: Resources
    ) -> CheckedHosts:
        if not plan.remaining:
            return CheckedHosts(resources, sweep_file.resolve())
        # Workers start in the folder that was copied to their host.
        staged_file = Path(sweep_file.name)
        config = plan.remaining[0].trial.flat()
        uses_gpus = resources.gpus_per_trial > 0
        requirements = new_requirements(run.location(), config, staged_file, uses_gpus=uses_gpus)
        device = check_hosts(requirements, _missing_room(resources))
        return CheckedHosts(replace(resources, device=device), staged_file, requirements)

    @override
    def release_hosts(self, checked: CheckedHosts) -> None:
        if checked.requirements is not None:
            open_store(checked.requirements.location).delete(TOKEN_FILE)

    @override
    def count_slots(self, resources: Resources) -> int:
        return replace(resources, hosts=current_hosts()).slots


def current_hosts() -> tuple[Host, ...]:
    """CPUs and GPUs of each host that the cluster has now."""
    import ray

    hosts: list[Host] = []
    for node in ray.nodes():
        if node["Alive"]:
            resources = node["Resources"]
            hosts.append(Host(float(resources.get("CPU", 0)), float(resources.get("GPU", 0))))
    return tuple(sorted(hosts, key=lambda host: (host.cpus, host.gpus)))


def _missing_room(resources: Resources) -> list[str]:
    """An error if no host can run a trial."""
    if resources.slots:
        return []
    hosts = "; ".join(f"{host.cpus:g} CPUs, {host.gpus:g} GPUs" for host in resources.hosts)
    return [
        f"no host has room for a trial of {resources.cpus_per_trial:g} CPUs and "
        f"{resources.gpus_per_trial:g} GPUs: the hosts have {hosts}; "
        "see --cpus-per-trial, --gpus-per-trial"
    ]
