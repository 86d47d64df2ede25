"""Detecting anomalies: which images are used, what the metrics measure, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from cae.trial import checkpoint
from cae.trial.batches import DeviceImages, count_images, images_for, to_float
from cae.trial.config import Trial
from cae.trial.datasets import Digits, ImageFolder, Images, Mnist, Split
from cae.trial.messages import ConfigError
from cae.trial.networks import ConvAutoencoder, DenseAutoencoder
from cae.trial.networks.create import build_network_like
from cae.trial.optimizers import Adam
from cae.trial.tasks import DetectAnomalies, Reconstruct
from cae.trial.training import Epoch, train

NORMAL = 3
DIGITS = Digits(train_images=400, val_images=240, test_images=200)
TASK = DetectAnomalies(normal_classes=(NORMAL,))
TRIAL = Trial(
    dataset=DIGITS,
    task=TASK,
    arch=DenseAutoencoder(hidden_units=(16, 5)),
    optimizer=Adam(lr=1e-2),
    batch_size=16,
    epochs=3,
)


@pytest.fixture(scope="module")
def images() -> Images:
    return DIGITS.load(())


@pytest.fixture(scope="module")
def on_cpu(images: Images) -> DeviceImages:
    return DeviceImages.load(images, torch.device("cpu"))


@pytest.fixture(scope="module")
def finished(on_cpu: DeviceImages, tmp_path_factory: pytest.TempPathFactory) -> tuple[Epoch, Path]:
    """The last epoch of TRIAL, and its folder."""
    folder = tmp_path_factory.mktemp("trial")
    *_, last = train(TRIAL, on_cpu, folder)
    return last, folder


def final_of(epoch: Epoch) -> dict[str, float]:
    assert epoch.final is not None
    return epoch.final


def own_scores(folder: Path, split: Split) -> np.ndarray:
    """Mean squared errors of the trial's best weights, computed apart."""
    weights = checkpoint.load(folder / "best.safetensors").network
    network = build_network_like(TRIAL, weights).eval()
    inputs = torch.from_numpy(split.pixels).float() / 255
    with torch.inference_mode():
        error = network(inputs) - inputs
    scores: np.ndarray = error.double().square().mean((1, 2, 3)).numpy()
    return scores


def test_training_and_validation_use_only_normal_images_and_the_test_split_all(
    on_cpu: DeviceImages, images: Images
) -> None:
    used = images_for(TASK, on_cpu)
    assert set(used.train.labels.tolist()) == {NORMAL} == set(used.val.labels.tolist())
    assert used.test is on_cpu.test
    of_class = images.train.pixels[images.train.labels == NORMAL]
    assert torch.equal(used.train.pixels, torch.from_numpy(of_class))
    assert count_images(TASK, images.train, images.class_names) == len(of_class)
    assert images_for(Reconstruct(), on_cpu).train.pixels is on_cpu.train.pixels


def test_other_images_of_other_classes_change_nothing_in_training(
    on_cpu: DeviceImages, tmp_path: Path, finished: tuple[Epoch, Path]
) -> None:
    train_split = on_cpu.train
    is_normal = train_split.labels == NORMAL
    black = torch.where(is_normal[:, None, None, None], train_split.pixels, 0)
    changed = on_cpu._replace(train=train_split._replace(pixels=black))
    *_, last = train(TRIAL, changed, tmp_path)
    for name in ("train_loss", "val_loss", "val_psnr"):
        assert last.row[name] == finished[0].row[name]


def test_the_metrics_are_those_of_scikit_learn(
    finished: tuple[Epoch, Path], images: Images
) -> None:
    epoch, folder = finished
    final = final_of(epoch)
    scores = own_scores(folder, images.test)
    is_anomalous = images.test.labels != NORMAL
    assert abs(final["test_auroc"] - roc_auc_score(is_anomalous, scores)) <= 1e-12
    expected = average_precision_score(is_anomalous, scores)
    assert abs(final["test_average_precision"] - expected) <= 1e-12
    is_val_normal = images.val.labels == NORMAL
    val_scores = own_scores(folder, images.val)[is_val_normal]
    threshold = np.sort(val_scores)[int(np.ceil(0.95 * len(val_scores))) - 1]
    assert final["test_threshold"] == pytest.approx(threshold, rel=1e-6)
    is_flagged = scores > threshold
    assert final["test_recall"] == pytest.approx(is_flagged[is_anomalous].mean())
    false_positives = is_flagged[~is_anomalous].mean()
    assert final["test_false_positive_rate"] == pytest.approx(false_positives)
    assert final["test_auroc"] > 0.6, "the network has learned something about the class"


