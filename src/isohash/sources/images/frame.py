"""Single frames of DICOM (radiographs, mammograms, ultrasound, captures) as they are to be shown.

The file's own rescale, window or lookup table, and MONOCHROME1 decide what is bright. Identity
stops here: what leaves is pixels, the modality and a pseudonym of the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.pixels import apply_color_lut, apply_rescale, apply_voi

from isohash.errors import InputError
from isohash.sources.dicom.elements import (
    frame_count,
    numbers,
    quietly,
    read_dataset,
    term,
    text,
    value,
)
from isohash.sources.dicom.scan import patient_of
from isohash.sources.dicom.whole import cut_short
from isohash.sources.images.raster import Raster, check_size, reduced, stretched

MODALITIES = ("CR", "DX", "MG", "US", "OT", "RF", "RG", "XA", "XC", "IO", "PX", "ES", "GM", "OP")
DRAWN_IN = "has text drawn into its pixels (BurnedInAnnotation), perhaps a name"


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame as shown, a pseudonym of its patient ("" if unknown) and its modality ("" too)."""

    raster: Raster
    patient: str
    modality: str


def read_frame(file: Path, key: bytes) -> Frame:
    """The frame of a file; InputError says why it cannot be shown, naming no content."""
    if why := cut_short(file):
        raise InputError(f"{why}; copy or export it again")
    with quietly():
        dataset = read_dataset(file)
        (rows,), (columns,) = numbers(dataset, "Rows", 1), numbers(dataset, "Columns", 1)
        check_size(int(columns), int(rows))
        if (n := frame_count(dataset)) != 1:
            raise InputError(f"has {n} frames; export single ones")
        if text(dataset, "BurnedInAnnotation") == "YES":
            raise InputError(DRAWN_IN)
        seen = reduced(_shown(dataset, _pixels(dataset))).convert("RGB")
        modality = text(dataset, "Modality")
        known = modality if modality in MODALITIES else ""  # what is typed there may be anything
        raster = Raster(np.asarray(seen), int(columns), int(rows))
        return Frame(raster, patient_of(dataset, key), known)


def _pixels(dataset: FileDataset) -> NDArray[Any]:
    """Stored values (rows, columns) or RGB (rows, columns, 3)."""
    if value(dataset, "PixelData") is None:
        raise InputError("has no pixels")
    try:
        pixels = dataset.pixel_array
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(
            "its pixels cannot be decoded; pip install 'isohash[compressed]' or export them "
            "uncompressed"
        ) from error
    if term(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise InputError(f"its pixels have shape {pixels.shape}, no single frame")
    return pixels


def _shown(dataset: FileDataset, pixels: NDArray[Any]) -> PIL.Image.Image:
    """The frame with the brightness that the file asks for."""
    if pixels.ndim == 3:
        deep = pixels.dtype != np.uint8
        return PIL.Image.fromarray((pixels >> 8).astype(np.uint8) if deep else pixels)
    brightness = _brightness(dataset, apply_rescale(pixels, dataset))
    dark = term(dataset, "PhotometricInterpretation") == "MONOCHROME1"
    return PIL.Image.fromarray(255 - brightness if dark else brightness)


def _brightness(dataset: FileDataset, values: NDArray[Any]) -> NDArray[np.uint8]:
    """By the file's lookup table, its window, or from the least to the largest value."""
    if tables := value(dataset, "VOILUTSequence"):
        deepest = 2 ** int(tables[0].LUTDescriptor[2]) - 1
        return np.round(apply_voi(values, dataset) * (255.0 / deepest)).astype(np.uint8)
    if value(dataset, "WindowCenter") is None:
        return stretched(values)
    centre, width = numbers(dataset, "WindowCenter")[0], numbers(dataset, "WindowWidth")[0]
    share = _windowed(values, centre, width, text(dataset, "VOILUTFunction") or "LINEAR")
    return np.round(255.0 * np.clip(share, 0.0, 1.0)).astype(np.uint8)


def _windowed(
    values: NDArray[Any], centre: float, width: float, function: str
) -> NDArray[np.float64]:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, before clipping to 0 ... 1."""
    x = np.asarray(values, dtype=np.float64) - centre
    if width < 1 or (function != "LINEAR" and width <= 0):
        raise InputError(f"WindowWidth {width:g} shows nothing")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * x / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return x / width + 0.5
    return (x + 0.5) / max(width - 1.0, 1e-9) + 0.5
