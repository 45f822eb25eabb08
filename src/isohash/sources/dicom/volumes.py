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
HU_RANGE = (-32768, 32767)
MAX_DOSE_GY = 1000.0
DOSE_TYPES = ("PHYSICAL", "EFFECTIVE")


def read_ct(slices: Sequence[Instance]) -> tuple[Volume, Ladder]:
    """The CT of one series in HU, and the planes it was made of.

    int16 where the values are whole numbers, else float32. Planes that are uneven piece by piece
    are interpolated to the finest of their distances.
    """
    order, ladder = stack([plane for instance in slices for plane in instance.planes])
    place = np.argsort(order)  # of each plane in the stack
    ct: NDArray[Any] | None = None
    done = 0
    for instance in slices:
        hu = _in_file(instance, _read_frames)
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


def read_dose(instance: Instance) -> Volume:
    """One dose grid in Gy, float32, on its own grid; errors do not name the file."""
    return _read_dose(instance)


def _in_file(instance: Instance, read: Any) -> Any:
    try:
        return read(instance)
    except InputError as error:
        raise InputError(f"{instance.path}: {error}") from error


def _read_frames(instance: Instance) -> NDArray[Any]:
    """All frames of a file in HU, (frames, rows, columns)."""
    dataset, pixels = read_pixels(instance.path)
    if len(instance.planes) == 1:
        return _hounsfield(dataset, dataset, pixels)
    frames = [
        _hounsfield(dataset, group("PixelValueTransformationSequence"), frame[None])
        for frame, group in zip(pixels, frame_groups(dataset), strict=True)
    ]
    return np.concatenate(frames)


def _hounsfield(
    dataset: Dataset, rescale: Dataset, pixels: NDArray[Any]
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
    hu = pixels.astype(np.float64) * slope + intercept
    hu[_padding(dataset, pixels)] = AIR_HU
    if hu.min() < HU_RANGE[0] or hu.max() > HU_RANGE[1]:
        raise InputError(f"HU from {hu.min():g} to {hu.max():g} are no CT")
    whole = slope == int(slope) and intercept == int(intercept)
    return hu.astype(np.int16) if whole else hu.astype(np.float32)


def _padding(dataset: Dataset, pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels outside the reconstructed circle.

    The padding value counts in the pixels' own type: scanners write -2000 also as 63536.
    """
    fill = value(dataset, "PixelPaddingValue")
    if not isinstance(fill, int):
        return np.zeros(pixels.shape, dtype=bool)
    limit = value(dataset, "PixelPaddingRangeLimit")
    ends = np.array([fill, limit if isinstance(limit, int) else fill]).astype(pixels.dtype)
    return (pixels >= ends.min()) & (pixels <= ends.max())


def _read_dose(instance: Instance) -> Volume:
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
    if gy.min() < 0:
        raise InputError(f"dose is negative ({gy.min():.3f} Gy)")
    if gy.max() > MAX_DOSE_GY:
        raise InputError(f"dose reaches {gy.max():.0f} Gy; check DoseGridScaling")
    ladder, backwards = frame_stack(plane_of(dataset), offsets)
    return canonical(ladder.even(gy[::-1] if backwards else gy), ladder.affine)