def test_the_test_loss_and_the_baselines_are_means_of_normal_images(
    finished: tuple[Epoch, Path], images: Images
) -> None:
    epoch, folder = finished
    final = final_of(epoch)
    is_normal = images.test.labels == NORMAL
    scores = own_scores(folder, images.test)
    assert final["test_loss"] == pytest.approx(scores[is_normal].mean(), rel=1e-5)
    assert final["test_loss"] != pytest.approx(scores.mean(), rel=1e-2)
    psnr = -10 * np.log10(scores[is_normal])
    assert final["test_psnr"] == pytest.approx(psnr.mean(), rel=1e-5)
    used = images.train.pixels[images.train.labels == NORMAL] / 255
    error = images.test.pixels[is_normal] / 255 - used.mean(0)
    assert final["test_baseline_mean_image"] == pytest.approx(np.square(error).mean(), rel=1e-4)


def test_the_baselines_are_pca_of_the_same_width_and_the_nearest_training_image(
    finished: tuple[Epoch, Path], images: Images
) -> None:
    final = final_of(finished[0])
    is_anomalous = images.test.labels != NORMAL
    training = images.train.pixels[images.train.labels == NORMAL].reshape(-1, 64) / 255
    tested = images.test.pixels.reshape(-1, 64) / 255
    pca = PCA(5, svd_solver="full").fit(training)
    error = tested - pca.inverse_transform(pca.transform(tested))
    expected = roc_auc_score(is_anomalous, np.square(error).mean(1))
    assert final["test_pca_auroc"] == pytest.approx(expected, abs=1e-3)
    neighbours = NearestNeighbors(n_neighbors=1).fit(training)
    distances = neighbours.kneighbors(tested)[0][:, 0]
    expected = roc_auc_score(is_anomalous, distances)
    assert final["test_nearest_auroc"] == pytest.approx(expected, abs=1e-4)


def test_tables_have_a_row_per_class_and_a_histogram_of_both_kinds(
    finished: tuple[Epoch, Path], images: Images
) -> None:
    epoch, folder = finished
    rows = {row["class"]: row for row in epoch.tables["per_class"]}
    assert rows["3"]["kind"] == "normal"
    assert "auroc" not in rows["3"]
    assert rows["8"]["kind"] == "anomalous"
    scores = own_scores(folder, images.test)
    labels = images.test.labels
    of_both = np.isin(labels, (NORMAL, 8))
    expected = roc_auc_score(labels[of_both] == 8, scores[of_both])
    assert rows["8"]["auroc"] == pytest.approx(expected, abs=1e-12)
    assert rows["8"]["score"] == pytest.approx(scores[labels == 8].mean(), rel=1e-5)
    normal = sum(row["normal"] for row in epoch.tables["score_histogram"])
    assert normal == (labels == NORMAL).sum()


def test_galleries_show_the_extreme_scores_and_the_worst_verdicts(
    finished: tuple[Epoch, Path], images: Images
) -> None:
    folder = finished[1]
    scores = own_scores(folder, images.test)
    with np.load(folder / "galleries.npz") as file:
        arrays = dict(file)
    names = arrays["names"].tolist()
    assert names[:2] == ["highest_scores", "lowest_scores"]
    highest = arrays["images_0"]
    assert highest.shape == (8, 3, 24, 8), "input above output above error map, in color"
    most_anomalous = images.test.pixels[scores.argmax(), 0]
    assert np.abs(highest[0, 0, :8].astype(int) - most_anomalous).max() <= 1
    assert f"score {scores.max():.3g}" in arrays["captions_0"][0]
    for number, name in enumerate(names):
        if name == "missed_anomalies":
            assert all("anomalous" in caption for caption in arrays[f"captions_{number}"])
        if name == "false_alarms":
            assert all("normal" in caption for caption in arrays[f"captions_{number}"])


