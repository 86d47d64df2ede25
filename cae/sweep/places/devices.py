"""The device on which a trial runs."""

from __future__ import annotations

import torch


def choose_device(gpus: float) -> tuple[torch.device, str]:
    """The device of a trial with `gpus` GPUs (a share of one, or several), and its name.

    Ray shows a worker only its own GPUs, so the first visible one is right. A trial without GPUs
    never uses one. If torch finds no GPU, the CPU is used, and the name states it.
    """
    if gpus <= 0:
        return torch.device("cpu"), "cpu"
    if not torch.cuda.is_available():
        return torch.device("cpu"), f"cpu ({gpus:g} GPU requested, but torch finds none)"
    if gpus < 1:
        # Ray counts shares of a GPU; it does not limit the memory.
        torch.cuda.set_per_process_memory_fraction(gpus)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda"), torch.cuda.get_device_name()
