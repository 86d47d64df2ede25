"""What all stages share: checks with limits, and the result that becomes a JSON file."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """A value that has to be within limits."""

    name: str
    value: float
    at_most: float = math.inf
    at_least: float = -math.inf

    @property
    def passed(self) -> bool:
        """Whether the value is within the limits; NaN never is."""
        return self.at_least <= self.value <= self.at_most

    def text(self) -> str:
        """Return the check in words."""
        limits = []
        if self.at_most < math.inf:
            limits.append(f"at most {self.at_most:g}")
        if self.at_least > -math.inf:
            limits.append(f"at least {self.at_least:g}")
        return f"{self.name} = {self.value:.4g} ({', '.join(limits)})"


@dataclass
class Stage:
    """A running stage: its options, and what it has found so far."""

    name: str
    device: torch.device
    """Where the tested code runs; the CPU in a rehearsal."""
    folder: Path
    """For files of the stage; exists."""
    seconds: float
    """The deadline, in seconds after the start."""
    file: Path | None = None
    """Where the result is written."""
    checks: list[Check] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    """Measurements, one dictionary each."""
    facts: Row = field(default_factory=dict)
    """Names and versions."""
    started: float = field(default_factory=time.monotonic)

    @property
    def is_rehearsal(self) -> bool:
        """Whether there is no GPU: numbers are meaningless, and limits of speed do not apply."""
        return self.device.type != "cuda"

    @property
    def remaining(self) -> float:
        """Seconds before the deadline."""
        return self.seconds - (time.monotonic() - self.started)

    def at_most(self, name: str, value: float, limit: float) -> None:
        """Check that a value is not larger than a limit."""
        self.checks.append(Check(name, value, at_most=limit))

    def at_least(self, name: str, value: float, limit: float) -> None:
        """Check that a value is not smaller than a limit."""
        self.checks.append(Check(name, value, at_least=limit))

    def holds(self, name: str, condition: bool) -> None:
        """Check that something is true (1) and not false (0)."""
        self.checks.append(Check(name, float(condition), at_least=1))

    def save(self, error: str = "unfinished") -> None:
        """Write the result so far: a stage that is ended keeps what it has measured."""
        if self.file is not None:
            self.file.write_text(json.dumps(self.result(error), indent=1))

    def result(self, error: str = "") -> Row:
        """Return the result, ready for the json module."""
        failed = [check.text() for check in self.checks if not check.passed]
        return {
            "stage": self.name,
            "device": str(self.device),
            "passed": not failed and not error,
            "seconds": round(time.monotonic() - self.started, 1),
            "error": error,
            "failed": failed,
            "facts": self.facts,
            "rows": self.rows,
            "checks": [dataclasses.asdict(check) for check in self.checks],
        }
