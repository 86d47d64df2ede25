"""Whether images that are near in the latent code are near as inputs."""

from __future__ import annotations

import numpy as np

from cae.trial.latent.declaration import CODE_FLOORS, latent_measure
from cae.trial.latent.distances import nearest
from cae.trial.latent.sample import TEST_IMAGES, LatentSample
from cae.trial.metrics import Direction, share_metric

NEIGHBOURS = 10


@latent_measure(
    share_metric(
        "trustworthiness",
        Direction.MAXIMIZE,
        "Trustworthiness (Venna & Kaski 2001, as in scikit-learn; Euclidean distance): whether the "
        f"{NEIGHBOURS} nearest neighbours by latent code are near as inputs of the network too, of "
        f"{TEST_IMAGES:,} test images (fewer if there are fewer); 1: the same neighbours.",
    ),
    floors=CODE_FLOORS,
)
def trustworthiness(sample: LatentSample) -> dict[str, float]:
    """Not defined for constant codes, too large inputs, and if half the images are neighbours."""
    images = len(sample.test_codes)
    if sample.is_constant or sample.inputs is None or images <= 2 * NEIGHBOURS:
        return {}
    others = sample.test_distances.copy()
    np.fill_diagonal(others, np.inf)
    neighbours = nearest(others, NEIGHBOURS)
    # The rank of each neighbour by code among the inputs, from 0; its penalty is how far it is
    # beyond the first NEIGHBOURS.
    ranks = np.take_along_axis(sample.inputs.ranks, neighbours, axis=1)
    penalty = np.maximum(ranks - NEIGHBOURS + 1, 0).sum()
    largest = images * NEIGHBOURS * (2 * images - 3 * NEIGHBOURS - 1) / 2
    return {"trustworthiness": 1 - float(penalty / largest)}
