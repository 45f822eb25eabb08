"""The autoencoders as plain lists of layers, which torch trains and ONNX carries.

Both readings of a list (`autoencoder.torch_network`, `onnx_graph.onnx_network`) name the weights
by the layer's position, so a trained network moves from one to the other as a dictionary.

`shallow` has three strided convolutions and one dense layer on either side of the latent vector:
128 x 128 -> 32 x 32 -> 16 x 16 -> 8 x 8 -> latent. A first step of 4 pixels makes it cheap
enough to train on two cores; overlapping 8 x 8 kernels leave no block edges.

`deep` has four strided convolutions with residual blocks, and beside them a straight path: the
principal components of the training images, kept as they are. The layers learn what the
components miss, so that a few hundred patients are enough to pass them.

The same lists with `dims` 3 make the encoder of volumes: every kernel is a cube.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from isohash.errors import InputError

Variant = Literal["shallow", "deep"]


@dataclass(frozen=True)
class Conv:
    """A convolution that divides every side by `stride`; kernel - stride is even."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    dims: int = 2


@dataclass(frozen=True)
class TransposedConv:
    """The mirror of `Conv`: multiplies every side by `stride`."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    dims: int = 2


@dataclass(frozen=True)
class Residual:
    """x + conv(relu(conv(relu(x)))) with kernels of 3: depth that starts as the identity."""

    channels: int
    dims: int = 2


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
    """(n, c, y, x) to (n, c y x); volumes alike."""


@dataclass(frozen=True)
class Unflatten:
    """(n, channels side side) to (n, channels, side, side); volumes alike."""

    channels: int
    side: int
    dims: int = 2


@dataclass(frozen=True)
class Unit:
    """x / |x|: vectors of length 1."""


@dataclass(frozen=True)
class Pooling:
    """Means of squares of `stride` pixels."""

    stride: int


@dataclass(frozen=True)
class Enlarge:
    """Every pixel as a square of `stride`, blended with its neighbours: the mirror of `Pooling`."""

    stride: int


@dataclass(frozen=True)
class Beside:
    """The sum of a learned and of a straight path; the straight one is not trained."""

    learned: tuple[Any, ...]
    straight: tuple[Any, ...]


Layer = (
    Conv
    | TransposedConv
    | Residual
    | Dense
    | Relu
    | Flatten
    | Unflatten
    | Unit
    | Pooling
    | Enlarge
    | Beside
)
Layers = tuple[Layer, ...]

KERNEL, STRIDE = 4, 2
COARSE_KERNEL, COARSE_STRIDE = 8, 4  # the first step of `shallow`, and of all volumes
CHANNELS: dict[str, tuple[int, ...]] = {"shallow": (16, 32, 64), "deep": (8, 16, 32, 64)}
VOLUME_CHANNELS = (16, 32, 64)
POOL = 2  # the straight path sees means of 2 x 2 pixels, as the PCA encoder does


@dataclass(frozen=True)
class AutoencoderSettings:
    """Which network: its depth, the side of its images and the length of its latent vector.

    `dims` is 2 for images and 3 for volumes, `inputs` how many of them are stacked. With `unit`
    latent vectors have length 1.
    """

    variant: Variant = "shallow"
    size: int = 128
    latent: int = 128
    channels: tuple[int, ...] | None = None  # None: the variant's own
    dims: int = 2
    inputs: int = 1
    unit: bool = False

    def __post_init__(self) -> None:
        if self.variant not in CHANNELS:
            raise InputError(f"variant must be shallow or deep, got {self.variant!r}")
        usual = CHANNELS[self.variant] if self.dims == 2 else VOLUME_CHANNELS
        channels = tuple(self.channels or usual)
        object.__setattr__(self, "channels", channels)
        if self.dims not in (2, 3) or self.inputs < 1:
            raise InputError(f"dims must be 2 or 3 and inputs positive, got {self}")
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
    def image_shape(self) -> tuple[int, ...]:
        """Of one input: (inputs, y, x) or (inputs, z, y, x)."""
        return (self.inputs, *[self.size] * self.dims)

    @property
    def n_flat(self) -> int:
        """Length of the vector before the latent one."""
        return int(self.widths[-1] * (self.size // self.size_step) ** self.dims)

    @property
    def size_step(self) -> int:
        """What all strides together divide the side by."""
        return self.first_step[1] * STRIDE ** (len(self.widths) - 1)

    @property
    def has_straight_path(self) -> bool:
        """Whether principal components run beside the learned layers."""
        return self.variant == "deep" and self.dims == 2

    @property
    def first_step(self) -> tuple[int, int]:
        """Kernel and stride next to the image: `deep` keeps the edges that a stride of 4 blurs."""
        if self.has_straight_path:
            return KERNEL, STRIDE
        return COARSE_KERNEL, COARSE_STRIDE

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {**asdict(self), "channels": list(self.widths)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AutoencoderSettings:
        """The settings that `to_json` wrote."""
        return cls(**{**values, "channels": tuple(values["channels"])})


def encoder_layers(settings: AutoencoderSettings) -> Layers:
    """Images (n, *image_shape) to latent vectors (n, latent)."""
    layers: list[Layer] = []
    inputs, dims = settings.inputs, settings.dims
    for i, outputs in enumerate(settings.widths):
        kernel, stride = settings.first_step if i == 0 else (KERNEL, STRIDE)
        layers.append(Conv(inputs, outputs, kernel, stride, dims))
        if settings.variant == "deep" and i > 0:
            layers.append(Residual(outputs, dims))
        layers.append(Relu())
        inputs = outputs
    layers += [Flatten(), Dense(settings.n_flat, settings.latent)]
    if settings.has_straight_path:
        side = settings.size // POOL
        straight = (Pooling(POOL), Flatten(), Dense(side**2, settings.latent))
        layers = [Beside(tuple(layers), straight)]
    return (*layers, Unit()) if settings.unit else tuple(layers)


def decoder_layers(settings: AutoencoderSettings) -> Layers:
    """Latent vectors (n, latent) to images (n, *image_shape): the encoder read backwards."""
    widths, dims = settings.widths, settings.dims
    layers: list[Layer] = [
        Dense(settings.latent, settings.n_flat),
        Relu(),
        Unflatten(widths[-1], settings.size // settings.size_step, dims),
    ]
    for i in reversed(range(len(widths))):
        outputs = widths[i - 1] if i else settings.inputs
        kernel, stride = settings.first_step if i == 0 else (KERNEL, STRIDE)
        if settings.variant == "deep" and (i > 0 or dims == 2):
            layers += [Residual(widths[i], dims), Relu()]
        layers.append(TransposedConv(widths[i], outputs, kernel, stride, dims))
        if i > 0:
            layers.append(Relu())
    if settings.has_straight_path:
        side = settings.size // POOL
        straight = (Dense(settings.latent, side**2), Unflatten(1, side), Enlarge(POOL))
        return (Beside(tuple(layers), straight),)
    return tuple(layers)
