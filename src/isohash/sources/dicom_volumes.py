"""CT series to HU, dose grids to Gy: volumes with their place in the patient, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from isohash.errors import InputError
from isohash.records import Volume
from isohash.sources.dicom_geometry import canonical, frame_stack, stack
from isohash.sources.dicom_pixels import read_pixels
from isohash.sources.dicom_scan import Instance, numbers, plane_of, value

AIR_HU = -1024
HU_RANGE = (-32768, 32767)
MAX_DOSE_GY = 1000.0
DOSE_TYPES = ("PHYSICAL", "EFFECTIVE")


def read_ct(slices: Sequence[Instance]) -> Volume:
    """The CT of one series in HU: int16 where the values are whole numbers, else float32."""
    order, affine = stack([_plane(instance) for instance in slices])
    ct: NDArray[Any] | None = None
    for k, which in enumerate(order.tolist()):
        hu = _in_file(slices[which], _read_slice)
        if ct is None:
            ct = np.empty((len(slices), *hu.shape), dtype=hu.dtype)
        if hu.dtype != ct.dtype:
            ct = ct.astype(np.float32)
        ct[k] = hu
    assert ct is not None
    return canonical(ct, affine)


def read_dose(instance: Instance) -> Volume:
    """One dose grid in Gy, float32, on its own grid."""
    return _in_file(instance, _read_dose)


def _in_file(instance: Instance, read: Any) -> Any:
    try:
        return read(instance)
    except InputError as error:
        raise InputError(f"{instance.path}: {error}") from error


def _plane(instance: Instance) -> Any:
    if instance.plane is None:
        raise InputError(f"{instance.path}: has no image geometry")
    return instance.plane


def _read_slice(instance: Instance) -> NDArray[Any]:
    dataset, pixels = read_pixels(instance.path)
    if pixels.shape[0] != 1:
        raise InputError(f"a CT slice with {pixels.shape[0]} frames")
    if value(dataset, "ModalityLUTSequence") is not None:
        raise InputError("HU by a lookup table (ModalityLUTSequence)")
    if value(dataset, "RescaleType") not in (None, "HU", "US"):
        raise InputError(f"pixel values are {value(dataset, 'RescaleType')}, not HU")
    (slope,), (intercept,) = (
        numbers(dataset, "RescaleSlope", 1),
        numbers(dataset, "RescaleIntercept", 1),
    )
    if not (np.isfinite([slope, intercept]).all() and slope > 0):
        raise InputError(f"RescaleSlope {slope:g} and RescaleIntercept {intercept:g} make no HU")
    hu = pixels[0].astype(np.float64) * slope + intercept
    hu[_padding(dataset, pixels[0])] = AIR_HU
    if hu.min() < HU_RANGE[0] or hu.max() > HU_RANGE[1]:
        raise InputError(f"HU from {hu.min():g} to {hu.max():g} are no CT")
    whole = slope == int(slope) and intercept == int(intercept)
    return hu.astype(np.int16 if whole else np.float32)


def _padding(dataset: FileDataset, pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels outside the reconstructed circle."""
    fill = value(dataset, "PixelPaddingValue")
    if not isinstance(fill, int):
        return np.zeros(pixels.shape, dtype=bool)
    limit = value(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((fill, limit if isinstance(limit, int) else fill))
    return (pixels >= low) & (pixels <= high)


def _read_dose(instance: Instance) -> Volume:
    dataset, pixels = read_pixels(instance.path)
    units, kind = value(dataset, "DoseUnits"), value(dataset, "DoseType")
    if units != "GY":
        raise InputError(f"DoseUnits is {units}; only GY can be compared, export absolute dose")
    if kind not in DOSE_TYPES:
        raise InputError(f"DoseType is {kind}, not PHYSICAL or EFFECTIVE")
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
    return canonical(gy, frame_stack(plane_of(dataset), offsets))
