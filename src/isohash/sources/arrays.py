"""Reads .npy and .npz with the declared shapes checked before anything is allocated.

NumPy files may come from anywhere, so pickled objects are never loaded and an array that declares
more than `MAX_BYTES` is refused by its header alone.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from isohash.errors import InputError

MAX_BYTES = 1 << 33  # 8 GiB: above any volume or table of vectors that fits a workstation

LONGEST_REASON = 120  # letters of a library's, which may quote a whole header
MOST_LISTED, LONGEST_LISTED = 12, 40  # names in a message, letters of each


@dataclass(frozen=True)
class Header:
    """Shape and type that a NumPy file declares for one array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the many ways in which a file can be damaged into one clear line."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except MemoryError as error:
        raise InputError(f"{path}: not enough memory to read it") from error
    except Exception as error:
        why = " ".join(str(error).split())[:LONGEST_REASON]
        raise InputError(
            f"{path}: truncated or not a NumPy file ({why}); copy or export it again"
        ) from error


def _header(stream: IO[bytes], path: Path, name: str) -> Header:
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise InputError(f"{path}: array {name!r} holds Python objects, which are never loaded")
    if math.prod(shape) * dtype.itemsize > MAX_BYTES:
        raise InputError(f"{path}: array {name!r} declares shape {shape}, above the size limit")
    return Header(shape, dtype)


def npz_headers(path: Path) -> dict[str, Header]:
    """Names, shapes and types of the arrays in an .npz file, without reading their values."""
    with _explained(path), zipfile.ZipFile(path) as archive:
        headers = {}
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as stream:
                    name = member.removesuffix(".npy")
                    headers[name] = _header(stream, path, name)
        return headers


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first few of however many there are."""
    several = sorted(names)
    more = f" and {len(several) - MOST_LISTED} more" if len(several) > MOST_LISTED else ""
    return ", ".join(name[:LONGEST_LISTED] for name in several[:MOST_LISTED]) + more


def read_npz(path: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Read the named arrays of an .npz file."""
    npz_headers(path)
    with _explained(path), zipfile.ZipFile(path) as archive:
        arrays = {}
        for name in names:
            with archive.open(f"{name}.npy") as stream:
                arrays[name] = npy.read_array(stream, allow_pickle=False)
        return arrays


def read_npy(path: Path) -> NDArray[Any]:
    """Read the array of an .npy file."""
    with _explained(path), path.open("rb") as stream:
        _header(stream, path, path.stem)
        stream.seek(0)
        array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
        return array
