"""The place that an address names."""

from __future__ import annotations

from cae.sweep.places.base import Place, ResourceOptions
from cae.sweep.places.cluster import ClusterPlace
from cae.sweep.places.jobs import JobPlace
from cae.sweep.places.local import LocalPlace
from cae.trial.messages import ConfigError


def choose_place(address: str | None, options: ResourceOptions) -> Place:
    """This machine without an address, a Ray job for http://..., otherwise a Ray cluster.

    Raises ConfigError for options that the place does not have.
    """
    if not address:
        return LocalPlace(options)
    if options.slots is not None:
        raise ConfigError(
            [
                f"--slots {options.slots}: only for this machine; on a cluster it follows from "
                "--cpus-per-trial and --gpus-per-trial"
            ]
        )
    if address.startswith(("http://", "https://")):
        return JobPlace(address)
    return ClusterPlace(address, options)