def test_the_score_is_the_mean_of_the_error_map() -> None:
    generator = torch.Generator().manual_seed(0)
    output = torch.rand(4, 3, 5, 6, generator=generator)
    target = torch.rand(4, 3, 5, 6, generator=generator)
    expected: dict[Literal["mse", "l1"], torch.Tensor] = {
        "mse": (output - target).square(),
        "l1": (output - target).abs(),
    }
    for score, errors in expected.items():
        task = DetectAnomalies(normal_classes=(0,), score=score)
        assert task.error_map(output, target).shape == (4, 1, 5, 6)
        scores = task.scores(output, target)
        assert torch.allclose(scores, errors.mean((1, 2, 3)), atol=1e-6)


def test_contrast_normalization_is_applied_to_inputs_and_targets(on_cpu: DeviceImages) -> None:
    task = DetectAnomalies(normal_classes=(0,), contrast_range=(-1.0, 4.0))
    pixels = to_float(on_cpu.train.pixels[:5])
    inputs, targets = task.pairs(pixels, on_cpu.train.labels[:5], torch.Generator())
    assert inputs is targets
    restored = inputs * 5 - 1
    assert torch.allclose(restored.mean((1, 2, 3)), torch.zeros(5), atol=1e-5)
    assert torch.allclose(restored.abs().mean((1, 2, 3)), torch.ones(5), atol=1e-5)


def test_a_network_without_a_latent_code_or_a_wide_one_has_no_pca_baseline(
    on_cpu: DeviceImages, tmp_path: Path
) -> None:
    wide = TRIAL.override({"arch.hidden_units": (64,), "epochs": 1})
    (last,) = train(wide, on_cpu, tmp_path)
    assert "test_pca_auroc" not in final_of(last)
    assert "test_nearest_auroc" in final_of(last)


def test_names_of_classes_give_the_same_numbers_as_their_numbers(
    on_cpu: DeviceImages, tmp_path: Path, finished: tuple[Epoch, Path]
) -> None:
    *_, last = train(with_task(normal_classes=("3",)), on_cpu, tmp_path)
    for name, value in finished[0].row.items():
        if name not in ("seconds", "images_per_second"):
            assert last.row[name] == value, name
    assert last.final == finished[0].final


