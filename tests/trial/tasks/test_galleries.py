"""Galleries: what tasks pick out of the test images, or make, and how it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from cae import Classify, Reconstruct, Vae, VariationalAutoencoder
from cae.trial import checkpoint
from cae.trial.tasks.base import Evaluation

PREDICTIONS = [(0, 0, 9.0), (0, 0, 1.0), (1, 0, 5.0), (1, 1, 3.0), (2, 1, 8.0)]
"""Of each image: its class, the predicted class, and the logit of that."""


def make_evaluation(network: nn.Module, images: torch.Tensor, **changed: Any) -> Evaluation:
    labels = torch.tensor([label for label, _, _ in PREDICTIONS])
    fields: dict[str, Any] = {
        "network": network,
        "inputs": images,
        "target": images,
        "output": images,
        "labels": labels,
        "classes": ("cat", "dog", "owl"),
        "train": None,
        "dependencies": {},
    }
    return Evaluation(**fields | changed)


def test_the_galleries_of_a_classifier_are_its_most_confident_right_and_wrong_predictions() -> None:
    task = Classify(classes=3)
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 4, 4) / 10
    output = torch.zeros(5, 3, 1, 1)
    target = torch.zeros(5, 3, 1, 1)
    for index, (label, predicted, logit) in enumerate(PREDICTIONS):
        output[index, predicted] = logit
        target[index, label] = 1
    galleries = task.galleries(make_evaluation(nn.Identity(), images, output=output, target=target))
    right, captions = galleries["right"]
    # the most confident prediction of each class, then the least confident ones
    assert right[:, 0, 0, 0].tolist() == images[[0, 3, 1], 0, 0, 0].tolist()
    assert captions[0] == "cat (100 %)"
    wrong, captions = galleries["wrong"]
    assert wrong[:, 0, 0, 0].tolist() == images[[4, 2], 0, 0, 0].tolist()
    assert captions == ["dog, truth: owl (100 %)", "cat, truth: dog (99 %)"]


def test_the_galleries_of_a_vae_are_images_generated_at_each_latent_scale() -> None:
    network = VariationalAutoencoder().build((1, 28, 28), (1, 28, 28)).eval()
    galleries = Vae(latent_scales=(1.0, 2.5)).galleries(
        make_evaluation(network, torch.rand(5, 1, 28, 28))
    )
    assert list(galleries) == ["generated at latent scale 1", "generated at latent scale 2.5"]
    images, captions = galleries["generated at latent scale 1"]
    assert images.shape == (8, 1, 28, 28)
    assert captions == [""] * 8
    one_scale = Vae(latent_scales=(1.0,))
    galleries = one_scale.galleries(make_evaluation(network, torch.rand(5, 1, 28, 28)))
    same_images, _ = galleries["generated at latent scale 1"]
    assert torch.equal(images, same_images)


def test_a_file_of_galleries_contains_all_images_and_no_pickle(tmp_path: Path) -> None:
    images = torch.rand(2, 3, 5, 6)
    checkpoint.save_galleries(tmp_path, {"right": (images, ["a", "b"]), "wrong": (images[:0], [])})
    with np.load(tmp_path / "galleries.npz", allow_pickle=False) as kept:
        assert kept["names"].tolist() == ["right", "wrong"]
        assert kept["captions_0"].tolist() == ["a", "b"]
        assert kept["images_0"].tolist() == (images * 255).round().to(torch.uint8).tolist()
        assert kept["images_1"].shape == (0, 3, 5, 6)


def test_the_gallery_of_a_reconstruction_is_its_worst_images_with_the_target_above() -> None:
    target = torch.zeros(5, 1, 4, 4)
    output = target + torch.tensor([0.1, 0.4, 0.2, 0.2, 0.3]).view(5, 1, 1, 1)
    images, captions = Reconstruct().galleries(
        make_evaluation(nn.Identity(), target, output=output, target=target)
    )["worst"]
    assert images.shape == (5, 1, 8, 4)
    assert images[:, 0, 4, 0].tolist() == pytest.approx([0.4, 0.3, 0.2, 0.2, 0.1])
    assert images[:, 0, 0, 0].tolist() == [0] * 5
    assert captions[0] == "mse 0.16, 4 times the median"


@pytest.mark.parametrize("scales", [(2.0, 1.0), (1.0, 1.0), (1.0, 1.0000001)])
def test_latent_scales_have_to_increase(scales: tuple[float, ...]) -> None:
    """Otherwise no latent code would lie between two cubes, and drawing them would not end."""
    with pytest.raises(ValidationError, match="should be increasing"):
        Vae(latent_scales=scales)
