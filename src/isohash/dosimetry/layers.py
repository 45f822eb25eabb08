"""Cuts a drawn structure into cells that dose is sampled at: fine where it is small or thin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.drawing import Drawing

FINE = 4  # lines that meet each row of cells
CELLS, MOST_CELLS = 150_000, 1_500_000  # of all planes: wanted, and at most for thin structures
LEAST_MM, WIDEST_MM = 0.2, 2.5  # side of a cell: none of the usual dose grids is coarser
PER_WIDTH = 4  # cells across a structure as wide as its area over half its outline
LAYER_MM, MOST_LAYERS = 1.0, 5  # height of the layers of a slab, in which cells are stacked


@dataclass(frozen=True, eq=False)
class Layers:
    """Cells of one slab: a grid (layers, rows, columns), and the weight of each cell of a layer.

    `affine` takes the index of a cell to patient mm. Weights are mm³ inside.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    weights: NDArray[np.float64]  # (rows, columns)


def layers(
    drawing: Drawing, affine: NDArray[np.float64], most: int = MOST_CELLS
) -> Iterator[Layers]:
    """The cells of every slab of a drawing in the frame of the grid `affine`."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    side = _side(drawing, most)
    for plane in drawing.planes:
        low, high = plane.bounds
        n = (_count(high[0] - low[0], side), _count(high[1] - low[1], side))
        middle = 0.5 * (low + high)
        corner = middle - 0.5 * side * np.array(n)
        shares = plane.cells((corner[0], corner[1]), (side, side), n, FINE)
        n_layers = int(np.clip(round(plane.thickness / max(LAYER_MM, side)), 1, MOST_LAYERS))
        height = plane.thickness / n_layers
        first = np.array([plane.low + 0.5 * height, *(corner + 0.5 * side)])
        cells = np.eye(4)
        cells[:3, :3] = axes * np.array([height, side, side])
        cells[:3, 3] = affine[:3, 3] + axes @ first
        yield Layers(cells, (n_layers, *n), shares * (side * side * height))


def _side(drawing: Drawing, most: int) -> float:
    """Side of the cells in mm."""
    boxes = sum(float(np.prod(np.ptp(plane.bounds, axis=0))) for plane in drawing.planes)
    lengths = sum(plane.length for plane in drawing.planes)
    areas = float(drawing.areas.sum())
    wanted = min(math.sqrt(boxes / min(CELLS, most)), WIDEST_MM)
    if lengths > 0:
        wanted = min(wanted, 2.0 * areas / lengths / PER_WIDTH)
    return max(wanted, math.sqrt(boxes / most), LEAST_MM)


def _count(mm: float, side: float) -> int:
    return max(1, math.ceil(mm / side))
