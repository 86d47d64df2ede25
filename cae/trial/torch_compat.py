"""Private and fragile parts of PyTorch, each behind one function.

The other modules of cae/trial use the public interface of PyTorch only.
tests/trial/test_torch_compat.py checks every symbol that is used here and fails with its name when
a release drops it; pyproject.toml bounds the releases.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

COMPILER_ATTRIBUTE = "__dynamo_disable"
"""Attribute of a function in which torch._compile caches the variant of the function that is never
compiled."""
UNCOMPILED_METHODS = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
"""Methods of torch.optim.Optimizer that PyTorch wraps in `torch._disable_dynamo`."""
MEAN_REDUCTION = 1
"""Number of the reduction "mean" in the operators of ATen (0: none, 2: sum)."""

TYPICAL_CLASSES = 10
"""How many different labels `LiveMemory` assumes."""


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
    with warnings.catch_warnings():
        # torch 2.9 recommends the newer names whenever the older ones are read
        warnings.filterwarnings("ignore", message="Please use the new API settings")
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


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that are created while it is active and still exist.

    Without values: operations that read a value return zero, and those whose result depends on the
    values in its size select one of TYPICAL_CLASSES values, as in data sets with ten classes.
    """

    def __init__(self, *, has_values: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        """Bytes that exist now."""
        self.peak = 0
        self._has_values = has_values
        self._known: set[int] = set()

    def restart_peak(self) -> int:
        """Return the peak since the last call, and start again with what exists now."""
        peak = self.peak
        self.peak = self.live
        return peak

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if self._has_values:
            result = func(*args, **kwargs)
        else:
            result = _execute_without_values(func, args, kwargs)
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def _execute_without_values(
    func: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> object:
    """Execute an operation on fake tensors."""
    name = str(func).removeprefix("aten.").partition(".")[0]
    if name in ("item", "_local_scalar_dense"):
        return _zero_like(args[0])
    if name in ("unique_dim", "_unique2"):
        return _typical_unique(args[0])
    if name == "nonzero":
        return _typical_nonzero(args[0])
    if name == "bincount":
        return _typical_bincount(args, kwargs)
    if name == "index":
        args = (args[0], _without_masks(args[1]))
    return func(*args, **kwargs)


def _typical_unique(tensor: object) -> tuple[Tensor, Tensor, Tensor]:
    """Values, inverse and counts, of a tensor with TYPICAL_CLASSES different values."""
    assert isinstance(tensor, Tensor)
    count = min(TYPICAL_CLASSES, len(tensor))
    values = tensor.new_empty((count, *tensor.shape[1:]))
    inverse = torch.empty(tensor.shape, dtype=torch.int64, device=tensor.device)
    counts = torch.empty(count, dtype=torch.int64, device=tensor.device)
    return values, inverse, counts


def _typical_nonzero(tensor: object) -> Tensor:
    """The indices of a share of the values."""
    assert isinstance(tensor, Tensor)
    count = math.ceil(tensor.numel() / TYPICAL_CLASSES)
    return torch.empty((count, tensor.dim()), dtype=torch.int64, device=tensor.device)


def _typical_bincount(args: tuple[object, ...], kwargs: dict[str, object]) -> Tensor:
    """Counts of at least TYPICAL_CLASSES values, for the arguments of torch.bincount."""
    tensor = args[0]
    assert isinstance(tensor, Tensor)
    min_length = kwargs.get("minlength", 0)
    if len(args) > 2:
        min_length = args[2]
    assert isinstance(min_length, int)
    count = max(min_length, TYPICAL_CLASSES)
    return torch.zeros(count, dtype=torch.int64, device=tensor.device)


def _without_masks(indices: object) -> object:
    """Indices of a tensor, with masks replaced by the indices of a share of the values."""
    if not isinstance(indices, list | tuple):
        return indices
    replaced: list[object] = []
    for index in indices:
        if isinstance(index, Tensor) and index.dtype == torch.bool:
            replaced += _typical_nonzero(index).unbind(1)
        else:
            replaced.append(index)
    return replaced


def _array_without_values(tensor: Tensor, *, force: bool = False) -> NDArray[np.generic]:
    """Replaces Tensor.numpy for fake tensors."""
    del force
    dtype = torch.empty(0, dtype=tensor.dtype, device="meta").dtype
    return np.zeros(tuple(tensor.shape), dtype=str(dtype).removeprefix("torch."))


def _zero_like(tensor: object) -> float | int | bool:
    assert isinstance(tensor, Tensor)
    if tensor.dtype == torch.bool:
        return False
    if tensor.dtype.is_floating_point:
        return 0.0
    return 0


@functools.cache
def _fake_mode() -> FakeTensorMode:
    """The only one: fake tensors that a component has cached must not meet those of another."""
    return FakeTensorMode(allow_non_fake_inputs=True)


@contextlib.contextmanager
def without_values() -> Iterator[LiveMemory]:
    """Execute operations on fake tensors, and count their memory.

    They have shapes but no values. What is cached meanwhile is of no use afterwards: this should
    have a process of its own.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of addresses that fake tensors do not have
        with (
            mock.patch.object(Tensor, "numpy", _array_without_values),
            _fake_mode(),
            LiveMemory(has_values=False) as memory,
        ):
            yield memory


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
