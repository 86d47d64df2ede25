"""Private and undocumented symbols of Ray, each behind a function.

tests/sweep/engine/test_ray_compat.py names every symbol and fails if a release of Ray drops one.
"""

from __future__ import annotations

import math
import socket
from typing import Any

import ray
from ray.air._internal import usage
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as RayTrial
from ray.tune.progress_reporter import TrialProgressCallback
from typing_extensions import override

GCS_SERVER = "gcs_server"
REQUIRED_PROCESSES = ("raylet", GCS_SERVER)
"""If one of these processes dies, Ray hangs, or it ends this process without a message."""
CONNECTION_SECONDS = 1.0


def disable_usage_tags() -> None:
    """Prevent Tune from collecting usage statistics.

    Tune collects them even if sending them is disabled (RAY_USAGE_STATS_ENABLED), and imports
    MLflow and similar packages for that, which takes seconds at every start.
    """
    usage.tag_callbacks = _record_no_usage


def _record_no_usage(callbacks: object) -> bool:
    """Replace Ray's `tag_callbacks`, which returns whether usage was recorded."""
    del callbacks
    return False


class NoTuneOutput(TrialProgressCallback):
    """Prevents Tune from printing a line for each trial that ends without another result.

    Tune adds a TrialProgressCallback of its own if there is none. It prints such a line, "Trial
    0002 completed. Last result:", into the live table even if `verbose` is 0.
    """

    @override
    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: Any, **info: Any
    ) -> None:
        pass

    @override
    def on_trial_error(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        pass

    @override
    def on_trial_complete(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        pass


def hide_credentials_from_actors() -> None:
    """Do not copy AWS credentials into the environment of actors.

    Ray shows this environment in its dashboard and logs. Actors do not need the copy: every host
    has its own credentials.
    """
    names = {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}
    class_cache.ENV_VARS_TO_PROPAGATE -= names


def dead_ray_process() -> str:
    """Return the name of a required process of Ray that has ended; empty if all are running.

    Only processes that this process started are examined.
    """
    node = _own_node()
    if node is None:
        return ""
    for name, _ in node.dead_processes():
        if name in REQUIRED_PROCESSES:
            return str(name)
    if GCS_SERVER in node.all_processes and _refuses_connections(node.gcs_address):
        return GCS_SERVER  # after SIGTERM it closes its port, but its process does not end
    return ""


def _refuses_connections(address: str) -> bool:
    """Whether no process listens at HOST:PORT. One that is busy or stopped still does."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECTION_SECONDS):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:  # of this process, such as too many open files: nothing is known
        return False


def kill_ray() -> None:
    """Kill the processes of Ray that this process started.

    The workers exit without being killed: they detect that the raylet has ended.
    """
    node = _own_node()
    if node is not None:
        node.kill_all_processes(check_alive=False, allow_graceful=False)


def _own_node() -> Any:
    """Return the node object of Ray in this process; None if Ray runs only elsewhere."""
    return ray._private.worker._global_node


def pending_trials(controller: TuneController) -> list[RayTrial]:
    """Return Tune's trials that wait for a worker."""
    # Live trials are few, whereas all trials would include every one that has ended.
    live_trials = controller.get_live_trials()
    return [trial for trial in live_trials if trial.status == RayTrial.PENDING]


def stop_trial(controller: TuneController, trial: RayTrial) -> None:
    """Stop a trial that is pending or running."""
    if trial.status in (RayTrial.PENDING, RayTrial.RUNNING):
        controller.stop_trial(trial)


def wait_longer_for_workers(controller: TuneController, seconds: float) -> None:
    """When the sweep is stopped, give workers `seconds` to end, and not Tune's 10 s."""
    unwrapped: Any = controller._tune_controller  # type: ignore[attr-defined]
    if seconds > unwrapped._actor_force_cleanup_timeout:
        unwrapped._actor_force_cleanup_timeout = math.ceil(seconds)


def kill_worker(trial: RayTrial) -> None:
    """Kill the process that runs a trial, if there is one."""
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor)


def nvml() -> Any:
    """Return Ray's copy of pynvml, the interface of NVIDIA's Management Library."""
    from ray._private.thirdparty import pynvml

    return pynvml


def forget_results(trial: RayTrial) -> None:
    """Delete what Tune keeps in memory about the results of an ended trial: the journal has them.

    Tune keeps several statistics of each number until the sweep ends, 30 kB per trial.
    """
    trial.run_metadata.metric_analysis = {}
    trial.run_metadata.metric_n_steps = {}
    trial.run_metadata.last_result = {}
