"""A replayed step gives the weights and losses of the plain step, bit for bit.

A CUDA graph freezes all that Python computes: numbers, addresses, branches. Without a GPU a tape
does the same: it records the operations of one step and repeats them on the same tensors.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from benchmarks.networks import NETWORKS, trial_of
from cae.trial import checkpoint, steps, torch_compat, training, training_state
from cae.trial.augmentation import Augmentation
from cae.trial.batches import DeviceImages, DeviceSplit, Pairs
from cae.trial.config import Trial
from cae.trial.losses import Loss
from cae.trial.networks import ConvAutoencoder
from cae.trial.networks.create import build_network
from cae.trial.optimizers import Optimizer, TorchOptimizer
from cae.trial.steps import (
    GRAPHS_VARIABLE,
    WARM_UP_STEPS,
    Clipping,
    GraphedStep,
    Step,
    StepFunction,
    build_optimizer,
    create_step,
    set_learning_rate,
)
from cae.trial.tasks import Reconstruct
from cae.trial.training import train

CPU = torch.device("cpu")
IMAGES = 22
"""With batches of 4: WARM_UP_STEPS plain steps, and one that is smaller."""
CHANGING_RATE = {
    "schedule": "reduce_on_plateau",
    "schedule.patience": 0,
    "schedule.threshold": 0.99,
    "schedule.factor": 0.1,
}
"""The learning rate is reduced after the second epoch and after the third."""


class Tape(TorchDispatchMode):
    """Records the operations of a step, with their arguments as they are."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Callable[..., Any], Sequence[Any], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, result))
        return result

    def replay(self) -> None:
        """Repeat the operations; their results go to the memory of the recorded results."""
        with torch.no_grad():
            for func, args, kwargs, recorded in self.calls:
                result = func(*args, **kwargs)
                for new, old in zip(_tensors(result), _tensors(recorded), strict=True):
                    if new.data_ptr() != old.data_ptr():
                        old.copy_(new)


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, tuple | list):
        return [tensor for item in result for tensor in _tensors(item)]
    return []


def capture_on_tape(step: GraphedStep) -> Callable[[StepFunction], StepFunction]:
    """A capture like that of a CUDA graph: the recorded step itself changes nothing."""

    def capture(function: StepFunction) -> StepFunction:
        tensors = [*step.network.state_dict().values(), step.loss_sum]
        for state in step.optimizer.state.values():
            tensors += [value for value in state.values() if isinstance(value, Tensor)]
        copies = [tensor.detach().clone() for tensor in tensors]
        random_states = (torch.get_rng_state(), step.pairs.generator.get_state())
        tape = Tape()
        with tape:
            function()
        with torch.no_grad():
            for tensor, copy in zip(tensors, copies, strict=True):
                tensor.detach().copy_(copy)
        torch.set_rng_state(random_states[0])
        step.pairs.generator.set_state(random_states[1])
        return tape.replay

    return capture


@contextlib.contextmanager
def cuda_optimizers_on_the_cpu() -> Iterator[None]:
    """`build_optimizer` as on a GPU: the learning rate is a tensor."""
    build = steps.build_optimizer

    def build_capturable(settings: Optimizer, network: nn.Module) -> torch.optim.Optimizer:
        optimizer = build(settings, network)
        torch_compat.make_capturable(optimizer, CPU)
        return optimizer

    devices = ["cpu", "cuda"]
    name = "_get_capturable_supported_devices"
    with contextlib.ExitStack() as patches:
        for module in (training, training_state):
            patches.enter_context(mock.patch.object(module, "build_optimizer", build_capturable))
        for module_name, module in list(sys.modules.items()):
            if module_name.startswith("torch.optim.") and hasattr(module, name):
                patches.enter_context(mock.patch.object(module, name, return_value=devices))
        yield


class History:
    """Losses, weights and numbers of replayed steps of a trial's epochs."""

    def __init__(
        self,
        trial: Trial,
        images: DeviceImages,
        folder: Path,
        *,
        graphed: bool,
        dependencies: dict[str, Path] | None = None,
    ) -> None:
        self.losses: list[tuple[float, float]] = []
        self.replayed: list[int] = []
        self.weights: list[dict[str, Tensor]] = []

        def create_step(
            trial: Trial, network: nn.Module, optimizer: torch.optim.Optimizer, pairs: Pairs
        ) -> tuple[Step, str]:
            clipping = Clipping(trial.clip_norm, trial.clip_value)
            if not graphed:
                return Step(network, optimizer, pairs, trial.precision, clipping), "plain"
            step = GraphedStep(
                network, optimizer, pairs, trial.batch_size, trial.precision, clipping
            )
            step._capture = capture_on_tape(step)
            return step, ""

        with (
            cuda_optimizers_on_the_cpu(),
            mock.patch.object(training, "create_step", create_step),
        ):
            for epoch in train(trial, images, folder, dependencies=dependencies or {}):
                self.losses.append((epoch.row["train_loss"], epoch.row["val_loss"]))
                self.replayed.append(epoch.replayed_steps)
                self.weights.append(newest_weights(folder))


