"""Outlines of masks along pixel borders, so that rasterising them gives the mask back exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Directions (row, column) in the order of a left turn on the lattice of pixel corners.
_RIGHT, _UP, _LEFT, _DOWN = range(4)
_STEP = {_RIGHT: (0, 1), _UP: (-1, 0), _LEFT: (0, -1), _DOWN: (1, 0)}


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed outlines (m, 2) of a slice (y, x), as (row, column) with pixel centres at integers.

    Corners lie half a pixel off the centres. Holes have outlines of their own; pixels that touch at
    a corner only are kept apart. The first point is not repeated.
    """
    padded = np.pad(mask.astype(bool), 1)
    edges = _edges(padded)
    loops = []
    while edges:
        corner, directions = next(iter(edges.items()))
        loops.append(_loop(edges, corner, directions[-1]))
    return [np.array(loop, dtype=np.float64) - 1.5 for loop in loops]


def _edges(padded: NDArray[np.bool_]) -> dict[tuple[int, int], list[int]]:
    """Directed border edges by their first corner, with the inside to the left."""
    edges: dict[tuple[int, int], list[int]] = {}
    enter_down = ~padded[:-1] & padded[1:]  # border above a pixel: walked to the left
    leave_down = padded[:-1] & ~padded[1:]  # border below a pixel: walked to the right
    enter_right = ~padded[:, :-1] & padded[:, 1:]  # border left of a pixel: walked down
    leave_right = padded[:, :-1] & ~padded[:, 1:]  # border right of a pixel: walked up
    for which, direction, shift in (
        (enter_down, _LEFT, (1, 1)),
        (leave_down, _RIGHT, (1, 0)),
        (enter_right, _DOWN, (0, 1)),
        (leave_right, _UP, (1, 1)),
    ):
        for row, column in np.argwhere(which).tolist():
            edges.setdefault((row + shift[0], column + shift[1]), []).append(direction)
    return edges


def _loop(
    edges: dict[tuple[int, int], list[int]], start: tuple[int, int], direction: int
) -> list[tuple[int, int]]:
    """Follow one outline from a corner, taking its edges out of `edges`; corners only."""
    corner, came, first = start, -1, direction
    loop: list[tuple[int, int]] = []
    while True:
        if direction != came:
            loop.append(corner)
        edges[corner].remove(direction)
        if not edges[corner]:
            del edges[corner]
        row, column = _STEP[direction]
        corner, came = (corner[0] + row, corner[1] + column), direction
        left = (came + 1) % 4  # at a corner shared by two pixels, stay with the same pixel
        if corner == start and (left == first or corner not in edges):
            return loop
        direction = left if left in edges[corner] else edges[corner][0]
