"""Limits that are too small for Ray are an error, with a remedy, before Ray starts."""

from __future__ import annotations

import pytest

from cae.container_limits import FreeTasks
from cae.errors import RunError
from cae.sweep.places import ray_needs
from cae.sweep.places.ray_needs import check_needs
from tests.places import TwoSlots

PLENTY = 10**12


def set_limits(monkeypatch: pytest.MonkeyPatch, tasks: int, memory: int) -> None:
    monkeypatch.setattr(ray_needs, "free_tasks", lambda: FreeTasks(tasks, 300, "pids.max"))
    monkeypatch.setattr(ray_needs, "memory_limit", lambda: memory)


def test_limits_that_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    set_limits(monkeypatch, 230, 1_200_000_000)
    check_needs(slots=2)
    monkeypatch.setattr(ray_needs, "free_tasks", lambda: None)
    check_needs(slots=2)


def test_all_limits_are_reported_with_the_number_of_slots_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_limits(monkeypatch, 290, 2_000_000_000)
    with pytest.raises(RunError) as error:
        check_needs(slots=64)
    tasks, memory = error.value.messages
    assert tasks.startswith("290 of 300 processes and threads are free (pids.max), and Ray with 64")
    assert tasks.endswith("`ulimit -u`), or use --slots 3")
    assert "has 2,000 MB of memory, and Ray with 64 trials at a time needs" in memory
    assert memory.endswith("or use --slots 4")


@pytest.mark.parametrize(("tasks", "memory"), [(60, PLENTY), (PLENTY, 500_000_000)])
def test_limits_that_no_number_of_slots_meets(
    tasks: int, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limits(monkeypatch, tasks, memory)
    with pytest.raises(RunError, match="raise the limit") as error:
        check_needs(slots=1)
    assert "--slots" not in str(error.value)


def test_ray_does_not_start_without_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from cae.sweep.places.local import local_ray

    set_limits(monkeypatch, 60, PLENTY)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(RunError, match="60 of 300"), local_ray(TwoSlots().resources()):
        pass
