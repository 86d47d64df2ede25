"""The loss of a task as a text: a name, or a weighted sum: `0.8*mse + 0.2*huber(delta=0.05)`.

A text, because it is the same in a sweep file, on the command line, in a table and in a figure.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, ValidationError
from torch import Tensor

from cae.trial.component import raising_errors
from cae.trial.losses.base import Loss
from cae.trial.messages import explain, nearest

SMALLEST_WEIGHT = 1e-12
LARGEST_WEIGHT = 1e12
"""Weights outside would be nothing or infinite in float32."""
FORM = "'mse', 'huber(delta=0.05)' or a sum like '0.8*mse + 0.2*ms_ssim'"


@dataclass(frozen=True)
class Term:
    """A term of a weighted sum, as it is written."""

    weight: float
    name: str
    parameters: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class WeightedLoss:
    """A term of a weighted sum."""

    weight: float
    loss: Loss

    @property
    def text(self) -> str:
        """The term as it is written: `0.2*ms_ssim(scales=2)`."""
        settings: list[str] = []
        for name, field in type(self.loss).model_fields.items():
            value = getattr(self.loss, name)
            if value != field.default:
                settings.append(f"{name}={value!r}")
        text = self.loss.name
        if settings:
            text += f"({', '.join(settings)})"
        if self.weight != 1:
            text = f"{self.weight:.12g}*{text}"
        return text


@functools.lru_cache(maxsize=256)
def parse(text: str) -> tuple[Term, ...]:
    """Return the terms of a loss. Raises ValueError if the text has another form."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"should be a loss like {FORM}") from None
    return tuple(_terms(tree))


def _terms(node: ast.expr) -> list[Term]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_terms(node.left), *_terms(node.right)]
    weight = 1.0
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        weight = _weight(node.left)
        node = node.right
    if isinstance(node, ast.Name):
        return [Term(weight, node.id)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
        return [Term(weight, node.func.id, tuple(_parameters(node)))]
    raise ValueError(f"should be a loss like {FORM}")


def _weight(node: ast.expr) -> float:
    value = None
    if isinstance(node, ast.Constant):
        value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a weight should be a number above 0 before its loss, as in {FORM}")
    if not SMALLEST_WEIGHT <= value <= LARGEST_WEIGHT:
        raise ValueError(
            f"a weight is {value}: should be from {SMALLEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
        )
    return float(value)


def _parameters(call: ast.Call) -> list[tuple[str, object]]:
    parameters: list[tuple[str, object]] = []
    for keyword in call.keywords:
        if keyword.arg is None:
            raise ValueError(f"should be a loss like {FORM}")
        if keyword.arg in dict(parameters):
            raise ValueError(f"{keyword.arg} of {ast.unparse(call)!r:.60} should be set once")
        try:
            parameters.append((keyword.arg, ast.literal_eval(keyword.value)))
        except ValueError:
            raise ValueError(f"{keyword.arg} should be a number or a text in quotes") from None
    return parameters


def loss_names(text: object) -> list[str]:
    """Return the names of the losses in a text; empty if it has another form."""
    if not isinstance(text, str):
        return []
    try:
        return [term.name for term in parse(text)]
    except ValueError:
        return []


def known_losses(text: object) -> list[WeightedLoss]:
    """Return the terms of a loss; empty if it is one of a task's own, or of another form."""
    if not isinstance(text, str):
        return []
    try:
        return build(text)
    except ValueError:
        return []


def build(text: str) -> list[WeightedLoss]:
    """Return the terms of a loss. Raises ValueError with the reason if one is not valid."""
    return [WeightedLoss(term.weight, _create(term)) for term in parse(text)]


def _create(term: Term) -> Loss:
    component = Loss.registry.get(term.name)
    if component is None:
        raise ValueError(f"{term.name!r} is not known; {nearest(term.name, sorted(Loss.registry))}")
    try:
        with raising_errors():
            loss: Loss = component(**dict(term.parameters))
    except ValidationError as error:
        valid = list(component.model_fields)
        raise ValueError("; ".join(explain(error, f"{term.name}.", valid=valid))) from None
    return loss


def total_loss(text: str, output: Tensor, target: Tensor) -> Tensor:
    """Return the weighted sum of a loss: a scalar."""
    total: Tensor | None = None
    for term in build(text):
        value = term.loss(output, target)
        if term.weight != 1:
            value = term.weight * value
        if total is not None:
            value = total + value
        total = value
    assert total is not None, "a loss has at least one term"
    return total


def _canonical(text: str) -> str:
    """The same loss in its usual form. Raises ValueError if it is not valid."""
    return " + ".join(term.text for term in build(text))


class _Words:
    """How the documentation describes the type."""

    words = "loss, or weighted sum of losses"


LossText = Annotated[str, AfterValidator(_canonical), _Words()]
"""The name of a loss, with its parameters, or a weighted sum of several."""
