"""The faces of the tetrahedra into which a grid is cut, and the way from a point to each.

Every cube of a grid is cut into six tetrahedra along its main diagonal (Freudenthal, Annals of
Mathematics 43 (1942) 580-582), so that neighbours meet face to face. Their faces are the chains
0 < u < v < w of corners of a cube, in whose coordinates each step only rises: 1 point, 7 edges, 12
triangles and 6 tetrahedra belong to each corner of the grid, and each is met once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise, product

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
CORNERS = tuple(product((0, 1), repeat=3))  # of a cube, (z, y, x)


@dataclass(frozen=True, eq=False)
class Face:
    """A face: `corners` of `CORNERS`, the first of which is 0; `sides` (3, m) lead to the others.

    `solve` (m, 3) is the pseudo-inverse of the sides, `inverse` (m, m) that of their products.
    """

    corners: tuple[int, ...]
    sides: Numbers

    @cached_property
    def inverse(self) -> Numbers:
        """(m, m)."""
        products = (self.sides[:, :, None] * self.sides[:, None, :]).sum(axis=0)
        return np.linalg.inv(products)

    @cached_property
    def solve(self) -> Numbers:
        """(m, 3)."""
        return (self.inverse[:, :, None] * self.sides.T[None]).sum(axis=1)

    def distances(self, start: Numbers, values: Numbers, wanted: Numbers) -> Numbers:
        """Squared distance (n,) from n points to the graph of a function over the face, else inf.

        `start` (3, n) leads from each point to corner 0, `values` (8, n) are the function's at the
        corners and `wanted` (n,) the points' own. The foot of the perpendicular must lie on the
        face: where it does not (inf), one of the face's own faces is nearer.
        """
        first = values[0] - wanted
        rise = [values[corner] - values[0] for corner in self.corners[1:]]
        along = [_dot(row, start) for row in self.solve]
        steep = [_dot(row, rise) for row in self.inverse]
        scale = (_dot(rise, along) - first) / (1.0 + _dot(rise, steep))
        share = [scale * slope - at for slope, at in zip(steep, along, strict=True)]
        inside = np.ones(len(wanted), dtype=bool)
        for one in share:
            inside &= one >= 0.0
        inside &= sum(share, np.zeros(len(wanted))) <= 1.0
        found = (first + _dot(rise, share)) ** 2
        for axis in range(3):
            found += (start[axis] + _dot(self.sides[axis], share)) ** 2
        return np.where(inside & ~np.isnan(found), found, np.inf)


def faces(steps: Numbers) -> tuple[Face, ...]:
    """All faces of one corner of a grid; `steps` (3, 3): columns lead along its axes (z, y, x)."""
    return tuple(
        Face((0, *(CORNERS.index(corner) for corner in chain)), _sides(steps, chain))
        for chain in _chains()
    )


def _chains() -> Iterator[tuple[tuple[int, ...], ...]]:
    for size in range(4):
        for chain in combinations(CORNERS[1:], size):
            if all(_rises(a, b) for a, b in pairwise(chain)):
                yield chain


def _rises(a: Sequence[int], b: Sequence[int]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True))


def _sides(steps: Numbers, chain: Sequence[Sequence[int]]) -> Numbers:
    columns = np.array(chain, dtype=np.float64).reshape(-1, 1, 3) * steps[None]
    return columns.sum(axis=2).T


def _dot(a: Sequence[Numbers] | Numbers, b: Sequence[Numbers] | Numbers) -> Numbers:
    """The sum of products, in one order on every machine."""
    total = np.zeros(())
    for x, y in zip(a, b, strict=True):
        total = total + x * y
    return total
