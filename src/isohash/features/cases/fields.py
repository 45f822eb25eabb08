"""Coplanar photon fields on an anatomy, and what their fluence gives to its cells.

The dose is linear in the fluence: a sparse matrix of the fields' rays (`beams`) times the fluence,
spread by penumbra and scatter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.anatomy import Anatomy, Field, Mask
from isohash.features.cases.beams import AROUND, Beam, BeamSettings, Cells, Places

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Cells that the matrix is made for at a time: what it takes on the way stays in the cache.
BLOCK = 1 << 12
USUAL = BeamSettings()


@dataclass(frozen=True, eq=False)
class Fields:
    """All fields, and the n cells that they are looked at in.

    What each bixel gives takes 300 bytes a cell, together more than a whole CT: `matrix` holds it
    where a plan takes many steps, `doses` makes it for some cells at a time.
    """

    places: Places
    beams: tuple[Beam, ...]
    row_mm: float
    settings: BeamSettings

    @property
    def cells(self) -> Cells:
        """The indices (z, y, x) of the n cells."""
        return self.places.cells

    @property
    def n_bixels(self) -> int:
        """Bixels of all fields."""
        return self.beams[-1].aperture.end

    @cached_property
    def matrix(self) -> csr_matrix:
        """Dose of unit fluence (n, n_bixels), before it is spread."""
        from scipy.sparse import csr_matrix

        n, width = len(self.cells[0]), AROUND * len(self.beams)
        where, weight = np.empty((n, width), np.int32), np.empty((n, width), np.float32)
        for rows in _blocks(n):
            places = self.places.part(rows)
            shape = (width, len(places.cells[0]))
            own_where, own_weight = np.empty(shape, np.int32), np.empty(shape, np.float32)
            for at, beam in enumerate(self.beams):
                own = slice(AROUND * at, AROUND * (at + 1))
                beam.give(places, own_where[own], own_weight[own])
            where[rows], weight[rows] = own_where.T, own_weight.T
        ends = np.arange(0, n * width + 1, width, dtype=np.int32)
        return csr_matrix((weight.ravel(), where.ravel(), ends), shape=(n, self.n_bixels))

    def dose(self, fluence: Field) -> Field:
        """Dose (n,) of a fluence (n_bixels,)."""
        dose: Field = self.matrix @ self._spread(fluence)
        return dose

    def doses(self, fluences: Sequence[Field]) -> list[Field]:
        """The dose of each of some fluences, without keeping the matrix."""
        spread = [self._spread(fluence) for fluence in fluences]
        found = np.empty((len(fluences), len(self.cells[0])), np.float32)
        for rows in _blocks(len(self.cells[0])):
            matrix = self.on(rows).matrix
            for own, fluence in zip(found, spread, strict=True):
                own[rows] = matrix @ fluence
        return list(found)

    def back(self, cells: Field) -> Field:
        """The adjoint: what changes of the cells (n,) mean for each bixel."""
        return self._spread(self.matrix.T @ cells)

    def aimed_at(self, mask: Mask) -> Field:
        """Fluence 1 in the bixels whose axis meets a cell of the mask (n,), else 0."""
        met = self.on(mask).matrix
        fluence = np.zeros(self.n_bixels, np.float32)
        fluence[met.indices[met.data > 0]] = 1.0
        return fluence

    def on(self, rows: NDArray[Any] | slice) -> Fields:
        """The same fields on some of the cells."""
        return replace(self, places=self.places.part(rows))

    def _spread(self, fluence: Field) -> Field:
        out = np.empty_like(fluence)
        share = np.float32(self.settings.scatter)
        for beam, (narrow, wide) in zip(self.beams, self._kernels, strict=True):
            aperture = beam.aperture
            part = aperture.of(fluence)
            spread = (1 - share) * (narrow[0] @ part @ narrow[1])
            aperture.of(out)[:] = spread + share * (wide[0] @ part @ wide[1])
        return out

    @cached_property
    def _kernels(self) -> list[tuple[tuple[Field, Field], tuple[Field, Field]]]:
        """Of each field the narrow and the wide spread, along columns and along rows."""
        own = self.settings
        return [
            tuple(  # type: ignore[misc]
                (_gaussian(one.columns, own.bixel_mm, mm), _gaussian(one.rows, self.row_mm, mm))
                for mm in (own.penumbra_mm, own.scatter_mm)
            )
            for one in (beam.aperture for beam in self.beams)
        ]


def fields_of(anatomy: Anatomy, settings: BeamSettings = USUAL) -> Fields:
    """The fields around the middle of all targets, on all cells of `Anatomy.reached`."""
    places = Places.of(anatomy, np.nonzero(anatomy.reached))
    beams: list[Beam] = []
    for angle in settings.angles:
        start = beams[-1].aperture.end if beams else 0
        beams.append(Beam.on(anatomy, places, float(np.deg2rad(angle)), start, settings))
    return Fields(places, tuple(beams), anatomy.spacing_mm[0], settings)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(first, first + BLOCK) for first in range(0, n, BLOCK))


def _gaussian(n: int, step_mm: float, sigma_mm: float) -> Field:
    """The matrix (n, n) that spreads equidistant values by a Gaussian; what leaves is lost."""
    apart = step_mm * np.arange(-n + 1, n)
    weight = np.exp(-0.5 * (apart / sigma_mm) ** 2)
    reach = max(n, int(np.ceil(4 * sigma_mm / step_mm)))
    total = np.exp(-0.5 * (step_mm * np.arange(-reach, reach + 1) / sigma_mm) ** 2).sum()
    at = np.arange(n)
    spread: Field = (weight / total).astype(np.float32)[at[:, None] - at[None] + n - 1]
    return spread
