"""Variational autoencoders (Kingma & Welling 2014, "Auto-Encoding Variational Bayes")."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Len
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from cae.trial.networks.conv import ConvAutoencoder
from cae.trial.networks.geometry import Shape
from cae.trial.networks.layers import Autoencoder, initialize
from cae.trial.networks.parameter_types import MirroredUnits


class GaussianEncoder(nn.Module):
    """Maps images to normal distributions of the latent code.

    As a module it returns their means, like any encoder its latent codes.
    """

    def __init__(self, trunk: nn.Module, mean: nn.Module, log_var: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.mean = mean
        self.log_var = log_var

    def forward(self, images: Tensor) -> Tensor:
        """Return the means, B x latent values."""
        mean, _ = self.distribution(images)
        return mean

    def distribution(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means and the logarithms of the variances, each B x latent values."""
        features = self.trunk(images)
        return self.mean(features), self.log_var(features)


class VariationalNetwork(Autoencoder):
    """An autoencoder that draws its latent codes at random in training.

    In evaluation mode they are the means, so that results are repeatable.
    """

    encoder: GaussianEncoder

    def __init__(self, encoder: GaussianEncoder, decoder: nn.Module) -> None:
        super().__init__(encoder, decoder)
        self._last_distribution: tuple[Tensor, Tensor] | None = None

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstructions; `kl` belongs to the same batch afterwards."""
        mean, log_var = self.encode(images)
        self._last_distribution = (mean, log_var)
        latent = mean
        if self.training:
            latent = mean + (log_var / 2).exp() * torch.randn_like(mean)
        return self.decode(latent)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and logarithms of the variances of the latent codes.

        Each is B x latent values.
        """
        return self.encoder.distribution(images)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the images of latent codes, B x latent values."""
        images: Tensor = self.decoder(latent)
        return images

    def kl(self) -> Tensor:
        """Return the KL divergence from the standard normal prior, in nats, for the last batch (B).

        It is the sum over the latent values: beside a loss that is a mean over pixels, it has to be
        divided by their number. It is not returned by `forward`, so that all losses and metrics of
        images work for this network too. It is computed in float32: in bfloat16 the difference of
        nearly equal numbers would be lost. Raises RuntimeError before the first batch.
        """
        return self._twice_kl().sum(1) / 2

    def kl_per_value(self) -> Tensor:
        """Return the KL divergence of each latent value for the last batch, B x latent values."""
        return self._twice_kl() / 2

    def _twice_kl(self) -> Tensor:
        if self._last_distribution is None:
            raise RuntimeError("no batch has been passed through the network yet")
        mean = self._last_distribution[0].float()
        log_var = self._last_distribution[1].float()
        return mean.square() + log_var.exp() - 1 - log_var

    def __getstate__(self) -> dict[str, object]:
        """Return the state without the last batch: copy.deepcopy cannot copy its graph."""
        return self.__dict__ | {"_last_distribution": None}


class VariationalAutoencoder(ConvAutoencoder):
    """A ConvAutoencoder whose encoder outputs a normal distribution.

    The latent code is drawn from it in training.

    The defaults are the network of the Keras example "Variational AutoEncoder" for 28 x 28 images:
    convolutions with 32 and 64 channels and stride 2, 16 units, then mean and log-variance of 2
    values; 3,136 units and transposed convolutions with 64, 32 and 1 channels. It has 134,165
    parameters: 69,076 in the encoder and 65,089 in the decoder.
    """

    encoder_filters: Annotated[tuple[PositiveInt, ...], Len(1)] = (32, 64)
    """Output channels of each encoder convolution, at least one. The default is that of the Keras
    example."""
    decoder_filters: tuple[PositiveInt, ...] = (64, 32)
    """Output channels of each decoder convolution before the output convolution, whose channels are
    the target's."""
    pool_after: tuple[PositiveInt, ...] = (1, 2)
    """Encoder convolutions, counted from 1, after which the image is downsampled by `pool_size`;
    increasing."""
    upsample_after: tuple[NonNegativeInt, ...] = (0, 1)
    """Decoder convolutions, counted from 1, after which the image is upsampled; 0: before the first
    one. Increasing, as many as `pool_after`."""
    pooling: Literal["max", "average", "stride"] = "stride"
    """How the image is downsampled: maximum or average of `pool_size` x `pool_size` pixels, or
    `stride`: the step of the convolution itself is multiplied by `pool_size`."""
    upsampling: Literal["nearest", "transposed", "pixel_shuffle"] = "transposed"
    hidden_units: tuple[PositiveInt, ...] = (16,)
    """Units of the fully connected layers between the convolutions and the layers with mean and
    log-variance, each with an activation. Empty: no such layers."""
    decoder_hidden_units: MirroredUnits = ()
    """Units of the fully connected layers between the latent code and the layer whose output is the
    image for the decoder's convolutions. `mirrored`: the `hidden_units`, in reverse order."""
    latent_dim: PositiveInt = 2
    """Number of values of the latent code; at least 1."""

    @override
    def _validate_skips(self) -> None:
        raise ValueError(
            "arch.skips = True: a variational autoencoder decodes drawn latent codes, for which "
            "there are no images to skip from; choose arch.skips = False"
        )

    @property
    @override
    def _latent_units(self) -> int:
        return self.latent_dim

    @override
    def _mirrored_units(self) -> tuple[int, ...]:
        return self.hidden_units[::-1]

    @override
    def build(self, input_shape: Shape, output_shape: Shape) -> VariationalNetwork:
        self._validate_sizes(input_shape, output_shape)
        encoder = self._build_encoder(input_shape)
        if self.hidden_units:
            encoder.layers.append(self._activation())
        else:
            encoder.layers.append(nn.Flatten())
        mean = initialize(nn.Linear(encoder.values, self.latent_dim), self.init)
        log_var = initialize(nn.Linear(encoder.values, self.latent_dim), self.init)
        gaussian = GaussianEncoder(encoder.layers, mean, log_var)
        return VariationalNetwork(gaussian, self._build_decoder(encoder, output_shape))
