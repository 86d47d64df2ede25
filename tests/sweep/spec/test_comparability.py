"""Which trials are comparable, and which metrics have the same definition."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae import (
    Adam,
    Cifar10,
    Classifier,
    Classify,
    Colorize,
    Complete,
    ConvAutoencoder,
    Denoise,
    Digits,
    Inpaint,
    Loss,
    Reconstruct,
    Trial,
    Vae,
    VariationalAutoencoder,
)
from cae.run.groups import Group, group_labels, is_defined_equally, parse_group
from cae.sweep.spec.comparability import describe_group
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.datasets import Dataset

DIGITS = Digits(size=16)
NETWORK = ConvAutoencoder(encoder_filters=(4, 4), decoder_filters=(4,))
JUDGE = Trial(
    dataset=DIGITS,
    task=Classify(),
    arch=Classifier(encoder_filters=(4, 4), fc_units=8),
    optimizer=Adam(lr=0.01),
)


def fingerprint(dataset: Dataset) -> str:
    """Stands in for the fingerprint of the images: it depends on all parameters."""
    return repr((dataset.name, dataset.parameters()))


def trial(task: Any, **fields: Any) -> Trial:
    defaults = {"dataset": DIGITS, "arch": NETWORK, "optimizer": Adam(lr=0.01)}
    return Trial(task=task, **(defaults | fields))


def group_of(task: Any, images: Callable[[Dataset], str] = fingerprint, **fields: Any) -> Group:
    return parse_group(describe_group(trial(task, **fields), images), {})


def test_network_and_training_do_not_separate_groups() -> None:
    base = group_of(Reconstruct())
    wide = ConvAutoencoder(encoder_filters=(8, 8), decoder_filters=(8,), kernel_size=5)
    assert base == group_of(Reconstruct(), arch=wide)
    assert base == group_of(Reconstruct(), optimizer=Adam(lr=0.1), epochs=7, batch_size=8, seed=5)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Reconstruct(), Reconstruct(loss="l1")),
        (Reconstruct(), Complete()),
        (Denoise(noise_factor=0.5), Denoise(noise_factor=0.7)),
        (Denoise(), Denoise(judge=JUDGE)),
        (Denoise(judge=JUDGE), Denoise(judge=JUDGE.override({"epochs": 3}))),
        (Inpaint(region="full"), Inpaint(region="hole")),
        (Inpaint(hole=4), Inpaint(hole=6)),
    ],
)
def test_another_task_or_loss_is_another_group(first: Any, second: Any) -> None:
    assert group_of(first) != group_of(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Denoise(redraw_noise=True), Denoise(redraw_noise=False)),
        (Classify(encoder=JUDGE, frozen_share=0.2), Classify(encoder=JUDGE, frozen_share=0.8)),
        (Classify(encoder=JUDGE), Classify(encoder=JUDGE.override({"dataset.size": 8}))),
        (Classify(encoder=JUDGE), Classify()),
    ],
)
def test_parameters_of_the_training_alone_do_not_separate_groups(first: Any, second: Any) -> None:
    assert group_of(first) == group_of(second)


def test_other_images_are_another_group() -> None:
    base = group_of(Reconstruct())
    assert base != group_of(Reconstruct(), dataset=Digits(size=16, train_images=100))
    assert base != group_of(Reconstruct(), lambda _dataset: "other images")
    # Equal images are the same data, however the parameters select them.
    other_parameters = Digits(size=16, train_images=100)
    same_images = group_of(Reconstruct(), lambda _dataset: "same", dataset=other_parameters)
    assert group_of(Reconstruct(), lambda _dataset: "same") == same_images


def groups(*tasks: Any, **fields: Any) -> list[Group]:
    return [group_of(task, **fields) for task in tasks]


def test_definitions_of_the_metrics_of_images() -> None:
    losses = groups(Reconstruct(loss="mse"), Reconstruct(loss="l1"), Denoise(loss="bce"))
    assert is_defined_equally("val_psnr", losses)
    assert is_defined_equally("test_ssim", losses)
    assert is_defined_equally("last_seconds", losses)
    assert not is_defined_equally("val_loss", losses)
    assert not is_defined_equally("train_loss", losses)
    assert not is_defined_equally("test_gradient_energy", losses)
    same_loss = groups(Reconstruct(loss="mse"), Denoise(loss="mse"), Complete(loss="mse"))
    assert is_defined_equally("val_loss", same_loss)
    noise = groups(Denoise(noise_factor=0.3), Denoise(noise_factor=0.9))
    assert is_defined_equally("val_loss", noise)


def test_definitions_that_depend_on_parameters_of_the_task() -> None:
    regions = groups(Inpaint(region="full"), Inpaint(region="hole"), Inpaint(loss="l1"))
    assert is_defined_equally("val_hole_mse", regions)
    assert not is_defined_equally("val_loss", regions)
    assert not is_defined_equally("val_psnr", regions)
    assert not is_defined_equally("val_hole_mse", groups(Inpaint(hole=4), Inpaint(hole=6)))
    color = {"dataset": Cifar10()}
    targets = groups(Colorize(target="rgb"), Colorize(target="iq"), **color)
    assert is_defined_equally("val_rgb_mse", targets)
    assert not is_defined_equally("val_loss", targets)
    variational = {"arch": VariationalAutoencoder(), "dataset": Digits(size=28)}
    errors = groups(Vae(loss="mse"), Vae(loss="bce"), **variational)
    assert not is_defined_equally("val_loss", errors)
    assert not is_defined_equally("test_elbo", errors)
    classifier = {"arch": Classifier(encoder_filters=(4, 4), fc_units=8)}
    classifiers = groups(Classify(loss="mse"), Classify(loss="cross_entropy"), **classifier)
    assert is_defined_equally("val_accuracy", classifiers)
    assert not is_defined_equally("val_loss", classifiers)


# The user's code

SWEEP = '''
from cae import Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial
import own_penalty

WEIGHT = {weight}


def own_loss(output, target):
    return WEIGHT * (output - target).abs().pow({power}).mean()


class Base(Reconstruct):
    def criterion(self, output, target):
        return {base} * own_loss(output, target) + own_penalty.penalty(output)


class ComparabilityTask(Base):
    pass


class ComparabilityNetwork(ConvAutoencoder):
    """{comment}"""


sweep = Sweep(
    base=Trial(
        dataset=Digits(size=16),
        task=ComparabilityTask(),
        arch=ComparabilityNetwork(encoder_filters=(4, 4), decoder_filters=(4,)),
        optimizer=Adam(lr=0.01),
    )
)
'''
VALUES = {"weight": 2, "power": 1, "base": 1, "comment": "", "penalty": 0}


@pytest.fixture
def own_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Group]:
    """The group of a trial with an own task, of a sweep file with these values."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(**changes: Any) -> Group:
        values = VALUES | changes
        code = f"def penalty(output):\n    return {values['penalty']} * output.mean()\n"
        (tmp_path / "own_penalty.py").write_text(code)
        monkeypatch.delitem(sys.modules, "own_penalty", raising=False)
        path = tmp_path / "own.py"
        path.write_text(SWEEP.format(**values))
        linecache.clearcache()
        own_trial = read_sweep_file(path).sweep.base
        description = describe_group(own_trial, fingerprint)
        return parse_group(description, {})

    return make


