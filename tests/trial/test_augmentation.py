"""Augmentation: what changes against torchvision, and what must not change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from cae.trial.augmentation import Augment, Augmentation, cut_out, rotate, shift
from cae.trial.batches import DeviceImages, Pairs, to_float
from cae.trial.config import Trial, from_flat
from cae.trial.messages import ConfigError
from cae.trial.tasks import Denoise, Reconstruct

ALL: dict[str, Any] = {
    "augmentation": "augment",
    "augmentation.flip": "both",
    "augmentation.shift": 2,
    "augmentation.rotation": 10.0,
    "augmentation.padding": "reflect",
    "augmentation.brightness": 0.2,
    "augmentation.contrast": 0.2,
    "augmentation.cutout": 3,
}


def random_images(count: int = 40, channels: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, 9, 12, generator=generator)


def augmented(augmentation: Augmentation, images: Tensor, seed: int = 3) -> Tensor:
    return augmentation.apply(images, torch.Generator().manual_seed(seed))


def test_flips_mirror_half_of_the_images() -> None:
    images = random_images(200)
    changes: dict[Any, dict[str, Tensor]] = {
        "horizontal": {"-1": images.flip(3)},
        "vertical": {"-2": images.flip(2)},
        "both": {"-1": images.flip(3), "-2": images.flip(2), "-3": images.flip(2, 3)},
    }
    for flip, mirrored in changes.items():
        result = augmented(Augment(flip=flip), images)
        counts = [_equal_images(result, images)]
        counts += [_equal_images(result, other) for other in mirrored.values()]
        assert sum(counts) == len(images)
        expected = len(images) / len(counts)
        assert all(0.6 * expected < count < 1.4 * expected for count in counts)


def _equal_images(first: Tensor, second: Tensor) -> int:
    return int((first == second).flatten(1).all(1).sum())


@pytest.mark.parametrize(
    ("padding", "mode"), [("zeros", "constant"), ("edge", "edge"), ("reflect", "symmetric")]
)
def test_a_shift_is_a_crop_of_the_padded_image(padding: Any, mode: str) -> None:
    images = random_images(3)
    down = torch.tensor([2, 0, -3])
    right = torch.tensor([-1, 3, -4])
    result = shift(images, down, right, padding)
    padded = reference.pad(images, [5, 5, 5, 5], padding_mode=mode)
    for number in range(3):
        top = 5 - int(down[number])
        left = 5 - int(right[number])
        assert torch.equal(result[number], padded[number, :, top : top + 9, left : left + 12])


def test_all_shifts_are_drawn() -> None:
    image = torch.zeros(1, 1, 9, 9)
    image[..., 4, 4] = 1
    result = augmented(Augment(shift=1), image.expand(300, -1, -1, -1))
    positions = {tuple(position) for position in result.nonzero()[:, 2:].tolist()}
    assert positions == {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}


@pytest.mark.parametrize("shape", [(9, 9), (9, 12)])
def test_a_rotation_is_that_of_torchvision(shape: tuple[int, int]) -> None:
    images = torch.rand(3, 2, *shape)
    degrees = torch.tensor([30.0, -7.5, 90.0])
    result = rotate(images, degrees, "zeros")
    for number, angle in enumerate(degrees.tolist()):
        expected = reference.rotate(images[number], angle, InterpolationMode.BILINEAR)
        torch.testing.assert_close(result[number], expected, atol=1e-4, rtol=1e-4)


def test_brightness_and_contrast_are_those_of_torchvision() -> None:
    images = random_images(channels=1)  # the contrast of colors is about the mean of their gray
    factors = 1 - 0.4 + 2 * 0.4 * torch.rand(40, generator=torch.Generator().manual_seed(3))
    brighter = augmented(Augment(brightness=0.4), images)
    contrasted = augmented(Augment(contrast=0.4), images)
    for number, factor in enumerate(factors.tolist()):
        image = images[number]
        torch.testing.assert_close(brighter[number], reference.adjust_brightness(image, factor))
        torch.testing.assert_close(contrasted[number], reference.adjust_contrast(image, factor))


def test_a_cutout_is_a_square_around_its_center() -> None:
    images = torch.ones(2, 1, 9, 12)
    result = cut_out(images, torch.tensor([4, 0]), torch.tensor([6, 11]), 3)
    expected = images.clone()
    expected[0, :, 3:6, 5:8] = 0
    expected[1, :, :2, 10:] = 0
    assert torch.equal(result, expected)


def test_everything_together_stays_in_the_range_and_differs_between_images() -> None:
    augmentation = from_parameters(ALL)
    image = random_images(1, 3).expand(20, -1, -1, -1)
    result = augmented(augmentation, image)
    assert result.shape == image.shape
    assert 0 <= result.min() <= result.max() <= 1
    assert all(not torch.equal(result[0], other) for other in result[1:])
    assert torch.equal(result, augmented(augmentation, image))
    assert not torch.equal(result, augmented(augmentation, image, seed=4))


def from_parameters(settings: dict[str, Any]) -> Augmentation:
    names = {name.partition(".")[2]: value for name, value in settings.items() if "." in name}
    return Augment(**names)


# In training


def pairs_of(task: Any, images: DeviceImages, augmentation: Augmentation | None) -> Pairs:
    return Pairs(task, images.train, 5, 1, "train", draw_on_device=True, augmentation=augmentation)


def test_the_targets_of_a_restoration_follow_the_images(images: DeviceImages) -> None:
    indices = torch.arange(30)
    clean = to_float(images.train.pixels[indices])
    task = Denoise(noise_factor=0.01, redraw_noise=True)
    inputs, targets = pairs_of(task, images, Augment(flip="horizontal")).at(indices)
    is_flipped = (targets == clean.flip(3)).flatten(1).all(1)
    assert 0 < is_flipped.sum() < len(indices)
    assert _equal_images(targets, clean) + int(is_flipped.sum()) >= len(indices)
    assert 0 < (inputs - targets).abs().max() < 0.1


def test_each_epoch_has_changes_of_its_own_that_depend_on_nothing_before(
    images: DeviceImages,
) -> None:
    indices = torch.arange(10)
    pairs = pairs_of(Reconstruct(), images, Augment(shift=3))
    first = pairs.at(indices)[0]
    again = pairs.at(indices)[0]
    pairs.start_epoch(2)
    second = pairs.at(indices)[0]
    pairs.start_epoch(1)
    assert torch.equal(pairs.at(indices)[0], first)
    assert not torch.equal(first, again)
    assert not torch.equal(first, second)


# Configurations


def test_without_an_augmentation_configurations_stay_as_they_were(trial: Trial) -> None:
    changed = trial.override(ALL)
    assert "augmentation" not in trial.flat()
    assert changed.flat()["augmentation.shift"] == 2
    assert from_flat(changed.flat()) == changed
    assert changed.override({"augmentation": "no_augmentation"}).flat() == trial.flat()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"augmentation.shift": 2},
            "augmentation.shift is not a parameter of augmentation = 'no_augmentation'; ",
        ),
        (
            {"augmentation": "augmnt"},
            "augmentation = 'augmnt' is not known; did you mean 'augment'? available: augment, "
            "no_augmentation",
        ),
        (
            {"augmentation": "augment", "augmentation.padding": "edge"},
            "augmentation.padding = 'edge' would be ignored: augmentation.shift and "
            "augmentation.rotation are 0",
        ),
        (
            {"augmentation": "augment", "augmentation.brightness": 1.5},
            "augmentation.brightness = 1.5: should be less than 1",
        ),
    ],
)
def test_invalid_settings_are_errors(trial: Trial, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        trial.override(changes)
    assert caught.value.messages[0].startswith(message)


def test_what_does_not_fit_is_refused(trial: Trial) -> None:
    large = trial.override({"augmentation": "augment", "augmentation.shift": 99})
    with pytest.raises(ConfigError, match=r"augmentation.shift = 99: should be smaller than"):
        large.sizes()
    denoise = trial.override({"task": "denoise", "augmentation": "augment"})
    with pytest.raises(ConfigError) as caught:
        denoise.sizes()
    assert caught.value.messages == [
        "augmentation = 'augment': task = 'denoise' draws its inputs once for all epochs, and "
        "augmented images differ in each epoch; choose task.redraw_noise = True"
    ]
    denoise.override({"task.redraw_noise": True}).sizes()
