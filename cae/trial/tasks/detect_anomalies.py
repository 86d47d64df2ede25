"""Detecting anomalies by the reconstruction error of a network that has seen only normal images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt, Len, Lt
from torch import Tensor
from typing_extensions import override

from cae.trial import anomaly_scores
from cae.trial.anomaly_scores import Flags, Scores, to_scores
from cae.trial.chunks import by_chunks
from cae.trial.contrast import normalize_contrast, restore_contrast
from cae.trial.display import heat_map
from cae.trial.latent_code import NoLatentCode, encode
from cae.trial.metrics import Direction, Metric, description, share_metric
from cae.trial.tasks.anomaly_baselines import baseline_aurocs
from cae.trial.tasks.anomaly_galleries import anomaly_galleries
from cae.trial.tasks.base import Display, Evaluation, Gallery, SplitPairs, Table, Task, per_class
from cae.trial.tasks.normal_classes import ClassName, check_normal_images, class_numbers

SCORE_METRICS = ("auroc", "average_precision", "pca_auroc", "nearest_auroc")
"""Metrics that do not depend on the threshold."""


class DetectAnomalies(Task):
    """The target is the input; the reconstruction error of an image is its anomaly score.

    Training and validation use only images of the normal classes. The test split has all classes:
    the means of its losses and image metrics are those of its normal images, and the other metrics
    say how well the score separates both kinds.
    """

    normal_classes: Annotated[tuple[ClassName, ...], Len(1)]
    """The classes whose images are normal, by number or by name. All others are anomalous."""
    score: Literal["mse", "l1"] = "mse"
    """The anomaly score: the mean squared (`mse`) or absolute (`l1`) difference of output and input
    over channels and pixels. Before the mean over pixels, it is the error map."""
    threshold_quantile: Annotated[float, Gt(0), Lt(1)] = 0.95
    """The threshold is the smallest score that at least this share of the validation images, which
    are all normal, does not exceed. In (0, 1); the validation split needs 1 / (1 - quantile)
    normal images."""
    contrast_range: tuple[float, float] | None = None
    """Global contrast normalization: of each image the mean is subtracted, and the rest is divided
    by its mean absolute value; then these two values become 0 and 1. They should be the smallest
    and the largest ones of the normal training images (see cae/trial/contrast.py). Losses, scores
    and error maps are on this scale; `reconstruct` writes outputs with the mean and the contrast of
    their image. None: no normalization."""

    @override
    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        if self.contrast_range is not None:
            images = normalize_contrast(images, self.contrast_range)
        return images, images

    @override
    def trained_for(self, labels: Tensor, classes: tuple[str, ...]) -> Tensor:
        numbers = torch.tensor(class_numbers(self.normal_classes, classes), device=labels.device)
        return torch.isin(labels, numbers)

    # Scores

    def error_map(self, output: Tensor, target: Tensor) -> Tensor:
        """The error of each pixel, a mean over channels: B x 1 x H x W."""
        error = output - target
        if self.score == "mse":
            return error.square().mean(1, keepdim=True)
        return error.abs().mean(1, keepdim=True)

    def scores(self, output: Tensor, target: Tensor) -> Tensor:
        """The anomaly score of each image, the mean of its error map: shape B."""
        return self.error_map(output, target).flatten(1).mean(1)

    # Metrics

    @override
    def is_common_metric(self, name: str) -> bool:
        if self.contrast_range is not None:  # of images on another scale
            return False
        return super().is_common_metric(name)

    @override
    def defining_parameters(self, name: str) -> tuple[str, ...]:
        if name in SCORE_METRICS:
            return ("normal_classes", "score", "contrast_range")
        return super().defining_parameters(name)

    @override
    def declared_metrics(self) -> dict[str, Metric]:
        metrics = [
            share_metric(
                "auroc",
                Direction.MAXIMIZE,
                "Area under the ROC curve of the score, anomalous images positive.",
            ),
            share_metric(
                "average_precision",
                Direction.MAXIMIZE,
                "Sum over thresholds of precision times increase of recall, anomalous positive.",
            ),
            description(
                "threshold",
                "score",
                f"Quantile {self.threshold_quantile:g} of the scores of validation images.",
                0.0,
            ),
            share_metric(
                "false_positive_rate",
                Direction.MINIMIZE,
                "Share of normal images with a score above the threshold.",
            ),
            share_metric(
                "recall",
                Direction.MAXIMIZE,
                "Share of anomalous images with a score above the threshold.",
            ),
            description(
                "pca_auroc",
                "share",
                "AUROC of PCA's squared error, with as many components as latent values.",
                0.0,
                1.0,
            ),
            description(
                "nearest_auroc",
                "share",
                "AUROC of the Euclidean distance from the nearest training image.",
                0.0,
                1.0,
            ),
        ]
        return super().declared_metrics() | {metric.name: metric for metric in metrics}

    # Final evaluation

    @override
    def conclude(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """How well the score separates normal from anomalous test images.

        `per_class`: the mean score of each class, the share above the threshold, and the AUROC of
        an anomalous class against all normal images. `score_histogram`: see anomaly_scores.py.
        """
        is_normal = self.trained_for(evaluation.labels, evaluation.classes)
        metrics, _ = super().conclude(_normal_part(evaluation, is_normal))
        is_anomalous = (~is_normal).cpu().numpy()
        scores = to_scores(by_chunks(self.scores, evaluation.output, evaluation.target))
        threshold = self._threshold(evaluation)
        verdicts = anomaly_scores.judge(is_anomalous, scores, threshold)
        metrics |= {
            "auroc": anomaly_scores.auroc(is_anomalous, scores),
            "average_precision": anomaly_scores.average_precision(is_anomalous, scores),
            "threshold": threshold,
            "false_positive_rate": verdicts.false_positive_rate,
            "recall": verdicts.recall,
        }
        metrics |= baseline_aurocs(
            evaluation.train, evaluation.target, is_anomalous, _latent_values(evaluation)
        )
        tables: dict[str, Table] = {
            "score_histogram": anomaly_scores.histogram(is_anomalous, scores)
        }
        if evaluation.classes:
            tables["per_class"] = self._per_class(evaluation, is_anomalous, scores, threshold)
        return metrics, tables

    def _threshold(self, evaluation: Evaluation) -> float:
        """The quantile of the scores of the validation images, which are all normal."""
        assert evaluation.val is not None
        scores = to_scores(self._scores_of(evaluation, evaluation.val))
        return anomaly_scores.threshold_of(scores, self.threshold_quantile)

    def _scores_of(self, evaluation: Evaluation, pairs: SplitPairs) -> Tensor:
        """The scores of the images of a split, N."""
        scores: list[Tensor] = []
        for inputs, target, _ in pairs.batches():
            scores.append(self.scores(evaluation.network(inputs), target))
        return torch.cat(scores)

    def _per_class(
        self, evaluation: Evaluation, is_anomalous: Flags, scores: Scores, threshold: float
    ) -> Table:
        rows = per_class(self, evaluation)
        labels = evaluation.labels.cpu().numpy()
        normal_scores = scores[~is_anomalous]
        numbers = sorted(set(labels.tolist()))
        for row, number in zip(rows, numbers, strict=True):
            members = labels == number
            row["kind"] = "normal"
            row["score"] = float(scores[members].mean())
            row["above_threshold"] = float((scores[members] > threshold).mean())
            if is_anomalous[members][0]:
                row["kind"] = "anomalous"
                both = torch.tensor([*normal_scores, *scores[members]]).numpy()
                flags = torch.arange(len(both)).numpy() >= len(normal_scores)
                row["auroc"] = anomaly_scores.auroc(flags, both)
        return rows

    @override
    def galleries(self, evaluation: Evaluation) -> dict[str, Gallery]:
        """Test images with the highest and the lowest scores, and the worst verdicts.

        Input above output above error map.
        """
        return anomaly_galleries(self, evaluation, self._threshold(evaluation))

    @override
    def to_pixels(self, images: Tensor, values: Tensor) -> Tensor:
        """Undo the contrast normalization with the mean and the contrast of each image."""
        if self.contrast_range is None:
            return values
        return restore_contrast(values, images, self.contrast_range)

    @override
    def display(
        self, inputs: Tensor, output: Tensor, target: Tensor, class_names: tuple[str, ...]
    ) -> Display:
        """The images of the network, and the error maps; the text is the anomaly score.

        The brightest color of the error maps is the largest error of a pixel in these images.
        """
        shown = super().display(inputs, output, target, class_names)
        error_map = self.error_map(output, target)
        heat = heat_map(error_map, error_map.nan_to_num().max().item())
        scores = self.scores(output, target).tolist()
        return Display(
            [*shown.columns, ("error maps", heat)],
            [f"anomaly score {score:.6g} ({self.score})" for score in scores],
        )

    # Validation

    @override
    def validate_trial(self, trial: Any) -> None:
        names = trial.dataset.class_names
        if names:  # those of a folder are known when it is read
            class_numbers(self.normal_classes, names, trial.dataset.name)
        low_high = self.contrast_range
        if low_high is not None and low_high[0] >= low_high[1]:
            raise ValueError(
                f"task.contrast_range = {low_high}: the first value should be below the second"
            )
        if low_high is not None and any(term.loss.needs_unit_outputs for term in self.losses()):
            raise ValueError(
                f"task.loss = {self.loss!r} needs targets in [0, 1], and task.contrast_range does "
                "not limit those of test images: choose mse or l1"
            )
        if trial.dataset.split == "test_as_validation":
            raise ValueError(
                "dataset.split = 'test_as_validation': the threshold would be chosen on test "
                "images; choose 'holdout' or 'pooled'"
            )

    @override
    def validate_images(self, dataset: Any, images: Any) -> None:
        needed = anomaly_scores.images_needed(self.threshold_quantile)
        check_normal_images(self.normal_classes, dataset, images, needed, self.threshold_quantile)


def _normal_part(evaluation: Evaluation, is_normal: Tensor) -> Evaluation:
    """The evaluation of the normal images, without classes: they have a table of their own."""
    return evaluation._replace(
        inputs=evaluation.inputs[is_normal],
        target=evaluation.target[is_normal],
        output=evaluation.output[is_normal],
        labels=evaluation.labels[is_normal],
        classes=(),
        image_metrics=None,
    )


def _latent_values(evaluation: Evaluation) -> int | None:
    """The number of values of the latent code; None if the network has none."""
    try:
        code = encode(evaluation.network, evaluation.inputs[:1])
    except NoLatentCode:
        return None
    return code[0].numel()
