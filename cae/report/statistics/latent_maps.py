"""Maps of the latent codes of the best trials: two coordinates per test image.

Three kinds of maps. The principal components (PCA) keep the two directions of the largest variance
and all proportions in them. t-SNE and UMAP keep neighbors and not distances. How far neighbors in a
map are neighbors in the code is the trustworthiness (Venna and Kaski 2001): 1 if all are, and about
0.5 for a random map.

Imports of scikit-learn and umap-learn are inside the functions: they take seconds.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from cae.report.data.latent_samples import (
    LATENT,
    DamagedSamples,
    LatentSamples,
    read_latent_samples,
)
from cae.report.data.results import CACHED_RESULTS, Results

Points = npt.NDArray[np.float32]

MAX_TRIALS = 3
"""Trials of different configurations whose codes are shown; divided among comparability groups."""
MAX_EXAMINED = 40
"""Of so many ranked trials files are read."""
MAX_NEIGHBOR_MAPS = 3
"""Maps by t-SNE, and by UMAP, on a page: each takes 0.7 s for 500 images of 128 values."""
NEIGHBORS = 12
"""Of the trustworthiness."""
MIN_IMAGES = 3 * NEIGHBORS
"""Fewer images have no neighborhoods that a map could keep."""
PERPLEXITY = 30
ITERATIONS = 500
"""Of t-SNE: twice as many take twice the time, for the same trustworthiness to 0.003."""


class Projection(StrEnum):
    """How a latent code becomes two coordinates."""

    CODE = "code"
    """It has one or two values itself."""
    PCA = "pca"
    TSNE = "tsne"
    UMAP = "umap"


@dataclass(frozen=True, eq=False)
class LatentMap:
    """The coordinates of all images in a map."""

    projection: Projection
    points: Points
    """N x 2."""
    trustworthiness: float
    """From 0 to 1; 1 of the code itself, NaN for fewer than `MIN_IMAGES` images."""
    explained_variance: float = 1.0
    """Of PCA: the share of the variance of the code in the map."""


@dataclass(frozen=True, eq=False)
class MappedTrial:
    """A trial with its latent codes and the maps of them."""

    trial_index: int
    """Index in `Results.trials`."""
    label: str
    value: float
    """Of the metric of the sweep."""
    samples: LatentSamples
    maps: dict[Projection, LatentMap]


@dataclass(frozen=True, eq=False)
class LatentMaps:
    """The best trials of different configurations that have readable latent codes."""

    trials: list[MappedTrial]
    missing: int = 0
    """Better trials, or as good ones, without a file."""
    damaged: int = 0
    """Those whose file is damaged."""
    other_images: int = 0
    """Those with codes of other images than the best trial's."""


