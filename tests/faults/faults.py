"""Every fault but the random kills, each by a script of its own.

A scenario returns, for each fault that it did, in words what was lost or went otherwise than planned: nothing, as a rule.
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
from cae.trial import checkpoint
from tests.conftest import SWEEP
from tests.faults.checks import Witness, log_of
from tests.faults.driver import Driver, epochs, kill, until
from tests.sweep.engine.failing_trials import troubled
from tests.undisturbed import undisturbed

Faults = dict[str, list[str]]
Scenario = Callable[[Path], Faults]

SPACE = "{'optimizer.lr': tune.grid_search([1e-3, 3e-3, 1e-2]), 'dataset.train_images': 900}"


def write_sweep(folder: Path) -> Callable[..., Path]:
    def write(space: str = SPACE, *, epochs: int = 2, more: str = "", name: str = "small") -> Path:
        path = folder / f"{name}.py"
        path.write_text(SWEEP.format(space=space, epochs=epochs, more=more))
        return path

    return write


def told(run: RunDir) -> str:
    """What all commands on this run have printed."""
    return (run.path.parent / f"{run.name}.log").read_text()


def closed(run: RunDir) -> str:
    return next(
        (event.reason for event in reversed(list(run.events())) if isinstance(event, SessionEnded)),
        "",
    )


def unless(holds: bool, otherwise: str) -> list[str]:
    return [] if holds else [otherwise]


def ended(driver: Driver, codes: int | tuple[int, ...], *words: str) -> list[str]:
    """What is wrong with how a command ended: its exit code, or words that it has not said, or a traceback that it has."""
    codes = (codes,) if isinstance(codes, int) else codes
    found = driver.wait()
    said = told(driver.run)[driver.said_before :]
    missing = [word for word in words if word not in said]
    return (
        unless(found in codes, f"exit code {found}, not {codes}")
        + unless(not missing, f"not told: {missing}")
        + unless("Traceback" not in said, f"a traceback was told: {said[-600:]}")
    )


def whole(run: RunDir, witness: Witness | None = None) -> list[str]:
    """What a run of `SPACE`, complete now, lost against trials that nothing disturbed."""
    records, stand = run.records(), epochs(run)
    lost = unless(len(stand) == len(set(stand)), "an epoch stands twice") + (
        witness.losses(run) if witness else []
    )
    for number, record in records.items():
        lost += unless(record.state == "finished", f"trial {number} is {record.state}")
        found = [row["val_loss"] for _, row in sorted(record.epochs.items())]
        lost += unless(found == undisturbed(run, number), f"trial {number} has other losses")
    return lost


def signals_lost_processes_and_two_commands(folder: Path) -> Faults:
    run, sweep, witness, faults = (
        RunDir(folder / "run"),
        write_sweep(folder)(epochs=150),
        Witness(),
        Faults(),
    )

    def begin() -> Driver:
        witness.look(run, list(run.records()))  # between two commands no worker lives
        return Driver(sweep, run, cores=2)

    def running(driver: Driver) -> Driver:
        driver.came_to(2)
        if not driver.alive:
            raise TimeoutError(
                "the sweep is too short for this machine: it ended before it could be disturbed"
            )
        return driver

    driver = begin()
    until(run.in_use, "the run is in use")
    faults["a second command on the same run"] = ended(
        Driver(sweep, run, cores=2), 2, "is in use by process"
    )
    running(driver).signal(signal.SIGINT)
    faults["SIGINT once"] = ended(
        driver, 130, "interrupted by SIGINT", "the same command goes on"
    ) + unless(closed(run) == "interrupted by SIGINT", closed(run))
    driver = running(begin())
    driver.signal(signal.SIGINT)
    time.sleep(2)  # two that come before the first is heard are one
    second = time.monotonic()
    driver.signal(signal.SIGINT)
    driver.process.wait(30)
    faults["SIGINT twice"] = ended(driver, 130) + unless(
        time.monotonic() - second < 10, "the second SIGINT did not end it at once"
    )
    driver = running(begin())
    driver.signal(signal.SIGTERM)
    faults["SIGTERM"] = ended(driver, 130, "interrupted by SIGTERM") + unless(
        closed(run) == "interrupted by SIGTERM", closed(run)
    )
    for name in ("raylet", "gcs_server"):
        driver = running(begin())
        kill(driver.child(name))
        sentence = f"Ray's {name} on this machine ended"
        faults[f"SIGKILL of the {name}"] = ended(
            driver, 1, sentence, "the same command goes on"
        ) + unless(sentence in closed(run), closed(run))
    for after_s, kind in (
        (0.2, signal.SIGINT),
        (1.5, signal.SIGINT),
        (4.0, signal.SIGTERM),
        (8.0, signal.SIGINT),
        (12.0, signal.SIGTERM),
    ):
        driver = begin()
        time.sleep(after_s)  # wherever that is: the point is that it may be anywhere
        driver.signal(kind)
        name = f"{kind.name} while it starts"
        code = driver.wait()
        fine = code in (130, -kind)  # before Python listens, a signal is the end by itself
        faults[name] = faults.get(name, []) + unless(fine, f"after {after_s} s: exit code {code}")
        faults[name] += unless(
            "Traceback" not in told(run)[driver.said_before :], f"after {after_s} s: a traceback"
        )
    faults["(the run of these, in the end)"] = ended(Driver(sweep, run, cores=2), 0) + whole(
        run, witness
    )
    return faults


def damaged_files_and_a_clock_that_jumps(folder: Path) -> Faults:
    run, sweep = RunDir(folder / "run"), write_sweep(folder)(epochs=30)
    driver = Driver(sweep, run, cores=2)
    driver.came_to(8)
    driver.kill()
    first = epochs(run)
    number = next(
        number
        for number, record in run.records().items()
        if record.state == "interrupted" and record.last_epoch > 2
    )
    last = run.trial(number) / checkpoint.LAST
    damaged = bytearray(last.read_bytes())
    damaged[-8:] = b"\xff" * 8
    last.write_bytes(damaged)
    aside = run.trial(number) / f".{checkpoint.LAST}.99999"
    aside.write_bytes(last.read_bytes()[:100])
    lines = [json.loads(line) for line in run.journal.read_text().splitlines()]
    for place, event in enumerate(lines):  # an hour back, and a day forward
        event["time"] += (
            -3600
            if len(lines) // 3 < place < len(lines) // 2
            else 86400
            if place == len(lines) - 1
            else 0
        )
    write_whole(
        run.journal,
        "".join(json.dumps(event) + "\n" for event in lines) + '{"event":"epoch","trial":1,"ep',
    )
    end = ended(Driver(sweep, run, cores=2), 0)
    lost = (
        end
        + whole(run)
        + unless(epochs(run)[: len(first)] == first, "the journal's first lines are others")
    )
    resumed = log_of(run, number)
    return {
        "a torn line in the journal": list(lost),
        "a damaged last checkpoint: the one before it is used": lost
        + unless(
            (run.trial(number) / f"{checkpoint.LAST}.damaged").exists(),
            "the damaged checkpoint was not set aside",
        )
        + unless(resumed.count("epoch 1: ") == 1, "its trial began from nothing"),
        "a half-written file that was left": lost + unless(not aside.exists(), "it is still there"),
        "a clock that jumps, back and forward": lost + unless(run.report_html.exists(), "no page"),
    }


def trials_that_go_wrong(folder: Path) -> Faults:
    kinds = ["none", "raise", "exit", "nan", "hungry", "crowded", "starved", "hang"]
    run, sweep = RunDir(folder / "run"), troubled(write_sweep(folder), kinds, epochs=4)
    lost = ended(Driver(sweep, run, "--max-failures", "0", "--epoch-timeout", "45", cores=2), 1)
    of = {str(record.config["arch.kind"]): record for record in run.records().values()}

    def is_(kind: str, state: str, reason: str, starts: int = 1) -> list[str]:
        record = of[kind]
        said, began = str(record.reason), len(record.starts)
        return lost + unless(
            record.state == state and reason in said and began == starts,
            f"{kind}: {record.state}, {said}, {began} starts",
        )

    return {
        "a trial that raises": is_("raise", "failed", "RuntimeError: the layer is tired"),
        "a trial whose process exits, each time": is_(
            "exit", "failed", "its worker was lost 4 times in a row", 4
        ),
        "a loss that is not finite": is_("nan", "diverged", "epoch 2")
        + unless(of["nan"].best("val_loss", "min") is None, "it is ranked"),
        "out of memory (CUDA's error) twice": is_("hungry", "oom", "out of memory on the GPU", 2),
        "out of memory (CUDA's error) once, beside others": is_(
            "crowded", "finished", "all 4 epochs", 2
        ),
        "out of memory (CPU)": is_("starved", "oom", "MemoryError", 2),
        "a trial that hangs": is_("hang", "failed", "hung: no epoch for"),
        "(a trial beside all these)": is_("none", "finished", "all 4 epochs"),
    }


def failures_in_a_row(folder: Path) -> Faults:
    run = RunDir(folder / "run")
    sweep = troubled(write_sweep(folder), [f"broken{number}" for number in range(6)], epochs=1)
    lost = ended(
        Driver(sweep, run, "--max-failures", "3"), 1, "given up: 3 trials failed one after another"
    )
    states = [record.state for record in run.records().values()]
    return {
        "failures in a row": lost
        + unless(states == ["failed"] * 3 + ["pending"] * 3, f"states {states}")
    }


def a_disk_that_is_full_or_read_only(folder: Path) -> Faults:
    """On a small disk of its own, which only root can mount."""
    disk = folder / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=260m", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        return {"(a full disk, a read-only folder: not tried, for no disk can be mounted here)": []}
    try:
        run, sweep, faults = (
            RunDir(folder / "logs" / "run"),
            write_sweep(folder)(epochs=40),
            Faults(),
        )
        run.path.parent.mkdir()
        run.path.symlink_to(disk / "run")
        (disk / "run").mkdir()
        driver = Driver(sweep, run, cores=2)
        driver.came_to(2)
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            until(lambda: not _writes(file.fileno()), "the disk fills")
        lost = ended(driver, (1, 2))  # 2: where even the page could not be written any more
        words = any(
            word in told(run) for word in ("No space left on device", "MB are free on the disk")
        )
        faults["a full disk"] = lost + unless(words, f"not told: {told(run)}")
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        faults["a read-only folder"] = ended(
            Driver(sweep, run, cores=2), 2, "Read-only file system"
        )
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        faults["(the run of these, in the end)"] = ended(Driver(sweep, run, cores=2), 0) + whole(
            run
        )
        return faults
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _writes(file: int) -> bool:
    try:
        return os.write(file, bytes(1_000_000)) > 0
    except OSError:
        return False


def rays_memory_monitor(folder: Path) -> Faults:
    """Ray kills the worker that makes memory scarce, and ends the whole sweep for it. The bound is set just above what is used now."""
    said = {
        name: int(size.split()[0])
        for name, size in (
            line.split(":") for line in Path("/proc/meminfo").read_text().splitlines()
        )
    }
    used = 1 - said["MemAvailable"] / said["MemTotal"]
    bound = {
        "RAY_memory_usage_threshold": f"{used + 4e6 / said['MemTotal']:.4f}",
        "RAY_memory_monitor_refresh_ms": "50",
    }
    run, sweep = (
        RunDir(folder / "run"),
        troubled(write_sweep(folder), ["greedy", "none", "none2"], epochs=3),
    )
    lost = ended(Driver(sweep, run, cores=2, environment=bound), 1)
    states = [record.state for record in run.records().values()]
    return {
        "Ray's own out-of-memory kill": lost
        + unless(states == ["oom", "finished", "finished"], f"states {states}")
    }


SCENARIOS: list[Scenario] = [
    signals_lost_processes_and_two_commands,
    damaged_files_and_a_clock_that_jumps,
    trials_that_go_wrong,
    failures_in_a_row,
    a_disk_that_is_full_or_read_only,
    rays_memory_monitor,
]