@pytest.mark.parametrize("changes", [{"power": 2}, {"weight": 3}, {"base": 5}, {"penalty": 1}])
def test_an_edited_loss_is_another_group(
    own_group: Callable[..., Group], changes: dict[str, Any]
) -> None:
    """In a function, a constant or the base class of the sweep file, or in a module beside it."""
    assert own_group() == own_group()
    assert own_group() != own_group(**changes)


def test_an_edited_network_is_the_same_group(own_group: Callable[..., Group]) -> None:
    assert own_group(comment="before") == own_group(comment="after")


def test_own_losses_are_defined_differently_and_psnr_is_not(
    own_group: Callable[..., Group],
) -> None:
    edited = [own_group(), own_group(power=2)]
    assert is_defined_equally("val_psnr", edited)
    assert not is_defined_equally("val_loss", edited)


# Losses


def test_losses_have_metrics_with_the_same_definition_but_not_the_loss() -> None:
    groups = [
        group_of(Reconstruct(loss=loss))
        for loss in ("mse", "huber", "huber(delta=0.05)", "0.8*mse + 0.2*ssim")
    ]
    assert len(set(groups)) == 4
    assert is_defined_equally("val_psnr", groups)
    assert is_defined_equally("test_ssim", groups)
    for group in groups[1:]:
        assert not is_defined_equally("val_loss", [groups[0], group])


