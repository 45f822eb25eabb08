"""Coplanar photon fields on an anatomy: the dose that a unit of fluence gives to every cell.

A crude pencil beam, enough to know where dose can go and where it cannot: rays from a source at
`SAD_MM`, attenuated along the water-equivalent depth, with build-up, inverse square and a lateral
spread of penumbra and scatter that does not grow with depth. The dose is linear in the fluence:
`Fields.dose` is a sparse matrix times the spread fluence, `Fields.back` its adjoint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.anatomy import Anatomy, Field, Mask

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SAD_MM = 1000.0


@dataclass(frozen=True)
class BeamSettings:
    """The fields and the physics of the pencil beam, of about 6 MV.

    Gantry `angles` in degrees: 0 from the front, 90 from the patient's left. `bixel_mm` across the
    slice, one slice along the patient. Depth dose: exp(-attenuation d) (1 - skin exp(-build_up d)),
    per mm of water. Spread: Gaussians, `scatter` of the dose in the wide one.
    """

    angles: tuple[float, ...] = tuple(range(0, 360, 40))
    bixel_mm: float = 5.0
    attenuation: float = 0.0045
    skin: float = 0.6
    build_up: float = 0.15
    penumbra_mm: float = 5.0
    scatter: float = 0.06
    scatter_mm: float = 10.0


@dataclass(frozen=True)
class Aperture:
    """The bixels (columns, rows) of one field: where they begin among those of all fields."""

    start: int
    columns: int
    rows: int

    def of(self, fluence: Field) -> Field:
        """The field's part of a fluence (n_bixels,), as a view (columns, rows)."""
        part = fluence[self.start : self.start + self.columns * self.rows]
        return part.reshape(self.columns, self.rows)


@dataclass(frozen=True, eq=False)
class Fields:
    """`cells` are the indices (z, y, x) of the n cells of `Anatomy.reached` that get dose."""

    cells: tuple[NDArray[np.int64], ...]
    matrix: csr_matrix  # (n, n_bixels)
    apertures: tuple[Aperture, ...]
    row_mm: float
    settings: BeamSettings

    @property
    def n_bixels(self) -> int:
        """Bixels of all fields."""
        return int(self.matrix.shape[1])

    def dose(self, fluence: Field) -> Field:
        """Dose (n,) of a fluence (n_bixels,)."""
        dose: Field = self.matrix @ self._spread(fluence)
        return dose

    def back(self, cells: Field) -> Field:
        """The adjoint: what changes of the cells (n,) mean for each bixel."""
        return self._spread(self._transposed @ cells)

    def aimed_at(self, mask: Mask) -> Field:
        """Fluence 1 in the bixels whose axis meets a cell of the mask (n,), else 0."""
        met = self.matrix[np.flatnonzero(mask)]
        fluence = np.zeros(self.n_bixels, np.float32)
        fluence[met.indices[met.data > 0]] = 1.0
        return fluence

    def on(self, rows: NDArray[np.int64]) -> Fields:
        """The same fields on some of the cells."""
        z, y, x = self.cells
        return replace(self, cells=(z[rows], y[rows], x[rows]), matrix=self.matrix[rows])

    @cached_property
    def _transposed(self) -> csr_matrix:
        return self.matrix.T.tocsr()

    def _spread(self, fluence: Field) -> Field:
        out = np.empty_like(fluence)
        for aperture, (narrow, wide) in zip(self.apertures, self._kernels, strict=True):
            part, share = aperture.of(fluence), np.float32(self.settings.scatter)
            spread = (1 - share) * (narrow[0] @ part @ narrow[1])
            aperture.of(out)[:] = spread + share * (wide[0] @ part @ wide[1])
        return out

    @cached_property
    def _kernels(self) -> list[tuple[tuple[Field, Field], tuple[Field, Field]]]:
        """Of each aperture the narrow and the wide spread, along columns and along rows."""
        own = self.settings
        return [
            tuple(  # type: ignore[misc]
                (_gaussian(one.columns, own.bixel_mm, mm), _gaussian(one.rows, self.row_mm, mm))
                for mm in (own.penumbra_mm, own.scatter_mm)
            )
            for one in self.apertures
        ]


