"""The autoencoders as plain lists of layers, which torch trains and ONNX carries.

Both readings of a list (`autoencoder.torch_network`, `onnx_graph.onnx_network`) name the weights
by the layer's position, so a trained network moves from one to the other as a dictionary.

`shallow` has three strided convolutions and one dense layer on either side of the latent vector:
128 x 128 -> 32 x 32 -> 16 x 16 -> 8 x 8 -> latent. A first step of 4 pixels makes it cheap
enough to train on two cores; overlapping 8 x 8 kernels leave no block edges. `deep` adds a
residual block after every later convolution and before its mirror in the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from isohash.errors import InputError

Variant = Literal["shallow", "deep"]


@dataclass(frozen=True)
class Conv:
    """A square convolution that divides the side by `stride`; kernel - stride is even."""

    inputs: int
    outputs: int
    kernel: int
    stride: int


@dataclass(frozen=True)
class TransposedConv:
    """The mirror of `Conv`: multiplies the side by `stride`."""

    inputs: int
    outputs: int
    kernel: int
    stride: int


@dataclass(frozen=True)
class Residual:
    """x + conv(relu(conv(relu(x)))) with 3 x 3 kernels: depth that starts as the identity."""

    channels: int


@dataclass(frozen=True)
class Dense:
    """A fully connected layer on flat vectors."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class Flatten:
    """(n, c, y, x) to (n, c y x)."""


@dataclass(frozen=True)
class Unflatten:
    """(n, channels side side) to (n, channels, side, side)."""

    channels: int
    side: int


Layer = Conv | TransposedConv | Residual | Dense | Relu | Flatten | Unflatten
Layers = tuple[Layer, ...]

FIRST_KERNEL, FIRST_STRIDE = 8, 4
KERNEL, STRIDE = 4, 2
CHANNELS: dict[str, tuple[int, ...]] = {"shallow": (16, 32, 64), "deep": (16, 32, 64)}


@dataclass(frozen=True)
class AutoencoderSettings:
    """Which network: its depth, the side of its images and the length of its latent vector."""

    variant: Variant = "shallow"
    size: int = 128
    latent: int = 128
    channels: tuple[int, ...] | None = None  # None: the variant's own

    def __post_init__(self) -> None:
        if self.variant not in CHANNELS:
            raise InputError(f"variant must be shallow or deep, got {self.variant!r}")
        channels = tuple(self.channels or CHANNELS[self.variant])
        object.__setattr__(self, "channels", channels)
        if self.latent < 1:
            raise InputError(f"latent must be a positive length, got {self.latent}")
        step = self.size_step
        if self.size < step or self.size % step:
            raise InputError(f"size must be a multiple of {step} for {self.variant}: {self.size}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels after each strided convolution."""
        assert self.channels is not None  # set by __post_init__
        return self.channels

    @property
    def size_step(self) -> int:
        """What all strides together divide the side by."""
        return FIRST_STRIDE * STRIDE ** (len(self.widths) - 1)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {**asdict(self), "channels": list(self.widths)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AutoencoderSettings:
        """The settings that `to_json` wrote."""
        return cls(**{**values, "channels": tuple(values["channels"])})


def encoder_layers(settings: AutoencoderSettings) -> Layers:
    """Images (n, 1, size, size) to latent vectors (n, latent)."""
    layers: list[Layer] = []
    inputs = 1
    for i, outputs in enumerate(settings.widths):
        kernel, stride = (FIRST_KERNEL, FIRST_STRIDE) if i == 0 else (KERNEL, STRIDE)
        layers.append(Conv(inputs, outputs, kernel, stride))
        if settings.variant == "deep" and i > 0:
            layers.append(Residual(outputs))
        layers.append(Relu())
        inputs = outputs
    side = settings.size // settings.size_step
    return (*layers, Flatten(), Dense(inputs * side**2, settings.latent))


def decoder_layers(settings: AutoencoderSettings) -> Layers:
    """Latent vectors (n, latent) to images (n, 1, size, size): the encoder read backwards."""
    side = settings.size // settings.size_step
    widths = settings.widths
    layers: list[Layer] = [
        Dense(settings.latent, widths[-1] * side**2),
        Relu(),
        Unflatten(widths[-1], side),
    ]
    for i in reversed(range(len(widths))):
        outputs = widths[i - 1] if i else 1
        kernel, stride = (FIRST_KERNEL, FIRST_STRIDE) if i == 0 else (KERNEL, STRIDE)
        if settings.variant == "deep" and i > 0:
            layers += [Residual(widths[i]), Relu()]
        layers.append(TransposedConv(widths[i], outputs, kernel, stride))
        if i > 0:
            layers.append(Relu())
    return tuple(layers)
