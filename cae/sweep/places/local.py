"""This machine as the place where trials run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from typing_extensions import override

from cae.errors import RunError
from cae.sweep.places.base import (
    Available,
    Place,
    ResourceOptions,
    Resources,
    allocate_gpus,
)
from cae.sweep.places.machine import count_cpus, device_name, explain_gpus
from cae.sweep.places.ray_start import ray_session


class LocalPlace(Place):
    """Trials run on this machine, in a Ray that is started for them."""

    def __init__(self, options: ResourceOptions) -> None:
        self.options = options

    @override
    def check_options(self) -> None:
        self.resources()

    def resources(self) -> Resources:
        """What this machine has. Raises ConfigError with every option that it cannot meet."""
        cpus = count_cpus()
        gpus = torch.cuda.device_count()
        available = Available(
            gpus=gpus,
            gpus_text=f"this machine has {gpus} that torch can use ({explain_gpus()})",
            max_cpus_per_trial=cpus,
            cpus_text=f"this machine has {cpus}",
        )
        used_gpus, gpus_per_trial = allocate_gpus(self.options, available)
        device = device_name(cpus, used_gpus)
        return Resources(
            cpus, used_gpus, self.options.cpus_per_trial, gpus_per_trial, device=device
        )

    @override
    @contextlib.contextmanager
    def connect(self, sweep_file: Path, *, start: bool) -> Iterator[Resources]:
        resources = self.resources()
        if not start:
            yield resources
            return
        with local_ray(resources):
            yield resources


@contextlib.contextmanager
def local_ray(resources: Resources) -> Iterator[None]:
    """Start a Ray on this machine; use the one that this process has already, if there is one."""
    import ray

    if ray.is_initialized():
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(
                ray_session(
                    address="local",
                    num_cpus=resources.cpus,
                    num_gpus=resources.gpus,
                    include_dashboard=False,
                )
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise RunError(f"Ray could not start on this machine: {error}") from error
        yield
