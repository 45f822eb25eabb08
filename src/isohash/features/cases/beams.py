"""One coplanar photon field on an anatomy: the dose that a unit of fluence gives to every cell.

A crude pencil beam, enough to know where dose can go and where it cannot: rays from a source at
`SAD_MM`, attenuated along the water-equivalent depth, with build-up, inverse square and a lateral
spread of penumbra and scatter that does not grow with depth (`fields` spreads the fluence).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.anatomy import Anatomy, Field, Mask

SAD_MM = 1000.0
STEP_MM = 4.0  # between samples of density along a ray; rays lie twice as far apart
AROUND = 4  # bixels about the ray to a cell, which share its dose

Cells = tuple[NDArray[np.int64], ...]


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

    @property
    def end(self) -> int:
        """Where those of the next field begin."""
        return self.start + self.columns * self.rows

    def of(self, fluence: Field) -> Field:
        """The field's part of a fluence (n_bixels,), as a view (columns, rows)."""
        return fluence[self.start : self.end].reshape(self.columns, self.rows)


@dataclass(frozen=True, eq=False)
class Places:
    """Cells by index (z, y, x), and where they lie in mm about the isocentre."""

    cells: Cells
    mm: tuple[Field, Field, Field]  # down, back, left

    @classmethod
    def of(cls, anatomy: Anatomy, cells: Cells) -> Places:
        """The isocentre is the middle of all targets."""
        down, back, left = (
            ((at - middle) * mm).astype(np.float32)
            for at, middle, mm in zip(cells, isocentre(anatomy), anatomy.spacing_mm, strict=True)
        )
        return cls(cells, (down, back, left))

    def part(self, rows: NDArray[Any] | slice) -> Places:
        """Some of the cells."""
        (z, y, x), (down, back, left) = self.cells, self.mm
        return Places((z[rows], y[rows], x[rows]), (down[rows], back[rows], left[rows]))


def isocentre(anatomy: Anatomy) -> list[float]:
    """The middle of all targets, as an index (z, y, x)."""
    return [(at.min() + at.max()) / 2.0 for at in np.nonzero(anatomy.target)]


@dataclass(frozen=True, eq=False)
class _Seen:
    """Where cells lie along a field and, scaled to the isocentre, across it."""

    along: Field
    across: Field
    height: Field
    scale: Field  # of the isocentre's plane against the cell's

    @classmethod
    def at(cls, places: Places, angle: float) -> _Seen:
        z, y, x = places.mm
        sin, cos = np.float32(np.sin(angle)), np.float32(np.cos(angle))
        along = y * cos - x * sin
        scale = np.float32(SAD_MM) / (np.float32(SAD_MM) + along)
        return cls(along, (x * cos + y * sin) * scale, z * scale, scale)


@dataclass(frozen=True, eq=False)
class Beam:
    """One field, `angle` in radians; `passed` are water-equivalent mm along a fan of rays."""

    angle: float
    settings: BeamSettings
    aperture: Aperture
    columns: _Axis
    rows: _Axis
    rays: _Axis
    steps: _Axis
    passed: Field  # (rays, steps, slices)

    @classmethod
    def on(
        cls, anatomy: Anatomy, places: Places, angle: float, start: int, settings: BeamSettings
    ) -> Beam:
        """As wide as all targets and two bixels more; its own bixels begin at `start`.

        `places` are of all cells that it may give dose to.
        """
        seen, inside = _Seen.at(places, angle), anatomy.target[places.cells]
        columns = _Axis.over(seen.across, inside, settings.bixel_mm)
        rows = _Axis.over(seen.height, inside, anatomy.spacing_mm[0])
        rays = _Axis(float(seen.across.min()) - STEP_MM, 2 * STEP_MM, 0).reaching(seen.across)
        steps = _Axis(float(seen.along.min()) - 2 * STEP_MM, STEP_MM, 0).reaching(seen.along)
        passed = _passed(anatomy, angle, rays, steps)
        aperture = Aperture(start, columns.n, rows.n)
        return cls(angle, settings, aperture, columns, rows, rays, steps, passed)

    def give(self, places: Places, where: NDArray[np.int32], weight: Field) -> None:
        """Fill in (AROUND, n) the bixels about the ray to each cell, and each one's dose there."""
        seen = _Seen.at(places, self.angle)
        gain, start, at = self._gain(seen, places.cells[0]), self.aperture.start, 0
        rows = [
            (row, low, (row >= 0) & (row < self.rows.n))
            for row, low in self.rows.neighbours(seen.height)
        ]
        for column, left in self.columns.neighbours(seen.across):
            aside, first = (column >= 0) & (column < self.columns.n), start + column * self.rows.n
            for row, low, within in rows:
                hit = aside & within
                where[at] = np.where(hit, first + row, start)
                weight[at] = np.where(hit, left * low, np.float32(0.0)) * gain
                at += 1

    def _gain(self, seen: _Seen, z: NDArray[np.int64]) -> Field:
        """Dose of unit fluence in every cell."""
        own, depth = self.settings, self._depth(seen, z)
        skin = 1.0 - np.float32(own.skin) * np.exp(np.float32(-own.build_up) * depth)
        return np.exp(np.float32(-own.attenuation) * depth) * skin * seen.scale**2

    def _depth(self, seen: _Seen, z: NDArray[np.int64]) -> Field:
        """Water-equivalent mm from the skin to each cell."""
        depth, (_, n_steps, n_slices) = np.zeros(len(z), np.float32), self.passed.shape
        passed, steps = self.passed.ravel(), self.steps.neighbours(seen.along)
        for ray, near in self.rays.neighbours(seen.across):
            for step, share in steps:
                depth += near * share * passed.take((ray * n_steps + step) * n_slices + z)
        return depth


def _passed(anatomy: Anatomy, angle: float, rays: _Axis, steps: _Axis) -> Field:
    """Water-equivalent mm up to the samples of the fan (rays, steps, slices)."""
    along, across = np.meshgrid(steps.centres, rays.centres)
    across = across * (SAD_MM + along) / SAD_MM
    sin, cos = np.sin(angle), np.cos(angle)
    (_, dy, dx), (_, middle_y, middle_x) = anatomy.spacing_mm, isocentre(anatomy)
    y = (across * sin + along * cos) / dy + middle_y
    x = (across * cos - along * sin) / dx + middle_x
    density = _sampled(anatomy.density, y, x) * np.float32(STEP_MM)
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
