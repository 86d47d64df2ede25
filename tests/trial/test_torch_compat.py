"""The private symbols of PyTorch exist, and the functions that use them do what they promise.

A failing test names the symbol that the installed release of PyTorch no longer has.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils._python_dispatch
from torch import nn
from typing_extensions import override

from cae.trial import torch_compat

SYMBOLS = [
    "torch._disable_dynamo",
    "torch.ops.aten.binary_cross_entropy_backward",
    "torch.optim.Optimizer.add_param_group.__wrapped__",
    "torch.optim.Optimizer.load_state_dict.__wrapped__",
    "torch.optim.Optimizer.state_dict.__wrapped__",
    "torch.optim.Optimizer.zero_grad.__wrapped__",
    "torch.optim.Adam.step.__wrapped__",
    "torch.optim.RMSprop.step.__wrapped__",
    "torch.optim.SGD.step.__wrapped__",
    "torch._subclasses.fake_tensor.FakeTensorMode",
    "torch.utils._pytree.tree_leaves",
    "torch.UntypedStorage._cdata",
]
"""Symbols that cae/trial/torch_compat.py uses."""
TEST_SYMBOLS = [
    "torch.utils._python_dispatch.TorchDispatchMode",
    "torch.ops.aten._local_scalar_dense.default",
    "torch.ops.aten.nonzero.default",
]
"""Symbols that tests/trial/test_precision.py uses."""
INSTANCE_SYMBOLS = [
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_warned_capturable_if_run_uncaptured",
]
"""Attributes of an optimizer that cae/trial/torch_compat.py uses."""


def optimizer_of(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=0.1)


def resolve(symbol: str) -> Any:
    """The value of a dotted name that begins with `torch`."""
    value: Any = torch
    for name in symbol.split(".")[1:]:
        assert hasattr(value, name), f"PyTorch {torch.__version__} has no {symbol}"
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("symbol", SYMBOLS + TEST_SYMBOLS)
def test_private_symbol_exists(symbol: str) -> None:
    assert resolve(symbol) is not None


@pytest.mark.parametrize("symbol", INSTANCE_SYMBOLS)
def test_private_attribute_of_optimizers_exists(symbol: str) -> None:
    assert hasattr(optimizer_of(nn.Linear(1, 1)), symbol), (
        f"optimizers of PyTorch {torch.__version__} have no {symbol}"
    )


def test_disable_dynamo_reads_the_attribute_that_is_set() -> None:
    source = inspect.getsource(resolve("torch._disable_dynamo"))
    assert torch_compat.COMPILER_ATTRIBUTE in source, (
        f"torch._disable_dynamo of PyTorch {torch.__version__} does not read "
        f"{torch_compat.COMPILER_ATTRIBUTE}"
    )


TRAIN_WITHOUT_COMPILER = """
import sys
import torch
from cae.trial import torch_compat
torch_compat.skip_compiler_import()
torch_compat.skip_compiler_import()
network = torch.nn.Linear(2, 1)
for build in (torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD):
    optimizer = build(network.parameters(), lr=0.1)
    optimizer.zero_grad()
    network(torch.ones(1, 2)).sum().backward()
    torch_compat.optimizer_step(optimizer)
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_training_does_not_import_the_compiler() -> None:
    process = subprocess.run(
        [sys.executable, "-c", TRAIN_WITHOUT_COMPILER], check=True, capture_output=True, text=True
    )
    assert process.stdout == "False\n"


def test_a_step_equals_the_step_of_the_optimizer() -> None:
    networks = [nn.Linear(3, 2), nn.Linear(3, 2)]
    networks[1].load_state_dict(networks[0].state_dict())
    optimizers = [optimizer_of(network) for network in networks]
    for _ in range(3):
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            network(torch.ones(4, 3)).square().sum().backward()
        torch_compat.optimizer_step(optimizers[0])
        optimizers[1].step()
    assert torch.equal(networks[0].weight, networks[1].weight)


def test_a_step_calls_the_hooks_of_an_optimizer() -> None:
    network = nn.Linear(1, 1)
    optimizer = optimizer_of(network)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    network(torch.ones(1, 1)).sum().backward()
    torch_compat.optimizer_step(optimizer)
    assert calls == ["before", "after"]


def test_an_optimizer_of_another_package_takes_its_own_step() -> None:
    class Negative(torch.optim.SGD):
        @override
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.data.neg_()

    network = nn.Linear(1, 1)
    before = network.weight.clone()
    torch_compat.optimizer_step(Negative(network.parameters(), lr=0.1))
    assert torch.equal(network.weight, -before)


def test_the_gradient_of_binary_cross_entropy_is_that_of_autograd() -> None:
    output = torch.rand(5, 3, requires_grad=True)
    target = torch.rand(5, 3)
    nn.functional.binary_cross_entropy(output, target).backward()
    gradient = torch_compat.binary_cross_entropy_backward(torch.ones(()), output.detach(), target)
    assert output.grad is not None
    torch.testing.assert_close(gradient, output.grad)


def test_a_tensor_shares_the_memory_of_a_read_only_array_without_a_warning() -> None:
    array = np.arange(6, dtype=np.uint8)
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = torch_compat.share_memory_of(array)
    assert tensor.tolist() == [0, 1, 2, 3, 4, 5]
    assert tensor.data_ptr() == array.ctypes.data
