"""Private symbols of Ray exist. If a release drops one, the test with its name fails."""

from __future__ import annotations

import functools
import importlib
import inspect
import socket
import subprocess
import types
from pathlib import Path
from typing import Any, cast

import pytest
import ray

from cae.sweep import ray_environment
from cae.sweep.engine import ray_compat

SYMBOLS = [
    "ray._private.worker._global_node",
    "ray._private.node.Node.dead_processes",
    "ray._private.node.Node.gcs_address",
    "ray._private.node.Node.kill_all_processes",
    "ray._private.ray_constants.ENABLE_RAY_CLUSTER",
    "ray._private.thirdparty.pynvml.NVMLError",
    "ray._private.thirdparty.pynvml.nvmlDeviceGetComputeRunningProcesses",
    "ray._private.thirdparty.pynvml.nvmlDeviceGetHandleByUUID",
    "ray._private.thirdparty.pynvml.nvmlDeviceGetUtilizationRates",
    "ray._private.thirdparty.pynvml.nvmlInit",
    "ray.job_config.JobConfig._serialize",
    "ray.air._internal.usage.tag_callbacks",
    "ray.tune.execution.class_cache.ENV_VARS_TO_PROPAGATE",
    "ray.tune.execution.tune_controller.TuneController.get_live_trials",
    "ray.tune.execution.tune_controller.TuneController.stop_trial",
    "ray.tune.experiment.trial._TemporaryTrialState",
    "ray.tune.experiment.Trial.PENDING",
    "ray.tune.experiment.Trial.RUNNING",
    "ray.tune.experiment.Trial.error_file",
    "ray.tune.progress_reporter.TrialProgressCallback.on_trial_complete",
    "ray.tune.search.Searcher.FINISHED",
    "ray.tune.schedulers.TrialScheduler.CONTINUE",
    "ray.tune.schedulers.TrialScheduler.STOP",
    "ray.job_submission.JobSubmissionClient.tail_job_logs",
]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_ray_has_the_private_symbol(symbol: str) -> None:
    parts = symbol.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for name in parts[split:]:
            assert hasattr(found, name), f"ray {ray.__version__} has no {symbol}"
            found = getattr(found, name)
        return
    pytest.fail(f"ray {ray.__version__} has no {symbol}")


def test_a_trial_of_ray_has_an_actor() -> None:
    from ray.tune.experiment.trial import _TemporaryTrialState

    assert hasattr(_TemporaryTrialState(), "ray_actor")


def test_tune_waits_for_workers_as_long_as_it_is_told() -> None:
    from ray.tune.execution.tune_controller import TrialRunnerWrapper, TuneController

    source = inspect.getsource(TuneController)
    assert "self._actor_force_cleanup_timeout: int = 10" in source
    assert "< self._actor_force_cleanup_timeout" in source
    inner: Any = types.SimpleNamespace(_actor_force_cleanup_timeout=10)
    controller: Any = TrialRunnerWrapper(inner, None)  # what a scheduler gets
    ray_compat.wait_longer_for_workers(controller, 0.0)
    assert inner._actor_force_cleanup_timeout == 10
    ray_compat.wait_longer_for_workers(controller, 34.2)
    assert inner._actor_force_cleanup_timeout == 35


def test_a_required_process_that_ended_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.node import Node

    node: Any = Node.__new__(Node)
    raylet = subprocess.Popen(["sleep", "600"])
    node.all_processes = {"raylet": [types.SimpleNamespace(process=raylet)], "gcs_server": []}
    monkeypatch.setattr(ray._private.worker, "_global_node", node)
    with socket.create_server(("127.0.0.1", 0)) as server:
        node._gcs_address = f"127.0.0.1:{server.getsockname()[1]}"
        assert ray_compat.dead_ray_process() == ""
        raylet.kill()
        raylet.wait()
        assert ray_compat.dead_ray_process() == "raylet"
        node.all_processes["raylet"] = []
        assert ray_compat.dead_ray_process() == ""
    assert ray_compat.dead_ray_process() == "gcs_server"


def test_the_results_of_an_ended_trial_are_not_kept() -> None:
    from ray.tune.trainable.metadata import _TrainingRunMetadata

    metadata = _TrainingRunMetadata()
    metadata.last_result = {"val_loss": 0.5}
    metadata.update_metric("val_loss", cast(Any, 0.5))
    empty = _TrainingRunMetadata()
    assert vars(metadata)["metric_n_steps"] != vars(empty)["metric_n_steps"]
    trial = types.SimpleNamespace(run_metadata=metadata)
    ray_compat.forget_results(cast(Any, trial))
    for name in ("last_result", "metric_analysis", "metric_n_steps"):
        assert vars(metadata)[name] == vars(empty)[name]


def test_usage_tags_and_credentials_are_off() -> None:
    from ray.air._internal import usage
    from ray.tune.execution import class_cache

    ray_compat.disable_usage_tags()
    ray_compat.hide_credentials_from_actors()
    assert usage.tag_callbacks([]) is False
    assert not [name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")]


@pytest.mark.parametrize("variable", ray_environment._VARIABLES)
def test_ray_reads_the_environment_variable(variable: str) -> None:
    raylet = Path(ray.__file__).parent / "core" / "src" / "ray" / "raylet" / "raylet"
    is_read = variable in _python_sources()
    is_setting = variable.removeprefix("RAY_").encode() in raylet.read_bytes()
    assert is_read or is_setting, f"ray {ray.__version__} does not read {variable}"


@functools.cache
def _python_sources() -> str:
    """The source of Ray without its dashboard, its libraries and its vendored packages."""
    root = Path(ray.__file__).parent
    folders = ("_private", "_common", "air", "train", "tune")
    sources: list[str] = []
    for folder in folders:
        for path in (root / folder).rglob("*.py"):
            sources.append(path.read_text(errors="ignore"))
    return "\n".join(sources)
