"""Plain vectors: an .npy file of shape (n, d), or an .npz with `X` and, if known, `y` and `ids`.

An .npy file of shape (d,) is one vector. CSV and Parquet are read by `tables`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isohash.errors import InputError
from isohash.records import Vectors
from isohash.sources.apart import parquet_columns
from isohash.sources.arrays import Header, listed, npz_headers, read_npy, read_npz
from isohash.sources.tables import read_csv

MAX_ID_BYTES = 256
TABLES = {".csv": read_csv, ".tsv": read_csv, ".parquet": parquet_columns}


def read_vectors(path: str | Path) -> Vectors:
    """Read one file of vectors; values must be real and finite, and are stored as float32."""
    path = Path(path)
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        return Vectors(_checked(array[None] if array.ndim == 1 else array, path))
    arrays = _named_arrays(path)
    array = _checked(arrays["X"], path)
    ids = _ids(arrays["ids"], len(array), path) if "ids" in arrays else None
    labels = _labels(arrays["y"], len(array), path) if "y" in arrays else None
    return Vectors(array, ids, labels)


def is_table(path: Path) -> bool:
    """Whether a file may hold vectors, by its name."""
    return path.suffix.lower() in (".npy", *TABLES)


def _named_arrays(path: Path) -> Mapping[str, NDArray[Any]]:
    if (read := TABLES.get(path.suffix.lower())) is not None:
        return read(path)
    headers = npz_headers(path)
    name = _table_name(headers, path)
    arrays = read_npz(path, [name, *(extra for extra in ("y", "ids") if extra in headers)])
    return {**arrays, "X": arrays[name]}


def _table_name(headers: Mapping[str, Header], path: Path) -> str:
    if "X" in headers:
        return "X"
    tables = [name for name, header in headers.items() if len(header.shape) == 2]
    if len(tables) != 1:
        stacks = [name for name, header in headers.items() if len(header.shape) > 2]
        step = f"; {_flatten(stacks[0])}" if stacks and not tables else "; name the vectors 'X'"
        raise InputError(
            f"{path}: holds {len(tables)} two-dimensional arrays "
            f"({listed(headers) or 'no arrays at all'}){step}"
        )
    return tables[0]


def _flatten(name: str) -> str:
    """What to do with a stack of images."""
    return (
        f"of a stack of images save the pixels as rows, {name}.reshape(len({name}), -1), or better "
        "the embeddings of a network"
    )


def _checked(array: NDArray[Any], path: Path) -> NDArray[np.float32]:
    if array.ndim != 2 or 0 in array.shape:
        step = f"; {_flatten('X')}" if array.ndim > 2 and 0 not in array.shape else ""
        raise InputError(
            f"{path}: vectors have shape (n, d) with n, d > 0, got {array.shape}{step}"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}: vectors must be real numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise InputError(
            f"{path}: row {int(np.argmin(finite))} is not finite in float32 "
            f"({int((~finite).sum())} such rows); remove or fill them"
        )
    return vectors


def _ids(array: NDArray[Any], n: int, path: Path) -> tuple[str, ...]:
    if array.shape != (n,) or array.dtype.kind not in "UiuS":
        raise InputError(f"{path}: ids must be {n} strings or integers, got {array.dtype}")
    try:
        ids = tuple(i.decode() if isinstance(i, bytes) else str(i) for i in array.tolist())
        lengths = [len(name.encode()) for name in ids]
    except UnicodeError as error:
        raise InputError(f"{path}: ids must be text that can be written in UTF-8") from error
    if len(set(ids)) != n:
        raise InputError(f"{path}: ids must be unique, got {n - len(set(ids))} repetitions")
    wrong = [length for length in lengths if not 0 < length <= MAX_ID_BYTES]
    if wrong:
        raise InputError(f"{path}: ids must have 1 to {MAX_ID_BYTES} bytes, got one of {wrong[0]}")
    return ids


def _labels(array: NDArray[Any], n: int, path: Path) -> NDArray[np.int64]:
    if array.shape != (n,) or array.dtype.kind not in "iub":
        raise InputError(
            f"{path}: labels y must be {n} integers, got {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.int64)
