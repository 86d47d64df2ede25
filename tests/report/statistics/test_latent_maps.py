"""Maps of latent codes: planted geometry, seeds, limits, and files that cannot be used."""

from __future__ import annotations

import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae.report.data import tables
from cae.report.data.latent_samples import DamagedSamples, read_latent_samples
from cae.report.data.results import Results
from cae.report.statistics import latent_maps as module
from cae.report.statistics.latent_maps import (
    MAX_TRIALS,
    LatentMaps,
    Projection,
    latent_maps,
    maps_of,
    principal_components,
    trustworthiness,
)
from tests.report.synthetic_runs import LATENT_VALUES, MakeWriter, RunWriter, latent_arrays


def with_trials(writer: MakeWriter, count: int) -> RunWriter:
    """A run of configurations that differ in a parameter, the first one the best."""
    run = writer(axes={"arch.latent_dim": {"values": list(range(count)), "scale": "linear"}})
    run.session(list(range(1, count + 1)))
    for number in range(1, count + 1):
        run.trial(number, {"arch.latent_dim": number})
        run.start(number)
        run.epoch(number, 1, 0.01 * number)
        run.end(number, "finished", best_epoch=1, metrics={"test_loss": 0.01 * number})
    return run


def results_of(run: RunWriter) -> Results:
    return tables.read([run.close()])


def two_values(seed: int) -> dict[str, Any]:
    """Arrays of a code whose map is the code itself: t-SNE takes a second."""
    codes = latent_arrays(seed, 16, 1)["codes"][:, :2]
    return {"codes": codes, "latent_shape": np.array([2])}


def shown_trials(maps: LatentMaps) -> list[str]:
    return [trial.label for trial in maps.trials]


def test_principal_components_are_the_directions_of_the_largest_variance() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(400, 4)) * [1, 9, 3, 1]
    turn = np.linalg.qr(random.normal(size=(4, 4)))[0]
    points, share = principal_components((values @ turn + 5).astype(np.float32))
    correlation = np.corrcoef(points[:, 0], values[:, 1])[0, 1]
    assert abs(correlation) > 0.99
    assert points.std(0) == pytest.approx([9, 3], rel=0.1)
    assert share == pytest.approx((81 + 9) / (81 + 9 + 1 + 1), abs=0.02)


def test_maps_of_clusters_keep_neighbors(writer: MakeWriter) -> None:
    run = with_trials(writer, 1)
    run.latent(1)
    (trial,) = latent_maps(results_of(run)).trials
    assert set(trial.maps) >= {Projection.PCA, Projection.TSNE}
    labels = trial.samples.labels
    tsne = trial.maps[Projection.TSNE]
    assert tsne.trustworthiness > trial.maps[Projection.PCA].trustworthiness > 0.5
    assert tsne.trustworthiness > 0.94
    distances = np.linalg.norm(tsne.points[:, None] - tsne.points, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(1)] == labels).mean() > 0.95


def test_a_map_is_the_same_in_every_build(writer: MakeWriter) -> None:
    run = with_trials(writer, 1)
    run.latent(1)
    samples = read_latent_samples(run.run.trial(1) / "latent.npz")
    maps = maps_of(samples, with_neighbor_maps=True)
    module._map.cache_clear()
    again = maps_of(samples, with_neighbor_maps=True)
    for projection, of_codes in maps.items():
        assert of_codes is not again[projection]
        np.testing.assert_array_equal(of_codes.points, again[projection].points)


@pytest.mark.parametrize("values", [1, 2])
def test_the_map_of_a_code_of_two_values_is_the_code_itself(
    writer: MakeWriter, values: int
) -> None:
    run = with_trials(writer, 1)
    codes = latent_arrays(1, 16, 1)["codes"][:, :values]
    run.latent(1, codes=codes, latent_shape=np.array([values]))
    (trial,) = latent_maps(results_of(run)).trials
    assert set(trial.maps) == {Projection.CODE}
    points = trial.maps[Projection.CODE].points
    np.testing.assert_array_equal(points[:, :values], codes)
    assert not points[:, values:].any()


def test_few_images_have_no_neighborhoods() -> None:
    codes = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    assert math.isnan(trustworthiness(codes, codes[:, :2]))
    more = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    assert trustworthiness(more, 3 * more) == 1


