"""CT series to HU, dose grids to Gy: volumes with their place in the patient, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from isohash.errors import InputError
from isohash.records import Volume
from isohash.sources.dicom.elements import numbers, term, value
from isohash.sources.dicom.geometry import Ladder, canonical, frame_stack, stack
from isohash.sources.dicom.pixels import read_pixels
from isohash.sources.dicom.scan import Instance, frame_groups, plane_of

AIR_HU = -1024
# Pixels outside the reconstructed circle are padded with a value that none inside has (PS3.3
# C.7.5.1.1.2). Where the value is a HU of tissue, as 0 with an intercept of 0, it cannot be told
# from the body, and the body matters more.
TISSUE_HU = (-900.0, 3071.0)
PADDING_KEPT = "PixelPaddingValue is a HU of tissue: pixels of that value keep it"
HU_RANGE = (-32768, 32767)
LEAST_NEGATIVE = 0.005  # share of the highest dose that is still noise about 0
DOSE_TYPES = ("PHYSICAL", "EFFECTIVE")


def read_ct(slices: Sequence[Instance], warnings: list[str] | None = None) -> tuple[Volume, Ladder]:
    """The CT of one series in HU, and the planes it was made of.

    int16 where the values are whole numbers, else float32. Planes that are uneven piece by piece
    are interpolated to the finest of their distances.
    """
    order, ladder = stack([plane for instance in slices for plane in instance.planes])
    place = np.argsort(order)  # of each plane in the stack
    ct: NDArray[Any] | None = None
    done = 0
    for instance in slices:
        hu = _in_file(instance, lambda one: read_slices(one, warnings))
        if len(hu) != len(instance.planes):
            raise InputError(f"{instance.path}: has changed since its header was read")
        if ct is None:
            ct = np.empty((len(order), *hu.shape[1:]), dtype=hu.dtype)
        if hu.dtype != ct.dtype:
            ct = ct.astype(np.float32)
        ct[place[done : done + len(hu)]] = hu
        done += len(hu)
    assert ct is not None
    return canonical(ladder.even(ct), ladder.affine), ladder


def read_dose(instance: Instance, warnings: list[str] | None = None) -> Volume:
    """One dose grid in Gy, float32, on its own grid; errors do not name the file.

    A few slightly negative voxels, as interpolation leaves them, become 0 with a warning.
    """
    dataset, pixels = read_pixels(instance.path)
    units, kind = term(dataset, "DoseUnits"), term(dataset, "DoseType")
    if units != "GY":
        raise InputError(
            f"DoseUnits is {units or 'missing'}; only GY can be compared, export absolute dose"
        )
    if kind not in DOSE_TYPES:
        raise InputError(f"DoseType is {kind or 'missing'}, not PHYSICAL or EFFECTIVE")
    (scaling,) = numbers(dataset, "DoseGridScaling", 1)
    if not (np.isfinite(scaling) and scaling > 0):
        raise InputError(f"DoseGridScaling must be positive, got {scaling:g}")
    offsets = numbers(dataset, "GridFrameOffsetVector")
    if len(offsets) != len(pixels):
        raise InputError(f"{len(pixels)} frames but {len(offsets)} in GridFrameOffsetVector")
    gy = (pixels * np.float64(scaling)).astype(np.float32)
    if (lowest := float(gy.min())) < 0:
        if lowest < -LEAST_NEGATIVE * float(gy.max()):
            raise InputError(f"dose is negative ({lowest:.3f} Gy)")
        if warnings is not None:
            warnings.append(f"dose is slightly negative (to {lowest:.4f} Gy): counted as 0")
        np.clip(gy, 0.0, None, out=gy)
    ladder, backwards = frame_stack(plane_of(dataset), offsets)
    return canonical(ladder.even(gy[::-1] if backwards else gy), ladder.affine)


def _in_file(instance: Instance, read: Any) -> Any:
    try:
        return read(instance)
    except InputError as error:
        raise InputError(f"{instance.path}: {error}") from error


def read_slices(instance: Instance, warnings: list[str] | None = None) -> NDArray[Any]:
    """All frames of a file in HU, (frames, rows, columns)."""
    warnings = [] if warnings is None else warnings
    dataset, pixels = read_pixels(instance.path)
    if len(instance.planes) == 1:
        return _hounsfield(dataset, dataset, pixels, warnings)
    frames = [
        _hounsfield(dataset, group("PixelValueTransformationSequence"), frame[None], warnings)
        for frame, group in zip(pixels, frame_groups(dataset), strict=True)
    ]
    return np.concatenate(frames)


def _hounsfield(
    dataset: Dataset, rescale: Dataset, pixels: NDArray[Any], warnings: list[str]
) -> NDArray[np.int16] | NDArray[np.float32]:
    if len(pixels) != 1:
        raise InputError(f"a CT slice with {len(pixels)} frames")
    if value(dataset, "ModalityLUTSequence") is not None:
        raise InputError("HU by a lookup table (ModalityLUTSequence)")
    if (kind := term(rescale, "RescaleType")) not in ("", "HU", "US"):
        raise InputError(f"pixel values are {kind}, not HU")
    (slope,), (intercept,) = (
        numbers(rescale, "RescaleSlope", 1),
        numbers(rescale, "RescaleIntercept", 1),
    )
    if not (np.isfinite([slope, intercept]).all() and slope > 0):
        raise InputError(f"RescaleSlope {slope:g} and RescaleIntercept {intercept:g} make no HU")
    hu = pixels.astype(np.float64)
    hu *= slope
    hu += intercept
    padded = _padded(dataset, pixels)
    if padded is not None and _may_be_tissue(hu[padded]):
        if PADDING_KEPT not in warnings:
            warnings.append(PADDING_KEPT)
    elif padded is not None:
        hu[padded] = AIR_HU
    lowest, highest = float(hu.min()), float(hu.max())
    if lowest < HU_RANGE[0] or highest > HU_RANGE[1]:
        raise InputError(f"HU from {lowest:g} to {highest:g} are no CT")
    whole = slope == int(slope) and intercept == int(intercept)
    return hu.astype(np.int16) if whole else hu.astype(np.float32)


def _padded(dataset: Dataset, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Pixels that stand for no measurement, outside the reconstructed circle; None if none may.

    The padding value counts in the pixels' own type: scanners write -2000 also as 63536.
    """
    fill = value(dataset, "PixelPaddingValue")
    if not isinstance(fill, int):
        return None
    limit = value(dataset, "PixelPaddingRangeLimit")
    ends = np.array([fill, limit if isinstance(limit, int) else fill]).astype(pixels.dtype)
    return (pixels >= ends.min()) & (pixels <= ends.max())


def _may_be_tissue(hu: NDArray[np.float64]) -> bool:
    """Whether padding lies where tissue does, so that the one cannot be told from the other."""
    return bool(((hu >= TISSUE_HU[0]) & (hu <= TISSUE_HU[1])).any())
