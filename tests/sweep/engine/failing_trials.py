"""Sweeps whose trials fail, each in its own way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCE = '''
import errno
import glob
import os
import time

import torch
from torch import nn

from cae import Architecture


class Failing(Architecture):
    """A network with one weight that fails as `kind` describes."""

    kind: str = "none"

    def build(self, input_shape, output_shape):
        return Layer(self.kind)


class Layer(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.calls = 0

    def forward(self, images):
        self.calls += self.training
        is_fixed = os.path.exists("FLAG-fixed")
        if self.kind == "raise" and self.calls > 5 and not is_fixed:
            raise RuntimeError("the layer is tired")
        if self.kind.startswith("broken") and self.training and not is_fixed:
            raise RuntimeError("the layer is tired")
        if self.kind == "nan" and self.training and self.calls > 5 and not is_fixed:
            return images * self.weight * float("nan")
        if self.kind == "slow" and self.training:
            time.sleep(0.1)
        if self.kind == "hang" and self.calls > 3:
            time.sleep(600)
        if self.kind.startswith("pair") and self.training:
            open(f"FLAG-{os.getpid()}", "w").close()
            while len(glob.glob("FLAG-*")) < 2:
                time.sleep(0.05)
        if self.kind == "forks" and self.calls > 4 and not os.path.exists("FLAG"):
            child = os.fork()
            if child == 0:
                time.sleep(600)
                os._exit(0)
            with open("FLAG", "w") as file:
                file.write(str(child))
            os.kill(os.getpid(), 9)
        if self.kind == "exit" and self.training:
            os._exit(1)
        if self.kind == "hungry" and self.training:
            raise torch.OutOfMemoryError("a lot was asked for")
        if self.kind == "starved" and self.training:
            raise MemoryError("the machine has no more")
        if self.kind == "greedy" and self.training:
            self.held = [bytearray(os.urandom(1) * 100_000_000) for _ in range(100)]
        if self.kind == "crowded" and self.training and not os.path.exists("FLAG"):
            open("FLAG", "w").close()
            raise torch.OutOfMemoryError("somebody else had it")
        if self.kind == "full" and self.calls > 4 and not os.path.exists("FLAG"):
            raise OSError(errno.ENOSPC, "No space left on device", "FLAG")
        return images * self.weight
'''


def failing_sweep(write: Callable[..., Path], kinds: list[str], **more: Any) -> Path:
    """Write a sweep with a trial of each kind. FLAG is the file `flag` beside it.

    With the file `flag-fixed`, trials of the kinds `raise`, `broken` and `nan` do not fail.
    """
    path = write(f"{{'arch': 'failing', 'arch.kind': tune.grid_search({kinds})}}", **more)
    path.write_text(SOURCE.replace("FLAG", str(path.parent / "flag")) + path.read_text())
    return path
