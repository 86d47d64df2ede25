"""What the networks are made of: the types of their parameters, activations, the arithmetic of padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt
from pydantic import PlainValidator
from torch import Tensor, nn

Shape = tuple[int, int, int]
Size = tuple[int, int]

OUTPUT_ACTIVATIONS: dict[str, tuple[type[nn.Module], tuple[float, float]]] = {
    "sigmoid": (nn.Sigmoid, (0.0, 1.0)),
    "tanh": (nn.Tanh, (-1.0, 1.0)),
    "linear": (nn.Identity, (float("-inf"), float("inf"))),
}


def _integers(
    said: str, *, word: str | None = None, least: int = 1, count: int | None = None
) -> PlainValidator:
    """Checks a tuple of integers, or instead of it `word`; without a word, one integer alone. pydantic would check a union
    of types too, but tells a mistake once for every type of it."""

    def check(value: Any) -> Any:
        if word is not None and value == word:
            return value
        items = (value,) if word is None and not isinstance(value, tuple) else value
        if not isinstance(items, tuple) or any(type(item) is not int for item in items):
            raise ValueError(f"should be {said}")
        if items is value and count not in (None, len(items)):
            raise ValueError(f"should be {said}")
        if any(item < least for item in items):
            raise ValueError(
                f"should be greater than {least - 1}"
                if least
                else "should be greater than or equal to 0"
            )
        return value

    return PlainValidator(check)


Kernel = Annotated[int | tuple[int, int], _integers("an integer, or two: (height, width)", count=2)]
PerLayer = Annotated[int | tuple[int, ...], _integers("an integer, or one per layer")]
Layers = Annotated[
    tuple[int, ...] | Literal["all"],
    _integers("'all', or the numbers of layers, counted from 1", word="all"),
]
Positions = Annotated[
    tuple[int, ...] | Literal["all"],
    _integers(
        "'all', or the numbers of layers, counted from 1, or 0: before the first",
        word="all",
        least=0,
    ),
]
Mirrored = Annotated[
    tuple[int, ...] | Literal["mirrored"],
    _integers("'mirrored', or units per layer", word="mirrored"),
]
Rate = Annotated[float, Ge(0), Lt(1)]
Init = Literal["glorot_uniform", "pytorch"]


def chosen(positions: tuple[int, ...] | str, number: int) -> bool:
    """Whether a layer is among those that a parameter names; `all` are those counted from 1."""
    return number > 0 if isinstance(positions, str) else number in positions


def check_positions(key: str, positions: tuple[int, ...] | str, last: int) -> None:
    """Raises ValueError where the positions of the parameter `key` are in disorder, or one is beyond the last layer."""
    if isinstance(positions, str):
        return
    if list(positions) != sorted(set(positions)) or any(position > last for position in positions):
        raise ValueError(
            f"arch.{key} = {list(positions)}: should be layers in rising order, none beyond {last}"
        )


def activation(name: str, negative_slope: float) -> nn.Module:
    if name == "sigmoid":
        return nn.Sigmoid()
    return nn.ReLU(inplace=True) if name == "relu" else nn.LeakyReLU(negative_slope, inplace=True)


def initialised(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, init: str) -> nn.Module:
    """The layer, its weights drawn anew where PyTorch's are not wanted."""
    if init == "glorot_uniform" and not layer.weight.is_meta:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # it has one
    return layer


def spread(total: int) -> Size:
    """Pixels before and after; the odd one goes to the end, as in Keras."""
    return total // 2, total - total // 2


def same_padding(side: int, extent: int, stride: int) -> Size:
    """Zeros before and after, for ceil(side / stride) outputs of a kernel that is `extent` pixels long."""
    return spread(max((-(-side // stride) - 1) * stride + extent - side, 0))


def pad(sides: Sequence[Size]) -> nn.Module:
    """Adds zeros (top, bottom), (left, right); takes pixels away where they are negative."""
    (top, bottom), (left, right) = sides
    return nn.ZeroPad2d((left, right, top, bottom))


def x(size: Iterable[int]) -> str:
    return "x".join(map(str, size))


class Autoencoder(nn.Module):
    """An encoder, whose output is the code (the latent), and a decoder."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor:
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction
