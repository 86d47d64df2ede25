"""The convolutional encoder that autoencoders, variational autoencoders and classifiers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from annotated_types import Gt, Le, Len
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import nn
from typing_extensions import override

from cae.trial.networks.base import Architecture
from cae.trial.networks.blocks import ResidualBlock, SkipStart, group_norm
from cae.trial.networks.geometry import (
    KernelAxis,
    Margins,
    Shape,
    Size,
    format_size,
    kernel_extent,
    pair_of,
    same_padding,
    split_padding,
    symmetric_padding,
)
from cae.trial.networks.layers import LayerStack, activation, initialize, zero_padding
from cae.trial.networks.parameter_types import (
    DropoutRate,
    Initialization,
    Kernel,
    Layers,
    PerLayer,
    is_selected,
    validate_layer_numbers,
)


@dataclass
class Stage:
    """Consecutive encoder convolutions, up to one after which the image is downsampled."""

    size: Size
    """Size of the image before the stage."""
    stride: int = 1
    """Factor by which the stage divides the size, its convolutions and its pooling together."""
    channels: int = 0
    """Channels of the stage's output before the pooling."""


@dataclass(frozen=True)
class Encoder:
    """The layers of an encoder, and what a decoder needs to reverse them."""

    layers: nn.Sequential
    channels: int
    """Channels of the last convolution's output, whether or not fully connected layers follow."""
    size: Size
    """Size of the last convolution's output, after its pooling."""
    values: int
    """Number of values of the encoder's output per image."""
    stages: list[Stage]
    """In their order. The last one contains the convolutions after the last downsampling."""


