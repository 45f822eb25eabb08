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

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.features.cases.canonical import Canonical, canonical
from isohash.features.cases.regions import largest_region
from isohash.records import Case, Volume

ImageKind = Literal["ct", "dose"]

AIR_HU = -1024.0  # outside the scanned field, and the lowest value kept
MAX_HU = 30000.0
MAX_CGY = 65535.0
COARSE_MM = 4.0  # the body is found on about this grid: fine enough for a bounding box
BLOCK = 16  # slices resampled at a time: the intermediate arrays stay in the cache


@dataclass(frozen=True)
class SliceSettings:
    """The grid and the scales of an encoder's input.

    `hu_window` maps to [0, 1] and is clipped, as is dose / `dose_scale_gy`. A slice counts as
    dosed if its highest dose exceeds `min_dose_gy`. The body is what exceeds `body_hu`.
    """

    size: int = 128
    pixel_mm: float = 4.0
    hu_window: tuple[float, float] = (-500.0, 500.0)
    dose_scale_gy: float = 80.0
    min_dose_gy: float = 5.0
    body_hu: float = -400.0

    def __post_init__(self) -> None:
        low, high = (float(bound) for bound in self.hu_window)
        object.__setattr__(self, "hu_window", (low, high))
        if self.size < 1 or self.size != int(self.size):
            raise InputError(f"size must be a positive number of pixels, got {self.size}")
        if not self.pixel_mm > 0:
            raise InputError(f"pixel_mm must be positive, got {self.pixel_mm}")
        if not low < high:
            raise InputError(f"hu_window must be (low, high) with low < high, got {(low, high)}")
        if not self.dose_scale_gy > 0:
            raise InputError(f"dose_scale_gy must be positive, got {self.dose_scale_gy}")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {**asdict(self), "hu_window": list(self.hu_window)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SliceSettings:
        """The settings that `to_json` wrote; unknown names are refused."""
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise InputError(f"unknown slice settings {unknown}: written by a newer version?")
        return cls(**{**values, **_pair(values)})


def _pair(values: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """The window as a tuple: JSON knows only lists."""
    return {"hu_window": tuple(values["hu_window"])} if "hu_window" in values else {}


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
        seen = canonical(volume)
        rows = np.searchsorted(-seen.z_mm, -self.z_mm)
        if len(rows) and (rows.max() >= len(seen.z_mm)):
            raise InputError("the volume does not reach all slices: is it on the CT's grid?")
        if not np.allclose(seen.z_mm[rows], self.z_mm, atol=1e-3):
            raise InputError("the volume's slices lie elsewhere: is it on the CT's grid?")
        return _resample(seen, rows, self.corner_mm, self.settings, background)


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
        ct = None if case.ct is None else canonical(case.ct)
        dose = None if case.dose is None else canonical(case.dose)
        return _slices(ct, dose, settings)
    except InputError as error:
        raise InputError(f"case {case.id}: {error}") from error


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


def display_ct(view: CaseSlices, window: tuple[float, float] = (-160.0, 240.0)) -> NDArray[Any]:
    """The CT as uint8 (n, size, size) in a display window (HU): for report panes."""
    if view.hu is None:
        raise InputError("the slices have no ct")
    low, high = window
    grey = (view.hu.astype(np.float32) - low) * (255.0 / (high - low))
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _check_same_grid(case: Case) -> None:
    if case.ct is None or case.dose is None:
        return
    same_shape = case.ct.array.shape == case.dose.array.shape
    if not same_shape or not np.allclose(case.ct.affine, case.dose.affine, atol=1e-3):
        raise InputError(
            f"case {case.id}: CT {case.ct.array.shape} and dose {case.dose.array.shape} lie on "
            "different grids: resample the dose onto the CT's grid"
        )


def _slices(ct: Canonical | None, dose: Canonical | None, settings: SliceSettings) -> CaseSlices:
    grid = ct if ct is not None else dose
    assert grid is not None  # case_slices has refused the empty case
    has_dose = np.zeros(len(grid.array), dtype=bool)
    if dose is not None:
        has_dose = _max_cgy(dose.array) > np.rint(100.0 * settings.min_dose_gy)
    body, step = _body(ct, settings) if ct is not None else _dosed(grid, settings)
    rows = np.flatnonzero(body.any(axis=(1, 2)) | has_dose)
    corner = _corner(body, step, grid, settings)
    return CaseSlices(
        settings=settings,
        slice_index=grid.index[rows],
        z_mm=grid.z_mm[rows],
        has_dose=has_dose[rows],
        hu=None if ct is None else _as_hu(_resample(ct, rows, corner, settings, AIR_HU)),
        dose_cgy=None if dose is None else _as_cgy(_resample(dose, rows, corner, settings, 0.0)),
        corner_mm=corner,
    )


def _max_cgy(array: NDArray[Any]) -> NDArray[np.float64]:
    """The highest dose of every slice in whole cGy, so that 5.000 Gy never passes for more."""
    return np.rint(100.0 * array.max(axis=(1, 2)).astype(np.float64))


def _body(ct: Canonical, settings: SliceSettings) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """The largest connected region above `body_hu` on a coarse grid; the in-plane strides.

    A square opening first: couch shells and mask rims are one or two coarse pixels thick, so
    they vanish or come apart from the body.
    """
    step_y, step_x = (max(1, round(COARSE_MM / mm)) for mm in (ct.step_mm[1], ct.step_mm[0]))
    above = ct.array[:, ::step_y, ::step_x] > settings.body_hu
    cores = _shrunk(above)
    if not cores.any():
        cores = above  # a body thinner than the opening, as in tiny phantoms
    return largest_region(cores), (step_y, step_x)


def _shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose four neighbours in the slice are set too (outside counts as unset)."""
    out = np.zeros_like(mask)
    out[:, 1:-1, 1:-1] = (
        mask[:, 1:-1, 1:-1]
        & mask[:, :-2, 1:-1]
        & mask[:, 2:, 1:-1]
        & mask[:, 1:-1, :-2]
        & mask[:, 1:-1, 2:]
    )
    return out


def _dosed(dose: Canonical, settings: SliceSettings) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Where there is no CT: the voxels above the dose that makes a slice count."""
    return np.rint(100.0 * dose.array) > np.rint(100.0 * settings.min_dose_gy), (1, 1)


def _corner(
    body: NDArray[np.bool_],
    step: tuple[int, int],
    grid: Canonical,
    settings: SliceSettings,
) -> tuple[float, float]:
    """Patient (x, y) of pixel [0, 0] when the body's median centre is the image's centre."""
    centre = []
    for axis, stride, first, mm in (
        (2, step[1], grid.first_mm[0], grid.step_mm[0]),
        (1, step[0], grid.first_mm[1], grid.step_mm[1]),
    ):
        profile: NDArray[np.bool_] = np.any(body, axis=3 - axis)  # (z, x) or (z, y)
        profile = profile[np.any(profile, axis=1)]
        middle = (grid.array.shape[axis] - 1) / 2.0
        if len(profile):
            low = profile.argmax(axis=1)
            high = profile.shape[1] - 1 - profile[:, ::-1].argmax(axis=1)
            # not np.median, which imports numpy.ma: a twentieth of a query from a cold start
            middle = stride * float(np.quantile(low + high, 0.5)) / 2.0
        centre.append(first + mm * middle)
    half = settings.pixel_mm * (settings.size - 1) / 2.0
    return centre[0] - half, centre[1] - half


def _resample(
    grid: Canonical,
    rows: NDArray[np.int64],
    corner_mm: tuple[float, float],
    settings: SliceSettings,
    background: float,
) -> NDArray[np.float32]:
    """Slices `rows` on the canonical pixels, `background` outside the source; float32."""
    columns, lines = (
        _taps(grid.first_mm[i], grid.step_mm[i], grid.array.shape[2 - i], corner_mm[i], settings)
        for i in (0, 1)
    )
    out = np.empty((len(rows), settings.size, settings.size), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        block = grid.array[rows[start : start + BLOCK]].astype(np.float32)
        if not np.isfinite(block).all():
            raise InputError("the volume holds NaN or infinite values")
        if background:
            block -= np.float32(background)
        out[start : start + BLOCK] = _filtered(_filtered(block, lines, 1), columns, 2)
    if background:
        out += np.float32(background)
    return out


Taps = tuple[NDArray[np.int64], NDArray[np.float32]]


def _taps(first: float, step: float, n: int, corner: float, settings: SliceSettings) -> Taps:
    """Which source pixels (size, t) make each output pixel, and with which weights (size, t)."""
    at = (corner + settings.pixel_mm * np.arange(settings.size) - first) / step
    half_width = max(1.0, settings.pixel_mm / step)
    index = np.ceil(at - half_width)[:, None] + np.arange(int(np.ceil(2 * half_width)))
    weight = np.maximum(0.0, 1.0 - np.abs(index - at[:, None]) / half_width)
    weight /= weight.sum(axis=1, keepdims=True)
    weight[(index < 0) | (index > n - 1)] = 0.0  # outside: the background, which is 0 here
    return np.clip(index, 0, n - 1).astype(np.int64), weight.astype(np.float32)


def _filtered(block: NDArray[np.float32], taps: Taps, axis: int) -> NDArray[np.float32]:
    index, weight = taps
    shape = (-1, 1) if axis == 1 else (-1,)
    out = block.take(index[:, 0], axis=axis)
    out *= weight[:, 0].reshape(shape)
    for t in range(1, index.shape[1]):
        part = block.take(index[:, t], axis=axis)
        part *= weight[:, t].reshape(shape)
        out += part
    return out


def _as_hu(values: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.clip(np.rint(values), AIR_HU, MAX_HU).astype(np.int16)


def _as_cgy(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.clip(np.rint(values * np.float32(100)), 0.0, MAX_CGY).astype(np.uint16)