def fields_of(anatomy: Anatomy, settings: BeamSettings = BeamSettings()) -> Fields:
    """The fields around the middle of all targets, as wide as these and two bixels more."""
    from scipy.sparse import csr_matrix

    scene = _Scene.of(anatomy)
    columns, values, apertures, start = [], [], [], 0
    for angle in settings.angles:
        beam = _Beam.at(scene, np.deg2rad(angle), settings)
        aperture, where, weights = beam.bixels(start)
        gain = beam.gain()
        columns += where
        values += [weight * gain for weight in weights]
        apertures.append(aperture)
        start += aperture.columns * aperture.rows
    n, width = len(scene.cells[0]), len(columns)
    matrix = csr_matrix(
        (
            np.stack(values, axis=1).ravel(),
            np.stack(columns, axis=1).ravel(),
            np.arange(0, n * width + 1, width, dtype=np.int32),
        ),
        shape=(n, start),
    )
    return Fields(scene.cells, matrix, tuple(apertures), scene.spacing_mm[0], settings)


@dataclass(frozen=True, eq=False)
class _Scene:
    """What all beams share: cells and their places in mm about the middle of the targets."""

    anatomy: Anatomy
    cells: tuple[NDArray[np.int64], ...]
    place: tuple[Field, Field, Field]  # z (down), y, x of each cell
    middle: tuple[float, float]  # y, x index of the isocentre
    inside: Mask  # which cells are of a target

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        return self.anatomy.spacing_mm

    @classmethod
    def of(cls, anatomy: Anatomy) -> _Scene:
        cells = np.nonzero(anatomy.reached)
        target = np.nonzero(anatomy.target)
        middle = [(at.min() + at.max()) / 2.0 for at in target]
        place = tuple(
            ((at - m) * mm).astype(np.float32)
            for at, m, mm in zip(cells, middle, anatomy.spacing_mm, strict=True)
        )
        inside = anatomy.target[cells]
        return cls(anatomy, cells, place, (middle[1], middle[2]), inside)


STEP_MM = 4.0  # between samples of density along a ray; rays lie twice as far apart


@dataclass(frozen=True, eq=False)
class _Beam:
    """One field: where each cell lies along it and, scaled to the isocentre, across it."""

    scene: _Scene
    angle: float
    along: Field
    across: Field
    height: Field
    scale: Field  # of the isocentre's plane against the cell's
    settings: BeamSettings

    @classmethod
    def at(cls, scene: _Scene, angle: float, settings: BeamSettings) -> _Beam:
        z, y, x = scene.place
        sin, cos = np.float32(np.sin(angle)), np.float32(np.cos(angle))
        along = y * cos - x * sin
        scale = np.float32(SAD_MM) / (np.float32(SAD_MM) + along)
        return cls(scene, angle, along, (x * cos + y * sin) * scale, z * scale, scale, settings)

    def bixels(self, start: int) -> tuple[Aperture, list[NDArray[np.int32]], list[Field]]:
        """The aperture, and of each cell the four bixels about its ray with their weights."""
        columns = _Axis.over(self.across, self.scene.inside, self.settings.bixel_mm)
        rows = _Axis.over(self.height, self.scene.inside, self.scene.spacing_mm[0])
        where, weights = [], []
        for at, left in columns.neighbours(self.across):
            for row, low in rows.neighbours(self.height):
                within = (at >= 0) & (at < columns.n) & (row >= 0) & (row < rows.n)
                where.append(np.where(within, start + at * rows.n + row, start).astype(np.int32))
                weights.append(np.where(within, left * low, np.float32(0.0)))
        return Aperture(start, columns.n, rows.n), where, weights

    def gain(self) -> Field:
        """Dose of unit fluence in every cell."""
        own, depth = self.settings, self.depth()
        skin = 1.0 - np.float32(own.skin) * np.exp(np.float32(-own.build_up) * depth)
        return np.exp(np.float32(-own.attenuation) * depth) * skin * self.scale**2

    def depth(self) -> Field:
        """Water-equivalent mm from the skin to each cell, by sums along a fan of rays."""
        rays = _Axis(float(self.across.min()) - STEP_MM, 2 * STEP_MM, 0).reaching(self.across)
        steps = _Axis(float(self.along.min()) - 2 * STEP_MM, STEP_MM, 0).reaching(self.along)
        passed = self._passed(rays, steps)
        depth = np.zeros(len(self.along), np.float32)
        z = self.scene.cells[0]
        for ray, near in rays.neighbours(self.across):
            for step, share in steps.neighbours(self.along):
                depth += near * share * passed[ray, step, z]
        return depth

    def _passed(self, rays: _Axis, steps: _Axis) -> Field:
        """Water-equivalent mm up to the samples of the fan (rays, steps, slices)."""
        along, across = np.meshgrid(steps.centres, rays.centres)
        across = across * (SAD_MM + along) / SAD_MM
        sin, cos = np.sin(self.angle), np.cos(self.angle)
        _, dy, dx = self.scene.spacing_mm
        y = (across * sin + along * cos) / dy + self.scene.middle[0]
        x = (across * cos - along * sin) / dx + self.scene.middle[1]
        density = _sampled(self.scene.anatomy.density, y, x) * np.float32(STEP_MM)
        passed: Field = np.cumsum(density, axis=1, dtype=np.float32) - 0.5 * density
        return passed


