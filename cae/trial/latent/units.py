"""The KL divergence of each latent value of a variational autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cae.trial.batches import Pairs
from cae.trial.latent.measures.active_units import ACTIVE_VARIANCE
from cae.trial.networks.variational import GaussianEncoder
from cae.trial.tasks.base import Table

MAX_ROWS = 256
"""Latent values with the largest KL divergence are listed."""


def kl_per_unit(network: nn.Module, pairs: Pairs) -> Table:
    """A row per latent value, those with the largest KL divergence first, over all images.

    `kl`: the mean KL divergence from the standard normal prior, in nats; `variance of the mean`:
    over the images; `active`: whether it is above ACTIVE_VARIANCE. Empty for networks whose encoder
    does not return a distribution.
    """
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, GaussianEncoder):
        return []
    means: list[Tensor] = []
    kl_sum = torch.zeros((), dtype=torch.float64)
    for inputs, _, _ in pairs.batches():
        mean, log_var = encoder.distribution(inputs)
        mean = mean.double().cpu()
        log_var = log_var.double().cpu()
        kl = (mean.square() + log_var.exp() - 1 - log_var) / 2
        kl_sum = kl_sum + kl.sum(0)
        means.append(mean)
    all_means = torch.cat(means)
    kl_mean = kl_sum / len(all_means)
    variances = all_means.var(0, correction=0)
    rows: Table = []
    for unit in kl_mean.argsort(descending=True, stable=True)[:MAX_ROWS].tolist():
        variance = variances[unit].item()
        rows.append(
            {
                "unit": unit + 1,
                "kl": kl_mean[unit].item(),
                "variance of the mean": variance,
                "active": _yes_or_no(variance > ACTIVE_VARIANCE),
            }
        )
    return rows


def _yes_or_no(value: bool) -> str:
    if value:
        return "yes"
    return "no"