def newest_weights(folder: Path) -> dict[str, Tensor]:
    return checkpoint.load(folder / checkpoint.LAST).network


def assert_equal_histories(plain: History, graphed: History) -> None:
    assert graphed.losses == plain.losses
    for one, other in zip(plain.weights, graphed.weights, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert sum(plain.replayed) == 0
    assert sum(graphed.replayed) > 0


def random_images(trial: Trial) -> DeviceImages:
    generator = torch.Generator().manual_seed(5)

    def split() -> DeviceSplit:
        shape = (IMAGES, *trial.dataset.image_shape)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, 10, (IMAGES,), generator=generator)
        return DeviceSplit(pixels, labels)

    return DeviceImages(split(), split(), split())


def small(trial: Trial, **changes: Any) -> Trial:
    """The trial with batches of 4 and a learning rate that changes."""
    schedule = CHANGING_RATE
    if "schedule" in changes:
        schedule = {}
    return trial.override({"batch_size": 4, "epochs": 4, **schedule, **changes})


def check_that_replays_equal_plain_steps(trial: Trial, folder: Path) -> None:
    images = random_images(trial)
    plain = History(trial, images, folder / "plain", graphed=False)
    graphed = History(trial, images, folder / "graphed", graphed=True)
    assert_equal_histories(plain, graphed)
    # Of 6 steps per epoch the last one is smaller; the first epoch begins with the warm-up.
    assert graphed.replayed == [5 - WARM_UP_STEPS, 5, 5, 5]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_of_the_reports(name: str, tmp_path: Path) -> None:
    check_that_replays_equal_plain_steps(small(trial_of(name)), tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"arch.dropout": 0.5},
        {"arch.batch_norm": "before_activation"},
        {"task": "denoise"},
        {
            "task": "denoise",
            "arch.skips": True,
            "arch.residual_blocks": 1,
            "arch.batch_norm": "before_activation",
            "arch.norm": "group",
            "arch.norm_groups": 2,
            "arch.activation": "silu",
            "arch.bottleneck_channels": 3,
        },
        {"arch.upsampling": "pixel_shuffle", "arch.activation": "gelu"},
        {
            "augmentation": "augment",
            "augmentation.flip": "both",
            "augmentation.shift": 1,
            "augmentation.rotation": 5.0,
            "augmentation.brightness": 0.1,
            "augmentation.contrast": 0.1,
            "augmentation.cutout": 2,
        },
        {"task": "denoise", "task.redraw_noise": True},
        {"task": "vae", "arch": "variational_autoencoder"},
        {
            "task": "vae",
            "arch": "variational_autoencoder",
            "task.warmup": 2,
            "task.beta": 2.0,
            "task.free_bits": 0.1,
        },
        {"task": "complete"},
        {"precision": "bfloat16"},
        {"optimizer": "rmsprop"},
        {"optimizer": "rmsprop", "optimizer.momentum": 0.5},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "optimizer.momentum": 0.5, "optimizer.nesterov": True},
        {"optimizer.weight_decay": 0.1},
        {"optimizer": "adam_w"},
        {"optimizer": "torch_optimizer", "optimizer.algorithm": "NAdam", "optimizer.lr": 0.01},
        {"task.loss": "0.5*huber + 0.1*gradient_difference + 0.1*ssim + 0.1*ms_ssim(scales=1)"},
        {"clip_norm": 0.05},
        {"clip_value": 0.001},
        {"schedule": "cosine", "warmup_epochs": 1},
    ],
    ids=str,
)
def test_components(trial: Trial, changes: dict[str, Any], tmp_path: Path) -> None:
    check_that_replays_equal_plain_steps(small(trial, **changes), tmp_path)


@pytest.fixture
def _one_hot_reads_values_on_a_cpu_only() -> Iterator[None]:
    with mock.patch.object(torch_compat.HostAccess, "READS", ()):
        yield


@pytest.mark.usefixtures("_one_hot_reads_values_on_a_cpu_only")
def test_classes(trial: Trial, tmp_path: Path) -> None:
    check_that_replays_equal_plain_steps(small(trial, task="classify", arch="classifier"), tmp_path)


