"""Whether images that are near in the latent code are near as inputs."""

from __future__ import annotations

from cae.trial.latent.declaration import CODE_FLOORS, latent_measure
from cae.trial.latent.sample import PAIRWISE_IMAGES, LatentSample
from cae.trial.metrics import Direction, share_metric

NEIGHBOURS = 10


@latent_measure(
    share_metric(
        "trustworthiness",
        Direction.MAXIMIZE,
        "Trustworthiness (Venna & Kaski 2001; scikit-learn's, Euclidean distance): whether the "
        f"{NEIGHBOURS} nearest neighbours by latent code are near as inputs of the network too, of "
        f"{PAIRWISE_IMAGES:,} test images (fewer if there are fewer); 1: the same neighbours.",
    ),
    floors=CODE_FLOORS,
)
def trustworthiness(sample: LatentSample) -> dict[str, float]:
    """Not defined for constant codes, and if half of the images are neighbours."""
    from sklearn.manifold import trustworthiness as of_neighbours

    images = len(sample.pairwise_codes)
    if sample.is_constant or images / 2 <= NEIGHBOURS:
        return {}
    value = of_neighbours(sample.pairwise_inputs, sample.pairwise_codes, n_neighbors=NEIGHBOURS)
    return {"trustworthiness": float(value)}
