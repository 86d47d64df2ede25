"""The loss of images restored from their principal components, beside that of an autoencoder."""

from __future__ import annotations

import torch

from cae.trial.batches import evaluation_batch
from cae.trial.latent.encoding import SampledImages
from cae.trial.latent.principal_components import PrincipalComponents


def pca_loss(
    chosen: SampledImages,
    components: PrincipalComponents,
    count: int,
    classes: tuple[str, ...] = (),
) -> float | None:
    """The loss of the sample's test images, restored from `count` components.

    None for a task whose targets are not its inputs: components of noisy, gray or incomplete inputs
    restore these, and a linear map from them to the targets would be another model (the baseline
    `ridge` is one). None for a loss with terms of the network, such as the KL divergence, which
    components do not have. If the task trains for some images only, such as normal ones, the loss
    is that of these, as in the test split.

    `classes`: the names of the classes by number.
    """
    task = chosen.test.task
    if task.term_names:
        return None
    loss_sum = 0.0
    images = 0
    start = 0
    for indices in chosen.test_indices.split(evaluation_batch(chosen.test.pixels.shape[1:])):
        inputs, targets = chosen.test.at(indices)
        if not torch.equal(inputs, targets):
            return None
        end = start + len(indices)
        restored = torch.from_numpy(components.decode(slice(start, end), count)).clamp_(0, 1)
        output = restored.to(targets.device).view_as(targets)
        start = end
        labels = chosen.test.labels[indices.to(chosen.test.labels.device)]
        is_measured = task.trained_for(labels, classes)
        if is_measured is not None:
            output = output[is_measured]
            targets = targets[is_measured]
        if len(targets):
            loss_sum += task.criterion(output, targets).item() * len(targets)
            images += len(targets)
    if not images:
        return None
    return loss_sum / images
