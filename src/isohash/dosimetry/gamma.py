"""The gamma index: whether a dose agrees with a reference in dose or in place.

Low et al., Medical Physics 25 (1998) 656-661: at each reference point the least, over all points of
the evaluated dose, of sqrt(distance^2 / mm^2 + difference^2 / Gy^2); up to 1 passes. Here the
least is exact: the evaluated dose is linear on the tetrahedra of its grid, and the distance to
every face of them has a closed form (Ju et al., Medical Physics 35 (2008) 879-887), so nothing is
sampled. Defaults are those of AAPM TG-218 (Miften et al., Medical Physics 45 (2018) e53-e83):
3 % of one dose for all points, 2 mm, points above 10 % of it; 95 % should pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dose import own_grid
from isohash.dosimetry.simplices import CORNERS, Face, faces
from isohash.errors import InputError
from isohash.records import Volume

MOST = 2.0  # beyond it gamma is told as this: what fails twice over fails
BLOCK = 1 << 15  # points at a time, whose corners fit into a processor's cache
SQUARE = 1e-6  # cosine between the axes of a grid up to which they are at right angles

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class GammaCriteria:
    """What counts as agreement: `percent` of the dose and `mm`, above `threshold_percent` of it.

    The dose is `normalisation_gy`, or the reference's highest if None; `local`: each point's own.

    Example:
        >>> GammaCriteria(percent=2.0, local=True).text
        '2 %/2 mm, local'
    """

    percent: float = 3.0
    mm: float = 2.0
    threshold_percent: float = 10.0
    local: bool = False
    normalisation_gy: float | None = None

    def __post_init__(self) -> None:
        for name in ("percent", "mm"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"gamma: {name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.threshold_percent < 100:
            raise InputError(
                f"gamma: threshold_percent must be in 0..100, got {self.threshold_percent}"
            )
        if self.normalisation_gy is not None and not self.normalisation_gy > 0:
            raise InputError(f"gamma: normalisation_gy must be positive: {self.normalisation_gy}")

    @property
    def text(self) -> str:
        """Such as "3 %/2 mm, global"."""
        return f"{self.percent:g} %/{self.mm:g} mm, {'local' if self.local else 'global'}"


@dataclass(frozen=True, eq=False)
class Gamma:
    """Gamma at the points of the reference's own grid: `values` is NaN where none was asked.

    `outside` points above the threshold lie beyond the evaluated grid, where nothing can be said.
    Values stop at `MOST`.

    Example:
        >>> import isohash, numpy as np
        >>> plan = isohash.Volume(np.full((3, 4, 5), 60.0), np.eye(4))
        >>> gamma = isohash.gamma_index(plan, plan)
        >>> gamma.points, gamma.passing_percent, gamma.mean
        (60, 100.0, 0.0)
    """

    values: Volume
    criteria: GammaCriteria
    normalisation_gy: float
    outside: int

    @property
    def text(self) -> str:
        """One sentence for people."""
        beyond = f"; {self.outside} more lie outside the dose's grid" if self.outside else ""
        return (
            f"gamma {self.criteria.text}: {self.passing_percent:.1f} % of {self.points} points "
            f"pass, mean {self.mean:.2f}{beyond}"
        )

    @property
    def points(self) -> int:
        """How many points were judged."""
        return int(np.count_nonzero(~np.isnan(self.values.array)))

    @property
    def passing_percent(self) -> float:
        """The share of points with gamma up to 1, in percent; NaN without points."""
        n = self.points
        return 100.0 * int(np.count_nonzero(self.values.array <= 1.0)) / n if n else float("nan")

    @property
    def mean(self) -> float:
        """The mean of gamma, values above `MOST` as that; NaN without points."""
        known = self.values.array[~np.isnan(self.values.array)]
        return float(known.mean(dtype=np.float64)) if len(known) else float("nan")


def gamma_index(
    dose: Volume, reference: Volume, criteria: GammaCriteria = GammaCriteria()
) -> Gamma:
    """Gamma of a dose against a reference, both in Gy in one patient's coordinates.

    The grids may differ. Not symmetric: a dose on the coarser grid is better the evaluated one.
    InputError where the reference has no dose, or the dose's grid is not at right angles.

    Example:
        >>> import isohash, numpy as np
        >>> ramp = np.broadcast_to(np.arange(10.0) * 6.0, (10, 10, 10))
        >>> shifted = np.eye(4); shifted[2, 3] = 1.0  # by 1 mm, where 6 Gy a mm
        >>> gamma = isohash.gamma_index(
        ...     isohash.Volume(ramp, shifted), isohash.Volume(ramp, np.eye(4)))
        >>> gamma.passing_percent
        100.0
    """
    dose, reference = own_grid(dose), own_grid(reference)
    level = criteria.normalisation_gy or float(reference.array.max())
    if not level > 0:
        raise InputError("gamma: the reference has no dose")
    wanted = reference.array >= max(criteria.threshold_percent / 100.0 * level, 1e-9)
    field = _Field.of(dose, criteria.mm)
    index = np.argwhere(wanted)
    gy = reference.array[wanted].astype(np.float64)
    found = np.full(len(gy), np.nan)
    outside = 0
    for first in range(0, len(gy), BLOCK):
        block = slice(first, first + BLOCK)
        at = field.places(_moved(reference.affine, index[block]))
        inside = field.holds(at)
        unit = criteria.percent / 100.0 * (gy[block] if criteria.local else level)
        told = np.full(len(at[0]), np.nan)
        told[inside] = field.nearest(at[:, inside], gy[block][inside], _of(unit, inside))
        found[block], outside = told, outside + int((~inside).sum())
    values = np.full(reference.array.shape, np.nan, dtype=np.float32)
    values[wanted] = found
    return Gamma(Volume(values, reference.affine), criteria, level, outside)


@dataclass(frozen=True, eq=False)
class _Field:
    """The evaluated dose, with a border of NaN, and the faces of a corner in units of mm."""

    gy: Numbers
    low: Numbers  # least and highest dose of the cube above each corner
    high: Numbers
    to_index: Numbers
    spacing: Numbers  # of voxels, in units of the criterion's mm
    faces: tuple[Face, ...]

    @classmethod
    def of(cls, dose: Volume, mm: float) -> _Field:
        columns = dose.affine[:3, :3]
        spacing = np.array(dose.spacing_mm)
        cosines = (columns[:, :, None] * columns[:, None, :]).sum(axis=0) / np.outer(
            spacing, spacing
        )
        if np.abs(cosines - np.eye(3)).max() > SQUARE:
            raise InputError("gamma: the axes of the dose's grid are not at right angles")
        gy = np.pad(dose.array.astype(np.float64), 1, constant_values=np.nan)
        cubes = [gy[tuple(slice(c, n - 1 + c) for c, n in zip(corner, gy.shape, strict=True))]
                 for corner in CORNERS]  # fmt: skip
        low, high = (np.fmin.reduce(cubes), np.fmax.reduce(cubes))
        units: Numbers = np.asarray(spacing / mm, dtype=np.float64)
        to_index = np.asarray(np.linalg.inv(dose.affine), dtype=np.float64)
        return cls(gy, low, high, to_index, units, faces(np.diag(units)))

    def places(self, points: Numbers) -> Numbers:
        """Indices (3, n) within `gy` of points (3, n) in mm."""
        return _affine(self.to_index, points) + 1.0

    def holds(self, at: Numbers) -> NDArray[np.bool_]:
        """Which indices lie between the outermost centres, to rounding."""
        last = np.array(self.gy.shape)[:, None] - 2.0
        return np.asarray(((at >= 1.0 - 1e-3) & (at <= last + 1e-3)).all(axis=0))

    def nearest(self, at: Numbers, wanted: Numbers, unit: Numbers) -> Numbers:
        """Gamma (n,) of points at indices (3, n) with doses `wanted` in Gy; `unit` Gy are one."""
        corner = np.floor(at).astype(np.int64)
        part = at - corner
        best = np.full(len(wanted), MOST**2)
        for offset in self._offsets():
            base = corner + offset[:, None]
            live = self._live(base, offset, part, wanted, unit, best)
            if not len(live):
                continue
            base, own = base[:, live], unit[live]
            values = np.array([self.gy[tuple(base + np.array(c)[:, None])] for c in CORNERS]) / own
            start = self.spacing[:, None] * (offset[:, None] - part[:, live])
            least = best[live]
            for face in self.faces:
                least = np.fmin(least, face.distances(start, values, wanted[live] / own))
            best[live] = least
        return np.sqrt(best)

    def _offsets(self) -> Iterator[NDArray[np.int64]]:
        """Cubes within reach of a point's own, the nearest first."""
        reach = [int(np.ceil(MOST / one)) for one in self.spacing]
        every = np.array(list(product(*(range(-n, n + 1) for n in reach))))
        gap = np.maximum(np.abs(every) - 1, 0) * self.spacing
        apart = (gap**2).sum(axis=1)
        return iter(every[np.argsort(apart, kind="stable")][: int((apart < MOST**2).sum())])

    def _live(
        self, base: NDArray[np.int64], offset: NDArray[np.int64], part: Numbers,
        wanted: Numbers, unit: Numbers, best: Numbers,
    ) -> NDArray[np.int64]:  # fmt: skip
        """Points that a cube may bring nearer: by its distance and the range of its doses."""
        there = np.flatnonzero(
            ((base >= 0) & (base < np.array(self.low.shape)[:, None])).all(axis=0)
        )
        apart = offset[:, None] - part[:, there]
        gap = np.maximum(np.maximum(apart, -1.0 - apart), 0.0) * self.spacing[:, None]
        at = tuple(base[:, there])
        dose = np.maximum(self.low[at] - wanted[there], wanted[there] - self.high[at])
        bound = gap[0] ** 2 + gap[1] ** 2 + gap[2] ** 2
        bound += (np.maximum(dose, 0.0) / unit[there]) ** 2
        return there[bound < best[there]]  # not where all is NaN


def _affine(matrix: Numbers, points: Numbers) -> Numbers:
    """A motion (4, 4) of points (3, n), in one order of sums on every machine."""
    rows = [row[0] * points[0] + row[1] * points[1] + row[2] * points[2] + row[3]
            for row in matrix[:3]]  # fmt: skip
    return np.array(rows)


def _moved(affine: Numbers, index: NDArray[np.int64]) -> Numbers:
    return _affine(affine, index.T.astype(np.float64))


def _of(unit: Numbers | float, used: NDArray[np.bool_]) -> Numbers:
    return np.broadcast_to(np.asarray(unit, dtype=np.float64), used.shape)[used]
