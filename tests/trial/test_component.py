"""Components: registered by name, validated, described, and never changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, PositiveInt, ValidationError
from torch import nn
from typing_extensions import override

import cae
from cae.errors import UserError
from cae.trial.component import COLLECTED_ERRORS, Component
from cae.trial.config import Trial
from cae.trial.descriptions import parameter_descriptions
from cae.trial.networks import Architecture, ConvAutoencoder, Shape
from cae.trial.optimizers import Adam, Optimizer

for name in dir(cae):
    getattr(cae, name)  # registers every component of the package


def parameters() -> Iterator[tuple[str, str]]:
    """The component and the name of every parameter of every built-in component, and of Trial."""
    for field in Trial.model_fields:
        yield "trial", field
    for kind, base in Trial.COMPONENTS.items():
        for component in base.registry.values():
            if component.is_builtin():
                for field in component.model_fields:
                    yield f"{kind}: {component.name}", field


@pytest.mark.parametrize(("owner", "parameter"), sorted(parameters()))
def test_every_parameter_has_a_description(owner: str, parameter: str) -> None:
    model: type[BaseModel] = Trial
    if owner != "trial":
        kind, _, component = owner.partition(": ")
        model = Trial.COMPONENTS[kind].registry[component]
    assert parameter_descriptions(model)[parameter]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Architecture]]:
    """A copy of the registry of architectures, which the test may change."""
    registry = dict(Architecture.registry)
    monkeypatch.setattr(Architecture, "registry", registry)
    return registry


def test_a_component_is_registered_by_its_name_in_snake_case(
    registry: dict[str, type[Architecture]],
) -> None:
    class TwoLayerNet2(Architecture):
        """A user's network."""

        units: PositiveInt = 3
        """Units of each layer."""

        @override
        def build(self, input_shape: Shape, output_shape: Shape) -> nn.Module:
            return nn.Identity()

    assert registry["two_layer_net2"] is TwoLayerNet2
    assert TwoLayerNet2.name == "two_layer_net2"
    assert not TwoLayerNet2.is_builtin()
    assert parameter_descriptions(TwoLayerNet2)["units"] == "Units of each layer."


def test_abstract_classes_and_names_with_an_underscore_are_not_registered(
    registry: dict[str, type[Architecture]],
) -> None:
    before = dict(registry)

    class WithoutBuild(Architecture):
        """Has no `build`."""

    class _Shared(ConvAutoencoder):
        """A base class of a sweep file."""

    assert registry == before
    abstract: Any = WithoutBuild
    with pytest.raises(TypeError, match="abstract"):
        abstract()


def test_a_built_in_component_cannot_be_replaced() -> None:
    with pytest.raises(UserError, match=r"'adam' is the name of a built-in component"):
        type("Adam", (Optimizer,), {"__module__": "sweep", "build": Adam.build})


def test_a_component_cannot_be_changed() -> None:
    component: Any = Adam()
    with pytest.raises(ValidationError, match="frozen"):
        component.lr = 1.0


@pytest.mark.parametrize(
    "invalid", [{"lr": "1"}, {"lr": float("nan")}, {"lr": 0.0}, {"rate": 1.0}, {"eps": None}]
)
def test_invalid_parameters_are_refused(invalid: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Adam(**invalid)


def test_while_a_file_is_read_errors_are_collected_with_their_lines() -> None:
    unknown_padding: Any = "none"
    token = COLLECTED_ERRORS.set([])
    try:
        component = Adam(lr=-1.0, beta1=0.5)
        ConvAutoencoder(padding=unknown_padding)
        collected = COLLECTED_ERRORS.get()
    finally:
        COLLECTED_ERRORS.reset(token)
    assert collected is not None
    (first, first_line), (second, second_line) = collected
    assert first.errors()[0]["loc"] == ("lr",)
    assert second.errors()[0]["loc"] == ("padding",)
    assert first_line is not None
    assert second_line == first_line + 1
    assert (component.lr, component.beta1) == (Adam().lr, 0.5)


def test_parameters_are_listed_in_the_order_of_their_declaration() -> None:
    assert list(Adam().parameters()) == ["lr", "weight_decay", "beta1", "beta2", "eps"]
    assert isinstance(Adam(), Component)
