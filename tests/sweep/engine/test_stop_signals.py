"""Signals that stop a sweep: the first one is acknowledged at once, the second one ends it."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cae.signals import stop_signals
from cae.sweep.engine import interruptions


@pytest.fixture
def ignored_hangup() -> Any:
    """As `nohup` starts a command."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_acknowledged_at_once_and_stops_the_sweep(
    number: signal.Signals, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = SimpleNamespace(stop_reason="", running_trials=3)
    codes: list[int] = []
    monkeypatch.setattr(interruptions, "_exit_immediately", codes.append)
    at_start = signal.signal(number, signal.SIG_DFL)  # pytest may run under nohup
    with interruptions.stop_on_signals(cast(Any, recorder)):
        os.kill(os.getpid(), number)
        assert recorder.stop_reason == f"interrupted by {number.name}"
        printed = capsys.readouterr().err
        assert f"{recorder.stop_reason}; stopping: saving 3 trials, " in printed
        assert ("press Ctrl-C again" in printed) == (number == signal.SIGINT)
        assert codes == []
        os.kill(os.getpid(), number)
        assert codes == [128 + number]
    assert signal.signal(number, at_start) == signal.SIG_DFL


@pytest.mark.usefixtures("ignored_hangup")
def test_nohup_keeps_a_sweep_running_after_the_terminal_ends() -> None:
    recorder = SimpleNamespace(stop_reason="")
    with interruptions.stop_on_signals(cast(Any, recorder)):
        os.kill(os.getpid(), signal.SIGHUP)
    assert recorder.stop_reason == ""
    assert stop_signals() == [signal.SIGINT, signal.SIGTERM]
