"""On which device a trial runs."""

from __future__ import annotations

import torch


def choose_device(gpus: float) -> tuple[torch.device, str]:
    """The device of a trial that was given `gpus` (a share, or several), and its name for the journal.

    Ray shows a worker only the GPUs that it was given, so the first one is its own. A trial that asked for none never
    touches one. Where torch sees no GPU, the CPU is used, and the name says so.
    """
    if gpus <= 0:
        return torch.device("cpu"), "cpu"
    if not torch.cuda.is_available():
        return torch.device("cpu"), f"cpu ({gpus:g} GPU was asked for, but torch sees none)"
    if gpus < 1:
        torch.cuda.set_per_process_memory_fraction(
            gpus
        )  # Ray only counts shares; it does not bound the memory
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda"), torch.cuda.get_device_name()
