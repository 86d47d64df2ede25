"""Encoding the sample of a trial's images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cae.trial.batches import DeviceImages, DeviceSplit, Pairs, evaluation_batch
from cae.trial.evaluation import SHARED_SEED, evaluation_pairs
from cae.trial.latent.sample import (
    MAX_BYTES,
    TEST_IMAGES,
    TRAIN_IMAGES,
    Floats,
    Labels,
    LatentSample,
    NotMeasurable,
    scaled_sample,
)
from cae.trial.latent_code import NoLatentCode, encode
from cae.trial.tasks.base import Task
from cae.trial.tasks.baselines import some


@dataclass(frozen=True, eq=False)
class SampledImages:
    """The training and test images of a sample, as the inputs that the task makes from them."""

    train: Pairs
    """Of the training images of the sample only."""
    test: Pairs
    """Of all images of the other split."""
    test_indices: Tensor
    """Those of the sample."""

    @classmethod
    def choose(cls, task: Task, images: DeviceImages, test: Pairs | None = None) -> SampledImages:
        """Choose at most TRAIN_IMAGES and TEST_IMAGES at random with a fixed seed.

        `test`: the pairs of the split that takes the part of the test images; by default these.
        """
        if test is None:
            test = evaluation_pairs(task, images.test, "test")
        train_indices = some(images.train, TRAIN_IMAGES)
        chosen = DeviceSplit(
            images.train.pixels[train_indices],
            images.train.labels[train_indices.to(images.train.labels.device)],
            images.train.value_range,
        )
        train = Pairs(task, chosen, SHARED_SEED, 0, "train")
        return cls(train, test, some(test, TEST_IMAGES))

    @cached_property
    def train_indices(self) -> Tensor:
        return torch.arange(len(self.train.pixels), device=self.train.pixels.device)

    @cached_property
    def train_labels(self) -> Labels:
        return self.train.labels.cpu().numpy()

    @cached_property
    def test_labels(self) -> Labels:
        labels = self.test.labels
        return labels[self.test_indices.to(labels.device)].cpu().numpy()

    @cached_property
    def inputs(self) -> tuple[Floats, Floats] | None:
        """The inputs of training and test images, N x P and M x P; None if they are too large."""
        identity = nn.Identity()
        try:
            return (
                _apply(identity, self.train, self.train_indices),
                _apply(identity, self.test, self.test_indices),
            )
        except NotMeasurable:
            return None

    def encode(self, network: nn.Module) -> LatentSample:
        """The latent codes of the sample.

        Raises NotMeasurable if they are too large or not finite, or if the encoder cannot be
        applied to inputs by itself, and NoLatentCode if the network has no encoder.
        """
        encoder = _Encoder(network)
        self._try(encoder)
        train_codes = _apply(encoder, self.train, self.train_indices)
        test_codes = _apply(encoder, self.test, self.test_indices)
        variances = None
        if len(self.test_indices) < len(self.test.pixels):
            variances = _variances(encoder, self.test)
        return self.sample(train_codes, test_codes, variances)

    def _try(self, encoder: _Encoder) -> None:
        """Encode one image. A network of the user's may change inputs before it encodes them."""
        inputs = self.train.at(self.train_indices[:1])[0]
        try:
            encoder(inputs)
        except NoLatentCode:
            raise
        except Exception as error:
            shape = " x ".join(map(str, inputs.shape))
            raise NotMeasurable(
                f"the module encoder cannot be applied to inputs of the network, {shape}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def sample(
        self,
        train_codes: Floats,
        test_codes: Floats,
        variances: NDArray[np.float64] | None = None,
    ) -> LatentSample:
        """The sample with these codes, which are changed. Raises NotMeasurable if they are not
        finite."""
        train_inputs, test_inputs = self.inputs or (None, None)
        return scaled_sample(
            train_codes,
            test_codes,
            train_inputs,
            test_inputs,
            self.train_labels,
            self.test_labels,
            variances,
        )


class _Encoder(nn.Module):
    """Maps inputs to latent codes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, inputs: Tensor) -> Tensor:
        return encode(self._network, inputs)


def _apply(function: nn.Module, pairs: Pairs, indices: Tensor) -> Floats:
    """What a function returns for the inputs of images, one row per image, on the CPU.

    The rows are copied batch by batch. Raises NotMeasurable if they need more than MAX_BYTES.
    """
    rows: Floats | None = None
    start = 0
    for batch in indices.split(evaluation_batch(pairs.pixels.shape[1:])):
        values = _rows(function(pairs.at(batch)[0]))
        if rows is None:
            width = values.shape[1]
            if 4 * width * len(indices) > MAX_BYTES:
                raise NotMeasurable(
                    f"{len(indices):,} latent codes of {width:,} values need more than "
                    f"{MAX_BYTES // 2**20} MiB"
                )
            rows = np.empty((len(indices), width), np.float32)
        rows[start : start + len(values)] = values
        start += len(values)
    if rows is None:
        raise NotMeasurable("there are no images")
    return rows


def _variances(function: nn.Module, pairs: Pairs) -> NDArray[np.float64]:
    """The variances of what a function returns over all images, one per value.

    Means and squared deviations of the batches are joined (Chan, Golub & LeVeque 1983).
    """
    count = 0
    mean = np.zeros(0)
    squares = np.zeros(0)
    for inputs, _, _ in pairs.batches():
        values = _rows(function(inputs)).astype(np.float64)
        batch_mean = values.mean(0)
        batch_squares = np.square(values - batch_mean).sum(0)
        if count == 0:
            mean = batch_mean
            squares = batch_squares
        else:
            difference = batch_mean - mean
            weight = count * len(values) / (count + len(values))
            squares = squares + batch_squares + np.square(difference) * weight
            mean = mean + difference * (len(values) / (count + len(values)))
        count += len(values)
    return np.asarray(squares / count)


def _rows(values: Tensor) -> Floats:
    rows: Floats = values.flatten(1).float().cpu().numpy()
    return rows
