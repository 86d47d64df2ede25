"""Every fault except the random kills, each in a script of its own.

A scenario returns, for each fault that it caused, what was lost or did not happen as planned, in
words: normally nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cae.files import write_whole
from cae.run.events import SessionEnded
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.trial import checkpoint
from tests.conftest import SWEEP
from tests.faults.checks import Witness, log_of
from tests.faults.driver import Driver, journal_epochs, kill_process, wait_until
from tests.sweep.engine.failing_trials import failing_sweep
from tests.undisturbed import undisturbed_losses

Losses = dict[str, list[str]]
"""What was lost, by fault."""
Scenario = Callable[[Path], Losses]

SPACE = "{'optimizer.lr': tune.grid_search([1e-3, 3e-3, 1e-2]), 'dataset.train_images': 900}"
RESUME = "run the same command to resume"


def sweep_writer(folder: Path) -> Callable[..., Path]:
    """A function that writes a sweep file of small autoencoders to the folder."""

    def write(space: str = SPACE, *, epochs: int = 2, more: str = "", name: str = "small") -> Path:
        path = folder / f"{name}.py"
        path.write_text(SWEEP.format(space=space, epochs=epochs, more=more))
        return path

    return write


def close_reason(run: RunDir) -> str:
    """Why the last session ended that ended in an orderly way; empty if none did."""
    reason = ""
    for event in run.events():
        if isinstance(event, SessionEnded):
            reason = event.reason
    return reason


def unless(condition: bool, loss: str) -> list[str]:
    """The loss as a list; empty if the condition holds."""
    if condition:
        return []
    return [loss]


def check_exit(driver: Driver, codes: int | tuple[int, ...], *texts: str) -> list[str]:
    """Wait for the end of a command.

    Returns what is wrong with it: another exit code, a missing text in its output, a traceback.
    """
    if isinstance(codes, int):
        codes = (codes,)
    code = driver.wait()
    output = driver.output
    missing = [text for text in texts if text not in output]
    return [
        *unless(code in codes, f"exit code {code} instead of {codes}"),
        *unless(not missing, f"not printed: {missing}"),
        *unless("Traceback" not in output, f"a traceback was printed: {output[-600:]}"),
    ]


def check_complete(
    run: RunDir, witness: Witness | None = None, *, max_retrained: int = 0
) -> list[str]:
    """What a complete run of SPACE lost in comparison with undisturbed trials.

    `max_retrained`: how many epochs may have been trained again.
    """
    epochs = journal_epochs(run)
    repeated = len(epochs) - len(set(epochs))
    losses = unless(repeated <= max_retrained, f"{repeated} epochs are in the journal twice")
    if witness is not None:
        losses += witness.losses(run)
    for number, record in run.records().items():
        state = record.state
        losses += unless(state == TrialState.FINISHED, f"trial {number} is {state}")
        val_losses = [row["val_loss"] for _, row in sorted(record.epochs.items())]
        same = val_losses == undisturbed_losses(run, number)
        losses += unless(same, f"trial {number} has other losses")
    return losses


class _SignalScenario:
    """One run that is interrupted again and again by the same command."""

    def __init__(self, folder: Path) -> None:
        self.run = RunDir(folder / "run")
        self.sweep = sweep_writer(folder)(epochs=150)
        self.witness = Witness()

    def start(self) -> Driver:
        """Start the command. No worker is alive between two commands."""
        self.witness.look(self.run, list(self.run.records()))
        return Driver(self.sweep, self.run, cores=2)

    def start_training(self) -> Driver:
        """Start the command and wait until it has trained two epochs."""
        return self.wait_for_training(self.start())

    def wait_for_training(self, driver: Driver) -> Driver:
        driver.wait_for_epochs(2)
        if not driver.is_alive:
            raise TimeoutError("the sweep is too short for this machine: it ended before the fault")
        return driver

    def second_command(self, driver: Driver) -> list[str]:
        wait_until(self.run.in_use, "the run is in use")
        second = Driver(self.sweep, self.run, cores=2)
        losses = check_exit(second, 2, "is in use by process")
        self.wait_for_training(driver)
        return losses

    def one_signal(self, driver: Driver, number: signal.Signals) -> list[str]:
        driver.signal(number)
        reason = f"interrupted by {number.name}"
        losses = check_exit(driver, 130, reason, RESUME)
        return losses + unless(close_reason(self.run) == reason, close_reason(self.run))

    def two_signals(self, driver: Driver) -> list[str]:
        driver.signal(signal.SIGINT)
        time.sleep(2)  # two signals before the first one is handled are one
        second_signal = time.monotonic()
        driver.signal(signal.SIGINT)
        driver.process.wait(30)
        is_quick = time.monotonic() - second_signal < 10
        losses = check_exit(driver, 130)
        return losses + unless(is_quick, "the second SIGINT did not end it immediately")

    def killed_ray_process(self, driver: Driver, name: str) -> list[str]:
        kill_process(driver.ray_process(name))
        sentence = f"Ray's {name} on this machine ended"
        losses = check_exit(driver, 3, sentence, RESUME)
        return losses + unless(sentence in close_reason(self.run), close_reason(self.run))

    def signal_during_start(self, seconds: float, number: signal.Signals) -> list[str]:
        driver = self.start()
        time.sleep(seconds)  # wherever the command is then
        driver.signal(number)
        code = driver.wait()
        # Before Python handles signals, the signal itself ends the process.
        losses = unless(code in (130, -number), f"after {seconds} s: exit code {code}")
        return losses + unless("Traceback" not in driver.output, f"after {seconds} s: a traceback")


def signals_lost_processes_and_two_commands(folder: Path) -> Losses:
    scenario = _SignalScenario(folder)
    losses: Losses = {}
    driver = scenario.start()
    losses["a second command on the same run"] = scenario.second_command(driver)
    losses["SIGINT once"] = scenario.one_signal(driver, signal.SIGINT)
    losses["SIGINT twice"] = scenario.two_signals(scenario.start_training())
    losses["SIGTERM"] = scenario.one_signal(scenario.start_training(), signal.SIGTERM)
    for name in ("raylet", "gcs_server"):
        driver = scenario.start_training()
        losses[f"SIGKILL of the {name}"] = scenario.killed_ray_process(driver, name)
    for seconds, number in (
        (0.2, signal.SIGINT),
        (1.5, signal.SIGINT),
        (4.0, signal.SIGTERM),
        (8.0, signal.SIGINT),
        (12.0, signal.SIGTERM),
    ):
        fault = f"{number.name} while it starts"
        losses.setdefault(fault, [])
        losses[fault] += scenario.signal_during_start(seconds, number)
    end = check_exit(Driver(scenario.sweep, scenario.run, cores=2), 0)
    losses["(the run of these, at the end)"] = end + check_complete(scenario.run, scenario.witness)
    return losses


def damaged_files_and_a_clock_that_jumps(folder: Path) -> Losses:
    run = RunDir(folder / "run")
    sweep = sweep_writer(folder)(epochs=30)
    driver = Driver(sweep, run, cores=2)
    driver.wait_for_epochs(8)
    driver.kill()
    epochs_before = journal_epochs(run)
    number = _interrupted_trial(run)
    last = run.trial(number) / checkpoint.LAST
    last.write_bytes(last.read_bytes()[:-8] + b"\xff" * 8)
    partial = run.trial(number) / f".{checkpoint.LAST}.99999"
    partial.write_bytes(last.read_bytes()[:100])
    _move_times_and_tear_last_line(run)
    losses = check_exit(Driver(sweep, run, cores=2), 0) + check_complete(run, max_retrained=30)
    is_same_start = journal_epochs(run)[: len(epochs_before)] == epochs_before
    losses += unless(is_same_start, "the journal does not start with the same lines")
    is_set_aside = (run.trial(number) / f"{checkpoint.LAST}.damaged").exists()
    is_resumed = log_of(run, number).count("epoch 1: ") == 1
    return {
        "a torn line in the journal": list(losses),
        "a damaged last checkpoint: the previous one is used": [
            *losses,
            *unless(is_set_aside, "the damaged checkpoint was not set aside"),
            *unless(is_resumed, "its trial restarted from the beginning"),
        ],
        "a partial file that was left": losses + unless(not partial.exists(), "it still exists"),
        "a clock that jumps back and forward": losses
        + unless(run.report_html.exists(), "there is no page"),
    }


def _interrupted_trial(run: RunDir) -> int:
    """A trial that was interrupted after its second epoch."""
    for number, record in run.records().items():
        if record.state == TrialState.INTERRUPTED and record.last_epoch > 2:
            return number
    raise ValueError("no trial was interrupted after its second epoch")


def _move_times_and_tear_last_line(run: RunDir) -> None:
    """Move some events an hour back and the last one a day forward, and add half a line."""
    lines = [json.loads(line) for line in run.journal.read_text().splitlines()]
    for line in lines[len(lines) // 3 + 1 : len(lines) // 2]:
        line["time"] -= 3600
    lines[-1]["time"] += 86400
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_whole(run.journal, text + '{"event":"epoch","trial":1,"ep')


def trials_that_fail(folder: Path) -> Losses:
    kinds = ["none", "raise", "exit", "nan", "hungry", "crowded", "starved", "hang"]
    run = RunDir(folder / "run")
    sweep = failing_sweep(sweep_writer(folder), kinds, epochs=4)
    driver = Driver(sweep, run, "--max-failures", "0", "--epoch-timeout", "45", cores=2)
    losses = check_exit(driver, 1)
    records = {str(record.config["arch.kind"]): record for record in run.records().values()}

    def check(kind: str, state: TrialState, reason: str, starts: int = 1) -> list[str]:
        record = records[kind]
        is_expected = (
            record.state == state and reason in record.reason and len(record.starts) == starts
        )
        actual = f"{kind}: {record.state}, {record.reason}, {len(record.starts)} starts"
        return losses + unless(is_expected, actual)

    failed = TrialState.FAILED
    finished = TrialState.FINISHED
    out_of_memory = TrialState.OUT_OF_MEMORY
    no_best = records["nan"].best("val_loss", "min") is None
    return {
        "a trial that raises": check("raise", failed, "RuntimeError: the layer is tired"),
        "a trial whose process exits, each time": check(
            "exit", failed, "its worker died 4 times in a row", 4
        ),
        "a loss that is not finite": check("nan", TrialState.DIVERGED, "epoch 2")
        + unless(no_best, "it is ranked"),
        "out of memory (CUDA) twice": check("hungry", out_of_memory, "out of memory on the GPU", 2),
        "out of memory (CUDA) once, while others run": check(
            "crowded", finished, "all 4 epochs", 2
        ),
        "out of memory (CPU)": check("starved", out_of_memory, "MemoryError", 2),
        "a trial that hangs": check("hang", failed, "hung: no epoch for"),
        "(a trial beside all these)": check("none", finished, "all 4 epochs"),
    }


def consecutive_failures(folder: Path) -> Losses:
    run = RunDir(folder / "run")
    sweep = failing_sweep(
        sweep_writer(folder), [f"broken{number}" for number in range(6)], epochs=1
    )
    driver = Driver(sweep, run, "--max-failures", "3")
    losses = check_exit(driver, 1, "gave up: 3 trials failed one after another")
    states = [record.state for record in run.records().values()]
    expected = [TrialState.FAILED] * 3 + [TrialState.PENDING] * 3
    return {"consecutive failures": losses + unless(states == expected, f"states {states}")}


def a_disk_that_is_full_or_read_only(folder: Path) -> Losses:
    """On a small disk, which only root can mount."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=260m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return {"(a full disk, a read-only folder: skipped, because no disk can be mounted)": []}
    try:
        return _fill_and_lock_disk(folder, disk)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _fill_and_lock_disk(folder: Path, disk: Path) -> Losses:
    losses: Losses = {}
    run = RunDir(folder / "logs" / "run")
    sweep = sweep_writer(folder)(epochs=200)
    run.path.parent.mkdir()
    run.path.symlink_to(disk / "run")
    (disk / "run").mkdir()
    driver = Driver(sweep, run, cores=2)
    driver.wait_for_epochs(2)
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        wait_until(lambda: not _can_write(file.fileno()), "the disk is full")
    end = check_exit(driver, 3)
    causes = ("No space left on device", "MB are free on the disk")
    is_reported = any(cause in driver.output for cause in causes)
    losses["a full disk"] = end + unless(is_reported, f"not reported: {driver.output}")
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    driver = Driver(sweep, run, cores=2)
    losses["a read-only folder"] = check_exit(driver, (2, 3), "Read-only file system")
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    end = check_exit(Driver(sweep, run, cores=2), 0)
    losses["(the run of these, at the end)"] = end + check_complete(run)
    return losses


