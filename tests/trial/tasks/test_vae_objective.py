"""The objective of variational autoencoders: beta, KL warm-up, free bits, active units."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cae.trial.batches import DeviceImages, Pairs
from cae.trial.config import Trial
from cae.trial.evaluation import evaluate, evaluation_pairs
from cae.trial.memory import predict_memory
from cae.trial.messages import ConfigError
from cae.trial.networks.create import build_network
from cae.trial.networks.variational import VariationalNetwork
from cae.trial.steps import Step, build_optimizer
from cae.trial.tasks import Vae
from cae.trial.tasks.generate import _active_units, _nearest_distances

BATCH = torch.arange(16)


def variational(trial: Trial, **changes: object) -> Trial:
    settings = {f"task.{name}": value for name, value in changes.items()}
    arch = {"arch": "variational_autoencoder", "arch.latent_dim": 3}
    return trial.override({"task": "vae", **arch, **settings})


def network_of(trial: Trial) -> VariationalNetwork:
    torch.manual_seed(1)
    network = build_network(trial)
    assert isinstance(network, VariationalNetwork)
    with torch.no_grad():  # so that the latent values differ in their divergences
        mean_weight(network)[0] *= 20
    return network


def mean_weight(network: VariationalNetwork) -> Tensor:
    return network.get_parameter("encoder.mean.weight")


def divergences(network: VariationalNetwork, inputs: Tensor) -> Tensor:
    """KL divergences from the prior by PyTorch's formula, B x latent values."""
    mean, log_var = network.encode(inputs)
    posterior = torch.distributions.Normal(mean, (log_var / 2).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    return torch.distributions.kl_divergence(posterior, prior)


def training_loss(trial: Trial, images: DeviceImages, epoch: int) -> tuple[float, float, Tensor]:
    """The loss of a training step, its reconstruction error, and the divergences before it."""
    network = network_of(trial)
    pairs = Pairs(trial.task, images.train, 0, 0, "train")
    inputs, targets = pairs.at(BATCH)
    kl = divergences(network, inputs).detach()
    torch.manual_seed(2)
    output = network(inputs)
    error = torch.nn.functional.binary_cross_entropy(output, targets, reduction="sum") / len(BATCH)
    step = Step(network, build_optimizer(trial.optimizer, network), pairs)
    step.term_factor.fill_(trial.task.term_factor(epoch))
    torch.manual_seed(2)
    step(BATCH)
    return step.loss_sum.item() / len(BATCH), error.item(), kl


def test_beta_and_warm_up_multiply_the_divergence(trial: Trial, images: DeviceImages) -> None:
    changed = variational(trial, beta=4.0, warmup=3)
    factors = []
    for epoch in range(1, 6):
        loss, error, kl = training_loss(changed, images, epoch)
        factors.append((loss - error) / (4.0 * kl.sum(1).mean().item()))
    assert factors == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1, 1], rel=1e-3)


def test_free_bits_are_not_penalized(trial: Trial, images: DeviceImages) -> None:
    _, _, kl = training_loss(variational(trial), images, 1)
    means = kl.mean(0)
    threshold = means.sort().values[1:].mean().item()  # between the two largest
    changed = variational(trial, beta=2.0, free_bits=threshold)
    loss, error, _ = training_loss(changed, images, 1)
    expected = 2 * (means.max().item() + 2 * threshold)
    assert loss - error == pytest.approx(expected, rel=1e-3)
    network = network_of(changed)
    network(Pairs(changed.task, images.train, 0, 0, "train").at(BATCH)[0])
    changed.task.training_terms(network)["kl"].backward()
    gradient = mean_weight(network).grad
    assert gradient is not None
    assert (gradient.abs().sum(1) > 0).tolist() == (means > threshold).tolist()


@pytest.mark.parametrize("changes", [{}, {"warmup": 5}, {"free_bits": 0.5}])
def test_the_validation_loss_has_the_full_beta_in_every_epoch(
    trial: Trial, images: DeviceImages, changes: dict[str, object]
) -> None:
    changed = variational(trial, beta=3.0, **changes)
    network = network_of(changed)
    pairs = evaluation_pairs(changed.task, images.val, "val")
    values = evaluate(network, pairs)
    inputs, targets = pairs.at(torch.arange(len(pairs.pixels)))
    kl = divergences(network, inputs).sum(1).mean().item()
    output = network(inputs)
    error = torch.nn.functional.binary_cross_entropy(output, targets, reduction="sum")
    assert values["kl"] == pytest.approx(kl, rel=1e-4)
    expected = error.item() / len(targets) + 3 * kl
    assert values["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_defaults_are_those_of_earlier_trials() -> None:
    assert set(Vae().parameters()) == {"loss", "judge", "latent_scales", "generated"}


def test_without_a_divergence_in_the_loss_its_settings_are_errors(trial: Trial) -> None:
    with pytest.raises(ConfigError, match=r"task.warmup = 2 would be ignored: task.beta is 0"):
        variational(trial, beta=0.0, warmup=2)


def test_active_units_are_counted_by_the_variance_of_their_means() -> None:
    class Network(torch.nn.Linear):
        def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
            values = images.flatten(1)
            return values, values

    columns = [torch.zeros(200), torch.full((200,), 7.0), torch.randn(200), torch.randn(200) * 0.05]
    images = torch.stack(columns, 1)[:, :, None, None]
    assert _active_units(Network(1, 1), images) == 1


def test_the_distance_to_the_nearest_training_image(trial: Trial, images: DeviceImages) -> None:
    train = Pairs(trial.task, images.train, 0, 0, "train")
    known = torch.cat([targets.flatten(1) for _, targets, _ in train.batches()])
    changed = known[[3, 40]].clone()
    changed[:, 0] += 0.25
    generated = torch.cat([changed, known[:1], torch.rand(2, known.shape[1])])
    expected = (generated[:, None] - known).square().sum(2).sqrt().amin(1)
    distances = _nearest_distances(generated, train)
    torch.testing.assert_close(distances, expected, rtol=1e-3, atol=1e-2)


def test_the_final_evaluation_does_not_keep_all_training_images(trial: Trial) -> None:
    """They may be streamed from the disk because they do not fit into the memory."""
    vae = variational(trial, generated=20, latent_scales=(1.0,))
    counts = {"train": 1000, "val": 20, "test": 20}
    few = predict_memory(vae, counts)
    many = predict_memory(vae, counts | {"train": 5000})
    more_images = many.images - few.images
    assert many.final_evaluation - few.final_evaluation < 2 * more_images
