"""What trials used of their devices: memory, and how busy a GPU was."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cae.report.data.columns import USAGE
from cae.report.data.results import Results


@dataclass(frozen=True)
class DeviceUsage:
    """What the trials that ended on a kind of device used. NaN: no trial recorded it."""

    device: str
    trials: int
    """How many trials recorded anything."""
    peak_host_bytes: float
    """The most memory of a worker, with the images that it shares with other workers."""
    peak_gpu_bytes: float
    """The most memory of a GPU that PyTorch reserved for a trial."""
    gpu_busy: float
    """Share of the time in which the GPU executed kernels, of this trial or others: the mean of the
    trials, in [0, 1]."""


def usage_by_device(results: Results) -> list[DeviceUsage]:
    """The usage by device, in the order of their names; empty if no trial recorded it."""
    trials = results.trials
    columns = {name: _numbers(trials, name) for name in USAGE}
    frame = pd.DataFrame(columns, index=trials.index)
    frame = frame.dropna(how="all")
    usages: list[DeviceUsage] = []
    for device, group in frame.groupby(trials["device"].loc[frame.index], sort=True):
        usages.append(
            DeviceUsage(
                device=str(device),
                trials=len(group),
                peak_host_bytes=_largest(group["peak_host_bytes"]),
                peak_gpu_bytes=_largest(group["peak_gpu_bytes"]),
                gpu_busy=float(group["gpu_busy"].mean()),
            )
        )
    return usages


def _numbers(trials: pd.DataFrame, name: str) -> pd.Series[float]:
    if name not in trials:
        return pd.Series(np.nan, index=trials.index, dtype=float)
    return pd.to_numeric(trials[name], errors="coerce").astype(float)


def _largest(values: pd.Series[float]) -> float:
    if values.notna().any():
        return float(values.max())
    return math.nan