def test_umap_is_used_with_a_seed_if_it_is_installed(
    writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    class Umap:
        def __init__(self, **options: Any) -> None:
            asked.update(options)

        def fit_transform(self, codes: Any) -> Any:
            return codes[:, :2]

    umap = types.ModuleType("umap")
    umap.UMAP = Umap  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", umap)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    module._map.cache_clear()
    run = with_trials(writer, 1)
    run.latent(1)
    (trial,) = latent_maps(results_of(run)).trials
    assert asked["random_state"] == 0
    np.testing.assert_array_equal(trial.maps[Projection.UMAP].points, trial.samples.codes[:, :2])
    module._map.cache_clear()


def test_the_best_trials_of_different_configurations_are_shown(writer: MakeWriter) -> None:
    run = with_trials(writer, MAX_TRIALS + 2)
    for number in range(1, MAX_TRIALS + 3):
        run.latent(number, **two_values(number))
    maps = latent_maps(results_of(run))
    assert shown_trials(maps) == [f"trial {number}" for number in range(1, MAX_TRIALS + 1)]


def test_seeds_of_a_configuration_are_shown_once(writer: MakeWriter) -> None:
    run = writer(seeds=2)
    run.session([1, 2, 3])
    for number, size in ((1, 4), (2, 4), (3, 8)):
        run.trial(number, {"arch.latent_dim": size}, seed=number)
        run.start(number)
        run.epoch(number, 1, 0.01 * number)
        run.end(number, "finished", best_epoch=1)
        run.latent(number, **two_values(number))
    assert shown_trials(latent_maps(results_of(run))) == ["trial 1", "trial 3"]


def test_files_that_are_missing_damaged_or_of_other_images_are_counted(
    writer: MakeWriter,
) -> None:
    run = with_trials(writer, 5)
    run.latent(2, **two_values(2))
    run.latent(3, indices=np.arange(500) + 1)
    run.latent(4)
    path = run.run.trial(4) / "latent.npz"
    path.write_bytes(path.read_bytes()[:2000])
    run.latent(5, **two_values(5))
    maps = latent_maps(results_of(run))
    assert shown_trials(maps) == ["trial 2", "trial 5"]
    assert (maps.missing, maps.damaged, maps.other_images) == (1, 1, 1)


CHANGES: dict[str, dict[str, Any]] = {
    "codes of another type": {"codes": np.zeros((500, 16), np.int64)},
    "codes that are not finite": {"codes": np.full((500, 16), np.nan, np.float32)},
    "too many values": {"codes": np.zeros((500, 2000), np.float32)},
    "pickles": {"classes": np.array([{"a": 1}], dtype=object)},
    "labels of fewer images": {"labels": np.zeros(499, np.int64)},
    "no JPEG": {"sheet": np.frombuffer(b"<svg onload=alert(1)>", np.uint8)},
    "a sheet of another size": {"tile": np.array([17, 16, 25])},
    "tiles of no size": {"tile": np.array([0, 16, 25])},
    "pairs beyond the images": {"pairs": np.array([[0, 500], [1, 2], [3, 4], [5, 6]])},
    "no pairs": {"pairs": np.zeros((0, 2), np.int64)},
    "decoded images that are none": {"interpolations": np.zeros(5, np.uint8)},
    "fewer scores than units": {"scores": np.zeros(2)},
    "other levels": {"levels": np.zeros((6, 3), np.float32)},
    "a shape without values": {"latent_shape": np.array([0])},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_with_unexpected_content_is_damaged(name: str, tmp_path: Path) -> None:
    path = tmp_path / "latent.npz"
    np.savez(path, allow_pickle=True, **latent_arrays(1, 16, 1))
    assert read_latent_samples(path).latent_values == LATENT_VALUES
    np.savez(path, allow_pickle=True, **latent_arrays(1, 16, 1, **CHANGES[name]))
    with pytest.raises(DamagedSamples):
        read_latent_samples(path)


def test_a_sheet_that_is_cut_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "latent.npz"
    arrays = latent_arrays(1, 16, 1)
    np.savez(path, **{**arrays, "sheet": arrays["sheet"][:3000]})
    with pytest.raises(DamagedSamples):
        read_latent_samples(path)


def test_a_page_of_many_groups_has_few_maps(writer: MakeWriter) -> None:
    run = with_trials(writer, 3)
    for number in (1, 2, 3):
        run.latent(number)
    results = results_of(run)
    many = results.restricted(list(results.trials.index[:2]), 6)
    maps = latent_maps(many)
    assert shown_trials(maps) == ["trial 1"]
    assert set(maps.trials[0].maps) == {Projection.PCA}
    assert not math.isnan(maps.trials[0].maps[Projection.PCA].trustworthiness)
