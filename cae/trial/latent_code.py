"""The latent code of a network: encoding images and decoding codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cae.trial.networks.blocks import SkipAutoencoder

BATCH = 500
"""Images per forward pass."""


class NoLatentCode(ValueError):
    """A network whose images cannot be encoded, or whose latent codes cannot be decoded."""


def encoder_of(network: nn.Module) -> nn.Module:
    """Return the part of a network that maps inputs, B x C x H x W, to latent codes, B x ...

    Raises NoLatentCode for a network without a module named `encoder`.
    """
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise NoLatentCode(
            f"{type(network).__name__} has no latent code: it has no module named encoder"
        )
    return encoder


def decoder_of(network: nn.Module) -> nn.Module:
    """Return the part of a network that maps latent codes to outputs, B x C x H x W.

    Raises NoLatentCode for a network without a module named `decoder`, and for one with skips,
    whose decoder needs more than the latent code.
    """
    decoder = getattr(network, "decoder", None)
    if not isinstance(decoder, nn.Module):
        raise NoLatentCode(
            f"{type(network).__name__} cannot decode latent codes: it has no module named decoder"
        )
    if isinstance(network, SkipAutoencoder):
        raise NoLatentCode(
            "a network with skips cannot decode latent codes alone: its decoder also needs outputs "
            "of the encoder's stages"
        )
    return decoder


def encode(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return the latent codes of inputs of the network, in evaluation mode.

    Those of a variational autoencoder are the means of their distributions.

    Args:
        network: On any device. It keeps its mode (training or evaluation).
        inputs: N x C x H x W, as the task makes them from images; on the same device.

    Returns:
        N x latent shape (C x H x W, or values), float32.

    Raises NoLatentCode if it has no encoder.
    """
    return _apply(network, encoder_of(network), inputs)


def decode(network: nn.Module, codes: Tensor) -> Tensor:
    """Return the outputs of latent codes, in evaluation mode: N x C x H x W.

    `codes`: N x latent shape, as `encode` returns them. Raises NoLatentCode if the decoder is
    missing or needs more than the code.
    """
    return _apply(network, decoder_of(network), codes)


def _apply(network: nn.Module, part: nn.Module, inputs: Tensor) -> Tensor:
    was_training = network.training
    network.eval()
    outputs: list[Tensor] = []
    try:
        with torch.inference_mode():
            for batch in inputs.split(BATCH):
                outputs.append(part(batch))
    finally:
        network.train(was_training)
    return torch.cat(outputs)
