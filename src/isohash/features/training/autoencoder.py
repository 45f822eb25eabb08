"""Convolutional autoencoders in torch: built, run and exported; torch is imported only here.

`training` trains them, `onnx_encoder` runs what `export_encoder` makes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import MissingExtra
from isohash.features.encoders.networks import (
    POOL,
    AutoencoderSettings,
    Beside,
    Conv,
    Dense,
    Enlarge,
    Flatten,
    Layer,
    Layers,
    Pooling,
    Relu,
    Residual,
    TransposedConv,
    Unflatten,
    Unit,
    decoder_layers,
    encoder_layers,
)
from isohash.features.encoders.onnx_encoder import OnnxEncoder
from isohash.features.training.onnx_graph import onnx_network

try:
    import torch
    from torch import nn
except ImportError as error:
    raise MissingExtra("train", "training an autoencoder") from error


class Autoencoder(nn.Module):
    """`encoder`: (n, *image_shape) to (n, latent); `decoder`: back again.

    `heads` are what an objective needs in training only, by name.
    """

    def __init__(
        self, settings: AutoencoderSettings, heads: Mapping[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = torch_network(encoder_layers(settings))
        self.decoder = torch_network(decoder_layers(settings))
        self.heads = nn.ModuleDict(heads or {})

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images as the latent vector remembers them."""
        return self.decoder(self.encoder(images))


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))); starts as the identity."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.first = conv(channels, channels, 3, padding=1)
        self.second = conv(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape (n, channels, y, x), or with z."""
        return x + self.second(torch.relu(self.first(torch.relu(x))))


class SideBySide(nn.Module):
    """The sum of two paths: one learned, one that stays as it was set."""

    def __init__(self, learned: nn.Module, straight: nn.Module) -> None:
        super().__init__()
        self.learned = learned
        self.straight = straight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What both paths make of x, added."""
        return self.learned(x) + self.straight(x)


class UnitLength(nn.Module):
    """x / |x|."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of length 1 (n, d)."""
        return nn.functional.normalize(x)


def torch_network(layers: Layers) -> nn.Sequential:
    """The layers as a torch module whose weights are named by position."""
    return nn.Sequential(*(_module(layer) for layer in layers))


def _module(layer: Layer) -> nn.Module:
    if isinstance(layer, Conv | TransposedConv | Residual):
        return _convolution(layer)
    match layer:
        case Dense(i, o):
            return nn.Linear(i, o)
        case Relu():
            return nn.ReLU()
        case Flatten():
            return nn.Flatten()
        case Unflatten(channels, side, dims):
            return nn.Unflatten(1, (channels, *dims * [side]))
        case Unit():
            return UnitLength()
        case Pooling(stride):
            return nn.AvgPool2d(stride)
        case Enlarge(stride):
            return nn.Upsample(scale_factor=stride, mode="bilinear")
        case Beside(learned, straight):
            return SideBySide(torch_network(learned), torch_network(straight))


def _convolution(layer: Conv | TransposedConv | Residual) -> nn.Module:
    match layer:
        case Conv(i, o, kernel, stride, dims):
            conv = nn.Conv2d if dims == 2 else nn.Conv3d
            return conv(i, o, kernel, stride, (kernel - stride) // 2)
        case TransposedConv(i, o, kernel, stride, dims):
            transposed = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
            return transposed(i, o, kernel, stride, (kernel - stride) // 2)
        case Residual(channels, dims):
            return ResidualBlock(channels, dims)


def start_from_components(model: Autoencoder, images: NDArray[np.float32], seed: int) -> None:
    """Set the straight paths to the principal components of images (n, size, size).

    Latent vectors get unit variance on average. The learned paths start at 0, so the model starts
    as the components do; with fewer images than components, the last ones are 0.
    """
    from isohash.features.encoders.pca import fit_pca

    settings = model.settings
    n = min(settings.latent, len(images) - 1, (settings.size // POOL) ** 2)
    pca = fit_pca(images, n, seed, pool=POOL)
    weight = np.zeros((settings.latent, pca.mean.size), dtype=np.float32)
    weight[:n] = pca.components
    scale = float(np.sqrt(max(np.square(pca.encode(images)).sum(axis=1).mean(), 1e-12) / n))
    forth, back = model.encoder[0], model.decoder[0]
    with torch.no_grad():
        _set(forth.straight[-1], weight / scale, -(weight @ pca.mean) / scale)
        _set(back.straight[0], weight.T * scale, pca.mean)
        for last in (forth.learned[-1], back.learned[-1]):
            last.weight.zero_()
            last.bias.zero_()


def _set(layer: nn.Module, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
    layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))


def weights_of(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Copies of all weights by name, as NumPy arrays."""
    return {
        name: tensor.detach().cpu().contiguous().numpy().copy()
        for name, tensor in model.state_dict().items()
    }


def set_weights(model: nn.Module, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Put back what `weights_of` gave."""
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})


def export_encoder(
    settings: AutoencoderSettings,
    weights: Mapping[str, NDArray[np.float32]],
    name: str,
    about: Mapping[str, Any],
    *,
    with_decoder: bool = True,
    half: bool = False,
) -> OnnxEncoder:
    """The encoder that runs without torch; `about` is kept in its file.

    Without the decoder the file is half as large, and cannot reconstruct. `half` rounds the
    weights to float16, which halves it as well.
    """
    image, latent = settings.image_shape, (settings.latent,)
    decoder = None
    if with_decoder:
        decoder = onnx_network(decoder_layers(settings), weights, "decoder", (latent, image), half)
    return OnnxEncoder(
        name=name,
        dim=settings.latent,
        size=settings.size,
        network=onnx_network(encoder_layers(settings), weights, "encoder", (image, latent), half),
        decoder=decoder,
        settings={**about, "autoencoder": settings.to_json()},
    )