@functools.lru_cache(maxsize=CACHED_RESULTS)
def latent_maps(results: Results) -> LatentMaps:
    """Read the latent codes of the best trials, and compute the maps of them."""
    max_trials = max(1, MAX_TRIALS // results.group_count)
    has_neighbor_maps = results.group_count * max_trials <= MAX_NEIGHBOR_MAPS
    trials: list[MappedTrial] = []
    seen: set[str] = set()
    counts = {"missing": 0, "damaged": 0, "other_images": 0}
    for index in results.ranked.index[:MAX_EXAMINED]:
        if len(trials) == max_trials:
            break
        configuration = results.configurations[index]
        if configuration in seen:
            continue
        seen.add(configuration)
        row = results.ranked.loc[index]
        run = results.folder(row["run"])
        path = run.trial(row["trial"]) / LATENT
        if not run.contains(path) or not path.exists():
            counts["missing"] += 1
            continue
        try:
            samples = read_latent_samples(path)
        except DamagedSamples:
            counts["damaged"] += 1
            continue
        if trials and not samples.has_images_of(trials[0].samples):
            counts["other_images"] += 1
            continue
        maps = maps_of(samples, with_neighbor_maps=has_neighbor_maps)
        label = results.labels[index]
        trials.append(MappedTrial(int(index), label, float(results.values[index]), samples, maps))
    return LatentMaps(trials, **counts)


def maps_of(samples: LatentSamples, *, with_neighbor_maps: bool) -> dict[Projection, LatentMap]:
    """The maps of some codes: themselves if they have two values, else PCA, t-SNE and UMAP."""
    codes = np.ascontiguousarray(samples.codes, dtype=np.float32)
    projections = [Projection.PCA]
    if codes.shape[1] <= 2:
        projections = [Projection.CODE]
    elif with_neighbor_maps and len(codes) >= MIN_IMAGES:
        projections.append(Projection.TSNE)
        if importlib.util.find_spec("umap") is not None:
            projections.append(Projection.UMAP)
    maps: dict[Projection, LatentMap] = {}
    for projection in projections:
        of_codes = _map(projection, codes.tobytes(), codes.shape[1])
        maps[projection] = of_codes
    return maps


@functools.lru_cache(maxsize=64)
def _map(projection: Projection, codes: bytes, values: int) -> LatentMap:
    """Map codes, N x `values` float32, given as bytes: arrays are no keys of a cache.

    A page that is served is built again whenever a trial ends, mostly with the same maps.
    """
    from threadpoolctl import threadpool_limits

    array = np.frombuffer(codes, dtype=np.float32).reshape(-1, values)
    if projection == Projection.CODE:
        points = np.zeros((len(array), 2), dtype=np.float32)
        points[:, :values] = array
        return LatentMap(projection, points, 1.0)
    explained_variance = 1.0
    # In one thread: several add numbers in any order, and the maps would differ.
    with threadpool_limits(1):
        match projection:
            case Projection.TSNE:
                points = _tsne(array)
            case Projection.UMAP:
                points = _umap(array)
            case _:
                points, explained_variance = principal_components(array)
        points = np.asarray(points, dtype=np.float32)
        quality = trustworthiness(array, points)
    return LatentMap(projection, points, quality, explained_variance)


def principal_components(codes: Points) -> tuple[Points, float]:
    """The first two principal components, N x 2, and their share of the variance."""
    centered = codes.astype(np.float64) - codes.mean(axis=0, dtype=np.float64)
    left, singular_values, _ = np.linalg.svd(centered, full_matrices=False)
    points = np.zeros((len(codes), 2))
    count = min(2, len(singular_values))
    points[:, :count] = left[:, :count] * singular_values[:count]
    # The sign of a component is arbitrary: its largest coordinate is positive.
    largest = points[np.abs(points).argmax(axis=0), [0, 1]]
    points *= np.where(largest < 0, -1, 1)
    total = float((singular_values**2).sum())
    share = 1.0
    if total:
        share = float((singular_values[:count] ** 2).sum()) / total
    return points.astype(np.float32), share


def _tsne(codes: Points) -> Points:
    """t-SNE with a fixed seed."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(codes) - 1) / 3)
    start = principal_components(codes)[0]
    scale = float(start[:, 0].std())
    if scale:
        start = start / scale * 1e-4
    tsne = TSNE(perplexity=perplexity, init=start, max_iter=ITERATIONS, random_state=0)
    return np.asarray(tsne.fit_transform(codes))


def _umap(codes: Points) -> Points:
    """UMAP with a fixed seed, which umap-learn computes in one thread."""
    import umap

    mapper: Any = umap.UMAP(n_components=2, random_state=0, n_jobs=1)
    return np.asarray(mapper.fit_transform(codes))


def trustworthiness(codes: Points, points: Points) -> float:
    """How far the neighbors of images in a map are neighbors in their codes, from 0 to 1.

    NaN for fewer than `MIN_IMAGES` images.
    """
    if len(codes) < MIN_IMAGES:
        return float("nan")
    from sklearn.manifold import trustworthiness as of_map

    return float(of_map(codes, points, n_neighbors=NEIGHBORS))
