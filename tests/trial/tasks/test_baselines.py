"""Baselines: answers known beforehand, and numbers of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import Tensor

from cae.trial.batches import DeviceImages, DeviceSplit, Pairs, to_float
from cae.trial.tasks import Complete, baselines
from cae.trial.tasks.baselines import Box

BOX: Box = (slice(3, 9), slice(2, 7))
boxes = st.tuples(
    st.tuples(st.integers(1, 4), st.integers(1, 9)), st.tuples(st.integers(1, 4), st.integers(1, 9))
).map(lambda both: tuple(slice(start, start + size) for start, size in both))


def images_around(box: Box, count: int = 2, seed: int = 0) -> Tensor:
    """Random color images; below and to the right of the hole lie two more rows and columns."""
    shape = (count, 3, box[0].stop + 2, box[1].stop + 2)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def halves(images: DeviceImages) -> Pairs:
    """The halves of 70 digits: 28 x 28 pixels where the data set says nothing else."""
    return Pairs(Complete(), images.train, 0, 0, "train")


@settings(deadline=None, max_examples=40, derandomize=True)
@drawn(boxes, st.floats(-0.03, 0.03), st.floats(-0.03, 0.03))
def test_the_harmonic_fill_of_a_linear_gradient_is_the_gradient(
    box: Box, down: float, right: float
) -> None:
    rows, columns = box[0].stop + 2, box[1].stop + 2
    plane = down * torch.arange(rows, dtype=torch.float64)[:, None] + right * torch.arange(
        columns, dtype=torch.float64
    )
    image = ((plane - plane.min()) / (plane.max() - plane.min() + 1)).expand(1, 3, -1, -1)
    assert torch.allclose(
        baselines.harmonic(baselines.filled(image, box, torch.tensor(0.7)), box), image, atol=1e-12
    )


@settings(deadline=None, max_examples=40, derandomize=True)
@drawn(boxes, st.integers(0, 1000))
def test_each_pixel_of_a_harmonic_fill_is_the_mean_of_its_neighbours(box: Box, seed: int) -> None:
    image = images_around(box, seed=seed).double()
    answer = baselines.harmonic(image, box)
    means = (
        answer[..., :-2, 1:-1]
        + answer[..., 2:, 1:-1]
        + answer[..., 1:-1, :-2]
        + answer[..., 1:-1, 2:]
    ) / 4
    inside = slice(box[0].start - 1, box[0].stop - 1), slice(box[1].start - 1, box[1].stop - 1)
    assert torch.allclose(answer[..., *box], means[..., *inside], atol=1e-12)
    rows, columns = box
    border = torch.cat(
        [image[..., row, columns] for row in (rows.start - 1, rows.stop)]
        + [image[..., rows, column] for column in (columns.start - 1, columns.stop)],
        -1,
    )
    hole = answer[..., *box].flatten(2)
    assert (hole.amax(-1) <= border.amax(-1) + 1e-12).all()
    assert (hole.amin(-1) >= border.amin(-1) - 1e-12).all()


def test_the_harmonic_fill_of_an_image_does_not_depend_on_the_other_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = images_around(BOX, 7)
    whole = baselines.harmonic(image, BOX)
    monkeypatch.setattr(baselines, "BATCH", 3)
    assert torch.allclose(baselines.harmonic(image, BOX), whole, atol=1e-6)


@pytest.mark.parametrize(
    "rule", [baselines.border_mean, baselines.nearest_border, baselines.harmonic]
)
def test_a_fill_neither_changes_pixels_outside_the_hole_nor_reads_pixels_inside(
    rule: Callable[[Tensor, Box], Tensor],
) -> None:
    image = images_around(BOX)
    before = image.clone()
    answer = rule(image, BOX)
    assert torch.equal(image, before)
    assert torch.equal(answer, rule(baselines.filled(image, BOX, torch.tensor(0.5)), BOX))
    kept = answer.clone()
    kept[..., *BOX] = image[..., *BOX]
    assert torch.equal(kept, image)
    flat = torch.full((1, 3, 12, 12), 0.25)
    assert torch.allclose(
        rule(baselines.filled(flat, BOX, torch.tensor(0.0)), BOX), flat, atol=1e-6
    )


def test_the_border_mean_is_the_mean_of_the_pixels_next_to_the_hole() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[..., 1, 1:4] = 0.8  # three of the eight pixels around the one in the center
    image[..., 0, 0] = 1.0  # farther away
    assert baselines.border_mean(image, (slice(2, 3), slice(2, 3)))[
        ..., 2, 2
    ].item() == pytest.approx(0.3)


def test_the_nearest_border_fills_four_triangles() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[..., 0, 1:4], image[..., 4, 1:4], image[..., 1:4, 0], image[..., 1:4, 4] = (
        0.1,
        0.2,
        0.3,
        0.4,
    )
    hole = baselines.nearest_border(image, (slice(1, 4), slice(1, 4)))[0, 0, 1:4, 1:4]
    assert torch.allclose(hole, torch.tensor([[0.1, 0.1, 0.1], [0.3, 0.1, 0.4], [0.2, 0.2, 0.2]]))


@pytest.mark.parametrize("alpha", [0.1, 1.0, 30.0])
def test_ridge_predicts_the_same_as_scikit_learn(
    halves: Pairs, images: DeviceImages, alpha: float
) -> None:
    given, target, _ = next(halves.batches())
    test = next(Pairs(Complete(), images.test, 0, 0, "test").batches())[0]
    model = Ridge(alpha=alpha).fit(
        given.flatten(1).double().numpy(), target.flatten(1).double().numpy()
    )
    expected = (
        torch.from_numpy(model.predict(test.flatten(1).double().numpy()))
        .clamp(0, 1)
        .float()
        .reshape(target[: len(test)].shape)
    )
    assert torch.allclose(baselines.ridge(halves, test, alpha), expected, atol=1e-5)


def test_ridge_is_fitted_to_fewer_images_if_all_would_be_too_expensive(
    halves: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, target, _ = next(halves.batches())
    whole = baselines.ridge(halves, given)
    monkeypatch.setattr(
        baselines,
        "MAX_MULTIPLICATIONS",
        20 * given[0].numel() * (given[0].numel() + target[0].numel()),
    )
    fewer = baselines.ridge(halves, given)
    assert (whole - target).square().mean() < (fewer - target).square().mean() < target.var()


def test_the_nearest_training_image_to_a_training_image_is_itself(
    halves: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, target, _ = next(halves.batches())
    monkeypatch.setattr(baselines, "BATCH", 32)
    assert torch.equal(baselines.nearest(halves, given), target)
    limited = baselines.nearest(halves, given, limit=10)
    assert len(limited.flatten(1).unique(dim=0)) <= 10
    assert torch.equal(limited, baselines.nearest(halves, given, limit=10)), (
        "drawn by a seed of its own"
    )
    distances = torch.cdist(given.flatten(1), given[baselines.some(halves, 10)].flatten(1))
    assert torch.equal(limited, target[baselines.some(halves, 10)[distances.argmin(1)]])


def test_the_mirror_predicts_symmetric_images_without_error() -> None:
    left = torch.rand(3, 3, 6, 4)
    assert torch.equal(baselines.mirror(left), torch.cat([left, left.flip(-1)], -1)[..., 4:])


@pytest.mark.parametrize("shape", [(1, 28, 14), (3, 32, 16), (3, 64, 32), (3, 7, 300), (1, 1, 1)])
def test_only_large_inputs_are_averaged_to_fewer_pixels(shape: tuple[int, int, int]) -> None:
    images = torch.rand(2, *shape)
    less = baselines.small(images)
    assert less[0].numel() <= baselines.MAX_INPUT_VALUES
    assert (less is images) == (images[0].numel() <= baselines.MAX_INPUT_VALUES)
    if shape == (3, 32, 16):
        assert torch.allclose(less[0, 0, 0, 0], images[0, 0, :2, :2].mean())


def test_ridge_on_averaged_color_images_beats_the_mean_image() -> None:
    ramp = torch.linspace(0, 255, 48).outer(torch.linspace(0.2, 1, 32))
    pixels = torch.stack([ramp.roll(by, 1).expand(3, -1, -1) for by in range(24)]).to(torch.uint8)
    split = DeviceSplit(pixels, torch.zeros(24, dtype=torch.int64))
    pairs = Pairs(Complete(), split, 0, 0, "train")
    given, target = to_float(pixels)[..., :16], to_float(pixels)[..., 16:]
    assert given[0].numel() > baselines.MAX_INPUT_VALUES
    answer = baselines.ridge(pairs, given)
    assert answer.shape == target.shape
    assert (answer - target).square().mean() < 0.5 * (pairs.mean_target() - target).square().mean()


@pytest.mark.parametrize("side", [1, 2, 5, 8, 32])
def test_rings_partition_a_hole(side: int) -> None:
    rings = baselines.rings(side)
    assert rings.shape == (side, side)
    counts = rings.flatten().bincount()[1:].tolist()
    assert sum(counts) == side**2
    assert counts == [max(4 * (side - 2 * ring - 1), 1) for ring in range((side + 1) // 2)]