OWN_LOSS = '''"""A sweep with a loss of its own."""

from cae import Adam, ConvAutoencoder, Digits, Loss, Reconstruct, Sweep, Trial


class OwnPower(Loss):
    def __call__(self, output, target):
        return (output - target).abs().pow(POWER).mean()


POWER = {power}
sweep = Sweep(
    base=Trial(
        dataset=Digits(size=16, train_images=64, val_images=16, test_images=16),
        task=Reconstruct(loss="0.5*own_power + 0.5*mse"),
        arch=ConvAutoencoder(encoder_filters=(4, 4), decoder_filters=(4,)),
        optimizer=Adam(),
    ),
)
'''


def test_the_code_of_an_own_loss_separates_groups_and_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loss, "registry", dict(Loss.registry))
    groups = []
    codes = []
    for power in (3, 4):
        path = tmp_path / f"own_loss_{power}.py"
        path.write_text(OWN_LOSS.format(power=power))
        base = read_sweep_file(path).sweep.base
        groups.append(parse_group(describe_group(base, fingerprint), {}))
        codes.append(base.code())
    assert groups[0] != groups[1]
    assert codes[0] != codes[1]
    assert is_defined_equally("val_psnr", groups)
    assert not is_defined_equally("val_loss", groups)


OWN_METRIC = '''"""A task with a metric that does not depend on the loss, and a loss of its own."""

from cae import Adam, ConvAutoencoder, Digits, Loss, Reconstruct, Sweep, Trial
from cae.trial.metrics import error_metric


class OwnFourthPower(Loss):
    def __call__(self, output, target):
        return (output - target).pow(4).mean()


class OwnRanked(Reconstruct):
    def metrics(self, output, target):
        worst = (output - target).abs().flatten(1).amax(1)
        return super().metrics(output, target) | {"worst": worst, "weighted": 2 * worst}

    def declared_metrics(self):
        own = [error_metric("worst", "", "Worst."), error_metric("weighted", "", "Weighted.")]
        return super().declared_metrics() | {metric.name: metric for metric in own}

    def defining_parameters(self, name):
        if name in ("worst", "psnr"):
            return ()
        return super().defining_parameters(name)


sweep = Sweep(
    base=Trial(
        dataset=Digits(size=16), task=OwnRanked(), arch=ConvAutoencoder(), optimizer=Adam(lr=0.1)
    )
)
'''


def test_own_metrics_depend_on_the_loss_unless_the_task_declares_the_opposite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loss, "registry", dict(Loss.registry))
    path = tmp_path / "own_metric.py"
    path.write_text(OWN_METRIC)
    base = read_sweep_file(path).sweep.base
    groups = []
    for loss in ("mse", "own_fourth_power", "0.5*own_fourth_power + 0.5*ssim"):
        own_trial = base.override({"task.loss": loss})
        groups.append(parse_group(describe_group(own_trial, fingerprint), {}))
    assert is_defined_equally("val_worst", groups)
    assert is_defined_equally("val_psnr", groups)
    assert not is_defined_equally("val_weighted", groups)
    assert not is_defined_equally("val_loss", groups)


def test_beta_separates_groups_and_its_training_does_not() -> None:
    arch = VariationalAutoencoder()
    base = group_of(Vae(), arch=arch)
    strong = group_of(Vae(beta=4.0), arch=arch)
    assert base == group_of(Vae(warmup=3, free_bits=0.1), arch=arch)
    assert base != strong
    assert not is_defined_equally("val_loss", [base, strong])
    for metric in ("val_psnr", "val_kl", "test_elbo"):
        assert is_defined_equally(metric, [base, strong])
    assert set(group_labels([base, strong]).values()) == {"task.beta = 1", "task.beta = 4"}