def with_task(**parameters: Any) -> Trial:
    return TRIAL.model_copy(update={"task": DetectAnomalies(**parameters)})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"normal_classes": (10,)}, "digits has no class 10; its classes are 0 to 9"),
        ({"normal_classes": ("33",)}, "digits has no class '33'; did you mean '3'?"),
        ({"normal_classes": (3, "3")}, "'3' is there twice"),
        ({"normal_classes": tuple(range(10))}, "these are all classes of digits"),
        (
            {"normal_classes": (3,), "contrast_range": (1.0, 1.0)},
            "the first value should be below the second",
        ),
        (
            {"normal_classes": (3,), "contrast_range": (0.0, 1.0), "loss": "bce"},
            "choose mse or l1",
        ),
    ],
)
def test_parameters_that_do_not_fit_the_data_set_are_refused_before_images_are_read(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        with_task(**parameters).sizes()


def test_a_threshold_chosen_on_test_images_is_refused() -> None:
    mnist = TRIAL.model_copy(update={"dataset": Mnist(split="test_as_validation")})
    with pytest.raises(ConfigError, match="the threshold would be chosen on test images"):
        mnist.sizes()


@pytest.mark.parametrize("value", [(-1,), (True,), ("",), (1.5,)])
def test_a_class_is_a_number_from_0_or_a_name(value: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="should be the number of a class, from 0, or its name"):
        DetectAnomalies(normal_classes=value)


def split_with(labels: list[int]) -> Split:
    return Split(np.zeros((len(labels), 1, 2, 2), np.uint8), np.array(labels, np.int64))


@pytest.mark.parametrize(
    ("train_labels", "val_labels", "test_labels", "names", "normal", "message"),
    [
        ([0, 1, 1], [0] * 20, [0, 1], (), (0,), "has 1 training images of these classes"),
        ([0, 0], [0] * 19, [0, 1], (), (0,), "has 19 validation images .* needs at least 20"),
        ([0, 0], [0] * 20, [1, 1], (), (0,), "has no normal test image"),
        ([0, 0], [0] * 20, [0, 0], (), (0,), "has no anomalous test image"),
        ([0, 0], [0] * 20, [0, 1], (), ("good",), "have no names, such as 'good'; use numbers"),
        ([0, 0], [0] * 20, [0, 1], ("bad", "good"), ("god",), "did you mean 'good'?"),
    ],
)
def test_images_that_do_not_fit_are_refused_with_their_counts(
    train_labels: list[int],
    val_labels: list[int],
    test_labels: list[int],
    names: tuple[str, ...],
    normal: tuple[int | str, ...],
    message: str,
) -> None:
    images = Images(
        split_with(train_labels), split_with(val_labels), split_with(test_labels), "", names
    )
    task = DetectAnomalies(normal_classes=normal)
    with pytest.raises(ValueError, match=message):
        task.validate_images(DIGITS, images)


def test_a_folder_of_normal_images_with_other_classes_only_in_its_test_images() -> None:
    random = np.random.default_rng(0)
    counts = {"train/good": 30, "test/good": 4, "test/broken": 3, "test/scratch": 2}
    for name, count in counts.items():
        Path("parts", name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (8, 8)).astype(np.uint8)
            Image.fromarray(pixels).save(Path("parts", name, f"{number}.png"))
    dataset = ImageFolder(path="parts", size=8, channels=1, val_images=20)
    task = DetectAnomalies(normal_classes=("good",))
    images = dataset.load([])
    task.validate_images(dataset, images)
    used = images_for(task, DeviceImages.load(images, torch.device("cpu")))
    assert (len(used.train.labels), len(used.val.labels), len(used.test.labels)) == (10, 20, 9)
    assert task.trained_for(used.test.labels, used.classes).sum() == 4
    with pytest.raises(ValueError, match="has no class 'god'; did you mean 'good'"):
        DetectAnomalies(normal_classes=("god",)).validate_images(dataset, images)


def test_skips_are_refused_because_they_would_copy_the_input() -> None:
    arch = ConvAutoencoder(
        encoder_filters=(4, 4),
        decoder_filters=(4,),
        pool_after=(1,),
        upsample_after=(0,),
        skips=True,
    )
    with pytest.raises(ConfigError, match=r"arch\.skips = True"):
        TRIAL.model_copy(update={"arch": arch}).sizes()


def test_only_the_metrics_of_the_threshold_depend_on_its_quantile() -> None:
    assert "threshold_quantile" in TASK.defining_parameters("recall")
    assert "threshold_quantile" not in TASK.defining_parameters("auroc")
    normalized = DetectAnomalies(normal_classes=(NORMAL,), contrast_range=(0.0, 1.0))
    assert TASK.is_common_metric("psnr")
    assert not normalized.is_common_metric("psnr")


def test_the_display_of_a_users_images_has_error_maps_and_scores() -> None:
    inputs = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    output = inputs.clone()
    output[1] = 0
    shown = TASK.display(inputs, output, inputs, ())
    assert [title for title, _ in shown.columns] == ["inputs", "outputs", "error maps"]
    maps = shown.columns[2][1]
    assert maps.shape == (2, 3, 4, 4)
    assert maps[0].max() == 0
    assert maps[1].max() == 1
    score = inputs[1].square().mean().item()
    assert shown.texts == ["anomaly score 0 (mse)", f"anomaly score {score:.6g} (mse)"]


def test_a_convolutional_network_of_color_images_is_evaluated(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(120) % 3
    pixels = random.integers(0, 256, (120, 4, 8, 8)).astype(np.uint8)
    pixels[labels == 0] //= 4
    split = Split(pixels, labels)
    images = DeviceImages.load(Images(split, split, split, ""), torch.device("cpu"))
    trial = TRIAL.model_copy(
        update={
            "dataset": _FourChannels(),
            "task": DetectAnomalies(normal_classes=(0,)),
            "arch": ConvAutoencoder(
                encoder_filters=(4,), decoder_filters=(), pool_after=(1,), upsample_after=(0,)
            ),
            "epochs": 1,
        }
    )
    (last,) = train(trial, images, tmp_path)
    assert "per_class" not in last.tables, "the classes have no names"
    assert 0 <= final_of(last)["test_auroc"] <= 1


class _FourChannels(Digits):
    @property
    def image_shape(self) -> tuple[int, int, int]:
        return 4, 8, 8
