"""A case in a few numbers, by which a stranger shows: tissues, body, dose, extent.

They come from the slices alone, before any encoder: whatever is asked, and by whatever way, they
can be compared with those of an archive's cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isohash.features.cases.posture import (
    air_behind,
    bone_towards_head,
    dose_behind,
    dose_towards_head,
    roll_of,
)

if TYPE_CHECKING:
    from isohash.features.cases.slices import CaseSlices

AIR_HU = -900  # above it: the patient, whose lungs take part
BONE_HU = 250
TISSUES_HU = (-500, -150, -20, 100, 300)  # lung | fat's edge | fat | soft | dense | bone
SOME_GY = 5.0  # doses below are scatter
SMOOTH = 1e-3  # added before logarithms of what may be 0

Numbers = NDArray[np.float64]

# Where the numbers of each part stand in a profile.
PARTS: Mapping[str, slice] = {
    "tissue": slice(0, 6),
    "body": slice(6, 9),
    "dose": slice(9, 12),
    "extent": slice(12, 13),
    "dosed extent": slice(13, 14),
    "symmetry": slice(14, 15),
    "tilt": slice(15, 17),
    "roll": slice(17, 18),
    "front": slice(18, 19),
    "head": slice(19, 20),
    "dose front": slice(20, 21),
    "dose head": slice(21, 22),
}
SIZE = 22
# How the patient lies and how much of the body is there, which bears on every answer.
POSTURE = ("extent", "symmetry", "tilt", "roll", "front", "head")
WHAT: Mapping[str, str] = {
    "tissue": "shares of lung, fat, soft tissue and bone",
    "body": "width, depth and grain of the body",
    "dose": "highest dose, mean dose and grain of the dose",
    "extent": "length of the scan",
    "dosed extent": "length of what is dosed",
    "symmetry": "likeness of left and right",
    "tilt": "how the body leans",
    "roll": "how the body is rolled about its length",
    "front": "which side is the front",
    "head": "which end is the head",
    "dose front": "where before or behind the high dose lies",
    "dose head": "how the high dose runs along the body",
}


def profile_of(slices: CaseSlices) -> NDArray[np.float32]:
    """(SIZE,): shares of tissues, logarithms of the rest; NaN for what the case lacks."""
    found = np.full(SIZE, np.nan)
    if slices.hu is not None and len(slices):
        inside = slices.hu > AIR_HU
        if inside.any():
            found[PARTS["tissue"]] = _shares(slices.hu[inside])
            found[PARTS["body"]] = _body(slices.hu, inside, slices.settings.pixel_mm)
            found[PARTS["symmetry"]] = _symmetry(inside)
            found[PARTS["tilt"]] = _tilt(inside, slices.z_mm, slices.settings.pixel_mm)
            found[PARTS["extent"]] = np.log(_length_mm(slices.z_mm))
            found[PARTS["roll"].start : PARTS["head"].stop] = _lying(slices)
    if slices.dose_cgy is not None and slices.has_dose.any():
        gy = slices.dose_cgy[slices.has_dose] / 100.0
        some = gy > SOME_GY
        if some.any():
            levels = [gy.max(), gy[some].mean(), _grain(gy, some) + SMOOTH]
            found[PARTS["dose"]] = np.log(levels)
            z_mm = slices.z_mm[slices.has_dose]
            found[PARTS["dosed extent"]] = np.log(_length_mm(z_mm))
            found[PARTS["dose front"]] = dose_behind(gy, some, slices.settings.pixel_mm)
            found[PARTS["dose head"]] = dose_towards_head(gy, z_mm)
    return found.astype(np.float32)


def _lying(slices: CaseSlices) -> tuple[float, float, float]:
    """Roll, front and head (`posture`)."""
    assert slices.hu is not None
    body, bone = slices.hu > slices.settings.body_hu, slices.hu > BONE_HU
    pixel_mm = slices.settings.pixel_mm
    head = bone_towards_head(bone, body, slices.z_mm)
    return roll_of(body, pixel_mm), air_behind(body, pixel_mm), head


def _shares(hu: NDArray[np.int16]) -> Numbers:
    return np.bincount(np.digitize(hu, TISSUES_HU), minlength=6) / len(hu)


def _body(hu: NDArray[np.int16], inside: NDArray[np.bool_], pixel_mm: float) -> Numbers:
    """Logarithms of the median width and depth (mm), and of the grain."""
    shown = inside.any(axis=(1, 2))
    width, depth = (
        float(np.quantile(inside[shown].any(axis=axis).sum(axis=1), 0.5)) * pixel_mm
        for axis in (1, 2)  # not np.median, which imports numpy.ma: part of a cold start
    )
    return np.log([width, depth, _grain(hu.astype(np.float64), inside) + SMOOTH])


def _symmetry(inside: NDArray[np.bool_]) -> float:
    """What the body and its mirror image share of what either covers."""
    columns = np.flatnonzero(inside.any(axis=(0, 1)))
    body = inside[:, :, columns[0] : columns[-1] + 1]
    mirrored = body[:, :, ::-1]
    return float((body & mirrored).sum() / (body | mirrored).sum())


def _tilt(inside: NDArray[np.bool_], z_mm: Numbers, pixel_mm: float) -> Numbers:
    """Angles (2,) in radians by which the body leans sidewards and back, slices by their area."""
    area = inside.sum(axis=(1, 2)).astype(np.float64)
    height = z_mm - np.average(z_mm, weights=area)
    spread = float((area * height**2).sum())
    if spread == 0.0:
        return np.zeros(2)
    at = pixel_mm * np.arange(inside.shape[1])
    sums = np.column_stack([inside.sum(axis=1) @ at, inside.sum(axis=2) @ at])
    return np.asarray(
        np.arctan(height @ (sums - area[:, None] * (sums.sum(axis=0) / area.sum())) / spread)
    )


def _grain(values: Numbers, inside: NDArray[np.bool_]) -> float:
    """Mean difference of neighbours inside, over the deviation of all: 1.1 for noise."""
    both = inside[:, :, 1:] & inside[:, :, :-1]
    steps = np.abs(np.diff(values, axis=2))[both]
    spread = float(values[inside].std())
    return float(steps.mean()) / spread if len(steps) and spread > 0 else 0.0


def _length_mm(z_mm: Numbers) -> float:
    step = float(np.quantile(np.abs(np.diff(z_mm)), 0.5)) if len(z_mm) > 1 else 1.0
    return float(np.ptp(z_mm)) + max(step, SMOOTH)
