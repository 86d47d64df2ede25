"""Restoration: what each task takes away, what it measures, and what it finds at the end; a network
learns each of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from cae.trial.batches import DeviceImages, to_float
from cae.trial.config import Trial
from cae.trial.datasets import Digits, Patches
from cae.trial.evaluation import conclude, evaluate, evaluation_pairs
from cae.trial.messages import ConfigError
from cae.trial.metrics import gradient_energy
from cae.trial.networks import ConvAutoencoder
from cae.trial.networks.create import build_network
from cae.trial.tasks import Colorize, Complete, Inpaint
from cae.trial.tasks.base import Evaluation, Task
from cae.trial.tasks.colorize import RGB_TO_YIQ, rgb_to_yiq, yiq_to_rgb
from tests.trial.steps import losses_of

LABELS = torch.zeros(48, dtype=torch.int64)
TASKS: list[tuple[Task, str]] = [
    (Colorize(), "sigmoid"),
    (Colorize(loss="l1"), "sigmoid"),
    (Colorize(loss="bce"), "sigmoid"),
    (Colorize(target="iq"), "tanh"),
    (Colorize(target="iq"), "sigmoid"),
    (Colorize(target="iq", loss="l1"), "linear"),
    (Complete(), "sigmoid"),
    (Complete(loss="l1"), "sigmoid"),
    (Complete(loss="bce"), "sigmoid"),
    (Inpaint(), "sigmoid"),
    (Inpaint(loss="bce"), "sigmoid"),
    (Inpaint(hole=5, loss="l1", region="hole"), "sigmoid"),
    (Inpaint(hole=4, loss="bce", region="hole", fill=0.5), "sigmoid"),
]
ids = [f"{task.name} {task.parameters()} {activation}" for task, activation in TASKS]
each_network = pytest.mark.parametrize(("task", "activation"), TASKS, ids=ids)
each_task = pytest.mark.parametrize(
    "task", [task for task, _ in TASKS if task.loss != "l1"], ids=repr
)
COLOURS = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def pairs_from(task: Task, images: Tensor) -> tuple[Tensor, Tensor]:
    return task.pairs(images, LABELS[: len(images)], torch.Generator())


def small(task: Task, activation: Any, dataset: Any, trial: Trial) -> Trial:
    arch = ConvAutoencoder(
        encoder_filters=(8, 8),
        decoder_filters=(8,),
        pool_after=(1,),
        upsample_after=(1,),
        output_activation=activation,
    )
    return trial.model_copy(update={"task": task, "dataset": dataset, "arch": arch})


@pytest.fixture(scope="module")
def colors() -> DeviceImages:
    """48 + 8 + 8 color patches of 12 x 12, of two photographs."""
    return DeviceImages.load(
        Patches(size=12, train_images=48, val_images=8, test_images=8).load(()), torch.device("cpu")
    )


@pytest.fixture(scope="module")
def digits() -> DeviceImages:
    """Two hundred training digits of 12 x 12, of ten classes, and 60 test digits."""
    return DeviceImages.load(
        Digits(size=12, train_images=200, val_images=8, test_images=60).load(()),
        torch.device("cpu"),
    )


class Same(nn.Module):
    """A network without parameters whose output is fixed, or else its input."""

    def __init__(self, output: Tensor | None = None) -> None:
        super().__init__()
        self.output = output

    def forward(self, images: Tensor) -> Tensor:
        if self.output is None:
            return images
        return self.output[: len(images)]


def evaluation_of(network: nn.Module, task: Task, images: DeviceImages) -> Evaluation:
    inputs, target = pairs_from(task, to_float(images.test.pixels))
    with torch.inference_mode():
        return Evaluation(
            network=network,
            inputs=inputs,
            target=target,
            output=network(inputs),
            labels=images.test.labels,
            classes=images.classes,
            train=evaluation_pairs(task, images.train, "train"),
            dependencies={},
        )


@each_network
def test_a_few_training_steps_reduce_the_loss(
    task: Task, activation: str, colors: DeviceImages, trial: Trial
) -> None:
    config = small(task, activation, Patches(size=12), trial)
    config.sizes()
    torch.manual_seed(0)
    network = build_network(config)
    inputs, target = pairs_from(task, to_float(colors.train.pixels))
    assert (*inputs.shape[1:],) == task.input_shape((3, 12, 12))
    assert (*target.shape[1:],) == task.output_shape((3, 12, 12))
    losses = losses_of(task, network, inputs, target)
    assert losses[-1] < (0.9 * losses[0] if task.loss != "bce" else losses[0] - 0.01)


@each_network
def test_metrics_are_declared_and_finite_and_tables_have_rows(
    task: Task, activation: str, colors: DeviceImages, trial: Trial
) -> None:
    torch.manual_seed(0)
    config = small(task, activation, Patches(size=12), trial)
    network = build_network(config)
    metrics, tables, _ = conclude(network, task, colors, {})
    assert all(math.isfinite(value) for value in metrics.values())
    assert {
        f"val_{name}" for name in evaluate(network, evaluation_pairs(task, colors.val, "val"))
    } <= set(config.metric_names())
    assert len([name for name in metrics if name.startswith("baseline_")]) >= 3
    assert all(table for table in tables.values())
    if task.loss != "mse":
        assert "mse" in metrics


@each_task
def test_a_perfect_prediction_has_no_error(task: Task, colors: DeviceImages) -> None:
    target = pairs_from(task, to_float(colors.test.pixels))[1]
    measured = task.metrics(target, target) | task.final_metrics(target, target)
    metrics = conclude(Same(target), task, colors, {})[0]
    for name, values in measured.items():
        if name.endswith(("mse", "l1", "error")):
            assert values.tolist() == [0.0] * 8, name
        if name.endswith("psnr"):
            assert values.tolist() == [100.0] * 8, name
        if name.endswith("ssim"):
            assert values.tolist() == pytest.approx([1.0] * 8, abs=1e-5), name
    assert metrics["loss"] == pytest.approx(metrics.get("floor", 0), abs=1e-6)
    assert metrics.get("clipped_rgb_mse", 0) == pytest.approx(0, abs=1e-12)
    assert all(metrics[name] > metrics["loss"] for name in metrics if name.startswith("baseline_"))


@each_task
def test_the_displayed_image_of_a_perfect_prediction_is_the_original(task: Task) -> None:
    inputs, target = pairs_from(task, COLOURS)
    assert torch.allclose(task.to_image(inputs, target), COLOURS, atol=1e-6)


def test_yiq_has_the_published_coefficients_and_an_inverse() -> None:
    """The inverse is that of TensorFlow (tf.image.yiq_to_rgb) and of scikit-image, to the digits
    that they agree on."""
    primaries = torch.eye(3, dtype=torch.float64).T[..., None, None]
    assert torch.allclose(
        rgb_to_yiq(primaries)[..., 0, 0].T,
        torch.tensor(RGB_TO_YIQ, dtype=torch.float64),
        atol=1e-12,
    )
    inverse = [
        [1, 0.95598634, 0.6208248],
        [1, -0.27201283, -0.64720424],
        [1, -1.10674021, 1.70423049],
    ]
    assert torch.allclose(
        yiq_to_rgb(primaries)[..., 0, 0].T, torch.tensor(inverse, dtype=torch.float64), atol=1e-6
    )
    assert torch.allclose(yiq_to_rgb(rgb_to_yiq(COLOURS)), COLOURS, atol=1e-6)
    gray = torch.full((1, 3, 2, 2), 0.7)
    assert rgb_to_yiq(gray)[:, 0].flatten().tolist() == pytest.approx([0.7] * 4)
    assert rgb_to_yiq(gray)[:, 1:].abs().max() < 1e-6


def test_colorize_maps_the_gray_image_to_colors_or_to_chroma() -> None:
    inputs, target = pairs_from(Colorize(), COLOURS)
    assert torch.allclose(
        inputs[:, 0], 0.299 * COLOURS[:, 0] + 0.587 * COLOURS[:, 1] + 0.114 * COLOURS[:, 2]
    )
    assert torch.equal(target, COLOURS)
    chroma = pairs_from(Colorize(target="iq"), COLOURS)[1]
    assert chroma.min() < 0 < chroma.max()
    assert chroma.abs().max() < 0.6


def test_both_targets_of_colorize_report_the_same_errors_in_rgb_and_iq() -> None:
    inputs, chroma = pairs_from(Colorize(target="iq"), COLOURS)
    answer = chroma + 0.1 * torch.randn(chroma.shape, generator=torch.Generator().manual_seed(1))
    task = Colorize(target="iq")
    of_iq, of_rgb = (
        task.metrics(answer, chroma),
        Colorize().metrics(task.to_image(inputs, answer), COLOURS),
    )
    for name in ("iq_mse", "rgb_mse", "rgb_psnr"):
        assert torch.allclose(of_iq[name], of_rgb[name], rtol=1e-4)
    assert "channel_argmax_error" not in of_iq


def test_colorize_reports_the_lowest_reachable_losses_of_chroma(colors: DeviceImages) -> None:
    task = Colorize(target="iq")
    target = pairs_from(task, to_float(colors.test.pixels))[1]
    metrics, *_ = conclude(Same(target.clamp(min=0)), task, colors, {})
    assert metrics["loss"] == pytest.approx(metrics["floor_sigmoid"])
    assert metrics["negative_i"] == pytest.approx((target[:, 0] < -1e-6).float().mean().item())
    assert 0 < metrics["negative_q"] < 1
    assert metrics["mean_chroma_iq_mse"] == pytest.approx(metrics["baseline_mean_chroma"], rel=1e-4)
    mean = pairs_from(task, to_float(colors.train.pixels))[1].mean((0, 2, 3))[:, None, None]
    assert metrics["mean_chroma_rgb_mse"] == pytest.approx(
        task.metrics(mean.expand_as(target), target)["rgb_mse"].mean().item(), rel=1e-4
    )
    of_rgb = conclude(Same(to_float(colors.test.pixels)), Colorize(), colors, {})[0]
    for name in ("mean_chroma_iq_mse", "mean_chroma_rgb_mse"):
        assert of_rgb[name] == pytest.approx(metrics[name], rel=1e-4)
    assert "floor_sigmoid" not in of_rgb


def test_colorize_reports_the_errors_per_class_of_the_clipped_rgb_image(
    colors: DeviceImages,
) -> None:
    classes = ("temple", "flower")
    labels = torch.arange(8) % 2
    images = colors._replace(classes=classes, test=colors.test._replace(labels=labels))
    task = Colorize(target="iq")
    wild = pairs_from(task, to_float(colors.test.pixels))[1] * 3
    metrics, tables = task.conclude(evaluation_of(Same(wild), task, images))
    assert metrics["clipped_rgb_mse"] < task.metrics(wild, wild / 3)["rgb_mse"].mean()
    rows = tables["per_class"]
    assert [row["class"] for row in rows] == [*classes]
    assert sum(row["mse"] for row in rows) / 2 == pytest.approx(metrics["clipped_rgb_mse"])
    assert {"ssim", "relative_mse", "iq_mse"} <= rows[0].keys()


def test_complete_maps_the_left_half_to_the_right_half() -> None:
    inputs, target = pairs_from(Complete(), COLOURS)
    assert torch.equal(inputs, COLOURS[..., :6])
    assert torch.equal(target, COLOURS[..., 6:])


def test_complete_correlates_the_errors_of_classes_with_their_asymmetry(
    digits: DeviceImages,
) -> None:
    task = Complete()
    evaluation = evaluation_of(Same(), task, digits)
    mirrored = evaluation._replace(output=evaluation.inputs.flip(-1))
    metrics, tables = task.conclude(mirrored)
    assert metrics["asymmetry_correlation"] == pytest.approx(1), (
        "the error of the mirror is the asymmetry"
    )
    assert -1 <= metrics["asymmetry_correlation_relative"] <= 1
    rows = tables["per_class"]
    assert [row["class"] for row in rows] == [*"0123456789"]
    for row in rows:
        assert row["asymmetry"] == pytest.approx(row["mse"], rel=1e-4)
    assert {"relative_mse", "ssim", "psnr", "images"} <= rows[0].keys()
    without_errors, _ = task.conclude(evaluation._replace(output=evaluation.target))
    assert "asymmetry_correlation" not in without_errors


def test_complete_reports_the_errors_on_flipped_images(digits: DeviceImages) -> None:
    """A network that returns its input has the same error on an image and on the flipped image; a
    network that returns 0 does not."""
    for network, alike in ((Same(), True), (Same(torch.zeros(60, 1, 12, 6)), False)):
        evaluation = evaluation_of(network, Complete(), digits)
        rows = Complete().conclude(evaluation)[1]["flipped"]
        assert len(rows) == 10
        assert sum(row["images"] for row in rows) == 60
        for number, row in enumerate(rows):
            left = evaluation.inputs[evaluation.labels == number].square().mean().item()
            assert row["mse_flipped"] == pytest.approx(row["mse"] if alike else left, rel=1e-4)


def test_complete_flips_only_footwear_if_the_data_set_has_footwear(digits: DeviceImages) -> None:
    shod = digits._replace(classes=("Sandal", *"12345678", "Ankle boot"))
    metrics, tables = Complete().conclude(evaluation_of(Same(), Complete(), shod))
    assert [row["class"] for row in tables["flipped"]] == ["Sandal", "Ankle boot"]
    assert metrics["flipped_ratio"] == pytest.approx(1, rel=1e-4), (
        "a network that returns its input has the same error on flipped images"
    )
    assert len(tables["per_class"]) == 10


def test_the_mirror_of_symmetric_images_is_a_perfect_baseline(digits: DeviceImages) -> None:
    symmetric = digits._replace(
        test=digits.test._replace(
            pixels=torch.maximum(digits.test.pixels, digits.test.pixels.flip(-1))
        )
    )
    metrics, tables, _ = conclude(Same(), Complete(), symmetric, {})
    assert metrics["baseline_mirror"] == 0
    assert all(row["asymmetry"] == 0 for row in tables["per_class"])
    assert "asymmetry_correlation" not in metrics


def test_ridge_beats_the_mean_image_and_the_nearest_image_beats_the_mirror(
    digits: DeviceImages,
) -> None:
    metrics, *_ = conclude(Same(), Complete(), digits, {})
    assert metrics["baseline_ridge"] < metrics["baseline_mean_image"]
    assert metrics["baseline_nearest"] < metrics["baseline_mirror"]


@pytest.mark.parametrize(
    ("hole", "shape", "rows", "columns"),
    [
        (None, (3, 64, 64), (16, 47), (16, 47)),
        (5, (3, 12, 12), (3, 7), (3, 7)),
        (4, (1, 9, 20), (2, 5), (8, 11)),
        (None, (1, 4, 4), (1, 2), (1, 2)),
    ],
)
def test_inpaint_fills_a_square_in_the_centre(
    hole: int | None, shape: tuple[int, int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    images = 0.1 + 0.8 * torch.rand(2, *shape)
    before = images.clone()
    inputs, target = pairs_from(Inpaint(hole=hole, fill=1.0), images)
    assert torch.equal(target, before)
    assert torch.equal(images, before)
    changed = (inputs != images).all(1).all(0)
    assert torch.equal(inputs[..., ~changed], images[..., ~changed])
    assert inputs[..., changed].unique().tolist() == [1.0]
    places = changed.nonzero()
    assert (places[:, 0].min().item(), places[:, 0].max().item()) == rows
    assert (places[:, 1].min().item(), places[:, 1].max().item()) == columns


@pytest.mark.parametrize("region", ["full", "hole"])
def test_metrics_of_the_hole_ignore_pixels_outside_it(region: Any) -> None:
    task = Inpaint(hole=4, region=region)
    output = (COLOURS + 0.1).clone()
    elsewhere = torch.rand(output.shape, generator=torch.Generator().manual_seed(2))
    elsewhere[..., 4:8, 4:8] = output[..., 4:8, 4:8]
    names = (
        ("hole_mse", "hole_l1", "hole_psnr")
        if region == "full"
        else tuple(task.metrics(output, COLOURS))
    )
    for name in names:
        assert torch.equal(
            task.metrics(output, COLOURS)[name], task.metrics(elsewhere, COLOURS)[name]
        )
    assert task.metrics(output, COLOURS)["hole_l1"].tolist() == pytest.approx([0.1] * 5, rel=1e-4)
    assert torch.equal(
        task.final_metrics(output, COLOURS)["hole_ssim"],
        task.final_metrics(elsewhere, COLOURS)["hole_ssim"],
    )
    assert torch.equal(task.criterion(output, COLOURS), task.criterion(elsewhere, COLOURS)) == (
        region == "hole"
    )


def test_with_region_hole_the_pixels_outside_are_copied_from_the_input() -> None:
    task = Inpaint(hole=6, region="hole")
    inputs, target = pairs_from(task, COLOURS)
    output = torch.full_like(target, 0.5)
    image = task.to_image(inputs, output)
    assert (image[..., 3:9, 3:9] == 0.5).all()
    assert torch.equal(image[..., :3, :], COLOURS[..., :3, :])
    measured = task.metrics(output, target)
    assert torch.allclose(measured["mse"], measured["hole_mse"] * 36 / 144)


def test_binary_accuracy_is_the_share_of_binary_target_pixels_that_are_rounded_correctly() -> None:
    target = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.4, 0.9, 0.5, 0.1] * 2).reshape(1, 1, 4, 4)
    output = torch.tensor([0.1, 0.7, 0.8, 0.2, 0.4, 0.9, 0.5, 0.1] * 2).reshape(1, 1, 4, 4)
    assert Inpaint().metrics(output, target)["binary_accuracy"].item() == pytest.approx(2 / 8)


def test_inpaint_reports_rings_brightness_and_sharpness_of_the_hole(digits: DeviceImages) -> None:
    task = Inpaint(loss="bce")
    target = pairs_from(task, to_float(digits.test.pixels))[1]
    output = target.clone()
    output[..., 3:9, 3:9] *= 0.5
    metrics, tables = task.conclude(evaluation_of(Same(output), task, digits))
    hole = target[..., 3:9, 3:9]
    assert metrics["hole_mean"] == pytest.approx(
        255 * output[..., 3:9, 3:9].mean().item(), rel=1e-5
    )
    assert metrics["bce_above_floor"] == pytest.approx(
        task.criterion(output, target).item() - task.criterion(target, target).item()
    )
    rings = tables["rings"]
    assert [row["ring"] for row in rings] == [1, 2, 3]
    assert [row["pixels"] for row in rings] == [20, 12, 4]
    assert metrics["ring_correlation"] == pytest.approx(1), (
        "what is missing is brightest in the middle"
    )
    assert rings[2]["l1"] == pytest.approx(hole[..., 2:4, 2:4].mean().item() / 2, rel=1e-5)
    assert rings[2]["mse"] == pytest.approx(
        hole[..., 2:4, 2:4].square().mean().item() / 4, rel=1e-5
    )
    assert sum(row["mse"] * row["pixels"] for row in rings) / 36 == pytest.approx(
        task.metrics(output, target)["hole_mse"].mean().item()
    )
    assert len(tables["per_class"]) == 10
    halved = task.conclude(evaluation_of(Same(target / 2), task, digits))[0]
    assert halved["hole_brightness"] == pytest.approx(0.5)
    assert halved["hole_gradient_energy"] == pytest.approx(0.25)


def test_fills_from_the_border_beat_the_mean_image_on_photographs(colors: DeviceImages) -> None:
    metrics, *_ = conclude(Same(), Inpaint(), colors, {})
    found = {
        name: metrics[f"baseline_{name}"]
        for name in ("mean_image", "mean_hole", "border_mean", "nearest_border", "harmonic")
    }
    assert min(found, key=found.__getitem__) == "harmonic"
    assert max(found, key=found.__getitem__) == "mean_image"


def test_gradient_energy_is_the_mean_squared_difference_of_neighbors_and_blurring_reduces_it() -> (
    None
):
    image = torch.tensor([[0.0, 1.0], [0.0, 0.5]]).reshape(1, 1, 2, 2)
    assert gradient_energy(image).item() == pytest.approx((1 + 0.25 + 0 + 0.25) / 4)
    assert (
        gradient_energy(nn.functional.avg_pool2d(COLOURS, 3, 1, 1)) < gradient_energy(COLOURS)
    ).all()
    assert gradient_energy(torch.rand(2, 1, 1, 1)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("task", "dataset", "message"),
    [
        (
            Colorize(),
            Digits(size=12),
            r"task = 'colorize' needs color images: the images have 1 channel",
        ),
        (
            Colorize(target="iq", loss="bce"),
            Patches(size=12),
            r"task\.loss = 'bce' needs .* and task\.target = 'iq' has negative",
        ),
        (Complete(), Digits(size=13), r"task = 'complete' needs an even width.*13 columns"),
        (
            Inpaint(hole=12),
            Patches(size=12),
            r"task\.hole = 12: should leave a pixel on each side of an image of 12x12: at most 10",
        ),
        (Inpaint(hole=11), Patches(size=12), r"task\.hole = 11: .* at most 10"),
    ],
)
def test_a_task_that_does_not_fit_the_data_set_is_an_error(
    task: Task, dataset: Any, message: str, trial: Trial
) -> None:
    with pytest.raises(ConfigError, match=message):
        small(task, "sigmoid", dataset, trial).sizes()


def test_cross_entropy_of_colors_requires_a_sigmoid_and_chroma_allows_any_output() -> None:
    with pytest.raises(ValueError, match="output_activation"):
        Colorize(loss="bce").validate_output_range((-1, 1))
    for output_range in ((0.0, 1.0), (-1.0, 1.0), (-math.inf, math.inf)):
        Colorize(target="iq").validate_output_range(output_range)


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        (Colorize, {"target": "yuv"}),
        (Inpaint, {"hole": 0}),
        (Inpaint, {"fill": 1.5}),
        (Inpaint, {"fill": -0.1}),
        (Inpaint, {"region": "center"}),
        (Complete, {"half": "left"}),
    ],
)
def test_an_invalid_parameter_is_an_error(part: type[Task], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        part(**wrong)