class ConvEncoder(Architecture):
    """Convolutions with pooling, followed by fully connected layers if there are any.

    An abstract base class: `build` is missing.
    """

    encoder_filters: Annotated[tuple[PositiveInt, ...], Len(1)] = (8, 12, 16)
    """Output channels of each encoder convolution, at least one. The last output is the latent
    code, unless `hidden_units` follow."""
    pool_after: tuple[PositiveInt, ...] = (1, 2)
    """Encoder convolutions, counted from 1, after which the image is downsampled by `pool_size`;
    increasing."""
    kernel_size: Kernel = 3
    """Kernel of every convolution, in pixels: one number for height and width, or (height, width);
    at least 1."""
    dilation: PerLayer = 1
    """Distance between adjacent weights of a kernel in pixels, for all encoder convolutions or for
    each; at least 1. In the decoder it is 1."""
    stride: PositiveInt = 1
    """Step of the encoder convolutions, in pixels; at least 1."""
    padding: Literal["same", "valid"] = "same"
    """`same`: zeros around the image, so that a convolution outputs ceil(size / stride); an odd
    zero is at the end, as in Keras. `valid`: none, so that a convolution removes kernel_size - 1
    pixels."""
    pooling: Literal["max", "average", "stride"] = "max"
    """How the image is downsampled: maximum or average of `pool_size` x `pool_size` pixels, or
    `stride`: the step of the convolution itself is multiplied by `pool_size`."""
    pool_size: PositiveInt = 2
    """Factor by which pooling divides height and width; at least 1."""
    hidden_units: tuple[PositiveInt, ...] = ()
    """Units of the fully connected layers after the convolutions, with an activation between two of
    them. The output of the last one is the latent code. Empty: no such layers."""
    residual_blocks: NonNegativeInt = 0
    """Residual blocks after each convolution but the output convolution, before pooling: each adds
    the output of two convolutions with `kernel_size` to its input (He et al. 2016). 0: none."""
    bottleneck_channels: PositiveInt | None = None
    """Channels of a 1 x 1 convolution without activation after the other convolutions of the
    encoder. Its output is the latent code, unless `hidden_units` follow. None: no such layer."""
    activation: Literal["relu", "leaky_relu", "gelu", "silu", "elu"] = "relu"
    """Activation after each convolution but the output convolution, and between fully connected
    layers."""
    negative_slope: PositiveFloat = 0.01
    """Slope of leaky_relu for negative values; above 0. PyTorch's default."""
    batch_norm: Literal["none", "before_activation", "after_activation"] = "none"
    """Normalization of the output of a convolution, before or after the activation: batch
    normalization, unless `norm` selects another. Pooling and upsampling follow."""
    norm: Literal["batch", "group", "layer"] = "batch"
    """Which normalization `batch_norm` adds. `batch`: of each channel over the batch. `group`: of
    each of `norm_groups` groups of channels over an image (Wu & He 2018). `layer`: of all channels
    over an image. The last two do not depend on the batch and have no running statistics."""
    norm_groups: PositiveInt = 4
    """Groups of channels of the norm `group`; has to divide the channels of each normalized
    layer."""
    batch_norm_encoder: Layers = "all"
    """Encoder convolutions, counted from 1, with batch normalization; increasing."""
    batch_norm_momentum: Annotated[float, Gt(0), Le(1)] = 0.01
    """Weight of a new batch in the running mean and variance; in (0, 1]. Keras's default: its
    momentum 0.99 is 0.01 here."""
    batch_norm_epsilon: PositiveFloat = 1e-3
    """Number added to the variance for stability; above 0. Keras's default; PyTorch's is 1e-5, with
    a momentum of 0.1."""
    dropout: DropoutRate = 0.0
    """Share of the values that are set to 0 in training, after the layers that `dropout_encoder`
    selects; in [0, 1)."""
    dropout_encoder: Layers = "all"
    """Encoder convolutions, counted from 1, followed by dropout (after their pooling);
    increasing."""
    init: Initialization = "glorot_uniform"
    """Initial weights. `glorot_uniform`: uniform, scaled by the number of inputs and outputs
    (Glorot & Bengio 2010), with biases of 0, Keras's default. `pytorch`: the default of PyTorch's
    layers."""

    later_parameters: ClassVar[frozenset[str]] = frozenset(
        {"residual_blocks", "bottleneck_channels", "norm", "norm_groups"}
    )

    @model_validator(mode="after")
    def _validate_encoder_layers(self) -> Self:
        count = len(self.encoder_filters)
        validate_layer_numbers("pool_after", self.pool_after, count)
        validate_layer_numbers("batch_norm_encoder", self.batch_norm_encoder, count)
        validate_layer_numbers("dropout_encoder", self.dropout_encoder, count)
        if isinstance(self.dilation, tuple) and len(self.dilation) != count:
            raise ValueError(
                f"arch.dilation = {list(self.dilation)}: should be one integer, or {count}, "
                "as many as arch.encoder_filters"
            )
        return self

    @override
    def inactive_parameters(self) -> dict[str, str]:
        inactive = {}
        if self.activation != "leaky_relu":
            inactive["negative_slope"] = (
                f"arch.activation is {self.activation!r}, and only 'leaky_relu' has a slope"
            )
        if not self.pool_after:
            reason = "arch.pool_after selects no layer"
            inactive["pooling"] = reason
            inactive["pool_size"] = reason
        inactive.update(self._inactive_settings("batch_norm", is_on=self.batch_norm != "none"))
        inactive.update(self._inactive_norm_settings())
        inactive.update(self._inactive_settings("dropout", is_on=self.dropout > 0))
        return inactive

    def encoder_settings(self) -> dict[str, object]:
        """Return what determines the output of an encoder with certain weights.

        By the name of the parameter, in the same form however it is written: `all` layers are their
        numbers. The layers with dropout are among them, because the names of the weights depend on
        them; how weights are initialized is not.
        """
        layers = range(1, len(self.encoder_filters) + 1)
        dropped = [number for number in layers if is_selected(self.dropout_encoder, number)]
        if not self.dropout:
            dropped = []
        settings: dict[str, object] = {
            "encoder_filters": self.encoder_filters,
            "pool_after": self.pool_after,
            "kernel_size": pair_of(self.kernel_size),
            "dilation": tuple(self._dilation_of(number) for number in layers),
            "stride": self.stride,
            "padding": self.padding,
            "hidden_units": self.hidden_units,
            "residual_blocks": self.residual_blocks,
            "bottleneck_channels": self.bottleneck_channels,
            "activation": self.activation,
            "skips": self.has_skips,
            "dropout_encoder": tuple(dropped),
            "batch_norm": "none",
        }
        if self.activation == "leaky_relu":
            settings["negative_slope"] = self.negative_slope
        if self.pool_after:
            settings["pooling"] = self.pooling
            settings["pool_size"] = self.pool_size
        normalized = [number for number in layers if is_selected(self.batch_norm_encoder, number)]
        if self.batch_norm != "none" and normalized:
            settings["batch_norm"] = self.batch_norm
            settings["batch_norm_encoder"] = tuple(normalized)
            settings["batch_norm_epsilon"] = self.batch_norm_epsilon
            settings["norm"] = self.norm
            if self.norm == "group":
                settings["norm_groups"] = self.norm_groups
        return settings

    def _inactive_norm_settings(self) -> dict[str, str]:
        if self.batch_norm == "none":
            return dict.fromkeys(("norm", "norm_groups"), "arch.batch_norm is 'none'")
        inactive: dict[str, str] = {}
        reason = f"arch.norm is {self.norm!r}"
        if self.norm != "group":
            inactive["norm_groups"] = reason
        if self.norm != "batch":
            inactive["batch_norm_momentum"] = f"{reason}, which has no running statistics"
        return inactive

    def _inactive_settings(self, switch: str, *, is_on: bool) -> dict[str, str]:
        """The inactive ones of a parameter and its settings, whose names begin with `switch_`."""
        settings = [name for name in type(self).model_fields if name.startswith(f"{switch}_")]
        if not is_on:
            return dict.fromkeys(settings, f"arch.{switch} is {getattr(self, switch)!r}")
        selections = [name for name in settings if name.endswith(("_encoder", "_decoder"))]
        if any(getattr(self, name) for name in selections):
            return {}
        names = " and ".join(f"arch.{name}" for name in selections)
        return {switch: f"no layer is selected by {names}"}

    def _build_encoder(self, input_shape: Shape) -> Encoder:
        """Build the encoder for images of C x H x W. Raises ValueError if they are too small."""
        channels, *size = input_shape
        stack = LayerStack(channels, (size[0], size[1]))
        stages = [Stage(stack.size)]
        for number, filters in enumerate(self.encoder_filters, 1):
            name = f"encoder layer {number}"
            is_downsampled = number in self.pool_after
            stride = self.stride
            if is_downsampled and self.pooling == "stride":
                stride *= self.pool_size
            self._add_convolution(stack, name, filters, stride, self._dilation_of(number))
            stages[-1].stride *= stride
            self._add_activation(stack, name, is_selected(self.batch_norm_encoder, number))
            self._add_residual_blocks(stack, name, is_selected(self.batch_norm_encoder, number))
            stages[-1].channels = stack.channels
            if is_downsampled:
                if self.has_skips:
                    stack.add(SkipStart())
                if self.pooling != "stride":
                    self._add_pooling(stack, name)
                    stages[-1].stride *= self.pool_size
                stages.append(Stage(stack.size))
            if self.dropout and is_selected(self.dropout_encoder, number):
                stack.add(nn.Dropout(self.dropout))
        if self.bottleneck_channels is not None:
            bottleneck = nn.Conv2d(stack.channels, self.bottleneck_channels, 1)
            stack.add(initialize(bottleneck, self.init))
            stack.channels = self.bottleneck_channels
        values = stack.channels * stack.size[0] * stack.size[1]
        if self.hidden_units:
            self._add_hidden_layers(stack, values)
            values = self.hidden_units[-1]
        return Encoder(stack.layers, stack.channels, stack.size, values, stages)

    def _dilation_of(self, number: int) -> int:
        if isinstance(self.dilation, tuple):
            return self.dilation[number - 1]
        return self.dilation

    def _add_hidden_layers(self, stack: LayerStack, width: int) -> None:
        """Add the fully connected layers; `width`: number of values of their input."""
        stack.add(nn.Flatten())
        for number, units in enumerate(self.hidden_units, 1):
            stack.add(initialize(nn.Linear(width, units), self.init))
            if number < len(self.hidden_units):
                stack.add(self._activation())
            width = units

    def _add_convolution(
        self, stack: LayerStack, name: str, filters: int, stride: int, dilation: int = 1
    ) -> None:
        """Add a convolution with its padding; `name`: the layer's name in error messages.

        Raises ValueError if the kernel does not fit the image.
        """
        kernel = pair_of(self.kernel_size)
        vertical = self._kernel_axis(stack.size[0], kernel[0], stride, dilation)
        horizontal = self._kernel_axis(stack.size[1], kernel[1], stride, dilation)
        self._validate_kernel(vertical, horizontal, name)
        padding = symmetric_padding(vertical.padding, horizontal.padding)
        if padding is None:
            stack.add(zero_padding(vertical.padding, horizontal.padding))
            padding = (0, 0)
        convolution = nn.Conv2d(stack.channels, filters, kernel, stride, padding, dilation)
        stack.add(initialize(convolution, self.init))
        stack.channels = filters
        stack.size = (vertical.outputs, horizontal.outputs)

    def _kernel_axis(self, pixels: int, kernel: int, stride: int, dilation: int) -> KernelAxis:
        padding: Margins = (0, 0)
        if self.padding == "same":
            padding = same_padding(pixels, kernel_extent(kernel, dilation), stride)
        return KernelAxis(pixels, kernel, dilation, stride, padding)

    def _validate_kernel(self, vertical: KernelAxis, horizontal: KernelAxis, name: str) -> None:
        dilation = vertical.dilation
        settings = f"arch.padding = {self.padding!r}, arch.stride = {self.stride}"
        if dilation > 1:
            settings = f"arch.dilation = {dilation}, {settings}"
        size = format_size((vertical.pixels, horizontal.pixels))
        if not (vertical.fits and horizontal.fits):
            extent = format_size((vertical.extent, horizontal.extent))
            largest = [(side.pixels - 1) // dilation + 1 for side in (vertical, horizontal)]
            raise ValueError(
                f"arch.kernel_size = {self.kernel_size}: a {extent} kernel without padding "
                f"does not fit the {size} image at {name} ({settings}); "
                f"choose arch.padding = 'same' or a kernel of at most {format_size(largest)}"
            )
        if not (vertical.reads_pixels_everywhere and horizontal.reads_pixels_everywhere):
            raise ValueError(
                f"arch.kernel_size = {self.kernel_size}: at some positions the kernel reads only "
                f"padding of the {size} image at {name} ({settings}); "
                "choose a smaller arch.dilation"
            )

    def _add_activation(self, stack: LayerStack, name: str, normalize: bool) -> None:
        """Add the activation, and normalization before or after it.

        `name`: the layer's name in error messages; `normalize`: whether this layer has it, if it is
        switched on.
        """
        norm: list[nn.Module] = []
        if normalize:
            norm = self._norm(stack, name)
        if self.batch_norm == "before_activation":
            stack.layers.extend([*norm, self._activation()])
        else:
            stack.layers.extend([self._activation(), *norm])

    def _norm(self, stack: LayerStack, name: str) -> list[nn.Module]:
        """The normalization of the stack's output; empty if it is switched off."""
        if self.batch_norm == "none":
            return []
        if self.norm == "batch":
            momentum = self.batch_norm_momentum
            return [nn.BatchNorm2d(stack.channels, self.batch_norm_epsilon, momentum)]
        groups = 1
        if self.norm == "group":
            groups = self.norm_groups
        return [group_norm(groups, stack.channels, stack.size, self.batch_norm_epsilon, name)]

    def _add_residual_blocks(self, stack: LayerStack, name: str, normalize: bool) -> None:
        """Add the residual blocks after a convolution, which keep the shape.

        `name` and `normalize`: see `_add_activation`. The normalization is always before the
        activation, as in He et al.
        """
        for _ in range(self.residual_blocks):
            layers = nn.Sequential()
            for is_first in (True, False):
                layers.extend(self._same_convolution(stack))
                if normalize:
                    layers.extend(self._norm(stack, name))
                if is_first:
                    layers.append(self._activation())
            stack.add(ResidualBlock(layers, self._activation()))

    def _same_convolution(self, stack: LayerStack) -> list[nn.Module]:
        """A convolution that keeps the shape, whatever the padding of the others is."""
        height, width = pair_of(self.kernel_size)
        vertical = split_padding(height - 1)
        horizontal = split_padding(width - 1)
        layers: list[nn.Module] = []
        padding = symmetric_padding(vertical, horizontal)
        if padding is None:
            layers.append(zero_padding(vertical, horizontal))
        kernel = (height, width)
        layer = nn.Conv2d(stack.channels, stack.channels, kernel, padding=padding or (0, 0))
        layers.append(initialize(layer, self.init))
        return layers

    def _add_pooling(self, stack: LayerStack, name: str) -> None:
        """Add the pooling. Raises ValueError if the image is smaller than `pool_size`."""
        if min(stack.size) < self.pool_size:
            raise ValueError(
                f"arch.pool_size = {self.pool_size}: does not fit the {format_size(stack.size)} "
                f"image after {name}; choose at most {min(stack.size)}, or fewer layers in "
                "arch.pool_after"
            )
        if self.pooling == "average":
            stack.add(nn.AvgPool2d(self.pool_size))
        else:
            # Before a ReLU, the maximum and its gradient are exactly the same as after it, and the
            # ReLU then has fewer pixels.
            position = len(stack.layers)
            if isinstance(stack.layers[-1], nn.ReLU):
                position -= 1
            stack.layers.insert(position, nn.MaxPool2d(self.pool_size))
        height, width = stack.size
        stack.size = (height // self.pool_size, width // self.pool_size)

    def _activation(self) -> nn.Module:
        return activation(self.activation, self.negative_slope)
