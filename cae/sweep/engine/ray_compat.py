"""Private and undocumented symbols of Ray, each behind a function.

tests/sweep/engine/test_ray_compat.py names every symbol and fails if a release of Ray drops one.
"""

from __future__ import annotations

from typing import Any

import ray
from ray.air._internal import usage
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as RayTrial

REQUIRED_PROCESSES = ("raylet", "gcs_server")
"""Processes of Ray without which it hangs or ends the driver without a message."""


def disable_usage_tags() -> None:
    """Skip Tune's usage statistics, which are off.

    To collect them, Tune would import MLflow and similar packages if they are installed: seconds of
    every start.
    """
    usage.tag_callbacks = _tag_nothing


def _tag_nothing(callbacks: object) -> bool:
    del callbacks
    return False


def hide_credentials_from_actors() -> None:
    """Do not copy AWS credentials into the environment of actors.

    Ray shows this environment in its dashboard and logs. Every host has its own credentials.
    """
    names = {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}
    class_cache.ENV_VARS_TO_PROPAGATE -= names


def dead_ray_process() -> str:
    """Name of a required process of the Ray started here that has ended; empty if none has."""
    node = _own_node()
    if node is None:
        return ""
    for name, _ in node.dead_processes():
        if name in REQUIRED_PROCESSES:
            return str(name)
    return ""


def kill_ray() -> None:
    """Kill the processes of the Ray started here. Its workers end when the raylet is gone."""
    node = _own_node()
    if node is not None:
        node.kill_all_processes(check_alive=False, allow_graceful=False)


def _own_node() -> Any:
    """Ray's node object of this process; None if Ray was not started here."""
    return ray._private.worker._global_node


def pending_trials(controller: TuneController) -> list[RayTrial]:
    """Tune's trials that wait for a worker, without those that have ended."""
    trials = controller.get_live_trials()
    return [trial for trial in trials if trial.status == RayTrial.PENDING]


def stop_trial(controller: TuneController, trial: RayTrial) -> None:
    """End a trial that waits or runs."""
    if trial.status in (RayTrial.PENDING, RayTrial.RUNNING):
        controller.stop_trial(trial)


def kill_worker(trial: RayTrial) -> None:
    """Kill the process that runs a trial, if there is one."""
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor)
