"""How many directions the latent codes use."""

from __future__ import annotations

import math

import numpy as np

from cae.trial.latent.declaration import latent_measure
from cae.trial.latent.distances import centered_products
from cae.trial.latent.sample import TEST_IMAGES, LatentSample
from cae.trial.metrics import description


@latent_measure(
    description(
        "effective_rank",
        "directions",
        "Effective rank (Roy & Vetterli 2007): exp of the entropy of the singular values, divided "
        f"by their sum, of the centered latent codes of {TEST_IMAGES:,} test images (fewer if "
        "there are fewer); 0 for constant codes. At most the latent size, and the images.",
        0.0,
    )
)
def effective_rank(sample: LatentSample) -> dict[str, float]:
    """It describes a code: neither many nor few directions are better in themselves."""
    if sample.is_constant:
        return {"effective_rank": 0.0}
    codes = sample.test_codes
    # The smaller one of two products that have the same eigenvalues: the squared singular values.
    if codes.shape[0] < codes.shape[1]:
        product = centered_products(sample.test_products)
    else:
        centered = codes - codes.mean(0, dtype=np.float64).astype(np.float32)
        product = (centered.T @ centered).astype(np.float64)
    eigenvalues = np.linalg.eigvalsh(product)
    # Smaller eigenvalues are rounding errors of the float32 product.
    largest = float(eigenvalues[-1])
    if largest <= 0:
        return {"effective_rank": 0.0}
    eigenvalues = eigenvalues[eigenvalues > largest * len(product) * np.finfo(np.float32).eps]
    values = np.sqrt(eigenvalues)
    shares = values / values.sum()
    entropy = -float((shares * np.log(shares)).sum())
    return {"effective_rank": math.exp(entropy)}
