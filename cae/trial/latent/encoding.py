"""Encoding the sample of a trial's images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from cae.trial.batches import DeviceImages, DeviceSplit, Pairs, evaluation_batch
from cae.trial.evaluation import SHARED_SEED, data_key, evaluation_pairs
from cae.trial.latent.distances import Doubles, Floats, column_squares
from cae.trial.latent.input_summary import InputSummary, summarize_inputs
from cae.trial.latent.sample import (
    MAX_BYTES,
    TEST_IMAGES,
    TRAIN_IMAGES,
    Labels,
    LatentSample,
    NotMeasurable,
    scaled_sample,
)
from cae.trial.latent_code import NoLatentCode, encode
from cae.trial.tasks.base import Task
from cae.trial.tasks.baselines import some

_known_summaries: dict[tuple[object, ...], InputSummary | None] = {}
"""Of the newest images only."""


@dataclass(frozen=True, eq=False)
class SampledImages:
    """The training and test images of a sample, as the inputs that the task makes from them."""

    train: Pairs
    """Of the training images of the sample only."""
    test: Pairs
    """Of all images of the other split."""
    test_indices: Tensor
    """Those of the sample."""
    key: tuple[object, ...] = ()
    """Of both splits and the task; empty if nothing of them may be cached."""

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
        key: tuple[object, ...] = ()
        if images.fingerprint:
            key = (*data_key(task, images), test.pixels.data_ptr())
        return cls(train, test, some(test, TEST_IMAGES), key)

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
        """The inputs of training and test images, N x P and M x P; None if they are too large.

        They are not kept between trials: see `input_summary`.
        """
        identity = nn.Identity()
        try:
            return (
                _apply(identity, self.train, self.train_indices),
                _apply(identity, self.test, self.test_indices),
            )
        except NotMeasurable:
            return None

    @cached_property
    def input_summary(self) -> InputSummary | None:
        """What measures need of the inputs; None if they are too large."""
        if self.key in _known_summaries:
            return _known_summaries[self.key]
        summary = None
        if self.inputs is not None:
            summary = summarize_inputs(*self.inputs)
        if self.key:
            _known_summaries.clear()
            _known_summaries[self.key] = summary
        return summary

    def encode(self, network: nn.Module, *, with_variances: bool = True) -> LatentSample:
        """The latent codes of the sample.

        `with_variances`: whether its variances are those over all test images, which are all
        encoded for that; otherwise over those of the sample.

        Raises NotMeasurable if they are too large or not finite, or if the encoder cannot be
        applied to inputs by itself, and NoLatentCode if the network has no encoder.
        """
        encoder = _Encoder(network)
        self._try(encoder)
        train_codes = _apply(encoder, self.train, self.train_indices)
        if not with_variances or len(self.test_indices) == len(self.test.pixels):
            return self.sample(train_codes, _apply(encoder, self.test, self.test_indices))
        variances = _Variances()
        test_codes = _apply(encoder, self.test, self.test_indices, variances)
        return self.sample(train_codes, test_codes, variances.values())

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
        variances: Doubles | None = None,
    ) -> LatentSample:
        """The sample with these codes, which are changed. Raises NotMeasurable if they are not
        finite."""
        return scaled_sample(
            train_codes,
            test_codes,
            self.input_summary,
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


def _apply(
    function: nn.Module, pairs: Pairs, indices: Tensor, variances: _Variances | None = None
) -> Floats:
    """What a function returns for the inputs of images, one row per image, on the CPU.

    The rows are copied batch by batch. With `variances`, it is applied to all images, and what it
    returns is added to them. Raises NotMeasurable if the rows need more than MAX_BYTES.
    """
    applied = indices
    if variances is not None:
        applied = torch.arange(len(pairs.pixels), device=indices.device)
    is_wanted = torch.isin(applied, indices).cpu().numpy()
    rows: Floats | None = None
    row = 0
    start = 0
    for batch in applied.split(evaluation_batch(pairs.pixels.shape[1:])):
        values = _rows(function(pairs.at(batch)[0]))
        if variances is not None:
            variances.add(values)
        if rows is None:
            width = values.shape[1]
            if 4 * width * len(indices) > MAX_BYTES:
                raise NotMeasurable(
                    f"{len(indices):,} latent codes of {width:,} values need more than "
                    f"{MAX_BYTES // 2**20} MiB"
                )
            rows = np.empty((len(indices), width), np.float32)
        wanted = values[is_wanted[start : start + len(batch)]]
        rows[row : row + len(wanted)] = wanted
        row += len(wanted)
        start += len(batch)
    if rows is None:
        raise NotMeasurable("there are no images")
    return rows


class _Variances:
    """The variances of rows that are added in batches, one per column.

    Means and squared deviations of the batches are joined (Chan, Golub & LeVeque 1983).
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: Doubles = np.zeros(0)
        self._squares: Doubles = np.zeros(0)

    def add(self, rows: Floats) -> None:
        mean = rows.mean(0, dtype=np.float64)
        squares = column_squares(rows - mean.astype(np.float32)) * len(rows)
        if self._count == 0:
            self._mean = mean
            self._squares = squares
        else:
            difference = mean - self._mean
            share = len(rows) / (self._count + len(rows))
            self._squares += squares + np.square(difference) * (self._count * share)
            self._mean += difference * share
        self._count += len(rows)

    def values(self) -> Doubles:
        return self._squares / self._count


def _rows(values: Tensor) -> Floats:
    rows: Floats = values.flatten(1).float().cpu().numpy()
    return rows
