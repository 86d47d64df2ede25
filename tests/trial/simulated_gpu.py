"""A device that behaves like a GPU, on the CPU: it refuses what PyTorch refuses on a GPU.

Its tensors report the device `cuda:0` and keep their values in the memory of the CPU. An operation
that mixes them with tensors of the CPU raises an error, as does `numpy()`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from typing_extensions import override

GPU = torch.device("cuda:0")
COPIES = ("_to_copy", "copy_")
"""Operations that may have tensors of both devices."""
INDEXED = ("index", "index_put_", "_index_put_impl_")
"""Operations that accept indices of the CPU for a tensor of the GPU."""


class GpuTensor(Tensor):
    """A tensor on the simulated GPU."""

    cpu_values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> GpuTensor:
        tensor: GpuTensor = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=GPU,
        )
        tensor.cpu_values = values
        return tensor

    # PyTorch's own functions of these names select the device before they dispatch.

    @override
    def __getitem__(self, index: Any) -> Any:
        return GpuTensor(self.cpu_values[tree_map(_values_of, index)])

    @override
    def __setitem__(self, index: Any, value: Any) -> None:
        self.cpu_values[tree_map(_values_of, index)] = _values_of(value)

    @override
    def __int__(self) -> int:
        return int(self.cpu_values)

    @override
    def __index__(self) -> int:
        return int(self.cpu_values)

    @override
    def __float__(self) -> float:
        return float(self.cpu_values)

    @override
    def __bool__(self) -> bool:
        return bool(self.cpu_values)

    @override
    def item(self) -> Any:
        return self.cpu_values.item()

    @override
    def contiguous(self, memory_format: Any = torch.contiguous_format) -> GpuTensor:
        return GpuTensor(self.cpu_values.contiguous(memory_format=memory_format))

    @override
    def tolist(self) -> Any:
        return self.cpu_values.tolist()

    @override
    def __iter__(self) -> Any:
        return iter(self.unbind(0))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # PyTorch's stub lacks `func`
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return _execute(func, args, kwargs or {})


class _SimulatedGpu(TorchDispatchMode):
    """Creates tensors of the simulated GPU where `cuda` is requested."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return _execute(func, args, kwargs or {})


def _execute(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    # In inference mode operations that consist of others arrive here as a whole.
    with _SimulatedGpu():  # type: ignore[no-untyped-call]
        parts = func.decompose(*args, **kwargs)
    if parts is not NotImplemented:
        return parts
    tensors = [leaf for leaf in tree_leaves([args, kwargs]) if isinstance(leaf, Tensor)]
    has_gpu = any(isinstance(tensor, GpuTensor) for tensor in tensors)
    has_cpu = any(not isinstance(tensor, GpuTensor) and tensor.dim() for tensor in tensors)
    name = func.overloadpacket.__name__
    is_indexed = name in INDEXED and isinstance(args[0], GpuTensor)
    if has_gpu and has_cpu and name not in COPIES and not is_indexed:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device")
    device = kwargs.get("device")
    returns_gpu = has_gpu
    if device is not None:
        returns_gpu = torch.device(device).type == "cuda"
        kwargs = kwargs | {"device": torch.device("cpu")}
    if name == "copy_":
        returns_gpu = isinstance(args[0], GpuTensor)
    result = func(*tree_map(_values_of, args), **tree_map(_values_of, kwargs))
    originals = {id(_values_of(tensor)): tensor for tensor in tensors}

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) in originals:  # changed in place
            return originals[id(value)]
        return GpuTensor(value) if returns_gpu else value

    return tree_map(wrap, result)


def _values_of(value: Any) -> Any:
    if isinstance(value, GpuTensor):
        return value.cpu_values
    return value


_GENERATOR = torch.Generator


class _InAnnotations(type):
    def __or__(cls, other: Any) -> Any:
        return _GENERATOR | other


class _AnyGenerator(metaclass=_InAnnotations):
    """In place of torch.Generator: the random numbers of every device come from the CPU."""

    def __new__(cls, device: Any = "cpu") -> Any:
        del device
        return _GENERATOR()


@contextlib.contextmanager
def simulated_gpu() -> Iterator[torch.device]:
    """Make `cuda` the simulated GPU."""
    # So that parameters become tensors of the class above.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with (
            mock.patch("torch.cuda._lazy_init"),
            mock.patch("torch.Generator", _AnyGenerator),
            _SimulatedGpu(),  # type: ignore[no-untyped-call]
        ):
            yield GPU
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
