"""The memory and tasks that control groups and `ulimit` leave to a process."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from cae import container_limits
from cae.container_limits import FreeTasks, free_tasks, memory_limit
from cae.trial.networks.base import sizes
from cae.trial.networks.dense import DenseAutoencoder

GroupFiles = Callable[[str, dict[str, str]], Path]
NO_LIMIT_V1 = "9223372036854771712\n"


@pytest.fixture
def group_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GroupFiles:
    """Writes what the files of control groups contain; returns their folder."""

    def write(own: str, files: dict[str, str]) -> Path:
        monkeypatch.setattr(container_limits, "OWN_CGROUPS", tmp_path / "own")
        monkeypatch.setattr(container_limits, "CGROUPS", tmp_path / "cgroup")
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path / "cgroup"

    return write


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "2000000\n"}),
        ("0::/outside/docker/x\n", {"memory.max": "2000000\n"}),
        (
            "5:pids:/p\n4:memory:/docker/x\n",
            {
                "memory/docker/x/memory.limit_in_bytes": "2000000\n",
                "memory/memory.limit_in_bytes": NO_LIMIT_V1,
            },
        ),
    ],
)
def test_the_memory_of_a_container(
    own: str, files: dict[str, str], group_files: GroupFiles
) -> None:
    group_files(own, files)
    assert memory_limit() == 2_000_000


def test_without_a_container_the_memory_is_that_of_the_machine(group_files: GroupFiles) -> None:
    group_files("4:memory:/\n", {"memory/memory.limit_in_bytes": NO_LIMIT_V1})
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(line for line in lines if line.startswith("MemTotal"))
    assert memory_limit() == 1024 * int(total.split()[1])


def test_a_network_has_to_fit_into_the_memory_of_the_container(group_files: GroupFiles) -> None:
    group_files("0::/\n", {"memory.max": "100000000\n"})
    shape = (1, 32, 32)
    sizes(DenseAutoencoder(hidden_units=(16,)), shape, shape)
    with pytest.raises(ValueError, match=re.escape("container has 0.1 GB of memory")):
        sizes(DenseAutoencoder(hidden_units=(10_000,)), shape, shape)


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        (
            "0::/a/b\n",
            {
                "a/b/pids.max": "max\n",
                "a/b/pids.current": "10\n",
                "a/pids.max": "100\n",
                "a/pids.current": "30\n",
            },
            (70, 100, "a/pids.max"),
        ),
        (
            "8:pids:/docker/x\n0::/\n",
            {"pids/pids.max": "60\n", "pids/pids.current": "55\n"},
            (5, 60, "pids/pids.max"),
        ),
        ("8:pids:/\n", {"pids/pids.max": "max\n", "pids/pids.current": "55\n"}, None),
    ],
)
def test_the_tasks_of_a_container(
    own: str,
    files: dict[str, str],
    expected: tuple[int, int, str] | None,
    group_files: GroupFiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    folder = group_files(own, files)
    if expected is None:
        assert free_tasks() is None
    else:
        count, limit, file = expected
        assert free_tasks() == FreeTasks(count, limit, str(folder / file))


def test_the_tasks_of_a_user(group_files: GroupFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    group_files("0::/\n", {})
    monkeypatch.setattr(resource, "getrlimit", lambda _: (190, 190))
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert free_tasks() is None, "the limit is not for root"
    own = container_limits._count_own_tasks()
    monkeypatch.setattr(os, "getuid", lambda: 65533)
    assert free_tasks() == FreeTasks(190, 190, "ulimit -u"), "this user has no process"
    assert own > 0
