"""Private and fragile parts of PyTorch, each behind one function.

The other modules of cae/trial use the public interface of PyTorch only.
tests/trial/test_torch_compat.py checks every symbol that is used here and fails with its name when
a release drops it; pyproject.toml bounds the releases.
"""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

COMPILER_ATTRIBUTE = "__dynamo_disable"
"""Attribute of a function in which torch._compile caches the variant of the function that is never
compiled."""
UNCOMPILED_METHODS = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
"""Methods of torch.optim.Optimizer that PyTorch wraps in `torch._disable_dynamo`."""
MEAN_REDUCTION = 1
"""Number of the reduction "mean" in the operators of ATen (0: none, 2: sum)."""


def skip_compiler_import() -> None:
    """Prevent torch.optim from importing the compiler of PyTorch in this process.

    PyTorch imports torch._dynamo (2 s in every worker) when an optimizer is first built, only to
    exclude the methods of the optimizer from compilation. No network of this package is compiled,
    so the methods are marked as excluded in advance. Has to be called before the first optimizer is
    built; further calls have no effect.
    """
    for name in UNCOMPILED_METHODS:
        method = inspect.unwrap(getattr(torch.optim.Optimizer, name))
        setattr(method, COMPILER_ATTRIBUTE, method)


def optimizer_step(optimizer: torch.optim.Optimizer) -> None:
    """Update the parameters once, as `optimizer.step()` does.

    For the optimizers of torch.optim, the wrappers for the profiler and the compiler are skipped:
    the first one imports torch._dynamo, and both take time in each step. They are kept where an
    optimizer has hooks, which the wrappers call.
    """
    has_hooks = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    is_torchs_own = type(optimizer).__module__.startswith("torch.optim.")
    if has_hooks or not is_torchs_own:
        optimizer.step()
        return
    unwrapped_step = inspect.unwrap(type(optimizer).step)
    with torch.no_grad():
        unwrapped_step(optimizer)


def binary_cross_entropy_backward(gradient: Tensor, output: Tensor, target: Tensor) -> Tensor:
    """Return the gradient of the mean binary cross-entropy with respect to `output`.

    `gradient`: scalar, the gradient with respect to the loss; `output` and `target`: equal shapes,
    values in [0, 1].
    """
    result: Tensor = torch.ops.aten.binary_cross_entropy_backward(
        gradient, output, target, None, MEAN_REDUCTION
    )
    return result


def share_memory_of(array: NDArray[np.integer]) -> Tensor:
    """Return a tensor that shares the memory of `array`.

    The array may be read-only: the caller must not write to the tensor.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
