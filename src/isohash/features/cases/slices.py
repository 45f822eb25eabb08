"""A case as a stack of comparable slices: one orientation, one pixel grid, one scale.

Every encoder and every report pane looks at these slices, so that a 128 x 128 research volume
and a clinical 512 x 512 CT meet on the same grid:

* axial; rows run from anterior to posterior, columns from the patient's right to the left,
  slices from the head to the feet, whatever the order of the axes in the file;
* `size` x `size` pixels of `pixel_mm`, centred on the body (the median over the slices of the
  centre of the body's bounding box: one centre per case, so slices stay aligned to each other);
* in-plane resampling with a triangle filter as wide as the coarser of the two grids, so that
  fine sources are averaged rather than sampled; nothing is interpolated between slices.

The primary result is in physical units (HU, cGy); `encoder_input` scales it to [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isohash.dosimetry.dose import SLAB
from isohash.errors import InputError
from isohash.features.cases.body import Strides, body_of, centre_mm
from isohash.features.cases.canonical import Canonical, canonical
from isohash.features.cases.pixels import Frame, resampled
from isohash.features.cases.slice_settings import SliceSettings
from isohash.records import Case, Volume

ImageKind = Literal["ct", "dose"]

AIR_HU = -1024.0  # outside the scanned field, and the lowest value kept
MAX_HU = 30000.0
MAX_CGY = 65535.0
DISPLAY_HU = (-160.0, 240.0)  # what report panes show of a CT


@dataclass(frozen=True, eq=False)
class CaseSlices:
    """Slices of one case from the head to the feet, on the canonical grid.

    `slice_index` (n,) counts along the axial axis of the case's own volume (axis 0 for a volume
    read by `sources`), `z_mm` (n,) is the patient z of each slice's centre. `hu` is int16 and
    `dose_cgy` uint16, both (n, size, size), None where the case lacks them. `has_dose` (n,)
    marks slices whose highest dose, before resampling, exceeds the setting. `corner_mm` is the
    patient (x, y) of the centre of pixel [0, 0].
    """

    settings: SliceSettings
    slice_index: NDArray[np.int64]
    z_mm: NDArray[np.float64]
    has_dose: NDArray[np.bool_]
    hu: NDArray[np.int16] | None
    dose_cgy: NDArray[np.uint16] | None
    corner_mm: tuple[float, float]

    def __len__(self) -> int:
        return len(self.slice_index)

    @cached_property
    def ct(self) -> NDArray[np.float32] | None:
        """The CT as an encoder sees it, in [0, 1]."""
        return None if self.hu is None else encoder_input(self, "ct")

    @cached_property
    def dose(self) -> NDArray[np.float32] | None:
        """The dose as an encoder sees it, in [0, 1]."""
        return None if self.dose_cgy is None else encoder_input(self, "dose")

    @property
    def dose_gy(self) -> NDArray[np.float32] | None:
        """The dose in Gy, to the nearest cGy."""
        return None if self.dose_cgy is None else self.dose_cgy.astype(np.float32) / np.float32(100)

    def resample(self, volume: Volume, background: float = 0.0) -> NDArray[np.float32]:
        """Another volume on the CT's grid, such as a structure, on these slices and pixels.

        A bool volume becomes the fraction of each pixel inside: its outline is the level 0.5.
        """
        grid = canonical(volume)
        rows = np.searchsorted(-grid.z_mm, -self.z_mm)
        if len(rows) and (rows.max() >= len(grid.z_mm)):
            raise InputError("the volume does not reach all slices: is it on the CT's grid?")
        if not np.allclose(grid.z_mm[rows], self.z_mm, atol=1e-3):
            raise InputError("the volume's slices lie elsewhere: is it on the CT's grid?")
        return resampled(grid, rows, self.settings.square(self.corner_mm), background)


def case_slices(case: Case, settings: SliceSettings | None = None) -> CaseSlices:
    """The slices of a case that show a body or a dose above `min_dose_gy`.

    Without CT the slices are those with such a dose, and the grid is centred on it. Raises
    InputError for oblique axes, for CT and dose on different grids, and for non-finite values.
    """
    settings = settings or SliceSettings()
    if case.ct is None and case.dose is None:
        raise InputError(f"case {case.id} has neither CT nor dose: nothing to compare")
    _check_same_grid(case)
    try:
        return _slices(case.ct, case.dose, settings)
    except InputError as error:
        raise InputError(f"case {case.id}: {error}") from error


def nothing_shown(case: Case, settings: SliceSettings) -> str:
    """Why a case has no slice, and what to do about it."""
    parts = [] if case.ct is None else ["its CT shows no body"]
    if case.dose is not None:
        gy = float(case.dose.array.max())
        parts.append(f"its dose nowhere exceeds {settings.min_dose_gy:g} Gy (it reaches {gy:.3g})")
    step = "add its CT" if case.ct is None else "check its HU"
    return (
        f"case {case.id} has no slice to compare: {' and '.join(parts)}; {step}, or build an "
        "archive in Python with slices=SliceSettings(min_dose_gy=...)"
    )


def encoder_input(view: CaseSlices, kind: ImageKind) -> NDArray[np.float32]:
    """Float32 (n, size, size) in [0, 1]: HU through the window, dose over its scale, clipped."""
    settings = view.settings
    low, high = settings.hu_window if kind == "ct" else (0.0, 100.0 * settings.dose_scale_gy)
    values = view.hu if kind == "ct" else view.dose_cgy
    if values is None:
        raise InputError(f"the slices have no {kind}")
    scaled = values.astype(np.float32)
    scaled -= np.float32(low)
    scaled *= np.float32(1.0 / (high - low))
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def display_ct(view: CaseSlices, window: tuple[float, float] = DISPLAY_HU) -> NDArray[Any]:
    """The CT as uint8 (n, size, size) in a display window (HU): for report panes."""
    if view.hu is None:
        raise InputError("the slices have no ct")
    low, high = window
    grey = (view.hu.astype(np.float32) - low) * (255.0 / (high - low))
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _check_same_grid(case: Case) -> None:
    if case.ct is None or case.dose is None:
        return
    same_shape = case.ct.grid_shape == case.dose.grid_shape
    if not same_shape or not np.allclose(case.ct.affine, case.dose.affine, atol=1e-3):
        raise InputError(
            f"case {case.id}: CT {case.ct.grid_shape} and dose {case.dose.grid_shape} lie on "
            "different grids: resample the dose onto the CT's grid"
        )


def _slices(ct: Volume | None, dose: Volume | None, settings: SliceSettings) -> CaseSlices:
    shown = ct if ct is not None else dose
    assert shown is not None  # case_slices has refused the empty case
    grid = canonical(shown)
    body, step = _dosed(grid, settings) if ct is None else body_of(grid, settings.body_hu)
    square = settings.around(centre_mm(body, step, grid))
    has_dose, cgy = np.zeros(len(grid.array), dtype=bool), None
    if dose is not None:
        highest, cgy = dose_on(dose, square)
        has_dose = highest > np.rint(100.0 * settings.min_dose_gy)
    rows = np.flatnonzero(body.any(axis=(1, 2)) | has_dose)
    return CaseSlices(
        settings=settings,
        slice_index=grid.index[rows],
        z_mm=grid.z_mm[rows],
        has_dose=has_dose[rows],
        hu=None if ct is None else as_hu(resampled(grid, rows, square, AIR_HU)),
        dose_cgy=None if cgy is None else cgy[rows],
        corner_mm=square.corner_mm,
    )


def dose_on(dose: Volume, frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.uint16]]:
    """Of every slice of a dose, from the head, the highest cGy, and the cGy on a frame's pixels.

    A few slices at a time: on the grid of a CT a dose is much larger than its own.
    """
    n = dose.grid_shape[0]
    along_z = np.abs(dose.affine[:2, 0]).max() == 0
    step = SLAB if along_z else n  # else slices lie along another axis
    parts = []
    for first in range(0, n, step):
        affine = dose.affine.copy()
        affine[:3, 3] += first * affine[:3, 0]
        grid = canonical(Volume(dose.slab(first, first + step), affine))
        every = np.arange(len(grid.array))
        highest = _max_cgy(grid.array)
        parts.append((float(grid.z_mm[0]), highest, _as_cgy(resampled(grid, every, frame, 0.0))))
    parts.sort(key=lambda part: -part[0])  # from the head
    return np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])


def _max_cgy(array: NDArray[Any]) -> NDArray[np.float64]:
    """The highest dose of every slice in whole cGy, so that 5.000 Gy never passes for more."""
    return np.rint(100.0 * array.max(axis=(1, 2)).astype(np.float64))


def _dosed(dose: Canonical, settings: SliceSettings) -> tuple[NDArray[np.bool_], Strides]:
    """Where there is no CT: the voxels above the dose that makes a slice count."""
    return np.rint(100.0 * dose.array) > np.rint(100.0 * settings.min_dose_gy), (1, 1)


def as_hu(values: NDArray[np.float32]) -> NDArray[np.int16]:
    """HU as they are kept: whole, from `AIR_HU` to `MAX_HU`."""
    return np.clip(np.rint(values), AIR_HU, MAX_HU).astype(np.int16)


def _as_cgy(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.clip(np.rint(values * np.float32(100)), 0.0, MAX_CGY).astype(np.uint16)
