"""Pixels of DICOM images as arrays, with their size checked before anything is decoded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from isohash.errors import InputError
from isohash.sources.dicom.elements import frame_count, numbers, read_dataset, term, value

UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
MAX_PIXELS = 1 << 29  # one object: 512 x 512 x 2048


def read_pixels(file: Path) -> tuple[FileDataset, NDArray[Any]]:
    """The image elements of a file and its stored values (frames, rows, columns), integer."""
    dataset = read_dataset(file)
    return dataset, _stored_values(dataset)


def _stored_values(dataset: FileDataset) -> NDArray[Any]:
    shape = _shape(dataset)
    if (data := value(dataset, "PixelData")) is None:
        raise InputError("has no pixels")
    bits = int(numbers(dataset, "BitsAllocated", 1)[0])
    stored = int(numbers(dataset, "BitsStored", 1)[0])
    if bits not in (8, 16, 32) or not 0 < stored <= bits:
        raise InputError(f"{stored} bits stored in {bits} allocated is not supported")
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", _guessed(dataset))
    if syntax not in UNCOMPRESSED:
        return _decompressed(dataset, shape)
    signed = bool(numbers(dataset, "PixelRepresentation", 1)[0])
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dtype = np.dtype(f"{order}{'i' if signed else 'u'}{bits // 8}")
    need = math.prod(shape) * dtype.itemsize
    if len(data) < need:
        raise InputError(f"truncated: {len(data)} bytes of pixels, {need} declared")
    pixels = np.frombuffer(data, dtype, count=need // dtype.itemsize).reshape(shape)
    return _strip(pixels, bits, stored, dataset).astype(dtype.newbyteorder("="), copy=False)


def _guessed(dataset: FileDataset) -> UID:
    """The syntax of a file that names none, of which the parser has guessed the byte order."""
    _, little = dataset.original_encoding
    return ExplicitVRBigEndian if little is False else ImplicitVRLittleEndian


def _decompressed(dataset: FileDataset, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Pixels by pydicom's decoders, of which RLE is always there."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not (syntax.is_transfer_syntax and syntax.is_compressed):
        raise InputError("the transfer syntax is not known")
    try:
        pixels: NDArray[Any] = dataset.pixel_array
    except (MemoryError, InputError):
        raise
    except Exception as error:
        raise InputError(
            f"pixels compressed as {syntax.name} cannot be decoded; "
            "pip install 'isohash[compressed]' or export them uncompressed"
        ) from error
    if pixels.size != int(np.prod(shape)) or pixels.dtype.kind not in "iu":
        raise InputError(f"decoded to shape {pixels.shape}, {shape} declared")
    return pixels.reshape(shape)


def _shape(dataset: FileDataset) -> tuple[int, int, int]:
    (rows,), (columns,) = numbers(dataset, "Rows", 1), numbers(dataset, "Columns", 1)
    shape = (frame_count(dataset), int(rows), int(columns))
    if min(shape) < 1 or shape[0] * shape[1] * shape[2] > MAX_PIXELS:
        raise InputError(f"declares {shape[0]} x {shape[1]} x {shape[2]} pixels, beyond the limit")
    if (value(dataset, "SamplesPerPixel") or 1) != 1:
        raise InputError("has colour pixels")
    if (kind := term(dataset, "PhotometricInterpretation")) not in ("", "MONOCHROME2"):
        raise InputError(f"pixels are {kind}")
    return shape


def _strip(pixels: NDArray[Any], bits: int, stored: int, dataset: FileDataset) -> NDArray[Any]:
    """Cut away what lies in the unused high bits, keeping the sign."""
    if stored == bits:
        return pixels
    if value(dataset, "HighBit") not in (None, stored - 1):
        raise InputError(f"HighBit is not {stored - 1}, as BitsStored wants it")
    shift = bits - stored
    return np.right_shift(np.left_shift(pixels, shift), shift)
