"""Runs a sweep from a script or a notebook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from cae.api.saved_run import SavedRun, open_run
from cae.errors import RunError, UserError
from cae.sweep.run_request import RunOptions, RunRequest, to_bytes
from cae.sweep.spec.declared_sweep import check_builtin
from cae.sweep.spec.sweep import Sweep

INTERRUPTED = 130
"""Exit code of the process after Ctrl-C."""


def run_sweep(
    sweep: Sweep | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    budget: str = "full",
    settings: Mapping[str, Any] | None = None,
    max_trials: int | None = None,
    where: Mapping[str, Any] | None = None,
    strict: bool = False,
    retry: str | Sequence[str] = (),
    gpus: int | None = None,
    gpus_per_trial: float | None = None,
    cpus_per_trial: float = 1,
    slots: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    epoch_timeout: float | None = None,
    max_failures: int = 10,
    max_hours: float | None = None,
    max_epochs: int | None = None,
    address: str | None = None,
    track: Literal["mlflow", "wandb", "tensorboard"] | None = None,
    notify: str | None = None,
    quiet: bool = False,
) -> SavedRun:
    """Run a sweep or resume it, show its progress, and return the run.

    It is `cae-sweep run` in a process of its own: finished epochs are never trained again, and the
    same call resumes a sweep. Ctrl-C (or the button that interrupts a notebook's kernel) saves all
    finished epochs, stops the sweep and then raises KeyboardInterrupt. If this process ends, the
    sweep saves and ends, too. A script needs no `if __name__ == "__main__"`.

    Args:
        sweep: A sweep file, a sweep of the package by its name, or a Sweep object. Components of
            your own need a file: the processes that train execute it.
        out: Folder of the run, or s3://BUCKET/PATH; None: runs/NAME of the sweep file. Required
            for a Sweep object, which has no name.
        budget: A budget of the sweep, `full` or `smoke`.
        settings: Values instead of those of the sweep, by dotted name: {"epochs": 3}.
        max_trials: Run only so many points of the search space.
        where: Run only trials with these values, by dotted name: {"arch.kernel_size": 3}.
        strict: Whether impossible combinations are errors instead of being left out.
        retry: States of trials to run again: failed, oom, diverged, killed, lost-weights,
            latent.
        gpus: GPUs to use; None: all.
        gpus_per_trial: GPUs per trial, such as 0.5.
        cpus_per_trial: CPU cores per trial.
        slots: Trials at the same time on this machine; None: as many as CPUs or GPUs allow.
        data_dir: Folder with data sets; None: $CAE_DATA and the usual ones.
        epoch_timeout: Seconds after which an epoch counts as hung; 0: never; None: 20 times the
            estimate.
        max_failures: The sweep gives up after so many failed trials in a row; 0: never.
        max_hours: End after so many hours; the same call resumes.
        max_epochs: End when the run has so many epochs, of all trials and calls; a larger number
            resumes.
        address: Address of a Ray cluster, for a sweep file; None: this machine.
        track: Send trials and epochs to an experiment tracker.
        notify: Shell command to run when the sweep has ended.
        quiet: Whether no progress is shown.

    Returns:
        The run, also if trials failed or the sweep gave up: see `trials["state"]`.

    Raises UserError with all errors of the sweep and the options, before anything runs; RunError
    if the disk, the storage or Ray failed, with everything saved; KeyboardInterrupt after Ctrl-C.
    """
    if address is not None and address.startswith(("http://", "https://")):
        raise UserError(f"address = {address}: jobs are submitted with cae-sweep run --address")
    declared = None
    if isinstance(sweep, Sweep):
        declared = sweep
        path = _name_of(sweep, out, address)
    else:
        path = Path(sweep).expanduser()
    if isinstance(retry, str):
        retry = [retry]
    location: str | None = None
    if out is not None:
        location = os.path.expanduser(os.fspath(out))
    data_folder = None
    if data_dir is not None:
        data_folder = Path(data_dir).expanduser()
    request = RunRequest(
        selection={
            "sweep": path,
            "out": location,
            "budget": budget,
            "pairs": None,
            "max_trials": max_trials,
            "where": [f"{name}={json.dumps(value)}" for name, value in (where or {}).items()],
            "data_dir": data_folder,
            "retry": ",".join(retry),
            "strict": strict,
        },
        settings=dict(settings or {}),
        sweep=declared,
        options=RunOptions(
            gpus=gpus,
            gpus_per_trial=gpus_per_trial,
            cpus_per_trial=cpus_per_trial,
            slots=slots,
            address=address,
            epoch_timeout=epoch_timeout,
            max_failures=max_failures,
            max_hours=max_hours,
            max_epochs=max_epochs,
            track=track,
            notify=notify,
            quiet=quiet,
            command=f"cae.run_sweep({path.stem!r})",
        ),
    )
    outcome = _run_in_a_process(request)
    if outcome["exit_code"] == INTERRUPTED:
        raise KeyboardInterrupt("the sweep is saved: the same call resumes it")
    errors = outcome.get("errors")
    if errors and outcome["exit_code"] == 2:
        raise UserError(errors)
    if errors:
        raise RunError(errors)
    return open_run(outcome["run"])


def _name_of(sweep: Sweep, out: object, address: str | None) -> Path:
    """The path that a sweep without a file would have. Raises UserError."""
    check_builtin(sweep)
    if out is None:
        raise UserError(
            "out is missing: a Sweep object has no file whose name its run could have; choose one, "
            "such as out='runs/my_sweep'"
        )
    if address is not None:
        raise UserError(
            f"address = {address}: a Sweep object runs on this machine; write it to a file to run "
            "it on a cluster"
        )
    return Path.cwd() / f"{Path(str(out)).name}.py"


def _run_in_a_process(request: RunRequest) -> dict[str, Any]:
    """Run the request in a process of its own, and return the outcome.

    Its output goes to the terminal if there is one, with the live table; otherwise its lines are
    printed, which a notebook shows below the cell. It does not receive Ctrl-C from the terminal:
    this process passes it on, once.
    """
    receiver, sender = os.pipe()
    place = "local"
    if request.options.address is not None:
        place = "cluster"
    output = subprocess.PIPE
    if _has_terminal():
        output = None  # type: ignore[assignment]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cae.cli.child", str(sender), place],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        pass_fds=[sender],
        start_new_session=True,
        env=_environment(),
    )
    os.close(sender)
    assert process.stdin is not None
    try:
        process.stdin.write(to_bytes(request))
        process.stdin.close()
    except BrokenPipeError:
        pass  # it ended already; its exit code says how
    with process:
        _follow(process)
    with os.fdopen(receiver, encoding="utf-8") as file:
        text = file.read()
    if not text:
        if process.returncode == INTERRUPTED:
            return {"exit_code": INTERRUPTED}
        return {
            "exit_code": process.returncode,
            "errors": [
                f"the process of the sweep ended with {process.returncode}; what was finished is "
                "saved, and the same call resumes it"
            ],
        }
    outcome: dict[str, Any] = json.loads(text)
    return outcome


def _environment() -> dict[str, str]:
    """The environment of the process, which imports this package, also if it is not installed."""
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    if not _has_terminal():
        for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
            environment.pop(name, None)  # a notebook sets them; rich would draw a live table
    return environment


def _has_terminal() -> bool:
    """Whether the output of another process would appear where that of this one does.

    A notebook replaces sys.stderr; its kernel may have been started from a terminal.
    """
    stream = sys.__stderr__
    return stream is not None and sys.stderr is stream and stream.isatty()


def _follow(process: subprocess.Popen[bytes]) -> None:
    """Print the output of the process until it ends, and pass each Ctrl-C on to it.

    In this thread: a notebook shows only what the thread of a cell prints below the cell.
    """
    while True:
        try:
            if process.stdout is not None:
                for line in process.stdout:
                    print(line.decode(errors="replace"), end="", flush=True)
            process.wait()
            return
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
