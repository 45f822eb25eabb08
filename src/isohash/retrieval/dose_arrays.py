"""What an archive keeps of the dose that a case's anatomy would get, and of the plan's own.

| array | shape | meaning |
|---|---|---|
| `dose.about` | | JSON: `structures`, `prescription_gy`, `unlike`; else `why_not` |
| `dose.grid`, `dose.ct_grid` | (19,) | shape (z, y, x) and affine of its grid, and of the CT |
| `dose.bytes` | | the predicted dose in steps of `STEP_GY`, deflated |
| `dose.places` | | `dose_calibration.voxel_places`, deflated |
| `dose.plan_bytes` | | the planned dose on the same grid, as `dose.bytes` |
| `dose.cube` | (1, 32, 32, 32) | the planned dose about its targets (`dose_cubes`) |
| `dose.centres` | (m + 1, 3) | centre of each structure in mm, of all targets last |
| `dose.own`, `dose.own_planned` | (m, volumes + 3) | histograms, objectives of its structures |
| `dose.histograms`, `dose.planned` | (1, s, volumes) | histograms of those of the plan view, Gy |
| `dose.metrics` | (1, 2, s, 3) | their objectives: predicted, planned |
| `dose.missed` | (1, places, shares, 21) | quantiles of the voxels' misses by class, Gy |
| `dose.cells` | (1, places, shares) | voxels of each class |

Doses in Gy are float16. Of a patient whose plans the dose model learned from, the prediction is by
a model that left them out. What is planned is there of cases with a dose.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.inflating import inflated
from isohash.records import Volume

if TYPE_CHECKING:
    from isohash.features.encoders.dose_calibration import Misses

STEP_GY = 0.1
DEFLATE_LEVEL = 6
ABOUT, GRID, CT_GRID = "dose.about", "dose.grid", "dose.ct_grid"
BYTES, PLACES, PLAN_BYTES, CENTRES = "dose.bytes", "dose.places", "dose.plan_bytes", "dose.centres"
CUBE = "dose.cube"
OWN, OWN_PLANNED = "dose.own", "dose.own_planned"
HISTOGRAMS, PLANNED, METRICS = "dose.histograms", "dose.planned", "dose.metrics"
MISSED, CELLS = "dose.missed", "dose.cells"

Arrays = dict[str, NDArray[Any]]
Doses = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KeptDose:
    """The arrays of one case, read back."""

    arrays: Mapping[str, NDArray[Any]]

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """What the JSON says; empty where nothing is kept."""
        data = self.arrays.get(ABOUT)
        found: dict[str, Any] = {} if data is None else json.loads(data.tobytes())
        return found

    @property
    def structures(self) -> tuple[str, ...]:
        """The m structures by canonical name."""
        return tuple(self.about.get("structures", ()))

    @property
    def predicted(self) -> Volume | None:
        """The predicted dose in Gy on the anatomy's grid."""
        return self._dose(BYTES)

    @property
    def planned(self) -> Volume | None:
        """The planned dose in Gy on the anatomy's grid."""
        return self._dose(PLAN_BYTES)

    @property
    def places(self) -> NDArray[np.uint8]:
        """1 + the class of place of each cell, 0 where no dose is foretold."""
        shape = self._shape(GRID)
        data = inflated(self.arrays[PLACES], math.prod(shape))
        return np.frombuffer(data, np.uint8).reshape(shape)

    @property
    def ct_grid(self) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
        """Affine and shape of the CT's grid."""
        return _affine(self.arrays[CT_GRID]), self._shape(CT_GRID)

    @property
    def centres(self) -> dict[str, NDArray[np.float64]]:
        """Centre of each structure in mm; of all targets under the name `rigid.TARGETS`."""
        from isohash.dosimetry.rigid import TARGETS

        names = (*self.structures, TARGETS)
        return dict(zip(names, np.asarray(self.arrays[CENTRES], np.float64), strict=True))

    def own(self, planned: bool = False) -> tuple[Doses, Doses] | None:
        """Histograms (m, volumes) and objectives (m, 3) of all structures, predicted or planned."""
        found = self.arrays.get(OWN_PLANNED if planned else OWN)
        if found is None:
            return None
        doses = np.asarray(found, dtype=np.float64)
        return doses[:, :-3], doses[:, -3:]

    def _dose(self, name: str) -> Volume | None:
        data = self.arrays.get(name)
        if data is None:
            return None
        return Volume(_unpacked(data, self._shape(GRID)), _affine(self.arrays[GRID]))

    def _shape(self, name: str) -> tuple[int, int, int]:
        z, y, x = np.asarray(self.arrays[name][:3]).astype(int).tolist()
        return z, y, x


def grid_array(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A grid as it is kept (19,)."""
    return np.concatenate([shape, affine.ravel()])


def packed(gy: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A dose (z, y, x) as it is kept, to half a step."""
    steps = np.rint(gy / STEP_GY).astype(np.uint16)
    change = np.diff(steps, axis=2, prepend=np.uint16(0)).astype("<u2")  # modulo 2^16
    halves = change.reshape(-1).view(np.uint8).reshape(-1, 2).T  # low bytes, then high ones
    return deflated(np.ascontiguousarray(halves))


def deflated(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of an array, deflated."""
    return np.frombuffer(zlib.compress(array.tobytes(), DEFLATE_LEVEL), np.uint8)


def _unpacked(data: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    halves = np.frombuffer(inflated(data, 2 * math.prod(shape)), np.uint8).reshape(2, -1)
    change = np.ascontiguousarray(halves.T).view("<u2").reshape(shape)
    steps = np.cumsum(change, axis=2, dtype=np.uint16)
    return steps.astype(np.float32) * np.float32(STEP_GY)


def _affine(grid: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(grid[3:], dtype=np.float64).reshape(4, 4)


def as_json(about: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Plain values as an array of bytes."""
    return np.frombuffer(json.dumps(about).encode(), np.uint8)


def kept_misses(misses: Misses) -> Arrays:
    """What a left-out prediction missed, as it is kept."""
    metrics = np.stack([misses.predicted_metrics, misses.planned_metrics])
    return {
        PLANNED: misses.planned[None].astype(np.float16),
        METRICS: metrics[None].astype(np.float16),
        MISSED: misses.quantiles[None].astype(np.float16),
        CELLS: misses.cells[None].astype(np.int32),
    }


def predicted_histograms(arrays: Mapping[str, NDArray[Any]]) -> Doses | None:
    """The histograms (s, volumes) of the predicted dose; None where there is none."""
    found = arrays.get(HISTOGRAMS)
    return None if found is None else np.asarray(found[0], dtype=np.float64)