def _can_write(file: int) -> bool:
    try:
        return os.write(file, bytes(1_000_000)) > 0
    except OSError:
        return False


def rays_memory_monitor(folder: Path) -> Losses:
    """Ray kills the worker that uses too much memory, and ends the whole sweep because of it.

    The limit is set just above the memory that is used now.
    """
    kilobytes: dict[str, int] = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, size = line.partition(":")
        kilobytes[name] = int(size.split()[0])
    used_share = 1 - kilobytes["MemAvailable"] / kilobytes["MemTotal"]
    limit = used_share + 4e6 / kilobytes["MemTotal"]
    environment = {
        "RAY_memory_usage_threshold": f"{limit:.4f}",
        "RAY_memory_monitor_refresh_ms": "50",
    }
    run = RunDir(folder / "run")
    sweep = failing_sweep(sweep_writer(folder), ["greedy", "none", "none2"], epochs=3)
    losses = check_exit(Driver(sweep, run, cores=2, environment=environment), 1)
    states = [record.state for record in run.records().values()]
    expected = [TrialState.OUT_OF_MEMORY, TrialState.FINISHED, TrialState.FINISHED]
    return {"Ray's own out-of-memory kill": losses + unless(states == expected, f"states {states}")}


SCENARIOS: list[Scenario] = [
    signals_lost_processes_and_two_commands,
    damaged_files_and_a_clock_that_jumps,
    trials_that_fail,
    consecutive_failures,
    a_disk_that_is_full_or_read_only,
    rays_memory_monitor,
]