@pytest.mark.usefixtures("_one_hot_reads_values_on_a_cpu_only")
def test_two_stages(trial: Trial, tmp_path: Path) -> None:
    """Each stage has an optimizer of its own, and other weights that change."""
    encoder = small(trial, epochs=1)
    images = random_images(trial)
    list(train(encoder, images, tmp_path / "encoder"))
    classifier = small(
        trial,
        **{
            "task": "classify",
            "arch": "classifier",
            "arch.encoder_filters": (4, 6),
            "arch.pool_after": (1,),
        },
    )
    task = classifier.task.model_copy(update={"encoder": encoder})
    classifier = classifier.model_copy(update={"task": task})
    folders = {"encoder": tmp_path / "encoder"}
    histories = [
        History(classifier, images, tmp_path / str(graphed), graphed=graphed, dependencies=folders)
        for graphed in (False, True)
    ]
    assert_equal_histories(*histories)
    warm_epoch = 5 - WARM_UP_STEPS
    assert histories[1].replayed == [warm_epoch, 5, warm_epoch, 5]


def test_resumed_in_another_process_with_plain_steps(trial: Trial, tmp_path: Path) -> None:
    """A trial may begin with replays and end with plain steps, for example on another machine."""
    whole = small(trial)
    images = random_images(whole)
    plain = History(whole, images, tmp_path / "plain", graphed=False)
    History(whole.override({"epochs": 2}), images, tmp_path / "mixed", graphed=True)
    mixed = History(whole, images, tmp_path / "mixed", graphed=False)
    assert mixed.losses == plain.losses


def test_a_learning_rate_that_is_a_number_would_be_frozen(trial: Trial, tmp_path: Path) -> None:
    """The tape finds what a CUDA graph would get wrong."""
    trial = small(trial, optimizer="sgd")
    images = random_images(trial)
    plain = History(trial, images, tmp_path / "plain", graphed=False)
    with mock.patch.object(torch_compat, "make_capturable"):
        frozen = History(trial, images, tmp_path / "frozen", graphed=True)
    assert frozen.losses[:2] == plain.losses[:2]
    assert frozen.losses[3] != plain.losses[3]


# Which trials have replayed steps


class ReadingTask(Reconstruct):
    """A task whose loss depends on a value that Python reads."""

    supports_cuda_graphs = True

    @override
    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        loss = super().criterion(output, target)
        if loss.item() > 1e9:
            raise ValueError("diverged")
        return loss


class OwnTask(Reconstruct):
    """A task that declares nothing."""


class OwnOptimizer(torch.optim.SGD):
    """An optimizer that is not PyTorch's."""


@pytest.fixture(autouse=True)
def _unregister_own_tasks() -> Iterator[None]:
    yield
    registry = Reconstruct.registry
    for name in ("reading_task", "own_task"):
        registry.pop(name, None)


def test_a_step_that_reads_a_value_stays_plain(trial: Trial) -> None:
    images = random_images(trial)
    network = build_network(trial)
    pairs = Pairs(ReadingTask(), images.train, 0, 0, "train")
    step = GraphedStep(network, build_optimizer(trial.optimizer, network), pairs, 4)
    step._capture = capture_on_tape(step)
    for indices in torch.arange(20).split(4):
        step(indices)
    assert step.replayed == 0
    assert "_local_scalar_dense" in step.reason


def test_copies_between_devices_are_found() -> None:
    with torch_compat.HostAccess() as access:
        torch.zeros(3, device="meta").copy_(torch.zeros(3))
        torch.zeros(3).to("meta")
        torch.zeros(3).copy_(torch.ones(3))
    assert len(access.operations) == 2


@pytest.fixture
def on_gpu() -> Iterator[None]:
    """Pairs seem to be on a GPU."""
    with mock.patch.object(Pairs, "device", torch.device("cuda"), create=True):
        yield


def reason(trial: Trial, optimizer: torch.optim.Optimizer | None = None) -> str:
    network = build_network(trial)
    pairs = Pairs(trial.task, random_images(trial).train, 0, 0, "train")
    if optimizer is None:
        optimizer = build_optimizer(trial.optimizer, network)
    return steps.reason_for_plain_steps(trial, optimizer, pairs)


def test_steps_on_a_cpu_are_plain(trial: Trial) -> None:
    network = build_network(trial)
    pairs = Pairs(trial.task, random_images(trial).train, 0, 0, "train")
    optimizer = build_optimizer(trial.optimizer, network)
    step, why = create_step(trial, network, optimizer, pairs)
    assert type(step) is Step
    assert why


@pytest.mark.usefixtures("on_gpu")
def test_built_in_components_have_replayed_steps_on_a_gpu(trial: Trial) -> None:
    assert reason(small(trial)) == ""


