"""A place with given resources."""

from __future__ import annotations

from typing_extensions import override

from cae.sweep.places.base import ResourceOptions, Resources
from cae.sweep.places.local import LocalPlace


class FixedPlace(LocalPlace):
    """This machine, as if it had other resources."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(ResourceOptions())
        self._resources = resources

    @override
    def resources(self) -> Resources:
        return self._resources


class TwoSlots(FixedPlace):
    """This machine with two CPU slots."""

    def __init__(self) -> None:
        super().__init__(Resources(cpus=2, gpus=0, cpus_per_trial=1, gpus_per_trial=0))
