"""The shallow and the deep autoencoder drawn from their lists of layers, with every size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isohash.evaluation.kit.plotting import BLACK, BLUE, GREY, ORANGE, PAGE_WIDTH, SKY, figure
from isohash.evaluation.kit.results import write_results
from isohash.features.encoders.networks import (
    AutoencoderSettings,
    Beside,
    Conv,
    Dense,
    Flatten,
    Layer,
    Relu,
    Residual,
    TransposedConv,
    Unflatten,
    decoder_layers,
    encoder_layers,
)

METRIC = (
    "learned layers from image to image: what each does, its channels and side afterwards, and its "
    "weights (with biases); ReLU stands between them"
)
STEP = 1.0  # between the middles of two blocks
LOW = -1.75  # where the straight path runs


@dataclass(frozen=True)
class Block:
    """What a layer leaves: `channels` images of `side` pixels, or a vector (side 1)."""

    does: str
    channels: int
    side: int
    weights: int


def run_diagram(out: str | Path) -> list[dict[str, Any]]:
    """Draw both networks; writes networks.png, .csv and .json to `out`."""
    found = {name: AutoencoderSettings(variant=name) for name in ("shallow", "deep")}
    draw_networks({name: (s, blocks(s)) for name, s in found.items()}, Path(out) / "networks.png")
    rows = [
        {"network": name, "layer": at, **vars(block), "does": block.does.replace("\n", ", ")}
        for name, settings in found.items()
        for at, block in enumerate(blocks(settings))
    ]
    about = {"metric": METRIC, "settings": {name: s.to_json() for name, s in found.items()}}
    write_results(Path(out), "networks", rows, about)
    return rows


def blocks(settings: AutoencoderSettings) -> list[Block]:
    """The learned layers from the image to the image; a residual block joins the layer before."""
    layers = [*learned(encoder_layers(settings)), *learned(decoder_layers(settings))]
    found = [Block("image", settings.inputs, settings.size, 0)]
    for layer in layers:
        found = [*found[:-1], _after(found[-1], layer)] if _joins(layer) else [
            *found, _after(found[-1], layer),
        ]  # fmt: skip
    return found


def learned(layers: Sequence[Layer]) -> Sequence[Layer]:
    """The layers that are trained, without the straight path beside them."""
    return layers[0].learned if isinstance(layers[0], Beside) else layers


def _joins(layer: Layer) -> bool:
    """Whether a layer changes no size, so that it is told with the block before it."""
    return isinstance(layer, Residual | Relu | Flatten | Unflatten)


def _after(block: Block, layer: Layer) -> Block:
    """What a layer makes of a block."""
    if isinstance(layer, Conv | TransposedConv):
        down = isinstance(layer, Conv)
        side = block.side // layer.stride if down else block.side * layer.stride
        weights = layer.inputs * layer.outputs * layer.kernel**2 + layer.outputs
        sign = "÷" if down else "×"
        does = (
            f"{'conv' if down else 'up'} {layer.kernel}×{layer.kernel}\nside {sign} {layer.stride}"
        )
        return Block(does, layer.outputs, side, weights)
    if isinstance(layer, Dense):
        return Block("dense", layer.outputs, 1, (layer.inputs + 1) * layer.outputs)
    if isinstance(layer, Residual):
        weights = 2 * (9 * layer.channels**2 + layer.channels)
        does = f"{block.does}\n+ residual"
        return Block(does, block.channels, block.side, block.weights + weights)
    if isinstance(layer, Unflatten):
        return Block(block.does, layer.channels, layer.side, block.weights)
    if isinstance(layer, Flatten):
        return block
    if isinstance(layer, Relu):
        return block
    raise TypeError(f"a learned path has no {type(layer).__name__}")


def draw_networks(networks: dict[str, tuple[AutoencoderSettings, list[Block]]], path: Path) -> None:
    """A row per network, image to latent vector to image."""
    widest = max(len(found) for _, found in networks.values())
    with figure(path, PAGE_WIDTH, 2.5 * len(networks), nrows=len(networks), squeeze=False) as (
        _,
        grid,
    ):
        for axes, (name, (settings, found)) in zip(grid[:, 0], networks.items(), strict=True):
            _draw_network(axes, found)
            if settings.has_straight_path:
                _draw_straight(axes, settings, found)
            weights = sum(block.weights for block in found)
            axes.set_title(f"{name}: {weights:,} trained weights", loc="left")
            axes.set_xlim(-0.7, STEP * (widest - 1) + 0.7)
            axes.set_ylim(-2.5 if settings.has_straight_path else -1.7, 1.25)
            axes.axis("off")


def _draw_network(axes: Any, found: Sequence[Block]) -> None:
    for at, block in enumerate(found):
        _draw_block(axes, STEP * at, block)
        if at:
            left, right = _half(found[at - 1])[0], _half(block)[0]
            ends = {"xy": (STEP * at - right, 0), "xytext": (STEP * (at - 1) + left, 0)}
            axes.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": GREY, "lw": 0.8})
        size = f"{block.channels}" if block.side == 1 else f"{block.channels} × {block.side}²"
        axes.text(STEP * at, _half(block)[1] + 0.06, size, ha="center", va="bottom", fontsize=7)
        axes.text(STEP * at, -0.98, block.does, ha="center", va="top", fontsize=6.5, color=BLACK)


def _half(block: Block) -> tuple[float, float]:
    """Half of a drawn block's width and height."""
    if block.side == 1:
        return 0.07, 0.8
    return 0.09 + 0.035 * math.log2(block.channels), 0.12 * math.log2(block.side)


def _draw_block(axes: Any, x: float, block: Block) -> None:
    from matplotlib.patches import Rectangle

    width, height = _half(block)
    colour = ORANGE if block.side == 1 else GREY if block.channels == 1 else SKY
    place = ((x - width, -height), 2 * width, 2 * height)
    axes.add_patch(Rectangle(*place, facecolor=colour, edgecolor=BLACK, linewidth=0.7))


def _draw_straight(axes: Any, settings: AutoencoderSettings, found: Sequence[Block]) -> None:
    """The path beside the learned layers: principal components in, and out again."""
    latent = next(at for at, block in enumerate(found) if block.side == 1)
    side = settings.size // 2
    told = {
        (0, latent): f"means of 2 × 2 pixels: {side}²; then {settings.latent} principal components",
        (latent, len(found) - 1): f"back to {side}², every pixel enlarged to 2 × 2",
    }
    for (start, end), text in told.items():
        line = [STEP * start, STEP * start, STEP * end, STEP * end]
        axes.plot(line, [-1.5, LOW, LOW, -1.5], color=BLUE, linewidth=1.2)
        axes.text(STEP * (start + end) / 2, LOW - 0.08, text, ha="center", va="top", fontsize=7,
                  color=BLUE)  # fmt: skip
    for at in (latent, len(found) - 1):
        axes.text(STEP * at + 0.1, -1.62, "+", ha="left", va="center", fontsize=9, color=BLUE)
