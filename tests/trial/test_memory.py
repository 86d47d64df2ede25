"""The predicted memory of a trial, against what a trial with values allocates."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import Tensor

from cae import Classifier, Classify, ConvAutoencoder, Denoise, Reconstruct
from cae.trial import torch_compat
from cae.trial.batches import DeviceImages
from cae.trial.config import Trial
from cae.trial.evaluation import conclude, evaluate, evaluation_pairs
from cae.trial.memory import MemoryPrediction, predict_memory
from cae.trial.networks.create import build_network
from cae.trial.steps import Step, build_optimizer
from cae.trial.torch_compat import LiveMemory
from cae.trial.training_state import training_pairs

COUNTS = {"train": 70, "val": 24, "test": 20}
VARIANTS: dict[str, dict[str, Any]] = {
    "autoencoder": {},
    "large batch": {"batch_size": 70},
    "noise": {"task": "denoise", "task.noise_factor": 0.3},
    "no state": {"optimizer": "sgd", "optimizer.lr": 0.1},
    "one state": {"optimizer": "rmsprop"},
    "dense": {"arch": "dense_autoencoder", "arch.hidden_units": (512, 64)},
    "bfloat16": {"precision": "bfloat16"},
    "augmentation": {"augmentation": "augment", "augmentation.rotation": 10.0},
}


def counted_with_values(trial: Trial) -> MemoryPrediction:
    """The same stages with values, and every allocation that is visible to PyTorch counted."""
    gc.collect()
    with LiveMemory() as memory:
        loaded = DeviceImages.load(trial.dataset.load(()), torch.device("cpu"))
        splits: list[Tensor] = []
        for split in loaded[:3]:
            splits += [split.pixels.clone(), split.labels.clone()]
        images = loaded._replace(
            train=loaded.train._replace(pixels=splits[0], labels=splits[1]),
            val=loaded.val._replace(pixels=splits[2], labels=splits[3]),
            test=loaded.test._replace(pixels=splits[4], labels=splits[5]),
            fingerprint="",
        )
        network = build_network(trial)
        optimizer = build_optimizer(trial.optimizer, network)
        pairs = training_pairs(trial, images.train)
        val_pairs = evaluation_pairs(trial.task, images.val, "val")
        network.train()
        step = Step(network, optimizer, pairs, trial.precision)
        memory.restart_peak()
        for _ in range(2):
            step(torch.arange(trial.batch_size))
        training = memory.restart_peak()
        evaluate(network, val_pairs)
        evaluation = memory.restart_peak()
        conclude(network, trial.task, images, {})
        final = memory.restart_peak()
    return MemoryPrediction(
        peak=max(training, evaluation, final),
        training=training,
        evaluation=evaluation,
        final_evaluation=final,
        is_complete=True,
        resident=0,
        images=0,
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_the_prediction_is_what_a_trial_with_values_allocates(trial: Trial, name: str) -> None:
    changed = trial.override(VARIANTS[name])
    predicted = predict_memory(changed, COUNTS)
    counted = counted_with_values(changed)
    assert predicted.training == pytest.approx(counted.training, rel=0.15)
    assert predicted.evaluation == pytest.approx(counted.evaluation, rel=0.15)
    assert predicted.is_complete
    assert predicted.final_evaluation == pytest.approx(counted.final_evaluation, rel=0.2)


def test_parameters_gradients_and_optimizer_count_with_their_sizes(trial: Trial) -> None:
    """A network whose weights need far more memory than its activations."""
    dense: dict[str, Any] = {"arch": "dense_autoencoder", "arch.hidden_units": (4096, 512)}
    parameters = trial.override(dense).sizes()["parameters"]
    copies: dict[str, float] = {}
    for optimizer in ("sgd", "rmsprop", "adam"):
        changed = trial.override({**dense, "optimizer": optimizer})
        copies[optimizer] = predict_memory(changed, COUNTS).training / (4 * parameters)
    assert copies["sgd"] == pytest.approx(2, rel=0.2)  # weights and gradients
    # A state, and the roots of all of it while a step computes with them.
    assert copies["rmsprop"] - copies["sgd"] == pytest.approx(2, rel=0.1)
    assert copies["adam"] - copies["sgd"] == pytest.approx(2, rel=0.05)


def test_images_count_once_and_corrupted_inputs_as_float32(trial: Trial) -> None:
    more = COUNTS | {"train": 1070}
    pixels = 1000 * trial.dataset.image_shape[1] * trial.dataset.image_shape[2]
    plain = predict_memory(trial, more).images - predict_memory(trial, COUNTS).images
    assert plain == pixels + 1000 * 8
    noisy = trial.override(VARIANTS["noise"])
    drawn = predict_memory(noisy, more).training - predict_memory(noisy, COUNTS).training
    assert drawn == plain + 4 * pixels


def test_augmented_noisy_inputs_are_not_kept(trial: Trial) -> None:
    more = COUNTS | {"train": 1070}
    changes: dict[str, Any] = {"task.redraw_noise": True, "augmentation": "augment"}
    noisy = trial.override({**VARIANTS["noise"], **changes, "augmentation.shift": 1})
    predicted = [predict_memory(noisy, counts) for counts in (COUNTS, more)]
    images = predicted[1].images - predicted[0].images
    assert predicted[1].training - predicted[0].training < 1.5 * images


def test_the_networks_of_dependencies_count(trial: Trial) -> None:
    judge = Trial(
        dataset=trial.dataset,
        task=Classify(),
        arch=Classifier(fc_units=2000),
        optimizer=trial.optimizer,
    )
    noisy = trial.override(VARIANTS["noise"])
    judged = noisy.model_copy(update={"task": Denoise(noise_factor=0.3, judge=judge)})
    more = predict_memory(judged, COUNTS).resident - predict_memory(noisy, COUNTS).resident
    assert more >= 4 * judge.sizes()["parameters"]


def test_all_stages_of_training_count(trial: Trial) -> None:
    """The frozen encoder of the first stage has no gradients; that of the second one has."""
    filters: dict[str, Any] = {"encoder_filters": (16, 32), "pool_after": (1,)}
    encoder = Trial(
        dataset=trial.dataset,
        task=Reconstruct(),
        arch=ConvAutoencoder(**filters, decoder_filters=(4,), upsample_after=(0,)),
        optimizer=trial.optimizer,
    )
    predicted: list[int] = []
    for task in (Classify(), Classify(encoder=encoder)):
        classifier = Trial(
            dataset=trial.dataset,
            task=task,
            arch=Classifier(**filters),
            optimizer=trial.optimizer,
            epochs=2,
        )
        predicted.append(predict_memory(classifier, COUNTS).training)
    assert predicted[1] >= predicted[0]


def test_images_count_with_the_size_of_their_type(trial: Trial) -> None:
    pixels = 1000 * trial.dataset.image_shape[1] * trial.dataset.image_shape[2]
    more = COUNTS | {"train": COUNTS["train"] + 1000}
    for pixel_type, size in (("uint16", 2), ("float32", 4)):
        predicted = [
            predict_memory(trial, counts, pixel_type, (0, 4095)) for counts in (COUNTS, more)
        ]
        assert predicted[1].images - predicted[0].images == size * pixels + 1000 * 8


def test_with_a_cuda_graph_training_and_evaluation_share_only_what_is_resident(
    trial: Trial,
) -> None:
    predicted = predict_memory(trial, COUNTS)
    assert predicted.images < predicted.resident < predicted.training
    activations = predicted.training - predicted.resident
    evaluation = max(predicted.evaluation, predicted.final_evaluation)
    assert predicted.with_graph == evaluation + activations
    assert predicted.with_graph > predicted.peak


def test_memory_is_counted_until_it_is_freed() -> None:
    with LiveMemory() as memory:
        first = torch.zeros(1000)
        view = first[10:]
        second = torch.zeros(500)
        assert memory.live == 6000
        del second
        assert memory.live == 4000
        assert memory.restart_peak() == 6000
        del first
        assert memory.live == 4000
        del view
        assert memory.live == 0
        assert memory.restart_peak() == 4000


def test_fake_tensors_select_a_share_where_values_are_needed() -> None:
    with torch_compat.without_values():
        labels = torch.zeros(200, dtype=torch.int64)
        assert len(labels.unique().tolist()) == 10
        assert len(labels[labels == 3]) == 20
        assert len((labels == 3).nonzero()) == 20
        assert len(torch.bincount(labels, minlength=16)) == 16
        assert labels.sum().item() == 0
        assert labels.numpy().shape == (200,)
