"""Environment variables that Ray and Ray Tune read. Does not import ray."""

from __future__ import annotations

import os

_VARIABLES = {
    # The journal and the live table replace Tune's loggers, reporter and snapshots.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # A trial that fails in its first epoch reports no metric.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # The runner handles errors of workers: each is one line, and the trial's log has the rest.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # The runner handles signals.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # A sweep sends no statistics.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # A trial without a GPU sees none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}


def set_ray_environment() -> None:
    """Set the variables that Ray reads when it is imported. Call it before `import ray`."""
    os.environ.update(_VARIABLES)


def set_max_pending_trials(trials: int) -> None:
    """Set how many trials Tune may prepare ahead. Tune reads it when a sweep starts."""
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(trials)


def is_inside_ray_job() -> bool:
    """Whether this process is the driver of a submitted Ray job."""
    return bool(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR"))
