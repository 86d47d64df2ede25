"""A run that another process runs: the command is refused before it does anything expensive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.errors import RunError
from cae.run.paths import RunDir
from cae.sweep.engine import session
from tests.places import TwoSlots

Write = Callable[..., Path]


def prepare(path: Path, **options: Any) -> session.Prepared:
    selection = session.Selection(
        sweep=path, out=Path("run"), budget="full", settings={}, max_trials=None, data_dir=None
    )
    return session.prepare(selection, **options)


@pytest.fixture
def refuse_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_images(*_: object) -> None:
        raise AssertionError("the images were read")

    monkeypatch.setattr(session, "load_images", load_images)


@pytest.mark.usefixtures("refuse_images")
def test_a_run_in_use_is_refused_before_the_images_are_read(sweep_file: Write) -> None:
    path = sweep_file()
    with RunDir("run").lock(), pytest.raises(RunError, match="run is in use by process"):
        prepare(path, is_for_run=True)
    with pytest.raises(AssertionError, match="the images were read"):
        prepare(path, is_for_run=True)


def test_the_plan_of_a_run_in_use_can_be_read(sweep_file: Write) -> None:
    path = sweep_file()
    with RunDir("run").lock():
        assert len(prepare(path).plan.trials) == 1


def test_nothing_starts_before_the_run_is_locked(
    sweep_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have taken the run after the plan was made."""
    prepared = prepare(sweep_file(), is_for_run=True)
    started: list[str] = []

    def connect(*_: object, **__: object) -> None:
        started.append("Ray")
        raise RunError("Ray is not started in this test")

    monkeypatch.setattr(TwoSlots, "connect", connect)

    def execute() -> None:
        session.execute(
            prepared, TwoSlots(), command="a test", before_start=lambda: started.append("line")
        )

    with RunDir("run").lock(), pytest.raises(RunError, match="in use by"):
        execute()
    assert started == []
    with pytest.raises(RunError, match="not started in this test"):
        execute()
    assert started == ["line", "Ray"]
