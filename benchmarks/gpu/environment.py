"""What the machine is, and the ceilings of its GPU."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from benchmarks.gpu.stage import Stage
from cae.sweep.places.machine import versions
from cae.trial import torch_compat

MATRIX_SIDE = 8192
COPY_BYTES = 2**32
REPEATS = 10


def seconds_per_call(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the mean seconds of a call after three warm-up calls."""
    for _ in range(3):
        call()
    _wait(device)
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    _wait(device)
    return (time.perf_counter() - started) / repeats


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def run(stage: Stage) -> None:
    stage.facts |= {
        "python": platform.python_version(),
        **versions(),
        "cpus": len(os.sched_getaffinity(0)),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "tf32_of_convolutions_by_default": torch.backends.cudnn.allow_tf32,
        "tf32_of_products_by_default": torch.backends.cuda.matmul.allow_tf32,
        "mps_control": shutil.which("nvidia-cuda-mps-control"),
    }
    if stage.device.type == "cuda":
        properties = torch.cuda.get_device_properties(stage.device)
        stage.facts |= {
            "gpu": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": properties.total_memory / 2**30,
            "driver": _driver(),
        }
    _measure_ceilings(stage)
    stage.holds("TF32 differs from IEEE, or there is no GPU", _tf32_matters(stage))


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown ({error})"


def _measure_ceilings(stage: Stage) -> None:
    device = stage.device
    side, copied, repeats = MATRIX_SIDE, COPY_BYTES, REPEATS
    if stage.is_rehearsal:
        side, copied, repeats = 256, 2**20, 2
    seconds = _copy_seconds(copied, device, repeats)
    stage.rows.append({"ceiling": "copy, GB/s", "value": 2 * copied / seconds / 1e9})
    matrix = torch.randn(side, side, device=device)
    images = torch.randn(128, 64, 32, 32, device=device).to(memory_format=torch.channels_last)
    weight = torch.randn(64, 64, 3, 3, device=device).to(memory_format=torch.channels_last)
    product_operations = 2 * side**3
    convolution_operations = 2 * 9 * 64 * 64 * 32 * 32 * 128
    for precision in ("IEEE", "TF32", "bfloat16"):
        dtype = torch.float32
        if precision == "bfloat16":
            dtype = torch.bfloat16
        multiply = partial(torch.mm, matrix.to(dtype), matrix.to(dtype))
        convolve = partial(F.conv2d, images.to(dtype), weight.to(dtype), padding=1)
        contiguous = partial(
            F.conv2d, images.to(dtype).contiguous(), weight.to(dtype).contiguous(), padding=1
        )
        with torch_compat.gpu_numerics(tf32=precision == "TF32"):
            product = seconds_per_call(multiply, device, repeats)
            convolution = seconds_per_call(convolve, device, repeats)
            contiguous_convolution = seconds_per_call(contiguous, device, repeats)
        rates = {
            f"product, {precision}": product_operations / product / 1e12,
            f"convolution, channels last, {precision}": convolution_operations / convolution / 1e12,
            f"convolution, contiguous, {precision}": (
                convolution_operations / contiguous_convolution / 1e12
            ),
        }
        stage.rows += [{"ceiling": f"{name}, TFLOP/s", "value": rates[name]} for name in rates]


def _copy_seconds(copied: int, device: torch.device, repeats: int) -> float:
    source = torch.ones(copied // 4, device=device)
    target = torch.empty_like(source)
    return seconds_per_call(partial(target.copy_, source), device, repeats)


def _tf32_matters(stage: Stage) -> bool:
    """Whether `torch_compat.tf32` changes the numbers of a convolution, as it should on a GPU."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(32, 64, 16, 16, generator=generator).to(stage.device)
    weight = torch.randn(64, 64, 3, 3, generator=generator).to(stage.device)
    exact = F.conv2d(images.double(), weight.double())
    errors = []
    for enabled in (False, True):
        with torch_compat.gpu_numerics(tf32=enabled):
            difference = F.conv2d(images, weight).double() - exact
        errors.append((difference.norm() / exact.norm()).item())
    stage.rows.append({"ceiling": "error of a convolution, IEEE", "value": errors[0]})
    stage.rows.append({"ceiling": "error of a convolution, TF32", "value": errors[1]})
    stage.at_most("error of an IEEE convolution", errors[0], 1e-6)
    return stage.is_rehearsal or errors[1] > 10 * errors[0]
