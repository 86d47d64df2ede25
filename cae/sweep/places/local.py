"""Running trials on this machine."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

from typing_extensions import override

from cae.errors import RunError, SweepAborted
from cae.sweep.places.base import (
    Available,
    Place,
    ResourceOptions,
    Resources,
    allocate_gpus,
)
from cae.sweep.places.cpu_limits import count_cpus
from cae.sweep.places.devices import GpuProbe, count_gpus, gpu_problem
from cae.sweep.places.loopback import loopback_only
from cae.sweep.places.machine import device_name, explain_gpus
from cae.sweep.places.mps import shared_gpu_service
from cae.sweep.places.private_folder import end_ray_processes, private_folder, ray_folder
from cae.sweep.places.ray_needs import check_needs
from cae.sweep.places.ray_start import first_line, job_config_with_own_paths, ray_session
from cae.sweep.places.start_watchdog import bounded_start, explain_failed_start
from cae.trial.messages import ConfigError


class LocalPlace(Place):
    """Runs trials on this machine, in a Ray instance that is started for them."""

    def __init__(self, options: ResourceOptions) -> None:
        self.options = options

    @override
    def check_options(self) -> None:
        self.resources()  # raises ConfigError

    def resources(self) -> Resources:
        """The CPUs and GPUs that the run may use.

        Raises ConfigError with every option that asks for more than this machine has.
        """
        cpus = count_cpus()
        gpus = count_gpus()
        available = Available(
            gpus=gpus,
            gpus_text=f"torch can use {gpus} GPUs of this machine ({explain_gpus()})",
            max_cpus_per_trial=cpus,
            cpus_text=f"this machine has {cpus} CPUs",
        )
        used_gpus, gpus_per_trial = allocate_gpus(self.options, available)
        if gpus_per_trial:
            problem = gpu_problem()
            if problem:
                raise ConfigError([unusable_gpus(gpus, problem)])
        device = device_name(cpus, used_gpus)
        if self.options.slots is not None:
            cpus = math.ceil(self.options.slots * self.options.cpus_per_trial)
        return Resources(
            cpus=cpus,
            gpus=used_gpus,
            max_slots=self.options.slots,
            cpus_per_trial=self.options.cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            device=device,
        )

    @override
    @contextlib.contextmanager
    def connect(self, sweep_file: Path, *, start: bool) -> Iterator[Resources]:
        resources = self.resources()
        if not start:
            yield resources
            return
        with contextlib.ExitStack() as stack:
            probe = None
            if resources.gpus_per_trial and not resources.simulates_gpus:
                probe = GpuProbe()  # while Ray starts
                if resources.trials_per_gpu > 1:
                    stack.enter_context(shared_gpu_service())
            stack.enter_context(local_ray(resources))
            if probe is not None:
                problem = probe.result().problem
                if problem:
                    raise RunError(unusable_gpus(resources.gpus, problem))
            yield resources


def unusable_gpus(gpus: int, problem: str) -> str:
    """The message if torch cannot compute on the GPUs of this machine."""
    return (
        f"this machine has {gpus} GPUs, but torch cannot compute on them: {problem}; "
        "--gpus 0 trains on the CPU"
    )


@contextlib.contextmanager
def local_ray(resources: Resources) -> Iterator[None]:
    """Start Ray on this machine, or use the instance to which this process is connected.

    Only processes of this machine can reach it.

    Raises RunError if the limits of this machine are too small for Ray, and SweepAborted if Ray
    cannot start.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    check_needs(resources.slots)
    folder = private_folder()
    # An ExitStack, so that errors of the start are converted, but not those of the body.
    with contextlib.ExitStack() as stack:
        stack.enter_context(loopback_only())
        try:
            with bounded_start(folder):
                stack.enter_context(
                    ray_session(
                        address="local",
                        num_cpus=resources.cpus,
                        num_gpus=resources.gpus,
                        include_dashboard=False,
                        _temp_dir=str(ray_folder()),
                        job_config=job_config_with_own_paths(),
                    )
                )
        except Exception as error:  # Ray raises plain ones
            reason = f"{first_line(error)}; {explain_failed_start(folder)}"
            end_ray_processes(folder, except_process=os.getpid())
            raise SweepAborted(f"Ray could not start on this machine: {reason}") from error
        yield
