"""What a network is to the rest of cae: a kind of part whose `build` makes the torch module, and what such a module costs."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from cae.trial.component import Component
from cae.trial.networks.layers import Shape, x

FEW = 10_000_000
"""Parameters of a network that is put through one image to know its shapes; a larger one's are found without its memory."""


class Architecture(Component):
    """A family of networks."""

    def build(self, input_shape: Shape, output_shape: Shape) -> nn.Module:
        """The network, its weights drawn from torch's global generator. Raises ValueError where the shapes do not fit,
        naming the layer and the parameters."""
        raise NotImplementedError

    @property
    def output_range(self) -> tuple[float, float]:
        """Between which values the network's outputs lie."""
        return (float("-inf"), float("inf"))


def sizes(architecture: Architecture, input_shape: Shape, output_shape: Shape) -> dict[str, Any]:
    """What a network costs, without its weights being made: `parameters` (count of what is trained), `megaflops` (of one
    image forward through its convolution and linear layers; a product and its sum count two), and, where it has an encoder,
    `latent_shape` (C, H, W) and `latent_values`.

    With batch normalisation also `total_parameters`: Keras's "Total params", which counts the running means and variances
    besides, so four numbers per channel rather than two. That is what the reports published.

    Raises ValueError where the shapes do not fit, the shape of the output among them.
    """
    flops = 0

    def count(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal flops  # counted here: torch's own counter takes 2 s to import, and a plan is to be quick
        applied = given[0].numel() if isinstance(layer, nn.ConvTranspose2d) else output.numel()
        flops += 2 * applied * cast(Tensor, layer.weight)[0].numel()

    with torch.device("meta"):
        network = architecture.build(input_shape, output_shape).eval()
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                layer.register_forward_hook(count)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if parameters < FEW:
        _materialise(network)
    image = torch.zeros(1, *input_shape, device="cpu" if parameters < FEW else "meta")
    with torch.inference_mode():
        given = tuple(network(image).shape[1:])
    if given != tuple(output_shape):
        raise ValueError(f"{architecture.name} gives {x(given)} for a target of {x(output_shape)}")
    found: dict[str, Any] = {
        "parameters": parameters,
        "megaflops": round(flops / 1e6, 3),
    }
    if running := sum(buffer.numel() for buffer in network.buffers() if buffer.is_floating_point()):
        found["total_parameters"] = found["parameters"] + running
    if isinstance(encoder := getattr(network, "encoder", None), nn.Module):
        with torch.inference_mode():
            latent = encoder(image).shape[1:]
        found |= {"latent_shape": list(latent), "latent_values": latent.numel()}
    return found


def _materialise(network: nn.Module) -> None:
    """Gives all tensors of a network values (zeros): to find shapes without them, torch would import its symbolic mathematics."""
    for module in network.modules():
        for name, parameter in [*module.named_parameters(recurse=False)]:
            setattr(module, name, nn.Parameter(torch.zeros(parameter.shape), requires_grad=False))
        for name, buffer in [*module.named_buffers(recurse=False)]:
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
