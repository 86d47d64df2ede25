"""What this machine is, in words: device, versions, commit."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

from cae.sweep.spec.packaged_sweeps import is_installed
from cae.version import __version__

VERSIONED_PACKAGES = ("torch", "ray", "numpy")
GIT_TIMEOUT_SECONDS = 10


def explain_gpus() -> str:
    """Why PyTorch finds as many GPUs as it does."""
    if torch.version.cuda is None:
        return "this build of torch has no CUDA"
    if os.environ.get("CUDA_VISIBLE_DEVICES"):
        return "CUDA_VISIBLE_DEVICES hides the others"
    return "torch.cuda.device_count()"


def device_name(cpus: int, gpus: int) -> str:
    """What trials run on, for example "4 x NVIDIA A100" or "cpu: 2 x AMD EPYC"."""
    if gpus and torch.cuda.is_available():
        return f"{gpus} x {torch.cuda.get_device_name(0)}"
    return f"cpu: {cpus} x {_cpu_model()}"


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of everything that the numbers of a run depend on."""
    versions = {"python": platform.python_version(), "cae-sweep": __version__}
    for package in VERSIONED_PACKAGES:
        versions[package] = importlib.metadata.version(package)
    return versions


def git_commit(folder: Path) -> str:
    """The commit of a folder's repository, with `-dirty` if it has changes; empty outside one.

    Empty for an installed package, too: a repository around it belongs to somebody else.
    """
    if is_installed(folder):
        return ""
    command = ["git", "-C", str(folder), "describe"]
    command += ["--always", "--dirty", "--abbrev=12", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_TIMEOUT_SECONDS, check=False
        )
        if result.returncode == 0:
            return result.stdout.strip()
    return ""
