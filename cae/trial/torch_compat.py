"""Private and fragile parts of PyTorch, each behind one function.

The other modules of cae/trial use the public interface of PyTorch only.
tests/trial/test_torch_compat.py checks every symbol that is used here and fails with its name when
a release drops it; pyproject.toml bounds the releases.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

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


def is_capturable(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether `make_capturable` supports the optimizer: Adam, RMSprop, fused SGD, ..."""
    if type(optimizer).__module__ == "torch.optim.sgd":
        return bool(optimizer.defaults["fused"])
    return type(optimizer).__module__.startswith("torch.optim.") and (
        "capturable" in optimizer.defaults
    )


def make_capturable(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep all that changes from step to step in tensors on `device`, the learning rate too.

    A step of the optimizer can then be captured in a CUDA graph. Has to be called before the first
    step, for an optimizer that `is_capturable`.
    """
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        if "capturable" in group:
            group["capturable"] = True
    # Steps that are not captured, such as the first ones, are no reason for PyTorch's warning.
    optimizer._warned_capturable_if_run_uncaptured = True


def capture_cuda_graph(
    step: Callable[[], None], generators: Sequence[torch.Generator], stream: torch.cuda.Stream
) -> Callable[[], None]:
    """Record the kernels of `step`, without executing them; return a function that does.

    `generators`: those that the step uses beside PyTorch's own. `stream`: the one on which the
    steps before were executed: the backward pass uses the stream of the first use of a parameter.
    """
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)
    # thread_local: other threads of a worker may use the GPU's runtime in the meantime.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        step()
    return graph.replay


@contextlib.contextmanager
def gpu_numerics(*, tf32: bool = False) -> Iterator[None]:
    """Make the numbers of a GPU repeatable, with or without TF32.

    TF32 rounds the factors of convolutions and matrix products to a mantissa of 10 bits; PyTorch
    allows it in convolutions by default. Of cuDNN's algorithms only those are used that give the
    same bits each time.
    """
    # The older names of the settings: after the newer ones are set, reading the older ones raises
    # an error.
    cudnn = torch.backends.cudnn
    products = torch.backends.cuda.matmul
    before = (cudnn.allow_tf32, products.allow_tf32, cudnn.deterministic, cudnn.benchmark)
    cudnn.allow_tf32 = tf32
    products.allow_tf32 = tf32
    cudnn.deterministic = True
    cudnn.benchmark = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before[0]
        products.allow_tf32 = before[1]
        cudnn.deterministic = before[2]
        cudnn.benchmark = before[3]


class HostAccess(TorchDispatchMode):
    """Finds operations that a CUDA graph cannot contain: they exchange data with the CPU."""

    READS = (
        "_local_scalar_dense",
        "_unique",
        "_unique2",
        "equal",
        "masked_select",
        "nonzero",
        "unique_consecutive",
        "unique_dim",
    )
    """Operations that return a value to Python, or a shape that depends on values."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[str] = []
        """What was found, in words."""

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = str(func).removeprefix("aten.").partition(".")[0]
        tensors = [value for value in (*args, result) if isinstance(value, Tensor)]
        devices = {tensor.device.type for tensor in tensors if tensor.dim()}
        if name in self.READS or (name == "index" and _has_mask(args[1])):
            self.operations.append(f"{name} (reads a value)")
        elif name in ("_to_copy", "copy_") and len(devices) > 1:
            self.operations.append(f"{name} (copies between {' and '.join(sorted(devices))})")
        return result


def _has_mask(indices: object) -> bool:
    """Whether a tensor is indexed with a mask: how many values it selects is read from it."""
    if not isinstance(indices, list | tuple):
        return False
    return any(isinstance(index, Tensor) and index.dtype == torch.bool for index in indices)


def binary_cross_entropy_backward(gradient: Tensor, output: Tensor, target: Tensor) -> Tensor:
    """Return the gradient of the mean binary cross-entropy with respect to `output`.

    `gradient`: scalar, the gradient with respect to the loss; `output` and `target`: equal shapes,
    values in [0, 1].
    """
    result: Tensor = torch.ops.aten.binary_cross_entropy_backward(
        gradient, output, target, None, MEAN_REDUCTION
    )
    return result


def share_memory_of(array: NDArray[np.number]) -> Tensor:
    """Return a tensor that shares the memory of `array`.

    The array may be read-only: the caller must not write to the tensor.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
