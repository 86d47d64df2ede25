"""The CPUs that a process may use in containers and under SLURM."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cae.cli.app import app
from cae.sweep.places import cpu_limits
from cae.sweep.places.base import ResourceOptions
from cae.sweep.places.cpu_limits import SLURM_VARIABLE, cgroup_quota, count_cpus
from cae.sweep.places.local import LocalPlace


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


CASES: list[tuple[str, dict[str, str], float | None]] = [
    ("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0),
    ("0::/\n", {"cpu.max": "max 100000\n"}, None),
    ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}, 1.5),
    ("0::/outside/docker/x\n", {"cpu.max": "300000 100000\n"}, 3.0),
    (
        "5:memory:/m\n4:cpu,cpuacct:/docker/x\n",
        {"cpu,cpuacct/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        4.0,
    ),
    (
        "4:cpu,cpuacct:/\n",
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        None,
    ),
    ("0::/\n", {}, None),
    ("0::/\n", {"cpu.max": "garbage\n"}, None),
]


@pytest.mark.parametrize(("own", "files", "expected"), CASES)
def test_the_quota_of_a_container(
    own: str, files: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    write(tmp_path, {"own": own})
    write(tmp_path / "cgroups", files)
    assert cgroup_quota(tmp_path / "cgroups", tmp_path / "own") == expected


def test_a_machine_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path, tmp_path / "missing") is None


@pytest.fixture
def _sixty_four_cpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(cpu_limits, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(cpu_limits, "CGROUPS", tmp_path)
    monkeypatch.delenv(SLURM_VARIABLE, raising=False)


@pytest.mark.usefixtures("_sixty_four_cpus")
def test_the_smallest_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert count_cpus() == 64
    monkeypatch.setenv(SLURM_VARIABLE, "6")
    assert count_cpus() == 6
    write(tmp_path, {"own": "0::/\n", "cpu.max": "250000 100000\n"})
    assert count_cpus() == 2
    write(tmp_path, {"cpu.max": "50000 100000\n"})
    assert count_cpus() == 1


@pytest.mark.usefixtures("_sixty_four_cpus")
def test_a_quota_bounds_the_slots_and_the_option_overrides_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SLURM_VARIABLE, "4")
    assert LocalPlace(ResourceOptions(gpus=0)).resources().slots == 4
    assert LocalPlace(ResourceOptions(gpus=0, cpus_per_trial=2)).resources().slots == 2
    assert LocalPlace(ResourceOptions(gpus=0, slots=7)).resources().slots == 7
    shared = ResourceOptions(gpus=0, slots=3, cpus_per_trial=0.5)
    assert LocalPlace(shared).resources().slots == 3


def test_slots_are_of_this_machine_only(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "sweeps/quickstart.py", "--slots", "3", "--address", "auto"]
    with pytest.raises(SystemExit) as caught:
        app(arguments)
    assert caught.value.code == 2
    assert "--slots 3" in capsys.readouterr().err
