"""Variational autoencoders."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from annotated_types import Len
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from cae.trial.networks import layers as of
from cae.trial.networks.conv import ConvAutoencoder
from cae.trial.networks.layers import Autoencoder, Mirrored, Shape


class GaussianEncoder(nn.Module):
    """Gives the mean of the code, as any encoder gives its code; `both` gives the mean and the logarithm of the variance."""

    def __init__(self, trunk: nn.Module, mean: nn.Module, log_var: nn.Module) -> None:
        super().__init__()
        self.trunk, self.mean, self.log_var = trunk, mean, log_var

    def forward(self, images: Tensor) -> Tensor:
        return self.both(images)[0]

    def both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = self.trunk(images)
        return self.mean(found), self.log_var(found)


class Variational(Autoencoder):
    """Codes are drawn in training; in evaluation mode they are the means, so that the same image always gives the same answer."""

    encoder: GaussianEncoder

    def __init__(self, encoder: GaussianEncoder, decoder: nn.Module) -> None:
        super().__init__(encoder, decoder)
        self._last: tuple[Tensor, Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        """The reconstructions alone, as of any other network."""
        mean, log_var = self._last = self.encode(images)
        return self.decode(
            mean + (log_var / 2).exp() * torch.randn_like(mean) if self.training else mean
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of each image's code, B x latent values."""
        return self.encoder.both(images)

    def decode(self, code: Tensor) -> Tensor:
        """The images of B codes."""
        images: Tensor = self.decoder(code)
        return images

    def kl(self) -> Tensor:
        """Kullback-Leibler divergence from the standard normal prior, in nats, of each image (B) of the last batch forward.

        It is asked for afterwards, rather than given with the images, so that a loss that compares images works for every
        network, and only what knows of this term adds it. It is a sum over the code: beside a loss that is a mean over
        pixels, it has to be divided by their number.
        """
        if self._last is None:
            raise RuntimeError("no images have gone through the network yet")
        mean, log_var = self._last
        return (mean.square() + log_var.exp() - 1 - log_var).sum(1) / 2

    def __getstate__(self) -> dict[str, Any]:
        """Copies are made without the last batch, whose graph cannot be copied."""
        return self.__dict__ | {"_last": None}


class VariationalAutoencoder(ConvAutoencoder):
    """A ConvAutoencoder whose encoder gives a normal distribution for each image, from which the code is drawn in training.

    The defaults are the network of Keras's `vae` example for 28 x 28 images: convolutions of 32 and 64 channels in steps of 2
    and 16 units, then mean and log-variance of 2 values; 3,136 units and transposed convolutions of 64, 32 and 1 channels. It
    has 134,165 parameters: 69,076 in the encoder and 65,089 in the decoder.
    """

    encoder_filters: Annotated[tuple[PositiveInt, ...], Len(1)] = (32, 64)
    decoder_filters: tuple[PositiveInt, ...] = (64, 32)
    pool_after: tuple[PositiveInt, ...] = (1, 2)
    upsample_after: tuple[NonNegativeInt, ...] = (0, 1)
    pooling: Literal["max", "average", "stride"] = "stride"
    upsampling: Literal["nearest", "transposed"] = "transposed"
    hidden_units: tuple[PositiveInt, ...] = (16,)
    """Widths of the fully connected layers between the convolutions and the code's mean and log-variance, each with an activation."""
    decoder_hidden_units: Mirrored = ()
    """Widths of the fully connected layers between the code and the one that gives the flat image to the decoder's convolutions;
    `mirrored`: those of `hidden_units`, backwards."""
    latent_dim: PositiveInt = 2
    """Values of the code."""

    @property
    def _code(self) -> int:
        return self.latent_dim

    def _mirrored(self) -> tuple[int, ...]:
        return self.hidden_units[::-1]

    def build(self, input_shape: Shape, output_shape: Shape) -> Variational:
        self._check_size(input_shape, output_shape)
        encoded = self._encoder(input_shape)
        encoded.layers.append(self._activation() if self.hidden_units else nn.Flatten())
        width = (
            self.hidden_units[-1]
            if self.hidden_units
            else encoded.channels * math.prod(encoded.sizes[-1])
        )
        mean, log_var = (
            of.initialised(nn.Linear(width, self.latent_dim), self.init) for _ in range(2)
        )
        return Variational(
            GaussianEncoder(encoded.layers, mean, log_var), self._decoder(encoded, output_shape)
        )