@dataclass(frozen=True)
class _Axis:
    """Equidistant centres `first`, `first` + `step`, ..."""

    first: float
    step: float
    n: int

    @classmethod
    def over(cls, values: Field, inside: Mask, step: float) -> _Axis:
        """From two steps before the smallest value inside to two beyond the largest."""
        first = float(values[inside].min()) - 2 * step
        return cls(first, step, int(np.ceil((values[inside].max() - first) / step)) + 3)

    def reaching(self, values: Field) -> _Axis:
        """The same axis with as many centres as values need."""
        return _Axis(self.first, self.step, int((values.max() - self.first) / self.step) + 3)

    @property
    def centres(self) -> NDArray[np.float64]:
        """Where they are."""
        return self.first + self.step * np.arange(self.n, dtype=np.float64)

    def neighbours(self, values: Field) -> list[tuple[NDArray[np.int32], Field]]:
        """The centre before and the one after each value, with the weights between them."""
        at = (values - np.float32(self.first)) / np.float32(self.step)
        low = np.floor(at)
        after, low = at - low, low.astype(np.int32)
        return [(low, 1 - after), (low + 1, after)]


def _sampled(volume: Field, y: NDArray[np.float64], x: NDArray[np.float64]) -> Field:
    """Linear interpolation of every slice at index (y, x), 0 outside: (*y.shape, slices)."""
    from scipy.sparse import csr_matrix

    slices, rows, columns = volume.shape
    framed = np.zeros((rows + 2, columns + 2, slices), np.float32)  # outside there is nothing
    framed[1:-1, 1:-1] = volume.transpose(1, 2, 0)
    down = np.clip(y.ravel() + 1, 0, rows + 0.999)
    right = np.clip(x.ravel() + 1, 0, columns + 0.999)
    corner = down.astype(np.int64) * (columns + 2) + right.astype(np.int64)
    down, right = down % 1.0, right % 1.0
    where = corner[:, None] + [0, 1, columns + 2, columns + 3]
    weight = np.stack(
        [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], axis=1
    )
    ends = np.arange(0, where.size + 1, 4)
    taps = (weight.ravel().astype(np.float32), where.ravel(), ends)
    taken = csr_matrix(taps, shape=(len(corner), (rows + 2) * (columns + 2)))
    sampled: Field = taken @ framed.reshape(-1, slices)
    return sampled.reshape(*y.shape, slices)


def _gaussian(n: int, step_mm: float, sigma_mm: float) -> Field:
    """The matrix (n, n) that spreads equidistant values by a Gaussian; what leaves is lost."""
    apart = step_mm * np.arange(-n + 1, n)
    weight = np.exp(-0.5 * (apart / sigma_mm) ** 2)
    reach = max(n, int(np.ceil(4 * sigma_mm / step_mm)))
    total = np.exp(-0.5 * (step_mm * np.arange(-reach, reach + 1) / sigma_mm) ** 2).sum()
    at = np.arange(n)
    spread: Field = (weight / total).astype(np.float32)[at[:, None] - at[None] + n - 1]
    return spread