@pytest.mark.usefixtures("on_gpu")
def test_an_own_component_has_to_declare_that_it_supports_graphs(trial: Trial) -> None:
    own = small(trial).model_copy(update={"task": OwnTask()})
    assert "supports_cuda_graphs" in reason(own)
    declared = small(trial).model_copy(update={"task": ReadingTask()})
    assert reason(declared) == ""


@pytest.mark.usefixtures("on_gpu")
def test_other_reasons_for_plain_steps(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network(trial)
    assert "OwnOptimizer" in reason(small(trial), OwnOptimizer(network.parameters(), 0.1))
    assert reason(trial)  # 22 images are less than one batch of 32
    monkeypatch.setenv(GRAPHS_VARIABLE, "0")
    assert GRAPHS_VARIABLE in reason(small(trial))


def test_subclasses_of_built_in_components_declare_it_themselves() -> None:
    assert ConvAutoencoder.supports_cuda_graphs
    assert not OwnTask.supports_cuda_graphs


def test_a_learning_rate_in_a_tensor_is_changed_in_place() -> None:
    network = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    torch_compat.make_capturable(optimizer, CPU)
    tensor = optimizer.param_groups[0]["lr"]
    set_learning_rate(optimizer, 0.25)
    assert tensor.item() == 0.25
    set_learning_rate(plain := torch.optim.Adam(network.parameters()), 0.25)
    assert plain.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize(
    ("clipping", "reference"),
    [
        (Clipping(norm=0.01), lambda ps: nn.utils.clip_grad_norm_(ps, 0.01, foreach=False)),
        (Clipping(value=1e-4), lambda ps: nn.utils.clip_grad_value_(ps, 1e-4, foreach=False)),
    ],
)
def test_gradients_are_clipped_as_by_torch(
    trial: Trial, clipping: Clipping, reference: Callable[[list[nn.Parameter]], Any]
) -> None:
    """One step of SGD: the change of the weights is the clipped gradient."""
    images = random_images(trial)
    changed = trial.override({"optimizer": "sgd", "optimizer.lr": 1.0})
    torch.manual_seed(0)
    network = build_network(changed)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pairs = Pairs(changed.task, images.train, 0, 0, "train")
    indices = torch.arange(4)
    inputs, targets = pairs.at(indices)
    changed.task.criterion(network(inputs), targets).backward()
    parameters = list(network.parameters())
    unclipped = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    reference(parameters)
    expected = {name: value.grad for name, value in network.named_parameters()}
    assert any(
        not torch.equal(one, other)
        for one, other in zip(unclipped, expected.values(), strict=True)
        if other is not None
    )
    optimizer = build_optimizer(changed.optimizer, network)
    Step(network, optimizer, pairs, clipping=clipping)(indices)
    for name, parameter in network.named_parameters():
        change = before[name] - parameter.detach()
        torch.testing.assert_close(change, expected[name], rtol=1e-3, atol=1e-7)


@pytest.mark.usefixtures("on_gpu")
def test_an_own_loss_or_augmentation_has_to_declare_that_it_supports_graphs(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (Loss, Augmentation):
        monkeypatch.setattr(kind, "registry", dict(kind.registry))

    class OwnSquare(Loss):
        @override
        def __call__(self, output: Tensor, target: Tensor) -> Tensor:
            return (output - target).square().mean()

    class OwnFlip(Augmentation):
        @override
        def apply(self, images: Tensor, generator: torch.Generator) -> Tensor:
            return images.flip(3)

    rule = "does not declare supports_cuda_graphs"
    assert reason(small(trial, **{"task.loss": "mse + own_square"})) == (
        f"task.loss = 'own_square' {rule}"
    )
    assert reason(small(trial, augmentation="own_flip")) == f"augmentation = 'own_flip' {rule}"
    OwnSquare.supports_cuda_graphs = OwnFlip.supports_cuda_graphs = True
    assert reason(small(trial, **{"task.loss": "own_square", "augmentation": "own_flip"})) == ""


def test_an_optimizer_without_a_form_for_graphs_has_plain_steps(trial: Trial) -> None:
    pairs = Pairs(trial.task, random_images(trial).train, 0, 0, "train")
    settings = TorchOptimizer(algorithm="Adagrad", lr=0.1)
    changed = small(trial).model_copy(update={"optimizer": settings})
    optimizer = build_optimizer(settings, build_network(changed))
    with mock.patch.object(Pairs, "device", torch.device("cuda")):
        reason = steps.reason_for_plain_steps(changed, optimizer, pairs)
    assert reason == "Adagrad has no form for CUDA graphs"
