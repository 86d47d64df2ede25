"""Classifying images, in one stage or, with the encoder of another trial, in two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from cae.trial.component import Dependency
from cae.trial.tasks.base import Evaluation, Gallery, Shape, SplitPairs, Table, Task, confusions

SHOWN = 16
"""Images in a gallery, and in the table of mistakes."""


class Classify(Task):
    """The class of each image. The network gives logits, B x classes x 1 x 1; targets are one-hot of the same shape.

    With an `encoder`, training has two stages: first that trial's encoder is frozen (its batch normalisation too) and only the
    head learns, then all is trained, with a new optimizer.
    """

    loss: Literal["mse", "cross_entropy"] = "cross_entropy"  # type: ignore[assignment]  # other losses than images have
    """`mse`: mean over images and classes of (softmax - one-hot) squared: a wrong and certain answer costs 2 / classes.
    `cross_entropy`: mean over images, in nats."""
    classes: PositiveInt = 10
    encoder: Dependency | None = None
    """A trial whose encoder this one's begins as; its architecture has to have the same encoder."""
    frozen_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The share of the epochs, rounded to whole ones, during which the encoder stays as it came."""
    dependency_names: ClassVar[tuple[str, ...]] = ("encoder",)

    def inactive_parameters(self) -> dict[str, str]:
        return {} if self.encoder else {"frozen_share": "there is no task.encoder to freeze"}

    def output_shape(self, image_shape: Shape) -> Shape:
        return self.classes, 1, 1

    def pairs(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return images, F.one_hot(labels, self.classes).float()[..., None, None]

    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        if self.loss == "mse":
            return F.mse_loss(output.softmax(1), target)
        return F.cross_entropy(output.flatten(1), target.flatten(1))

    def metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"accuracy": (output.argmax(1) == target.argmax(1)).float().flatten()}

    def final_metrics(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """`rounded_accuracy`: of the class that report 002 took, the first one whose probability rounds to 1, else class 0."""
        rounded = output.softmax(1).round().argmax(1)
        return {"rounded_accuracy": (rounded == target.argmax(1)).float().flatten()}

    def picture(self, given: Tensor, image: Tensor) -> Tensor:
        """A bar per class from the left, as high as its share among the probabilities."""
        rows, columns = given.shape[-2:]
        share = (
            image / image.sum(1, keepdim=True) if image.amin() >= 0 else image.softmax(1)
        ).flatten(1)
        of_column = torch.arange(columns, device=image.device) * self.classes // columns
        height = torch.linspace(1, 1 / rows, rows, device=image.device)
        return (share[:, None, None, of_column] >= height[None, None, :, None]).float()

    def stage(self, epoch: int, epochs: int) -> int:
        """0 while the encoder is frozen, else 1."""
        return int(not self.encoder or epoch > round(self.frozen_share * epochs))

    def prepare(self, network: nn.Module, stage: int) -> None:
        if self.encoder:
            network.get_submodule("encoder").requires_grad_(stage == 1).train(stage == 1)

    def start_from(self, network: nn.Module, dependencies: Mapping[str, nn.Module]) -> None:
        if "encoder" in dependencies:
            network.get_submodule("encoder").load_state_dict(
                dependencies["encoder"].get_submodule("encoder").state_dict()
            )

    def validate_trial(self, trial: Any) -> None:
        if (known := len(trial.dataset.class_names)) > self.classes:
            raise ValueError(f"task.classes = {self.classes}: {trial.dataset.name} has {known}")
        if not self.encoder:
            return
        source = trial.dataset.image_shape
        with torch.device("meta"):
            ours = trial.arch.build(source, self.output_shape(source))
            theirs = self.encoder.arch.build(source, self.encoder.task.output_shape(source))
        shapes = [
            {
                name: tuple(tensor.shape)
                for name, tensor in getattr(network, "encoder", nn.Identity()).state_dict().items()
            }
            for network in (ours, theirs)
        ]
        if shapes[0] != shapes[1] or not shapes[0]:
            raise ValueError(
                "task.encoder: the encoder of its arch is not the one of this trial's arch: give both the same parameters"
            )

    def validate_output_range(self, output_range: tuple[float, float]) -> None:
        if output_range != (float("-inf"), float("inf")):
            raise ValueError(
                "task = 'classify' needs logits: choose arch = 'classifier', whose outputs are not bounded"
            )

    def baselines(self, train: SplitPairs, given: Tensor) -> dict[str, Tensor]:
        """`frequencies`: each class with its share of the training images, whatever the image."""
        logits = train.mean_target().clamp(min=1e-9).log()
        return {"frequencies": logits.expand(len(given), -1, -1, -1)}

    def floor(self, target: Tensor) -> float:
        return 0.0

    def conclude(self, seen: Evaluation) -> tuple[dict[str, float], dict[str, Table]]:
        """Precision, recall and F1 per class (scikit-learn; 0 where nothing was said), the confusion matrix, and the images most
        certainly wrong."""
        from sklearn.metrics import (
            precision_recall_fscore_support,
        )  # takes a second to import, and only this needs it

        truth, shares, said = _answers(seen)
        numbers = range(self.classes)
        scores = precision_recall_fscore_support(
            truth.numpy(), said.numpy(), labels=list(numbers), zero_division=0.0
        )
        names = self._names(seen)
        per_class: Table = [
            {
                "class": names[number],
                "precision": float(p),
                "recall": float(r),
                "f1": float(f1),
                "support": int(support),
            }
            for number, (p, r, f1, support) in enumerate(zip(*scores, strict=True))
        ]
        mistakes: Table = [
            {
                "test image": at,
                "class": names[int(truth[at])],
                "said": names[int(said[at])],
                "probability": shares[at, said[at]].item(),
            }
            for at in _surest(shares, said != truth)
        ]
        metrics = {
            "correct": float((said == truth).sum()),
            "macro_f1": sum(row["f1"] for row in per_class) / self.classes,
            "classes_said": float(len(said.unique())),
        }
        return metrics, {
            "per_class": per_class,
            "confusion": confusions(truth, said, tuple(names)),
            "mistakes": mistakes,
        }

    def galleries(self, seen: Evaluation) -> dict[str, Gallery]:
        """`right`: the surest right answer of each class, then the least sure ones. `wrong`: the surest wrong answers."""
        truth, shares, said = _answers(seen)
        names, right = self._names(seen), said == truth
        first = [
            found[0]
            for number in range(self.classes)
            if (found := _surest(shares, right & (truth == number)))
        ]
        unsure = [at for at in _surest(shares, right, most=len(right))[::-1] if at not in first]

        def shown(chosen: list[int]) -> Gallery:
            said_of = [
                names[int(said[at])] + ("" if right[at] else f", is {names[int(truth[at])]}")
                for at in chosen
            ]
            captions = [
                f"{what} ({100 * shares[at, said[at]]:.0f} %)"
                for at, what in zip(chosen, said_of, strict=True)
            ]
            return seen.given[chosen], captions

        return {"right": shown([*first, *unsure][:SHOWN]), "wrong": shown(_surest(shares, ~right))}

    def _names(self, seen: Evaluation) -> list[str]:
        return [
            seen.classes[number] if number < len(seen.classes) else str(number)
            for number in range(self.classes)
        ]


def _answers(seen: Evaluation) -> tuple[Tensor, Tensor, Tensor]:
    """N true classes, N x classes probabilities, N classes that were said."""
    shares = seen.output.flatten(1).softmax(1)
    return seen.target.flatten(1).argmax(1), shares, shares.argmax(1)


def _surest(shares: Tensor, among: Tensor, most: int = SHOWN) -> list[int]:
    """The images with the largest probability of what was said, of those that are True in `among`."""
    at = among.nonzero().flatten()
    found: list[int] = at[shares[at].amax(1).argsort(descending=True, stable=True)][:most].tolist()
    return found
