"""Building blocks of the networks, with PyTorch modules."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from cae.trial.networks.geometry import Margins, Size


@dataclass(frozen=True)
class OutputActivation:
    """The activation of a network's last layer, and the range of its values."""

    layer: type[nn.Module]
    range: tuple[float, float]


OUTPUT_ACTIVATIONS = {
    "sigmoid": OutputActivation(nn.Sigmoid, (0.0, 1.0)),
    "tanh": OutputActivation(nn.Tanh, (-1.0, 1.0)),
    "linear": OutputActivation(nn.Identity, (float("-inf"), float("inf"))),
}


def activation(name: str, negative_slope: float) -> nn.Module:
    """Return an activation layer by its name; `negative_slope`: of `leaky_relu`."""
    if name == "relu":
        return nn.ReLU(inplace=True)
    if name == "leaky_relu":
        return nn.LeakyReLU(negative_slope, inplace=True)
    others: dict[str, type[nn.Module]] = {
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "sigmoid": nn.Sigmoid,
        "silu": nn.SiLU,
    }
    return others[name]()


def initialize(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, method: str) -> nn.Module:
    """Draw the weights of a layer again, if `method` is not PyTorch's own."""
    if method == "glorot_uniform" and not layer.weight.is_meta:
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return layer


def zero_padding(vertical: Margins, horizontal: Margins) -> nn.Module:
    """Return a layer that adds zeros around an image; negative margins crop it."""
    return nn.ZeroPad2d((*horizontal, *vertical))


@dataclass
class LayerStack:
    """Layers in the order of the computation, and the shape of their output."""

    channels: int
    size: Size
    layers: nn.Sequential = field(default_factory=nn.Sequential)

    def add(self, layer: nn.Module) -> None:
        """Append a layer. The caller updates the shape if the layer changes it."""
        self.layers.append(layer)


class Autoencoder(nn.Module):
    """An encoder, whose output is the latent code, and a decoder."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor:
        """Return the decoded latent codes: B x C' x H' x W' for images B x C x H x W."""
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction
